"""A log as a long training run leaves it: any number of checkpoints and examples, made up.

The accuracy rises from checkpoint to checkpoint and falls once; each example has a difficulty of
its own, and what is written for it differs by checkpoint. Two predictions in a thousand are errors.
Everything goes through store.log in batches of 64, as the evaluator does it, without token traces.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Iterator, Sequence
from itertools import islice
from random import Random
from typing import NamedTuple

from sqlalchemy import Engine

from settings import DIFFICULTIES, Difficulty
from store import log
from store.events import (
    CheckpointArrived,
    EvaluationCompleted,
    EvaluationStarted,
    PredictionsRecorded,
    SuiteRegistered,
)
from store.log import Rows
from store.records import Example, Prediction, example_id_of

BATCH = 64
RUN = "long-run"
SKILLS = ("copy", "addition", "reverse", "sorting", "counting")
WORDS = ("amber", "birch", "cedar", "delta", "ember", "fjord", "grove", "heron", "inlet", "jade")
# How far a checkpoint must be in its run, as a share, to get half of the examples right.
HALF_LEARNED: dict[Difficulty, float] = {"easy": 0.2, "medium": 0.5, "hard": 0.9}
SPREAD, NOISE = 0.22, 0.10
DAMAGED = 0.7  # the share of the run at which one checkpoint has unlearned much
ERRORS = 0.002


class Question(NamedTuple):
    """An example, and how far into a run it is learned (1 is the end)."""

    example: Example
    learned_at: float


class Built(NamedTuple):
    """What was appended: `seconds` in the log's append, out of `total_seconds`."""

    predictions: int
    seconds: float
    total_seconds: float


def questions(n: int, seed: int = 1) -> list[Question]:
    """`n` examples, a third of each difficulty, in the order of their length."""
    random = Random(seed)
    made = [_question(random, k, DIFFICULTIES[k % len(DIFFICULTIES)]) for k in range(n)]
    return sorted(made, key=lambda one: len(one.example.target))


def _question(random: Random, k: int, difficulty: Difficulty) -> Question:
    words = " ".join(random.choices(WORDS, k=random.randrange(2, 9)))
    messages = ({"role": "user", "content": f"Say it backwards, word by word ({k}): {words}"},)
    target = " ".join(reversed(words.split()))
    example = Example(
        suite_id=difficulty,
        example_id=example_id_of("chat", messages, target),
        line=k // len(DIFFICULTIES) + 1,
        kind="chat",
        messages=messages,
        target=target,
        difficulty=difficulty,
        skill=random.choice(SKILLS),
    )
    return Question(example, random.gauss(HALF_LEARNED[difficulty], SPREAD))


def register(engine: Engine, asked: Sequence[Question]) -> None:
    """Appends the three suites with their examples."""
    for difficulty in DIFFICULTIES:
        examples = [one.example for one in asked if one.example.suite_id == difficulty]
        event = SuiteRegistered(
            suite_id=difficulty,
            revision=1,
            name=difficulty,
            path=f"/suites/{difficulty}.jsonl",
            difficulty=difficulty,
            role="validation",
            grader="exact",
            graded_by=None,
            rows_read=len(examples),
            examples=len(examples),
            duplicates=0,
            refused=(),
        )
        log.append(engine, event, rows=Rows(examples=examples))


def evaluate(engine: Engine, asked: Sequence[Question], number: int, of: int) -> Built:
    """Appends checkpoint `number` of `of`, counted from 1, and its whole evaluation."""
    began = time.perf_counter()
    random = Random(number)
    checkpoint_id = hashlib.sha256(f"checkpoint {number}".encode()).hexdigest()[:32]
    evaluation_id = hashlib.sha256(f"evaluation {number}".encode()).hexdigest()[:32]
    log.append(engine, _arrived(checkpoint_id, number))
    log.append(engine, _started(evaluation_id, checkpoint_id, len(asked)), expected_version=0)
    seconds, failed = 0.0, 0
    progress = number / of
    if number == max(2, round(DAMAGED * of)):
        progress *= 0.5
    predictions = (prediction(evaluation_id, one, progress, random) for one in asked)
    for version, batch in enumerate(_batches(predictions), start=1):
        errors = sum(one.error is not None for one in batch)
        event = PredictionsRecorded(
            evaluation_id=evaluation_id,
            batch=str(version),
            scored=len(batch) - errors,
            failed=errors,
        )
        appending = time.perf_counter()
        log.append(engine, event, expected_version=version, rows=Rows(predictions=batch))
        seconds += time.perf_counter() - appending
        failed += errors
    log.append(engine, _completed(evaluation_id, checkpoint_id, len(asked), failed))
    return Built(len(asked), seconds, time.perf_counter() - began)


