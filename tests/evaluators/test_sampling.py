"""Samples follow the model's distribution, and are the same whatever else the pass does."""

from __future__ import annotations

import hashlib
import math
import random
from collections import Counter

import numpy as np
import pytest
import torch
from scipy.special import softmax
from scipy.stats import chisquare

from evaluators.engine import load, numbers
from evaluators.sampling import Draws, Sample
from store.records import Prediction
from tests.evaluators.checks import NEW_TOKENS, nats, run, settings
from tests.evaluators.conftest import EOS, Checkpoint
from tests.evaluators.reference import Reference, bare, chat
from tests.evaluators.test_pool import QUESTIONS, with_room

SAMPLES = 2
HOT = 1.7


def drawn(logits: torch.Tensor, chances: list[float], temperature: float = 1.0) -> list[int]:
    draws = Draws(torch.tensor(chances, dtype=torch.float64), temperature)
    return draws.tokens(logits, logits.argmax(-1)).tolist()


def test_a_chance_is_a_hash_of_the_example_the_sample_and_the_place() -> None:
    digest = hashlib.sha256(b"example\n2\n7").hexdigest()
    assert Sample("example", 2).chance(7) == int(digest[:16], 16) // 2**11 / 2**53
    others = {Sample(name, k).chance(i) for name in "ab" for k in (1, 2) for i in range(50)}
    assert len(others) == 200
    assert 0.0 <= min(others) < max(others) < 1.0


def test_a_token_is_drawn_where_the_sum_of_those_up_to_it_passes_the_chance() -> None:
    # A quarter, none, a half, a quarter.
    logits = torch.tensor([[0.25, 0.0, 0.5, 0.25]]).log()
    almost = 1.0 - 2.0**-53
    chances = [0.0, 0.2499, 0.25, 0.7499, 0.7501, almost]
    assert drawn(logits.repeat(6, 1), chances) == [0, 0, 2, 2, 3, 3]
    # At temperature 1/2: 1/6, 0, 4/6, 1/6.
    assert drawn(logits.repeat(4, 1), [0.166, 0.167, 0.833, 0.834], 0.5) == [0, 2, 2, 3]
    # What is ruled out is drawn at neither end.
    ends = torch.tensor([[0.0, 0.5, 0.5, 0.0]]).log()
    assert drawn(ends.repeat(2, 1), [0.0, almost]) == [1, 2]


def test_where_no_chance_is_given_the_argmax_is_taken() -> None:
    logits = torch.tensor([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    assert drawn(logits, [math.nan, 0.99, math.nan]) == [1, 2, 2]


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_draws_follow_the_softmax_at_the_temperature(temperature: float) -> None:
    logits = torch.randn(12, generator=torch.Generator().manual_seed(3)) * 1.5
    chances = [Sample(f"example {n}", 1).chance(0) for n in range(2000)]
    counts = Counter(drawn(logits.repeat(2000, 1), chances, temperature))
    expected = 2000 * softmax(logits.double().numpy() / temperature)
    # The rare ones together, for the test's approximation.
    rare = expected < 5
    seen = np.array([counts[token] for token in range(12)])
    pairs = [(seen[~rare], seen[rare].sum()), (expected[~rare], expected[rare].sum())]
    observed, wanted = (np.array([*common, rest]) for common, rest in pairs)
    if not rare.any():
        observed, wanted = observed[:-1], wanted[:-1]
    assert chisquare(observed, wanted).pvalue > 1e-3


def by_hand(reference: Reference, prompt: list[int], sample: Sample) -> list[int]:
    """The tokens of a sample at temperature HOT, each from a run of all before it."""
    tokens: list[int] = []
    while len(tokens) < NEW_TOKENS and (not tokens or tokens[-1] not in EOS):
        with torch.no_grad():
            logits = reference.model(torch.tensor([prompt + tokens])).logits[0, -1].double().numpy()
        beyond = softmax(logits / HOT).cumsum() > sample.chance(len(tokens))
        tokens.append(int(beyond.argmax()))
    return tokens


@pytest.mark.parametrize("kind", ["llama", "gemma3", "mamba"])
def test_samples_are_those_drawn_by_hand_whatever_the_batches_and_the_order(
    checkpoint: Checkpoint, kind: str
) -> None:
    reference = Reference(checkpoint(kind))
    # Two of them have the same prompt, and still samples of their own.
    some = [*(chat(question, "4") for question in QUESTIONS), chat("hi", "no")]
    engine = load(checkpoint(kind), settings(samples=SAMPLES, sample_temperature=HOT))
    batched = engine.fallback is None
    assert batched == (kind != "mamba")
    found: list[dict[str, Prediction]] = []
    for seed, rows in enumerate((1, 3, 16) if batched else (1,)):
        random.Random(seed).shuffle(some)
        outcomes = run(with_room(engine, rows, 40 * rows) if batched else engine, some)
        for example in some:
            outcome = outcomes[example.example_id]
            prompt = reference.prompt_of(example.messages[0]["content"])
            assert outcome.prediction.generated_text == reference.text(
                reference.generate(prompt, NEW_TOKENS)
            )
            assert [one.sample for one in outcome.predictions] == [0, 1, 2]
            for one in outcome.samples:
                tokens = by_hand(reference, prompt, Sample(example.example_id, one.sample))
                expected = reference.numbers(prompt, tokens)
                assert one.generated_text == reference.text(tokens)
                assert one.finish_reason == ("eos" if tokens[-1] in EOS else "length")
                assert one.generated_tokens == len(tokens)
                # The model's own distribution, not the one that was drawn from.
                assert one.generated_logprob == nats(expected.logprob.sum(), len(tokens))
                assert one.generated_min_logprob == nats(expected.logprob.min(), 1)
                assert one.generated_entropy == nats(expected.entropy.mean(), 1)
                assert (one.target_logprob, one.choice_logprobs, one.prompt_tokens) == (None,) * 3
            traced = [(one.kind, one.sample, len(one.pieces)) for one in outcome.traces]
            assert traced[2:] == [
                ("generated", one.sample, one.generated_tokens) for one in outcome.samples
            ]
        found.append(
            {f"{name} {one.sample}": one for name, o in outcomes.items() for one in o.samples}
        )
    assert len({one.generated_text for one in found[0].values()}) > len(some)


def test_samples_at_next_to_no_temperature_are_the_greedy_text(checkpoint: Checkpoint) -> None:
    engine = load(checkpoint("llama"), settings(samples=SAMPLES, sample_temperature=1e-6))
    for outcome in run(engine, [chat(question, "4") for question in QUESTIONS]).values():
        greedy, *samples = outcome.predictions
        assert len(samples) == SAMPLES
        for one in samples:
            assert one.generated_text == greedy.generated_text
            assert one.generated_logprob == nats(greedy.generated_logprob or 0.0, NEW_TOKENS)


def test_what_has_no_text_has_no_samples(checkpoint: Checkpoint) -> None:
    engine = load(checkpoint("llama"), settings(samples=SAMPLES, max_prompt_tokens=400))
    found = run(engine, [bare("a text"), chat("é" * 500, "x" * 3000)])
    assert all(not one.samples for one in found.values())


def test_an_evaluation_is_another_with_samples_and_the_same_without() -> None:
    assert numbers(settings(sample_temperature=0.5)) == numbers(settings())
    both = {"samples": 3, "sample_temperature": 0.5}
    assert numbers(settings(**both)) == {**numbers(settings()), **both}
