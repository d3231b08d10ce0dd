"""A model that stands takes the next checkpoint's weights, and is then as one loaded anew."""

from __future__ import annotations

import gc
import json
import shutil
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from transformers import PreTrainedModel

from errors import ModelLoadFault
from evaluators import engine, standing_model
from evaluators.engine import load
from evaluators.loading import Standing, load_model
from evaluators.probe import Trial, try_out
from settings import EvaluationSettings, Trust
from tests.evaluators.checkpoints import make_model, make_tokenizer
from tests.evaluators.checks import run, settings
from tests.evaluators.reference import chat, choice

SETTINGS = EvaluationSettings(device="cpu")
KINDS = ("llama", "qwen3", "gpt2", "gemma3", "mamba")
INPUT = torch.tensor([[5, 6, 7, 8, 9]])

Series = Callable[..., list[Path]]


def shaken(model: PreTrainedModel, seed: int) -> PreTrainedModel:
    """The model some steps later."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for one in model.parameters():
            one.add_(0.1 * torch.randn_like(one))
    return model


@pytest.fixture
def series(tmp_path: Path) -> Series:
    """The folders of three checkpoints of one run."""

    def made(kind: str = "llama", **shape: Any) -> list[Path]:
        model = make_model(kind)
        for step in range(3):
            folder = tmp_path / f"{kind}-{step}"
            model.save_pretrained(folder, **shape)
            save_tokens(folder, step)
            model = shaken(model, step)
        return [tmp_path / f"{kind}-{step}" for step in range(3)]

    return made


def save_tokens(folder: Path, step: int) -> None:
    make_tokenizer().save_pretrained(folder)
    (folder / "trainer_state.json").write_text(json.dumps({"global_step": step}))


def change(folder: Path, **keys: object) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **keys}))


def rewrite(folder: Path, edit: Callable[[dict[str, torch.Tensor]], None]) -> None:
    file = folder / "model.safetensors"
    tensors = load_file(file)
    edit(tensors)
    save_file(tensors, file, metadata={"format": "pt"})


def logits(model: PreTrainedModel) -> torch.Tensor:
    with torch.no_grad():
        found = model(INPUT).logits
    assert isinstance(found, torch.Tensor)
    return found


def taken_over(first: Path, second: Path, settings: EvaluationSettings = SETTINGS) -> bool:
    """Whether the second checkpoint goes into the first one's model, and that it is right if so."""
    standing = Standing()
    before = load_model(first, settings, standing=standing).model
    after = load_model(second, settings, standing=standing).model
    assert torch.equal(logits(after), logits(load_model(second, settings).model))
    if after is not before:
        assert all(one.numel() == 0 for one in before.parameters())
    return after is before


@pytest.mark.parametrize("kind", KINDS)
def test_over_a_series_every_outcome_is_that_of_a_fresh_load_to_the_last_bit(
    series: Series, kind: str
) -> None:
    examples = [
        chat("2+2?", "4"),
        chat("a much longer question?", "no"),
        choice("a?", ("b", "c"), "b"),
    ]
    engine = None
    for folder in series(kind):
        engine = load(folder, settings(), standing=engine)
        assert run(engine, examples) == run(load(folder, settings()), examples)


@pytest.mark.parametrize("kind", KINDS)
def test_the_model_is_the_same_object_with_other_weights(series: Series, kind: str) -> None:
    standing = Standing()
    models = [load_model(folder, SETTINGS, standing=standing).model for folder in series(kind)]
    assert models[0] is models[1] is models[2]


def test_weights_in_several_files_are_taken_over(series: Series) -> None:
    first, second, _ = series(max_shard_size="20KB")
    assert len(list(second.glob("*.safetensors"))) > 1
    assert taken_over(first, second)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_weights_are_rounded_to_the_dtype_as_transformers_does(series: Series, dtype: str) -> None:
    first, second, _ = series()
    assert taken_over(first, second, EvaluationSettings(device="cpu", dtype=dtype))


def test_a_key_that_says_where_a_config_comes_from_changes_nothing(series: Series) -> None:
    first, second, _ = series()
    change(second, transformers_version="9.9.9")
    assert taken_over(first, second)


def double_heads(folder: Path) -> None:
    change(folder, num_attention_heads=2, head_dim=16, num_key_value_heads=1)


def tie(folder: Path) -> None:
    change(folder, tie_word_embeddings=True)
    rewrite(folder, lambda tensors: tensors.__delitem__("lm_head.weight"))


def halve(folder: Path) -> None:
    rewrite(folder, lambda tensors: tensors.update({n: t.half() for n, t in tensors.items()}))


