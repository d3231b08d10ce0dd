"""A log whose every event and row follow from a seed and the event's number, counted from 0.

One writer that appends them in order makes event `number` the one at position `number` + 1: what
must be in the log can be made again from nothing.
"""

from __future__ import annotations

import hashlib
from random import Random
from typing import NamedTuple

from store.events import (
    CheckpointArrived,
    EvaluationCompleted,
    EvaluationStarted,
    Event,
    PredictionsRecorded,
    SuiteRegistered,
)
from store.log import NO_ROWS, Rows
from store.records import Prediction, TokenTrace
from tests import logs
from tests.logs import Seen

SUITE = "seeded"
BATCH = 16
BATCHES = 4
# What one checkpoint brings: it arrives, its evaluation starts, its batches, and the end.
CYCLE = BATCHES + 3
EXAMPLES = logs.questions(SUITE, BATCH * BATCHES, "easy")


class Fact(NamedTuple):
    """An event with its rows."""

    event: Event
    rows: Rows = NO_ROWS


def fact(seed: int, number: int) -> Fact:
    """The event of this number, with its rows."""
    if number == 0:
        return _suite()
    cycle, place = divmod(number - 1, CYCLE)
    if place == 0:
        return Fact(_arrived(seed, cycle))
    if place == 1:
        return Fact(_started(seed, cycle))
    if place < CYCLE - 1:
        return _batch(seed, cycle, place - 2)
    return Fact(_completed(seed, cycle))


def _id(seed: int, what: str, cycle: int) -> str:
    return hashlib.sha256(f"{seed} {what} {cycle}".encode()).hexdigest()[:32]


def _suite() -> Fact:
    event = SuiteRegistered(
        suite_id=SUITE,
        revision=1,
        name=SUITE,
        path="/suites/seeded.jsonl",
        difficulty="easy",
        role="validation",
        grader="exact",
        graded_by=None,
        rows_read=len(EXAMPLES),
        examples=len(EXAMPLES),
        duplicates=0,
        refused=(),
    )
    return Fact(event, Rows(examples=EXAMPLES))


def _arrived(seed: int, cycle: int) -> CheckpointArrived:
    return CheckpointArrived(
        checkpoint_id=_id(seed, "checkpoint", cycle),
        run="run",
        step=cycle + 1,
        path=f"/checkpoints/run/checkpoint-{cycle + 1}",
        bytes=1000,
        dtype="F32",
        architecture="LlamaForCausalLM",
        parameters=250,
        kind="full",
        epoch=None,
        train_loss=None,
        learning_rate=None,
    )


def _started(seed: int, cycle: int) -> EvaluationStarted:
    return EvaluationStarted(
        evaluation_id=_id(seed, "evaluation", cycle),
        attempt=1,
        checkpoint_id=_id(seed, "checkpoint", cycle),
        suites=(SUITE,),
        examples=len(EXAMPLES),
        evaluator_version="1",
        host="host",
        pid=1,
        device="cpu",
        dtype="float32",
        attention="sdpa",
        prompt_format="chat-template",
        libraries={},
        plan={},
        settings={},
        fallback=None,
        quick=None,
    )


def _batch(seed: int, cycle: int, batch: int) -> Fact:
    random = Random(f"{seed} {cycle} {batch}")
    evaluation_id = _id(seed, "evaluation", cycle)
    predictions: list[Prediction] = []
    traces: list[TokenTrace] = []
    for example in EXAMPLES[BATCH * batch : BATCH * (batch + 1)]:
        error = "too long" if random.random() < 0.05 else None
        text = example.target if random.random() < 0.6 else "no " * random.randrange(1, 200)
        seen = Seen(text, -random.random(), -9.0 * random.random(), error)
        predictions.append(logs.prediction(evaluation_id, example, seen))
        if error is None:
            arrays = [random.randbytes(2 * len(example.target)) for _ in range(3)]
            pieces = tuple(example.target)
            key = (evaluation_id, example.example_id, 0, "target")
            traces.append(TokenTrace(*key, pieces, *arrays))  # type: ignore[arg-type]
    failed = sum(one.error is not None for one in predictions)
    event = PredictionsRecorded(
        evaluation_id=evaluation_id, batch=str(batch), scored=BATCH - failed, failed=failed
    )
    return Fact(event, Rows(predictions=predictions, traces=traces))


def _completed(seed: int, cycle: int) -> EvaluationCompleted:
    batches = [_batch(seed, cycle, batch).event for batch in range(BATCHES)]
    failed = sum(one.failed for one in batches if isinstance(one, PredictionsRecorded))
    return EvaluationCompleted(
        evaluation_id=_id(seed, "evaluation", cycle),
        checkpoint_id=_id(seed, "checkpoint", cycle),
        scored=len(EXAMPLES) - failed,
        failed=failed,
        seconds=1.0,
        load_seconds=0.5,
        prompt_tokens=100,
        target_tokens=100,
        generated_tokens=100,
        peak_bytes=1000,
        device_peak_bytes=None,
    )
