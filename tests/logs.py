"""Writes synthetic logs: suites, arrivals and evaluations with predictions of one's choosing.

What a test states is what the log holds; everything else is filled in with plain values.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from sqlalchemy import Engine

from store import log
from store.events import (
    CheckpointArrived,
    EvaluationCompleted,
    EvaluationFailed,
    EvaluationStarted,
    PredictionsRecorded,
    QuickTierCompleted,
    SuiteRegistered,
)
from store.log import Rows
from store.records import Example, Prediction, example_id_of


class Seen(NamedTuple):
    """What a checkpoint did with one example: its text, and log-probabilities in nats.

    `logprob` is the generated text's, `target_logprob` the target's, both summed.
    """

    text: str
    logprob: float = -0.1
    target_logprob: float = -1.0
    error: str | None = None


def example(
    suite_id: str,
    prompt: str,
    target: str,
    line: int = 1,
    difficulty: str | None = None,
    skill: str | None = None,
) -> Example:
    messages = ({"role": "user", "content": prompt},)
    return Example(
        suite_id=suite_id,
        example_id=example_id_of("chat", messages, target),
        line=line,
        kind="chat",
        messages=messages,
        target=target,
        difficulty=difficulty,
        skill=skill,
    )


def questions(suite_id: str, n: int, difficulty: str | None = None) -> list[Example]:
    """`n` examples: "SUITE question K" with the target "answer K"."""
    return [
        example(suite_id, f"{suite_id} question {k}", f"answer {k}", k + 1, difficulty, "recall")
        for k in range(n)
    ]


def register_suite(
    engine: Engine,
    examples: Sequence[Example],
    *,
    suite_id: str,
    difficulty: str | None = None,
    role: Literal["validation", "mining"] = "validation",
    grader: str = "exact",
    graded_by: str | None = None,
    revision: int = 1,
) -> None:
    """The suite's name is its id. A later revision must not bring its examples again."""
    event = SuiteRegistered(
        suite_id=suite_id,
        revision=revision,
        name=suite_id,
        path=f"/suites/{suite_id}.jsonl",
        difficulty=difficulty,
        role=role,
        grader=grader,
        graded_by=graded_by,
        rows_read=len(examples),
        examples=len(examples),
        duplicates=0,
        refused=(),
    )
    log.append(engine, event, rows=Rows(examples=examples if revision == 1 else ()))


def arrive(
    engine: Engine,
    step: int,
    *,
    run: str = "run",
    content: str | None = None,
    path: str | None = None,
) -> str:
    """Appends an arrival and returns its checkpoint id."""
    checkpoint_id = hashlib.sha256((content or f"{run}/{step}").encode()).hexdigest()[:32]
    log.append(
        engine,
        CheckpointArrived(
            checkpoint_id=checkpoint_id,
            run=run,
            step=step,
            path=path or f"/checkpoints/{run}/checkpoint-{step}",
            bytes=1000,
            dtype="F32",
            architecture="LlamaForCausalLM",
            parameters=250,
            kind="full",
            epoch=None,
            train_loss=1.0,
            learning_rate=1e-3,
        ),
    )
    return checkpoint_id


def start(
    engine: Engine,
    checkpoint_id: str,
    suites: Sequence[str],
    *,
    examples: int,
    attempt: int = 1,
    settings: Mapping[str, object] | None = None,
) -> str:
    """Claims an evaluation and returns its id, which `settings` is part of."""
    key = f"{checkpoint_id} {sorted(suites)} {settings}"
    evaluation_id = hashlib.sha256(key.encode()).hexdigest()[:32]
    log.append(
        engine,
        EvaluationStarted(
            evaluation_id=evaluation_id,
            attempt=attempt,
            checkpoint_id=checkpoint_id,
            suites=tuple(suites),
            examples=examples,
            evaluator_version="1",
            host="host",
            pid=1,
            device="cpu",
            dtype="float32",
            attention="sdpa",
            prompt_format="chat-template",
            libraries={},
            plan={},
            settings=dict(settings or {}),
            fallback=None,
            quick=None,
        ),
    )
    return evaluation_id