def _batches(predictions: Iterator[Prediction]) -> Iterator[list[Prediction]]:
    while batch := list(islice(predictions, BATCH)):
        yield batch


def prediction(evaluation_id: str, asked: Question, progress: float, random: Random) -> Prediction:
    """What a checkpoint at `progress` (1 is the end of the run) makes of one example."""
    example = asked.example
    if random.random() < ERRORS:
        return Prediction(evaluation_id, example.example_id, error="no token to score")
    margin = progress - asked.learned_at + random.gauss(0.0, NOISE)
    tokens = len(example.target.split()) + 2
    right = margin > 0.0
    text = example.target if right else _wrong(example.target, random)
    # Nats a token: near 0 for what is well learned, several for what is not.
    surprise = math.log1p(math.exp(-6.0 * margin))
    doubt = -tokens * 0.5 * math.log1p(math.exp(-8.0 * abs(margin)))
    return Prediction(
        evaluation_id=evaluation_id,
        example_id=example.example_id,
        prompt_tokens=tokens + 12,
        prompt_truncated=False,
        generated_text=text,
        finish_reason="length" if len(text) > 2 * len(example.target) else "eos",
        generated_tokens=tokens,
        generated_logprob=doubt,
        generated_min_logprob=0.4 * doubt,
        generated_entropy=random.random(),
        target_tokens=tokens,
        target_bytes=len(example.target.encode()),
        target_logprob=-tokens * surprise,
        target_min_logprob=-1.5 * surprise,
        target_entropy=random.random(),
        target_margin=3.0 * random.random(),
        target_rank=surprise,
        target_top1=tokens if right else tokens // 2,
        target_first_miss=None if right else tokens // 2,
        logprob_at_temperature={
            name: round(-tokens * surprise * scale, 4)
            for name, scale in (("0.5", 1.4), ("0.75", 1.1), ("1.5", 1.2), ("2.0", 1.7))
        },
    )


def _wrong(target: str, random: Random) -> str:
    """A mistake of some kind: another word, a slip, other capitals, a loop, nothing."""
    words = target.split()
    match random.randrange(8):
        case 0:
            return target[:-1]
        case 1:
            return target.upper()
        case 2:
            return " ".join([words[0]] * 40)
        case 3:
            return ""
        case _:
            words[random.randrange(len(words))] = random.choice(WORDS) + str(random.randrange(100))
            return " ".join(words)


def _arrived(checkpoint_id: str, number: int) -> CheckpointArrived:
    return CheckpointArrived(
        checkpoint_id=checkpoint_id,
        run=RUN,
        step=100 * number,
        path=f"/checkpoints/{RUN}/checkpoint-{100 * number}",
        bytes=2_000_000_000,
        dtype="BF16",
        architecture="LlamaForCausalLM",
        parameters=1_000_000_000,
        kind="full",
        epoch=number / 100,
        train_loss=3.0 / math.sqrt(number),
        learning_rate=1e-4,
    )


def _started(evaluation_id: str, checkpoint_id: str, examples: int) -> EvaluationStarted:
    return EvaluationStarted(
        evaluation_id=evaluation_id,
        attempt=1,
        checkpoint_id=checkpoint_id,
        suites=tuple(DIFFICULTIES),
        examples=examples,
        evaluator_version="1",
        host="host",
        pid=1,
        device="cuda:0",
        dtype="bfloat16",
        attention="sdpa",
        prompt_format="chat-template",
        libraries={"torch": "2", "transformers": "5"},
        plan={"batches": -(-examples // BATCH)},
        settings={"max_new_tokens": 64},
        fallback=None,
        quick=None,
    )


def _completed(
    evaluation_id: str, checkpoint_id: str, examples: int, failed: int
) -> EvaluationCompleted:
    return EvaluationCompleted(
        evaluation_id=evaluation_id,
        checkpoint_id=checkpoint_id,
        scored=examples - failed,
        failed=failed,
        seconds=60.0,
        load_seconds=5.0,
        prompt_tokens=50 * examples,
        target_tokens=8 * examples,
        generated_tokens=8 * examples,
        peak_bytes=4_000_000_000,
        device_peak_bytes=6_000_000_000,
    )
