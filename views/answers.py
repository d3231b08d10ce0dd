"""The graded answers of an evaluation, column by column: what the statistics are made of.

A row is a prediction as one suite counts it. An example that stands in several suites has rows in
each of them; over all suites it counts once: in a validation suite before a mining one, so that it
is never taken for training data, and then in the suite whose name comes first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from views.labels import Labels, Rows

VALIDATION = "validation"
NOTHING_GRADED = "No answer of this checkpoint could be graded."
NOT_GRADED, WRONG, RIGHT = -1, 0, 1
LABELS = (
    "suite_id", "suite", "role", "difficulty", "skill", "grader", "error_class", "error",
)  # fmt: skip


@dataclass(frozen=True)
class Answers:
    """Columns of equal length. The rows of an example stand together, by sample.

    `correct` is RIGHT, WRONG, or NOT_GRADED for what was not scored or cannot be graded. `score`
    and `confidence` are shares, `target_logprob` is summed over the target's tokens, in nats; NaN
    marks, within these arrays alone, what was not measured. The counts of the target are 0 where
    `target_logprob` is NaN. `error` is None for what was scored, `error_class` for what is right.
    `counts` is whether the example counts in this suite, should it stand in several.
    """

    suite_id: Labels
    suite: Labels
    role: Labels
    difficulty: Labels
    skill: Labels
    grader: Labels
    error_class: Labels
    error: Labels
    example_id: NDArray[np.bytes_]
    sample: NDArray[np.int64]
    counts: NDArray[np.bool_]
    correct: NDArray[np.int8]
    score: NDArray[np.float64]
    confidence: NDArray[np.float64]
    target_logprob: NDArray[np.float64]
    target_tokens: NDArray[np.int64]
    target_bytes: NDArray[np.int64]
    target_top1: NDArray[np.int64]

    @classmethod
    def none(cls) -> Answers:
        """No rows."""
        labels = Labels.of([])
        return cls(
            **dict.fromkeys(LABELS, labels),
            example_id=np.zeros(0, np.bytes_),
            sample=np.zeros(0, np.int64),
            counts=np.zeros(0, np.bool_),
            correct=np.zeros(0, np.int8),
            score=np.zeros(0),
            confidence=np.zeros(0),
            target_logprob=np.zeros(0),
            target_tokens=np.zeros(0, np.int64),
            target_bytes=np.zeros(0, np.int64),
            target_top1=np.zeros(0, np.int64),
        )

    @classmethod
    def joined(cls, parts: Sequence[Answers]) -> Answers:
        """The rows of all parts, one part after the other."""
        if len(parts) < 2:
            return parts[0] if parts else cls.none()
        joined: dict[str, Any] = {}
        for name in vars(parts[0]):
            column = [vars(part)[name] for part in parts]
            joined[name] = Labels.joined(column) if name in LABELS else np.concatenate(column)
        return cls(**joined)

    def __len__(self) -> int:
        return len(self.example_id)

    def __getitem__(self, rows: Rows) -> Answers:
        if rows.dtype == np.bool_:
            if rows.all():
                return self
            rows = np.flatnonzero(rows)
        return Answers(**{name: column[rows] for name, column in vars(self).items()})

    @property
    def scored(self) -> NDArray[np.bool_]:
        """Which rows are measurements, not errors."""
        return self.error.are(None)

    @property
    def graded(self) -> NDArray[np.bool_]:
        """Which rows are right or wrong."""
        mask: NDArray[np.bool_] = self.correct != NOT_GRADED
        return mask

    @property
    def right(self) -> NDArray[np.bool_]:
        """Which rows are right."""
        mask: NDArray[np.bool_] = self.correct == RIGHT
        return mask

    @property
    def has_target(self) -> NDArray[np.bool_]:
        """Which rows have a scored target."""
        return ~np.isnan(self.target_logprob)

    @property
    def loss(self) -> NDArray[np.float64]:
        """Nats a token of the target, NaN where none was scored."""
        tokens = np.where(self.target_tokens > 0, self.target_tokens, np.nan)
        return np.asarray(-self.target_logprob / tokens)

    @property
    def nothing_graded(self) -> bool:
        """Whether no row is right, wrong or an error: bare text, or what graders cannot read."""
        return not (self.graded.any() or not self.scored.all())

    @property
    def starts(self) -> NDArray[np.bool_]:
        """Which rows are the first of their example, in their suite: the greedy sample."""
        if not len(self):
            return np.zeros(0, np.bool_)
        ids, suites = self.example_id, self.suite_id.codes
        new = (ids[1:] != ids[:-1]) | (suites[1:] != suites[:-1])
        return np.concatenate([[True], new])

    def of_role(self, role: str) -> Answers:
        """The rows of suites with this role."""
        return self[self.role.are(role)]

    def once(self) -> Answers:
        """One row an example: its first sample, in the suite where it counts."""
        return self[self.counts & self.starts]

    def of_difficulty(self, difficulty: str | None) -> Answers:
        """The rows of this difficulty."""
        return self[self.difficulty.are(difficulty)]


def number(cell: np.float64) -> float | None:
    """A cell of a column as a number, or None for one that was not measured."""
    return None if np.isnan(cell) else float(cell)


def first_error(answers: Answers) -> str | None:
    """The error of the example whose id comes first; None if everything was scored."""
    failed = np.flatnonzero(~answers.scored)
    if not len(failed):
        return None
    return answers.error.at(failed[np.argmin(answers.example_id[failed])])
