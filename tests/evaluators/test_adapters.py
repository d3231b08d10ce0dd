"""A real LoRA adapter is evaluated on its base model, which must be found without a download."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from peft import LoraConfig
from safetensors.torch import load_file
from transformers import PreTrainedModel

from errors import ModelLoadFault
from evaluators.loading import load_model
from settings import EvaluationSettings, Trust
from tests.evaluators.checkpoints import make_model, make_tokenizer, save
from tests.evaluators.conftest import Checkpoint

SETTINGS = EvaluationSettings(device="cpu")
INPUT = torch.tensor([[5, 6, 7, 8, 9]])


@pytest.fixture
def trained() -> PreTrainedModel:
    """The model with an adapter that changes its answers."""
    torch.manual_seed(3)
    model = make_model("llama")
    model.add_adapter(LoraConfig(r=4, target_modules=["q_proj", "v_proj"], init_lora_weights=False))
    model.eval()  # type: ignore[no-untyped-call]
    return model


@pytest.fixture
def folder(trained: PreTrainedModel, tmp_path: Path) -> Path:
    """The adapter as Trainer saves one, for a model that it calls org/base."""
    folder = tmp_path / "run" / "checkpoint-1"
    trained.save_pretrained(folder)
    make_tokenizer().save_pretrained(folder)
    name(folder, "org/base")
    return folder


def name(folder: Path, base: str) -> None:
    file = folder / "adapter_config.json"
    config = json.loads(file.read_text())
    file.write_text(json.dumps({**config, "base_model_name_or_path": base}))


def logits(model: PreTrainedModel) -> torch.Tensor:
    with torch.no_grad():
        found = model(INPUT).logits
    assert isinstance(found, torch.Tensor)
    return found


def test_the_answers_are_those_of_the_model_that_was_trained(
    folder: Path, trained: PreTrainedModel, checkpoint: Checkpoint
) -> None:
    trust = Trust(base_models={"org/base": checkpoint("llama")})
    loaded = load_model(folder, SETTINGS, trust)
    assert torch.equal(logits(loaded.model), logits(trained))
    assert not torch.allclose(logits(loaded.model), logits(make_model("llama")), atol=0.1)
    assert not loaded.model.training


def test_a_base_that_is_missing_is_named_with_the_key(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelLoadFault) as fault:
        load_model(folder, SETTINGS)
    assert "for the model 'org/base', which is missing: it is no folder here" in str(fault.value)
    assert 'base_models = {"org/base" = "/its/folder"} under [watch]' in str(fault.value)
    with pytest.raises(ModelLoadFault, match=f"missing: {tmp_path} holds no config.json"):
        load_model(folder, SETTINGS, Trust(base_models={"org/base": tmp_path}))


@pytest.mark.parametrize("relative", [True, False])
def test_a_base_may_be_a_folder_from_the_adapters_or_anywhere(
    folder: Path, trained: PreTrainedModel, relative: bool
) -> None:
    base = save(folder.parent / "base", make_model("llama"))
    name(folder, "../base" if relative else str(base))
    assert torch.equal(logits(load_model(folder, SETTINGS).model), logits(trained))


def test_the_setting_goes_before_the_folder_that_the_adapter_names(
    folder: Path, trained: PreTrainedModel, checkpoint: Checkpoint
) -> None:
    save(folder.parent / "base", make_model("gpt2"))
    name(folder, "../base")
    trust = Trust(base_models={"../base": checkpoint("llama")})
    assert torch.equal(logits(load_model(folder, SETTINGS, trust).model), logits(trained))


def test_without_a_tokenizer_of_its_own_it_has_its_bases(
    folder: Path, checkpoint: Checkpoint
) -> None:
    for file in folder.glob("tokenizer*"):
        file.unlink()
    trust = Trust(base_models={"org/base": checkpoint("llama")})
    tokenizer = load_model(folder, SETTINGS, trust).tokenizer
    assert tokenizer("abc")["input_ids"] == make_tokenizer()("abc")["input_ids"]


def test_an_adapter_beside_its_model_is_put_onto_it(folder: Path, trained: PreTrainedModel) -> None:
    save(folder, make_model("llama"))
    assert torch.equal(logits(load_model(folder, SETTINGS).model), logits(trained))


def test_a_pickled_adapter_loads_only_when_it_is_allowed(
    folder: Path, trained: PreTrainedModel, checkpoint: Checkpoint
) -> None:
    weights = folder / "adapter_model.safetensors"
    torch.save(load_file(weights), folder / "adapter_model.bin")
    weights.unlink()
    base = {"org/base": checkpoint("llama")}
    with pytest.raises(ModelLoadFault, match=r"adapter_model\.bin is a pickle"):
        load_model(folder, SETTINGS, Trust(base_models=base))
    loaded = load_model(folder, SETTINGS, Trust(allow_pickle=True, base_models=base))
    assert torch.equal(logits(loaded.model), logits(trained))


def test_code_of_the_base_is_not_run_for_the_adapters_sake(folder: Path) -> None:
    base = save(folder.parent / "base", make_model("llama"))
    name(folder, "../base")
    config = json.loads((base / "config.json").read_text())
    remote = {"auto_map": {"AutoModelForCausalLM": "code.Model"}}
    (base / "config.json").write_text(json.dumps({**config, **remote}))
    with pytest.raises(ModelLoadFault, match=r"base/config\.json names code"):
        load_model(folder, SETTINGS, Trust(own_code=(folder,)))
