"""What loads, and what a checkpoint that does not load whole is told."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from errors import ModelLoadFault, SettingsError
from evaluators.loading import device_of, dtype_of, load_model
from settings import EvaluationSettings, Trust
from tests.evaluators.conftest import EOS, Checkpoint

SETTINGS = EvaluationSettings(device="cpu")


@pytest.fixture
def folder(checkpoint: Checkpoint, tmp_path: Path) -> Path:
    """A checkpoint of one's own, to break."""
    return Path(shutil.copytree(checkpoint("llama"), tmp_path / "checkpoint-1"))


def refusal(folder: Path) -> str:
    with pytest.raises(ModelLoadFault) as fault:
        load_model(folder, SETTINGS)
    assert str(folder) in str(fault.value)
    return str(fault.value)


def test_a_checkpoint_loads_for_evaluation_with_what_ends_a_text(folder: Path) -> None:
    loaded = load_model(folder, SETTINGS)
    assert not loaded.model.training
    assert (loaded.model.dtype, loaded.model.device) == (torch.float32, torch.device("cpu"))
    assert loaded.eos == frozenset(EOS)


def test_the_tokenizers_eos_ends_a_text_where_the_checkpoint_names_none(folder: Path) -> None:
    (folder / "generation_config.json").write_text("{}")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "eos_token_id": None}))
    assert load_model(folder, SETTINGS).eos == {3}


def test_a_folder_without_a_config_is_named(folder: Path) -> None:
    (folder / "config.json").unlink()
    assert "has no config.json: save the checkpoint with" in refusal(folder)


def test_an_adapter_needs_peft(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "config.json").rename(folder / "adapter_config.json")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)  # noqa: ARG005
    assert "pip install peft" in refusal(folder)


def test_a_checkpoint_without_a_tokenizer_is_not_given_an_empty_one(folder: Path) -> None:
    for file in folder.glob("tokenizer*"):
        file.unlink()
    assert "tokenizer.save_pretrained" in refusal(folder)


def test_a_broken_tokenizer_is_named(folder: Path) -> None:
    (folder / "tokenizer.json").write_text("{")
    assert "tokenizer" in refusal(folder)


def test_weights_cut_short_are_named(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:5000])
    assert "does not load (SafetensorError" in refusal(folder)


def test_missing_weights_are_not_replaced_by_random_ones(folder: Path) -> None:
    weights = folder / "model.safetensors"
    tensors = load_file(weights)
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, weights, metadata={"format": "pt"})
    assert "lack 1 of the model's tensors (model.layers.1.mlp.up_proj.weight)" in refusal(folder)


def test_weights_of_another_shape_are_named(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "intermediate_size": 48}))
    assert "does not load" in refusal(folder)


def test_code_that_comes_with_a_checkpoint_is_not_run(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    remote = {"auto_map": {"AutoConfig": "code.Config", "AutoModelForCausalLM": "code.Model"}}
    (folder / "config.json").write_text(json.dumps({**config, **remote, "model_type": "unheard"}))
    (folder / "code.py").write_text("raise SystemExit('this ran')\n")
    assert "config.json names code (auto_map), which is not run" in refusal(folder)


MODEL_CODE = """
import pathlib
from transformers import LlamaForCausalLM
pathlib.Path(__file__).parent.joinpath("ran").touch()
class Model(LlamaForCausalLM):
    ran = True
"""


def test_code_of_a_trusted_folder_is_run(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "m"))
    config = json.loads((folder / "config.json").read_text())
    remote = {"auto_map": {"AutoModelForCausalLM": "own_model.Model"}}
    (folder / "config.json").write_text(json.dumps({**config, **remote}))
    (folder / "own_model.py").write_text(MODEL_CODE)
    assert "names code (auto_map), which is not run" in refusal(folder)
    with pytest.raises(ModelLoadFault):
        load_model(folder, SETTINGS, Trust(own_code=(tmp_path / "checkpoint-10",)))
    loaded = load_model(folder, SETTINGS, Trust(own_code=(folder,)))
    assert loaded.model.ran


def test_a_kernel_of_someones_is_not_fetched(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "attn_implementation": "org/name"}))
    assert "names code (attn_implementation)" in refusal(folder)


def test_a_pickle_loads_only_when_it_is_allowed(folder: Path, checkpoint: Checkpoint) -> None:
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    assert "set allow_pickle = true under [watch]" in refusal(folder)
    loaded = load_model(folder, SETTINGS, Trust(allow_pickle=True)).model.state_dict()
    whole = load_model(checkpoint("llama"), SETTINGS).model.state_dict()
    assert loaded.keys() == whole.keys()
    assert all(torch.equal(one, whole[name]) for name, one in loaded.items())


class Runs:
    """Makes a file when it is unpickled."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.file,)


def test_a_pickle_that_is_allowed_still_runs_nothing(folder: Path) -> None:
    held = {**load_file(folder / "model.safetensors"), "more": Runs(folder / "ran")}
    torch.save(held, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelLoadFault, match="does not load"):
        load_model(folder, SETTINGS, Trust(allow_pickle=True))
    assert not (folder / "ran").exists()


def test_auto_is_full_precision_on_the_cpu_and_half_on_cuda() -> None:
    assert dtype_of(SETTINGS, torch.device("cpu")) == torch.float32
    assert dtype_of(SETTINGS, torch.device("cuda")) == torch.bfloat16
    half = EvaluationSettings(dtype="float16")
    assert dtype_of(half, torch.device("cpu")) == torch.float16


def test_a_device_that_is_none_is_a_setting_to_mend() -> None:
    with pytest.raises(SettingsError, match="'gpu' is no device"):
        device_of(EvaluationSettings(device="gpu"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
def test_cuda_that_is_not_there_is_a_setting_to_mend() -> None:
    assert device_of(EvaluationSettings()).type == "cpu"
    with pytest.raises(SettingsError, match="finds no CUDA here"):
        device_of(EvaluationSettings(device="cuda:0"))
