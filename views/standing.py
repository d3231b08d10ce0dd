"""Standings: how a difficulty or a skill fares at a checkpoint, and how fast it moves.

Two paces of accuracy in 1,000 steps: `progress` since the checkpoint before, which is noisy, and
`trend` over the last checkpoints, which is robust and has an interval. See views.trend.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Column as SqlColumn
from sqlalchemy import Connection

from store.schema import INTEGER, REAL_NUMBER
from views.advice import learnability
from views.answers import NOT_GRADED, VALIDATION
from views.blocks import answers_of
from views.bootstrap import generator, percentiles
from views.groups import Group, Tally
from views.labels import Labels
from views.statistics import Interval
from views.trend import Outcomes, accuracies, resampled, theil_sen
from views.view import Column

RESAMPLES = 1_000
PACE = 1_000  # steps

Reals = NDArray[np.float64]


class Point(NamedTuple):
    """An evaluated checkpoint: what it measured, by group."""

    step: int
    evaluation_id: str
    tallies: Mapping[Group, Tally]


class Asked(NamedTuple):
    """What an evaluation asked in validation suites, one row an example, by id."""

    example_id: NDArray[np.bytes_]
    correct: Outcomes
    difficulty: Labels
    skill: Labels

    def rows_of(self, group: Group) -> NDArray[np.bool_]:
        """Which rows are of the group."""
        labels = self.difficulty if group.kind == "difficulty" else self.skill
        return labels.are(group.name)

    def correct_of(self, example_id: NDArray[np.bytes_]) -> Outcomes:
        """The outcomes of these examples; NOT_GRADED where one was not asked."""
        if not len(self.example_id):
            return np.full(len(example_id), NOT_GRADED, np.int8)
        last = len(self.example_id) - 1
        places = np.minimum(np.searchsorted(self.example_id, example_id), last)
        known = self.example_id[places] == example_id
        return np.where(known, self.correct[places], NOT_GRADED).astype(np.int8)


# Given an evaluation's id.
Ask = Callable[[str], Asked]


def asker(connection: Connection) -> Ask:
    """Reads what evaluations asked, each once while it is among the last few."""

    @lru_cache(maxsize=32)
    def ask(evaluation_id: str) -> Asked:
        answers = answers_of(connection, evaluation_id).of_role(VALIDATION).once()
        answers = answers[np.argsort(answers.example_id, kind="stable")]
        return Asked(answers.example_id, answers.correct, answers.difficulty, answers.skill)

    return ask


@dataclass(frozen=True)
class Standing:
    """The columns that difficulties and skills share; None is what was not measured.

    `loss` is in nats a token, `progress` and the trend in shares of right answers in 1,000 steps.
    The trend is over `trend_checkpoints`, and its ends are those of its 95 % interval.
    """

    n: int
    n_graded: int
    loss: float | None = None
    accuracy: float | None = None
    accuracy_low: float | None = None
    accuracy_high: float | None = None
    learnability: float | None = None
    progress: float | None = None
    trend: float | None = None
    trend_low: float | None = None
    trend_high: float | None = None
    trend_checkpoints: int | None = None


NO_STANDING = Standing(0, 0)


@dataclass(frozen=True)
class History:
    """A group's outcomes (examples, checkpoints) at the steps of the last checkpoints, in order.

    `seed` names them, for the resamples.
    """

    steps: NDArray[np.int64]
    outcomes: Outcomes
    seed: tuple[str, ...]

    @cached_property
    def resamples(self) -> Reals:
        """The accuracies (resamples, checkpoints) of other examples."""
        random = generator(one.encode() for one in self.seed)
        return resampled(self.outcomes, RESAMPLES, random)

    @property
    def moves(self) -> bool:
        """Whether there is a slope."""
        return bool(len(self.steps)) and bool(self.steps[0] != self.steps[-1])

    @cached_property
    def slope(self) -> float:
        """The trend a step."""
        return float(theil_sen(self.steps, accuracies(self.outcomes)))

    @cached_property
    def slopes(self) -> Reals:
        """The trend a step in each resample."""
        return theil_sen(self.steps, self.resamples)

    @cached_property
    def bounds(self) -> Interval:
        """The interval of the trend a step; never without the trend itself."""
        low, high = percentiles(self.slopes)
        return Interval(min(low, self.slope), max(high, self.slope))

    @property
    def beyond_chance(self) -> bool:
        """Whether the interval of the trend is on one side of 0."""
        return self.moves and (self.bounds.low > 0 or self.bounds.high < 0)

    def moved(self, slope: float | Reals) -> Reals:
        """How much so steep a trend changes in all of the steps, without its sign; at most 1."""
        apart = float(self.steps[-1] - self.steps[0]) if self.beyond_chance else 0.0
        return np.minimum(np.abs(np.asarray(slope) * apart), 1.0)


class Stood(NamedTuple):
    """A group's standing, its history if it was graded, and why there is no progress to tell."""

    standing: Standing
    history: History | None
    reason: str | None


