"""What the engine's tests run and check: one prediction against a plain run of the model."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest
from scipy.special import log_softmax

from evaluators.engine import Engine, Outcome
from settings import EvaluationSettings
from store.records import Example, Prediction
from tests.evaluators.reference import Reference

NEW_TOKENS = 12
TOLERANCE = 1e-4


def settings(**changes: object) -> EvaluationSettings:
    values = {"device": "cpu", "threads": 1, "max_new_tokens": NEW_TOKENS, **changes}
    return EvaluationSettings.model_validate(values)


def run(engine: Engine, examples: Iterable[Example]) -> dict[str, Outcome]:
    """Outcomes by example id; each example must have exactly one."""
    found = [one for batch in engine.run(engine.plan(examples), "evaluation") for one in batch]
    by_id = {one.prediction.example_id: one for one in found}
    assert len(by_id) == len(found)
    return by_id


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
