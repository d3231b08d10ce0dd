"""The engine's numbers and texts, against a model run plainly, one example at a time."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch

from evaluators.engine import load, numbers
from store.records import Example, TokenTrace
from tests.evaluators.architectures import CONTEXT
from tests.evaluators.checkpoints import make_model, make_tokenizer, save
from tests.evaluators.checks import NEW_TOKENS, check_target, check_text, nats, run, settings
from tests.evaluators.conftest import Checkpoint
from tests.evaluators.reference import END, Reference, bare, chat, choice

BATCHED = ["llama", "gpt2", "gemma3", "qwen3", "cohere", "granite"]
ONE_AT_A_TIME = ["mamba", "bloom"]

# One, a few, and all in a batch.
BUDGETS = [1, 120, 4096]

QUESTIONS = [
    ("2+2?", "4"),
    ("2+2?", "4 of course"),
    ("2+2?", "five"),
    ("what is the name of the first letter of the alphabet?", "a"),
    ("hi", "hello you there, how are you today?"),
    ("abc", "cba"),
    ("count to nine", "1 2 3 4 5 6 7 8 9"),
    ("a", "b"),
]


def examples_for(reference: Reference) -> list[Example]:
    """Answers that the model would not give, that it gives itself, and that begin like its own."""
    plain = [chat(question, answer) for question, answer in QUESTIONS]
    for question in ("2+2?", "hi", "what is this?", "e=mc2", "one, two", "zzz"):
        said = reference.generate(reference.prompt_of(question), NEW_TOKENS)
        while said and said[-1] <= 6:
            said.pop()
        text = reference.text(said)
        if len(text) > 3 and text.strip() and reference.ids(text) == said:
            plain += [chat(question, text), chat(question, text[:3] + "0" + text[3:])]
            plain += [chat(question, text[:-2])]
    return plain


@pytest.mark.parametrize("kind", [*BATCHED, *ONE_AT_A_TIME])
def test_numbers_and_texts_are_those_of_a_plain_run_whatever_the_batches(
    checkpoint: Checkpoint, kind: str
) -> None:
    reference = Reference(checkpoint(kind))
    examples = examples_for(reference)
    for budget in BUDGETS if kind in BATCHED else BUDGETS[:1]:
        random.Random(budget).shuffle(examples)
        engine = load(checkpoint(kind), settings(batch_tokens=budget))
        assert (engine.fallback is None) == (kind in BATCHED)
        found = run(engine, examples)
        assert len(found) == len(examples)
        for example in examples:
            seen = found[example.example_id].prediction
            prompt = reference.prompt_of(example.messages[0]["content"])
            check_target(seen, reference, prompt, [*reference.ids(example.target), END])
            check_text(seen, reference, prompt)
            assert seen.target_bytes == len(example.target.encode())
            assert (seen.prompt_truncated, seen.choice_logprobs, seen.error) == (False, None, None)


def test_the_examples_of_the_test_above_cover_every_way_a_text_can_come_about(
    checkpoint: Checkpoint,
) -> None:
    agreed, finishes = set(), set()
    for kind in BATCHED:
        reference = Reference(checkpoint(kind))
        found = run(load(checkpoint(kind), settings()), examples_for(reference))
        for one in found.values():
            seen = one.prediction
            miss = seen.target_first_miss
            agreed.add(None if miss is None else miss > 0)
            finishes.add(seen.finish_reason)
    assert agreed == {None, False, True}
    assert finishes == {"eos", "length"}


def test_a_target_that_the_model_says_itself_is_continued_where_no_token_ends_it(
    tmp_path: Path,
) -> None:
    template = (
        "{% for m in messages %}{{ m.content + ('?' if m.role == 'user' else '') }}{% endfor %}"
    )
    tokenizer = make_tokenizer(template=template, bos=False, eos=False)
    folder = save(tmp_path, make_model("llama"), tokenizer, eos=(23,))
    reference = Reference(folder)
    prompt = reference.ids("hi?")
    said = reference.generate(prompt, NEW_TOKENS)[:4]
    examples = [chat("hi", reference.text(said)), chat("a longer one", "no")]
    found = run(load(folder, settings()), examples)
    seen = found[examples[0].example_id].prediction
    assert (seen.target_top1, seen.target_first_miss) == (4, None)
    check_target(seen, reference, prompt, said)
    check_text(seen, reference, prompt)
    assert seen.generated_tokens == NEW_TOKENS


@pytest.mark.parametrize("kind", ["llama", "gemma3", "mamba"])
def test_every_choice_is_scored_like_a_target_and_a_text_is_made_of_the_same_prompt(
    checkpoint: Checkpoint, kind: str
) -> None:
    reference = Reference(checkpoint(kind))
    choices = ("two", "a very long choice indeed", "4")
    examples = [
        choice("2+2?", choices, "4"),
        choice("1+1?", choices, "two"),
        *examples_for(reference),
    ]
    found = run(load(checkpoint(kind), settings(batch_tokens=200)), examples)
    changed = settings(batch_tokens=200, generate_choices=False)
    without = run(load(checkpoint(kind), changed), examples[:2])
    for example in examples[:2]:
        seen = found[example.example_id].prediction
        prompt = reference.prompt_of(example.messages[0]["content"])
        check_target(seen, reference, prompt, [*reference.ids(example.target), END])
        assert seen.choice_logprobs is not None
        for text, total in zip(choices, seen.choice_logprobs, strict=True):
            target = [*reference.ids(text), END]
            assert total == nats(reference.numbers(prompt, target).logprob.sum(), len(target))
        check_text(seen, reference, prompt)
        silent = without[example.example_id].prediction
        assert (silent.generated_text, silent.finish_reason) == (None, None)
        assert silent.choice_logprobs == pytest.approx(seen.choice_logprobs, abs=1e-3)


@pytest.mark.parametrize("kind", ["llama", "gpt2", "gemma3", "mamba"])
def test_a_bare_text_is_scored_after_bos_and_no_text_is_made(
    checkpoint: Checkpoint, kind: str
) -> None:
    reference = Reference(checkpoint(kind))
    texts = ["café au lait, s'il vous plaît", "ab", "x" * 40]
    examples = [bare(text) for text in texts]
    found = run(load(checkpoint(kind), settings()), [*examples, *examples_for(reference)])
    for example in examples:
        seen = found[example.example_id].prediction
        check_target(seen, reference, [1], reference.ids(example.target))
        assert seen.target_bytes == len(example.target.encode())
        assert seen.generated_text is None
        assert seen.choice_logprobs is None


def test_without_bos_the_first_token_of_a_bare_text_is_not_scored(tmp_path: Path) -> None:
    folder = save(tmp_path, make_model("llama"), make_tokenizer(bos=False))
    reference = Reference(folder)
    example = bare("éclair")
    [one] = run(load(folder, settings()), [example]).values()
    ids = reference.ids("éclair")
    check_target(one.prediction, reference, ids[:1], ids[1:])
    assert one.prediction.target_bytes == len(b"clair")


@pytest.mark.parametrize("kind", ["llama", "mamba"])
def test_a_stop_string_ends_the_text_before_it(checkpoint: Checkpoint, kind: str) -> None:
    reference = Reference(checkpoint(kind))
    examples = examples_for(reference)
    texts = {
        one.example_id: reference.text(
            reference.generate(reference.prompt_of(one.messages[0]["content"]), NEW_TOKENS)
        )
        for one in examples
    }
    # What some text has in its middle, so that it stops there.
    longest = max(texts.values(), key=len)
    stop = longest[2:4]
    found = run(load(checkpoint(kind), settings(stop=(stop, "never"))), examples)
    stopped = 0
    for example in examples:
        seen, text = found[example.example_id].prediction, texts[example.example_id]
        assert seen.generated_text == text.split(stop)[0]
        if stop in text:
            stopped += 1
            assert seen.finish_reason == "stop"
            prompt = reference.prompt_of(example.messages[0]["content"])
            until = reference.generate_until(prompt, NEW_TOKENS, stop)
            assert seen.generated_tokens == len(until)
            assert reference.text(until).startswith(seen.generated_text + stop)
    assert stopped


def test_traces_hold_the_numbers_and_the_text_of_every_token(checkpoint: Checkpoint) -> None:
    reference = Reference(checkpoint("llama"))
    example = chat("2+2?", "four")
    [one] = run(load(checkpoint("llama"), settings()), [example]).values()
    target, generated = one.traces
    prompt = reference.prompt_of("2+2?")
    said = reference.generate(prompt, NEW_TOKENS)
    assert (target.kind, target.pieces) == ("target", ("f", "o", "u", "r", "<|end|>"))
    assert generated.kind == "generated"
    assert list(generated.pieces) == [reference.tokenizer.decode([token]) for token in said]
    for trace, tokens in ((target, [*reference.ids("four"), END]), (generated, said)):
        expected = reference.numbers(prompt, tokens)
        assert values(trace, "logprob") == pytest.approx(expected.logprob, rel=1e-3)
        assert values(trace, "entropy") == pytest.approx(expected.entropy, rel=1e-3)
        assert values(trace, "margin") == pytest.approx(expected.margin, rel=1e-3)


def values(trace: TokenTrace, name: str) -> list[float]:
    return [float(one) for one in np.frombuffer(getattr(trace, name), dtype="<f2")]


def test_there_are_no_traces_when_they_are_not_wanted(checkpoint: Checkpoint) -> None:
    [one] = run(load(checkpoint("llama"), settings(trace=False)), [chat("2+2?", "four")]).values()
    assert one.traces == ()
    assert one.prediction.target_logprob is not None


def test_what_generation_config_would_bend_does_not_reach_greedy_text(tmp_path: Path) -> None:
    for kind in ("llama", "mamba"):
        folder = save(tmp_path / kind, make_model(kind))
        reference = Reference(folder)
        config = reference.model.generation_config
        reference.model.generation_config.repetition_penalty = 5.0
        config.save_pretrained(folder)
        [one] = run(load(folder, settings()), [chat("2+2?", "4")]).values()
        config.repetition_penalty = None
        check_text(one.prediction, reference, reference.prompt_of("2+2?"))


def test_prompts_and_targets_may_fill_the_context_to_the_last_position(
    checkpoint: Checkpoint,
) -> None:
    reference = Reference(checkpoint("gpt2"))
    long = chat("y" * 300, "n" * (CONTEXT - 20))
    texts = [bare("x" * (CONTEXT - 1)), bare("x" * 60)]
    found = run(load(checkpoint("gpt2"), settings()), [long, *texts, chat("2+2?", "4")])
    seen = found[long.example_id].prediction
    assert seen.prompt_truncated
    target = [*reference.ids(long.target), END]
    prompt = reference.prompt_of(long.messages[0]["content"])
    cut = [1, *prompt[len(prompt) - (CONTEXT - len(target)) + 1 :]]
    assert len(cut) + len(target) == CONTEXT
    check_target(seen, reference, cut, target)
    check_text(seen, reference, cut)
    for one in texts:
        check_target(found[one.example_id].prediction, reference, [1], reference.ids(one.target))


def test_half_precision_comes_close_with_a_head_in_full_precision(checkpoint: Checkpoint) -> None:
    reference = Reference(checkpoint("llama"))
    engine = load(checkpoint("llama"), settings(dtype="bfloat16"))
    assert (engine.dtype, engine.fallback) == ("bfloat16", None)
    example = chat("what is the name?", "none of your business")
    [one] = run(engine, [example]).values()
    target = [*reference.ids(example.target), END]
    expected = reference.numbers(reference.prompt_of("what is the name?"), target).logprob.sum()
    assert one.prediction.target_logprob == pytest.approx(expected, rel=0.02)
    assert one.prediction.target_logprob != pytest.approx(expected, rel=1e-6)


def test_the_engine_says_what_it_is(checkpoint: Checkpoint) -> None:
    engine = load(checkpoint("llama"), settings())
    assert (engine.device, engine.dtype, engine.attention) == ("cpu", "float32", "sdpa")
    assert engine.architecture == "LlamaForCausalLM"
    assert engine.parameters == sum(one.numel() for one in make_model("llama").parameters())
    assert engine.libraries["torch"] == torch.__version__
    assert engine.prompt_format == "chat-template"
    assert engine.device_peak_bytes() is None


def test_only_settings_that_change_numbers_are_part_of_the_evaluation() -> None:
    assert numbers(settings()) == {
        "dtype": "float32",
        "generate_choices": True,
        "max_prompt_tokens": 4096,
        "max_new_tokens": NEW_TOKENS,
        "stop": [],
        "temperatures": [0.5, 0.75, 1.0, 1.5, 2.0],
        "think": "keep",
    }
    other = settings(threads=2, batch_tokens=7, interval_seconds=9.0, trace=False, device="cpu:0")
    assert numbers(other) == numbers(settings())


def test_a_dtype_that_is_left_to_the_machine_is_part_of_the_evaluation_as_it_is_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    on_the_cpu, named = settings(device="auto"), settings(device="auto", dtype="bfloat16")
    assert numbers(on_the_cpu)["dtype"] == "float32"
    assert numbers(on_the_cpu) == numbers(settings(dtype="float32"))
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert numbers(settings(device="auto")) == numbers(named)