def stand(group: Group, point: Point, before: Sequence[Point], ask: Ask) -> Stood:
    """How a group stands at a checkpoint; `before` are the last ones at earlier steps, in order."""
    now = point.tallies.get(group)
    if now is None:
        return Stood(NO_STANDING, None, None)
    if now.accuracy is None:
        return Stood(Standing(now.n, now.n_graded, now.loss), None, None)
    window, reason = _window(group, now, before)
    history = _history(group, [*window, point], ask)
    progress = None
    if window:
        then = window[-1].tallies[group].accuracy
        assert then is not None
        progress = PACE * (now.accuracy - then) / (point.step - window[-1].step)
    standing = Standing(
        n=now.n,
        n_graded=now.n_graded,
        loss=now.loss,
        accuracy=now.accuracy,
        accuracy_low=now.accuracy_low,
        accuracy_high=now.accuracy_high,
        learnability=learnability(now.accuracy),
        progress=progress,
        trend=PACE * history.slope if history.moves else None,
        trend_low=PACE * history.bounds.low if history.moves else None,
        trend_high=PACE * history.bounds.high if history.moves else None,
        trend_checkpoints=len(history.steps) if history.moves else None,
    )
    return Stood(standing, history, reason)


def _window(group: Group, now: Tally, before: Sequence[Point]) -> tuple[list[Point], str | None]:
    """The earlier checkpoints that asked the group the same, or why there is none."""
    window: list[Point] = []
    for earlier in reversed(before):
        then = earlier.tallies.get(group)
        if then is None or then.accuracy is None:
            continue
        if then.suites != now.suites:
            if not window:
                return [], f"No progress to tell: step {earlier.step} was asked other suites."
            break
        window.insert(0, earlier)
    return window, None if window else "No progress to tell: no checkpoint before it measured it."


def _history(group: Group, points: Sequence[Point], ask: Ask) -> History:
    """The outcomes of the examples that the last of the points asked."""
    asked = ask(points[-1].evaluation_id)
    ids = asked.example_id[asked.rows_of(group)]
    outcomes = [ask(one.evaluation_id).correct_of(ids) for one in points]
    kept = [k for k, column in enumerate(outcomes) if (column != NOT_GRADED).any()]
    return History(
        steps=np.array([points[k].step for k in kept], np.int64),
        outcomes=np.stack([outcomes[k] for k in kept], axis=1),
        seed=(*(points[k].evaluation_id for k in kept), *group),
    )


def sql_columns() -> tuple[SqlColumn[float], ...]:
    """The columns of `Standing` in a table."""
    counts = {"n", "n_graded", "trend_checkpoints"}
    return tuple(
        SqlColumn(
            name, INTEGER if name in counts else REAL_NUMBER, nullable=name not in ("n", "n_graded")
        )
        for name in vars(NO_STANDING)
    )


COLUMNS = (
    Column("n", "Scored", "count", "Validation examples that gave a measurement, each once."),
    Column("n_graded", "Graded", "count", "Answers that the accuracy is of."),
    Column("loss", "Loss", "nats", "Mean negative log-likelihood of a target token."),
    Column("accuracy", "Accuracy", "share", "Answers that the grader calls right."),
    Column("accuracy_low", "Accuracy, low", "share", "Lower end of the 95 % interval (Wilson)."),
    Column("accuracy_high", "Accuracy, high", "share", "Upper end of the 95 % interval (Wilson)."),
    Column("learnability", "Learnability", "number", "p(1 − p) of the accuracy: 0.25 at one half."),
    Column("progress", "Progress", "number", "Accuracy gained in 1,000 steps since the last one."),
    Column(
        "trend",
        "Trend",
        "number",
        "Accuracy gained in 1,000 steps over the last checkpoints: Theil–Sen slope.",
    ),
    Column("trend_low", "Trend, low", "number", "Lower end of its 95 % bootstrap interval."),
    Column("trend_high", "Trend, high", "number", "Upper end of its 95 % bootstrap interval."),
    Column("trend_checkpoints", "Trend over", "count", "Checkpoints that the trend is of."),
)
