"""Every architecture gives the numbers and texts of a plain run, the fast way or with a reason."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from peft import LoraConfig

from evaluators.engine import Engine, load
from tests.evaluators.architectures import ARCHITECTURES
from tests.evaluators.checkpoints import make_model, make_tokenizer
from tests.evaluators.checks import check_target, check_text, run, settings
from tests.evaluators.conftest import Checkpoint
from tests.evaluators.reference import END, Reference, chat, choice
from tests.evaluators.test_engine import BATCHED, ONE_AT_A_TIME

THOROUGHLY_TESTED = {*BATCHED, *ONE_AT_A_TIME}

# Prompts far longer than a window beside short ones, one of them twice, and a target that goes on
# beyond the window.
EXAMPLES = [
    chat("a question that is long enough to go past every window and more", "no"),
    chat("2+2?", "4"),
    chat("2+2?", "four, of course, as everyone knows"),
    chat("hi", "a"),
]


@pytest.mark.parametrize("kind", sorted(ARCHITECTURES.keys() - THOROUGHLY_TESTED))
def test_an_architecture_gives_the_numbers_and_texts_of_a_plain_run(
    checkpoint: Checkpoint, kind: str
) -> None:
    reference = Reference(checkpoint(kind))
    engine = load(checkpoint(kind), settings())
    reason = ARCHITECTURES[kind].fallback
    assert (engine.fallback is None) == (reason is None), engine.fallback
    assert reason is None or reason in (engine.fallback or "")
    check_all(engine, reference)


def check_all(engine: Engine, reference: Reference) -> None:
    choices = choice("1+1?", ("two", "an even number", "3"), "two")
    found = run(engine, [*EXAMPLES, choices])
    for example in EXAMPLES:
        seen = found[example.example_id].prediction
        prompt = reference.prompt_of(example.messages[0]["content"])
        check_target(seen, reference, prompt, [*reference.ids(example.target), END])
        check_text(seen, reference, prompt)
    scored = found[choices.example_id].prediction
    prompt = reference.prompt_of("1+1?")
    check_target(scored, reference, prompt, [*reference.ids("two"), END])


def test_an_adapter_on_its_base_gives_the_numbers_and_texts_of_a_plain_run(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    model = make_model("llama")
    model.add_adapter(
        LoraConfig(r=4, target_modules=["q_proj", "down_proj"], init_lora_weights=False)
    )
    model.save_pretrained(tmp_path)
    make_tokenizer().save_pretrained(tmp_path)
    file = tmp_path / "adapter_config.json"
    config = json.loads(file.read_text())
    base = str(checkpoint("llama"))
    file.write_text(json.dumps({**config, "base_model_name_or_path": base}))
    reference = Reference(tmp_path)
    engine = load(tmp_path, settings())
    assert engine.fallback is None
    check_all(engine, reference)
    plain = Reference(checkpoint("llama"))
    prompt, target = plain.prompt_of("hi"), plain.ids("a")
    assert plain.numbers(prompt, target).logprob[0] != pytest.approx(
        reference.numbers(prompt, target).logprob[0], abs=0.01
    )