def add_a_tensor(folder: Path) -> None:
    rewrite(folder, lambda tensors: tensors.update({"more": torch.zeros(1)}))


@pytest.mark.parametrize(
    "differ",
    [
        double_heads,
        tie,
        halve,
        add_a_tensor,
        lambda folder: change(folder, rms_norm_eps=0.5),
        lambda folder: change(folder, rope_theta=10.0, rope_parameters=None),
    ],
)
def test_a_checkpoint_that_differs_in_more_than_values_is_loaded_anew(
    series: Series, differ: Callable[[Path], None]
) -> None:
    first, second, _ = series()
    differ(second)
    assert not taken_over(first, second)
    assert not taken_over(second, first)


def test_tied_weights_that_come_untied_are_loaded_anew(series: Series) -> None:
    tied, untied, _ = series("qwen3")

    def untie(tensors: dict[str, torch.Tensor]) -> None:
        tensors["lm_head.weight"] = 2 * tensors["model.embed_tokens.weight"]

    rewrite(untied, untie)
    assert not taken_over(tied, untied)
    assert not taken_over(untied, tied)


def test_a_file_that_holds_both_of_two_tied_weights_is_loaded_anew(series: Series) -> None:
    first, second, _ = series("qwen3")

    def both(tensors: dict[str, torch.Tensor]) -> None:
        tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].clone()

    rewrite(first, both)
    rewrite(second, lambda tensors: tensors.update({"lm_head.weight": torch.ones(51, 32)}))
    assert not taken_over(first, second)


def test_tensors_that_are_the_models_but_turned_round_are_loaded_anew(
    series: Series, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, _ = series()
    read = standing_model._read

    def turned(name: str, weight: standing_model.Weight) -> torch.Tensor:
        tensor = read(name, weight)
        return tensor.flip(0) if name == "model.layers.1.self_attn.q_proj.weight" else tensor

    monkeypatch.setattr(standing_model, "_read", turned)
    assert not taken_over(first, second)


def test_a_model_that_remembers_what_it_saw_is_loaded_anew(series: Series) -> None:
    folders = series()
    for folder in folders:
        scaled = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10000.0}
        change(folder, rope_parameters=scaled, max_position_embeddings=4)
    standing = Standing()
    before = load_model(folders[0], SETTINGS, standing=standing).model
    logits(before)
    after = load_model(folders[1], SETTINGS, standing=standing).model
    assert after is not before


@pytest.mark.parametrize("fault", [OSError, SafetensorError, MemoryError])
def test_a_model_with_half_of_the_new_weights_is_dropped(
    series: Series, monkeypatch: pytest.MonkeyPatch, fault: type[Exception]
) -> None:
    first, second, third = series()
    standing = Standing()
    load_model(first, SETTINGS, standing=standing)
    before = load_model(second, SETTINGS, standing=standing).model
    read, seen = standing_model._read, list[str]()

    def broken(name: str, weight: standing_model.Weight) -> torch.Tensor:
        seen.append(name)
        if len(seen) == 5:
            raise fault("in the middle")
        return read(name, weight)

    monkeypatch.setattr(standing_model, "_read", broken)
    after = load_model(third, SETTINGS, standing=standing).model
    assert after is not before
    assert len(seen) == 5
    assert all(one.numel() == 0 for one in before.parameters())
    assert torch.equal(logits(after), logits(load_model(third, SETTINGS).model))


def cut_short(folder: Path) -> None:
    file = sorted(folder.glob("*.safetensors"))[-1]
    file.write_bytes(file.read_bytes()[:-100])


def lose_a_file(folder: Path) -> None:
    sorted(folder.glob("*.safetensors"))[1].unlink()


def lose_a_tensor(folder: Path) -> None:
    file = sorted(folder.glob("*.safetensors"))[1]
    tensors = load_file(file)
    tensors.popitem()
    save_file(tensors, file, metadata={"format": "pt"})


def lose_the_tokenizer(folder: Path) -> None:
    for file in folder.glob("tokenizer*"):
        file.unlink()


def name_code(folder: Path) -> None:
    change(folder, auto_map={"AutoModelForCausalLM": "code.Model"})


def count_fewer_layers(folder: Path) -> None:
    change(folder, num_hidden_layers=1, layer_types=None)