def prediction(evaluation_id: str, example: Example, seen: Seen) -> Prediction:
    if seen.error is not None:
        return Prediction(evaluation_id, example.example_id, error=seen.error)
    return Prediction(
        evaluation_id=evaluation_id,
        example_id=example.example_id,
        prompt_tokens=10,
        prompt_truncated=False,
        generated_text=seen.text,
        finish_reason="eos",
        generated_tokens=len(seen.text) + 1,
        generated_logprob=seen.logprob,
        generated_min_logprob=seen.logprob,
        generated_entropy=0.5,
        target_tokens=len(example.target) + 1,
        target_bytes=len(example.target.encode()),
        target_logprob=seen.target_logprob,
        target_min_logprob=seen.target_logprob,
        target_entropy=0.5,
        target_margin=1.0,
        target_rank=0.5,
        target_top1=len(example.target) + 1 if seen.text == example.target else 0,
        target_first_miss=None if seen.text == example.target else 0,
        logprob_at_temperature={"1.0": seen.target_logprob},
    )


def record(
    engine: Engine, evaluation_id: str, seen: Sequence[tuple[Example, Seen]], batch: str = "1"
) -> None:
    predictions = [prediction(evaluation_id, example, what) for example, what in seen]
    failed = sum(one.error is not None for one in predictions)
    log.append(
        engine,
        PredictionsRecorded(
            evaluation_id=evaluation_id,
            batch=batch,
            scored=len(predictions) - failed,
            failed=failed,
        ),
        rows=Rows(predictions=predictions),
    )


def finish_quick_tier(
    engine: Engine,
    evaluation_id: str,
    checkpoint_id: str,
    suites: Sequence[str],
    *,
    examples: int,
    scored: int,
    failed: int = 0,
) -> None:
    """What is recorded so far are the examples that come first, of `examples` in all."""
    log.append(
        engine,
        QuickTierCompleted(
            evaluation_id=evaluation_id,
            checkpoint_id=checkpoint_id,
            suites=tuple(suites),
            examples=examples,
            scored=scored,
            failed=failed,
            seconds=1.0,
        ),
    )


def complete(
    engine: Engine, evaluation_id: str, checkpoint_id: str, *, scored: int, failed: int = 0
) -> None:
    log.append(
        engine,
        EvaluationCompleted(
            evaluation_id=evaluation_id,
            checkpoint_id=checkpoint_id,
            scored=scored,
            failed=failed,
            seconds=2.0,
            load_seconds=0.5,
            prompt_tokens=100,
            target_tokens=100,
            generated_tokens=100,
            peak_bytes=500_000_000,
            device_peak_bytes=None,
        ),
    )


def fail(
    engine: Engine,
    evaluation_id: str,
    checkpoint_id: str,
    suites: Sequence[str],
    *,
    error: str = "NothingScored",
    message: str = "not one example gave a number",
    attempt: int = 1,
) -> None:
    log.append(
        engine,
        EvaluationFailed(
            evaluation_id=evaluation_id,
            attempt=attempt,
            checkpoint_id=checkpoint_id,
            suites=tuple(suites),
            error=error,
            message=message,
            retriable=False,
        ),
    )


def evaluate(
    engine: Engine,
    checkpoint_id: str,
    suites: Sequence[str],
    seen: Sequence[tuple[Example, Seen]],
    *,
    settings: Mapping[str, object] | None = None,
) -> str:
    """A whole evaluation in one batch; returns its id."""
    evaluation_id = start(engine, checkpoint_id, suites, examples=len(seen), settings=settings)
    record(engine, evaluation_id, seen)
    failed = sum(what.error is not None for _, what in seen)
    complete(engine, evaluation_id, checkpoint_id, scored=len(seen) - failed, failed=failed)
    return evaluation_id
