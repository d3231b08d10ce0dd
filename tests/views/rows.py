"""Answers written down row by row, where a test states only what it is about."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from views.answers import NOT_GRADED, Answers
from views.blocks import bytes_of
from views.labels import Labels


class Row(NamedTuple):
    """One answer. `nll` is summed over the target's tokens, in nats; None is not measured."""

    example_id: str = "example"
    correct: bool | None = None
    nll: float | None = None
    tokens: int = 0
    size: int = 0
    top1: int = 0
    confidence: float | None = None
    error: str | None = None
    error_class: str | None = None
    grader: str | None = "exact@1"
    suite: str = "suite"
    role: str = "validation"
    difficulty: str = "easy"
    skill: str | None = None
    sample: int = 0
    counts: bool = True


def table(rows: Sequence[Row]) -> Answers:
    """The rows as columns."""

    def reals(values: Sequence[float | None]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        return np.array([np.nan if one is None else one for one in values], np.float64)

    return Answers(
        suite_id=Labels.of([one.suite for one in rows]),
        suite=Labels.of([one.suite for one in rows]),
        role=Labels.of([one.role for one in rows]),
        difficulty=Labels.of([one.difficulty for one in rows]),
        skill=Labels.of([one.skill for one in rows]),
        grader=Labels.of([one.grader for one in rows]),
        error_class=Labels.of([one.error_class for one in rows]),
        error=Labels.of([one.error for one in rows]),
        example_id=bytes_of([one.example_id for one in rows]),
        sample=np.array([one.sample for one in rows], np.int64),
        counts=np.array([one.counts for one in rows], np.bool_),
        correct=np.array(
            [NOT_GRADED if one.correct is None else one.correct for one in rows], np.int8
        ),
        score=reals([None if one.correct is None else float(one.correct) for one in rows]),
        confidence=reals([one.confidence for one in rows]),
        target_logprob=reals([None if one.nll is None else -one.nll for one in rows]),
        target_tokens=np.array([one.tokens for one in rows], np.int64),
        target_bytes=np.array([one.size for one in rows], np.int64),
        target_top1=np.array([one.top1 for one in rows], np.int64),
    )