def keep_a_pickle(folder: Path) -> None:
    (folder / "model.safetensors.index.json").unlink()
    torch.save({}, folder / "pytorch_model.bin")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (cut_short, "does not load"),
        (lose_a_file, "does not load"),
        (lose_a_tensor, "lack 1 of the model's tensors"),
        (lose_the_tokenizer, "tokenizer.save_pretrained"),
        (name_code, "names code"),
        (count_fewer_layers, "hold layers that"),
        (keep_a_pickle, "is a pickle"),
    ],
)
def test_what_a_fresh_load_refuses_is_refused_and_the_next_one_loads(
    series: Series, spoil: Callable[[Path], None], said: str
) -> None:
    first, second, third = series(max_shard_size="20KB")
    spoil(second)
    standing = Standing()
    load_model(first, SETTINGS, standing=standing)
    with pytest.raises(ModelLoadFault, match=said):
        load_model(second, SETTINGS, standing=standing)
    after = load_model(third, SETTINGS, standing=standing).model
    assert torch.equal(logits(after), logits(load_model(third, SETTINGS).model))


def test_code_that_is_trusted_may_be_other_code_each_time(
    series: Series, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "m"))
    first, second, _ = series()
    standing, trust = Standing(), Trust(own_code=(tmp_path,))
    one, two = (load_model(path, SETTINGS, trust, standing) for path in (first, second))
    assert one.model is not two.model
    assert one.tokenizer is not two.tokenizer


def test_what_ends_a_text_is_read_anew(series: Series) -> None:
    first, second, _ = series()
    standing = Standing()
    assert load_model(first, SETTINGS, standing=standing).eos == {3}
    (second / "generation_config.json").write_text('{"eos_token_id": [5, 7]}')
    assert load_model(second, SETTINGS, standing=standing).eos == {3, 5, 7}


def test_the_tokenizer_stays_while_its_files_say_the_same(series: Series) -> None:
    first, second, third = series()
    standing = Standing()
    one, two = (load_model(path, SETTINGS, standing=standing) for path in (first, second))
    assert one.tokenizer is two.tokenizer
    make_tokenizer(template="{{ messages[0].content }}").save_pretrained(third)
    other = load_model(third, SETTINGS, standing=standing).tokenizer
    assert other is not one.tokenizer
    assert other.chat_template == "{{ messages[0].content }}"


def test_the_standing_model_is_gone_before_another_is_loaded(
    series: Series, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = series()[0], series("gpt2")[0]
    engine = load(first, settings())
    parameters = list(engine._standing.model._model.parameters())  # type: ignore[union-attr]
    held: list[int] = []
    plain = PreTrainedModel.from_pretrained.__func__  # type: ignore[attr-defined]

    def watched(kind: type[PreTrainedModel], *args: Any, **keys: Any) -> object:
        held.append(sum(one.numel() for one in parameters))
        return plain(kind, *args, **keys)

    monkeypatch.setattr(PreTrainedModel, "from_pretrained", classmethod(watched))
    load(second, settings(), standing=engine)
    assert held == [0]


def test_a_deleted_checkpoint_is_not_kept_on_the_disk_by_the_model(series: Series) -> None:
    first, second, _ = series()
    standing = Standing()
    load_model(first, SETTINGS, standing=standing)
    model = load_model(second, SETTINGS, standing=standing).model
    gc.collect()
    for folder in (first, second):
        shutil.rmtree(folder)
    mapped = Path("/proc/self/maps").read_text()
    assert "(deleted)" not in "".join(
        line for line in mapped.splitlines() if str(first.parent) in line
    )
    logits(model)


def test_letting_go_frees_the_model(series: Series) -> None:
    standing = Standing()
    model = weakref.ref(load_model(series()[0], SETTINGS, standing=standing).model)
    assert model() is not None
    standing.let_go()
    gc.collect()
    assert model() is None


def tried(monkeypatch: pytest.MonkeyPatch, folders: list[Path]) -> list[bool]:
    """Loads one after the other: which of the models were tried out."""
    calls = 0

    def counted(*ways: Any) -> Trial:
        nonlocal calls
        calls += 1
        return try_out(*ways)

    monkeypatch.setattr(engine, "try_out", counted)
    found, standing = [], None
    for folder in folders:
        before = calls
        standing = load(folder, SETTINGS, standing=standing)
        found.append(calls > before)
    return found


def test_a_model_that_takes_new_weights_is_not_tried_out_again(
    series: Series, monkeypatch: pytest.MonkeyPatch
) -> None:
    llama, other = series("llama"), series("qwen3")
    assert tried(monkeypatch, [*llama, other[0], llama[0]]) == [True, False, False, True, True]


def test_a_model_without_finite_numbers_leaves_the_trial_to_the_next_weights(
    series: Series, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, third = series()

    def spoil(tensors: dict[str, torch.Tensor]) -> None:
        tensors["model.norm.weight"].fill_(torch.nan)

    rewrite(first, spoil)
    assert tried(monkeypatch, [first, second, third]) == [True, True, False]
