"""The engine's numbers and texts, against a model run plainly, one example at a time."""

from __future__ import annotations

import random
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.special import log_softmax
from transformers import PreTrainedModel

from evaluators.engine import Engine, Outcome, load, numbers
from settings import EvaluationSettings
from store.records import Example, Prediction, TokenTrace
from tests.evaluators.checkpoints import CONTEXT, make_model, make_tokenizer, save
from tests.evaluators.conftest import Checkpoint
from tests.evaluators.reference import END, Reference, bare, chat, choice

BATCHED = ["llama", "gpt2", "gemma3", "qwen3", "cohere", "granite"]
ONE_AT_A_TIME = ["mamba", "bloom"]

NEW_TOKENS = 12
TOLERANCE = 1e-4

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


def settings(**changes: object) -> EvaluationSettings:
    values = {"device": "cpu", "threads": 1, "max_new_tokens": NEW_TOKENS, **changes}
    return EvaluationSettings.model_validate(values)


def embedding(model: PreTrainedModel) -> torch.Tensor:
    weight = model.get_input_embeddings().weight
    assert isinstance(weight, torch.Tensor)
    return weight


def run(engine: Engine, examples: Iterable[Example]) -> dict[str, Outcome]:
    """Outcomes by example id; each example must have exactly one."""
    found = [one for batch in engine.run(engine.plan(examples), "evaluation") for one in batch]
    by_id = {one.prediction.example_id: one for one in found}
    assert len(by_id) == len(found)
    return by_id


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


def nats(total: float, tokens: float) -> object:
    return pytest.approx(total, abs=TOLERANCE * tokens)


def check_target(
    seen: Prediction, reference: Reference, prompt: list[int], target: list[int]
) -> None:
    expected = reference.numbers(prompt, target)
    n = len(target)
    assert (seen.prompt_tokens, seen.target_tokens) == (len(prompt), n)
    assert seen.target_logprob == nats(expected.logprob.sum(), n)
    assert seen.target_min_logprob == nats(expected.logprob.min(), 1)
    assert seen.target_entropy == nats(expected.entropy.mean(), 1)
    assert seen.target_margin == nats(expected.margin.mean(), 1)
    assert seen.target_rank == expected.rank.mean()
    hits = expected.top == target
    assert seen.target_top1 == hits.sum()
    assert seen.target_first_miss == (None if hits.all() else int(hits.argmin()))
    assert seen.logprob_at_temperature is not None
    for temperature, total in seen.logprob_at_temperature.items():
        scaled = log_softmax(expected.logits / float(temperature), axis=-1)
        assert total == nats(scaled[np.arange(n), target].sum(), n / float(temperature))


def check_text(seen: Prediction, reference: Reference, prompt: list[int]) -> None:
    tokens = reference.generate(prompt, NEW_TOKENS)
    assert seen.generated_text == reference.text(tokens)
    assert seen.generated_tokens == len(tokens)
    ended = tokens[-1] in reference.model.generation_config.eos_token_id
    assert seen.finish_reason == ("eos" if ended else "length")
    expected = reference.numbers(prompt, tokens)
    assert seen.generated_logprob == nats(expected.logprob.sum(), len(tokens))
    assert seen.generated_min_logprob == nats(expected.logprob.min(), 1)
    assert seen.generated_entropy == nats(expected.entropy.mean(), 1)


@pytest.mark.parametrize("kind", [*BATCHED, *ONE_AT_A_TIME])
def test_numbers_and_texts_are_those_of_a_plain_run_whatever_the_batches(
    checkpoint: Checkpoint, kind: str
) -> None:
    reference = Reference(checkpoint(kind))
    examples = examples_for(reference)
    for budget in BUDGETS if kind in BATCHED else BUDGETS[:1]:
        random.Random(budget).shuffle(examples)
        engine = load(checkpoint(kind), settings(batch_tokens=budget))
        assert engine.one_at_a_time == (kind in ONE_AT_A_TIME)
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
def test_a_choice_is_scored_like_a_target_and_no_text_is_made(
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
    for example in examples[:2]:
        seen = found[example.example_id].prediction
        prompt = reference.prompt_of(example.messages[0]["content"])
        check_target(seen, reference, prompt, [*reference.ids(example.target), END])
        assert seen.choice_logprobs is not None
        for text, total in zip(choices, seen.choice_logprobs, strict=True):
            target = [*reference.ids(text), END]
            assert total == nats(reference.numbers(prompt, target).logprob.sum(), len(target))
        assert seen.generated_text is None
        assert seen.finish_reason is None
        assert seen.generated_logprob is None


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
    assert not engine.one_at_a_time
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
    assert (engine.dtype, engine.one_at_a_time) == ("bfloat16", False)
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
        "dtype": "auto",
        "max_prompt_tokens": 4096,
        "max_new_tokens": NEW_TOKENS,
        "stop": [],
        "temperatures": [0.5, 0.75, 1.0, 1.5, 2.0],
    }
    other = settings(threads=2, batch_tokens=7, interval_seconds=9.0, trace=False, device="cpu:0")
    assert numbers(other) == numbers(settings())
