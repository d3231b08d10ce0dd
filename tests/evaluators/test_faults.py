"""What cannot be measured is an error with a reason, and touches no other example."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import PreTrainedModel

from evaluators.engine import load
from store.records import Example, Prediction
from tests.evaluators.architectures import CONTEXT
from tests.evaluators.checkpoints import make_model, make_tokenizer, save
from tests.evaluators.checks import NEW_TOKENS, check_target, check_text, run, settings
from tests.evaluators.conftest import Checkpoint
from tests.evaluators.reference import END, Reference, bare, chat, choice


def embedding(model: PreTrainedModel) -> torch.Tensor:
    weight = model.get_input_embeddings().weight
    assert isinstance(weight, torch.Tensor)
    return weight


@pytest.mark.parametrize("kind", ["llama", "gpt2", "mamba"])
def test_weights_that_are_not_numbers_make_an_error_of_every_example(
    tmp_path: Path, kind: str
) -> None:
    model = make_model(kind)
    with torch.no_grad():
        next(iter(model.base_model.parameters()))[:] = float("nan")
    engine = load(save(tmp_path, model), settings())
    examples = [chat("2+2?", "4"), choice("2+2?", ("3", "4"), "4"), bare("hello")]
    for one in run(engine, examples).values():
        assert one.prediction == Prediction(
            "evaluation", one.prediction.example_id, error=one.prediction.error
        )
        assert one.prediction.error is not None
        assert "not finite" in one.prediction.error
        assert one.traces == ()


@pytest.mark.parametrize(
    ("poisoned", "examples"),
    [
        pytest.param("z", [chat("zoo?", "no"), chat("a much longer question?", "no")], id="prompt"),
        pytest.param("z", [chat("what?", "zoo"), chat("a longer question?", "no")], id="target"),
    ],
)
def test_one_token_that_is_not_a_number_spoils_its_own_example_only(
    checkpoint: Checkpoint, tmp_path: Path, poisoned: str, examples: list[Example]
) -> None:
    model = make_model("llama")
    token = make_tokenizer()(poisoned, add_special_tokens=False)["input_ids"][0]
    with torch.no_grad():
        embedding(model)[token] = float("nan")
    engine = load(save(tmp_path, model, eos=(3, 23)), settings())
    assert engine.fallback is None
    found = run(engine, examples)
    spoiled, other = (found[one.example_id].prediction for one in examples)
    assert spoiled.error is not None
    reference = Reference(checkpoint("llama"))
    prompt = reference.prompt_of(examples[1].messages[0]["content"])
    check_target(other, reference, prompt, [*reference.ids(examples[1].target), END])
    check_text(other, reference, prompt)


def test_padding_brings_no_number_of_its_own(checkpoint: Checkpoint, tmp_path: Path) -> None:
    model = make_model("llama")
    with torch.no_grad():
        embedding(model)[0] = float("nan")
    folder = save(tmp_path, model, eos=(3, 23))
    examples = [chat("2+2?", "4"), chat("a longer question?", "a longer answer")]
    found = run(load(folder, settings()), examples)
    clean = run(load(checkpoint("llama"), settings()), examples)
    assert {one: found[one].prediction for one in found} == {
        one: clean[one].prediction for one in clean
    }


def test_a_text_that_runs_into_a_token_that_is_not_a_number_is_an_error(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    reference = Reference(checkpoint("llama"))
    question = "count to nine"
    said = reference.generate(reference.prompt_of(question), NEW_TOKENS)
    asked = {*reference.prompt_of(question), *reference.ids("no"), END}
    model = make_model("llama")
    with torch.no_grad():
        embedding(model)[next(t for t in said if t not in asked)] = float("nan")
    [one] = run(load(save(tmp_path, model), settings()), [chat(question, "no")]).values()
    assert one.prediction.error is not None
    assert one.prediction.target_logprob is None


def test_an_example_that_cannot_be_put_to_the_model_is_an_error_with_the_reason(
    checkpoint: Checkpoint,
) -> None:
    examples = [chat("2+2?", "4"), chat("2+2?", "x" * CONTEXT), bare("y" * (CONTEXT + 1))]
    found = run(load(checkpoint("gpt2"), settings()), examples)
    assert found[examples[0].example_id].prediction.error is None
    for example, tokens in ((examples[1], CONTEXT + 1), (examples[2], CONTEXT + 1)):
        error = found[example.example_id].prediction.error
        assert error is not None
        assert f"its target of {tokens} tokens does not fit" in error
