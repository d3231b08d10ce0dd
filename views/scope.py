"""What the views share: which evaluations or runs new events touch, and a run's results.

A tally is derived for one evaluation at a time, a verdict for one run at a time. Each is a function
of the lifecycle tables and the tallies alone and is computed afresh whenever an event in CHANGES
touches it, so that deriving step by step and deriving all at once end in the same rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel
from sqlalchemy import Connection, Table, and_, case, delete, func, insert, or_, select
from sqlalchemy.sql import ColumnElement

from settings import DIFFICULTIES
from store.events import (
    EvaluationAbandoned,
    EvaluationCompleted,
    EvaluationFailed,
    EvaluationStarted,
    Event,
    QuickTierCompleted,
    SuiteRegistered,
)
from store.lifecycle import CHECKPOINT, EVALUATION, EVALUATION_SUITE, SUITE
from store.log import Recorded
from store.projections import Derive
from store.schema import dumps
from views.tallies import RESULT
from views.view import Column

# Everything that can change what a tally or a verdict says. A start is among them: it takes back
# the failure of the attempt before, and can make another evaluation the current one.
CHANGES: frozenset[type[Event]] = frozenset(
    {
        SuiteRegistered,
        EvaluationStarted,
        EvaluationCompleted,
        EvaluationFailed,
        EvaluationAbandoned,
    }
)
# The same for what is derived of quick tiers as well.
EARLY_CHANGES = CHANGES | {QuickTierCompleted}

# The columns that say what a row is about, and a SQL expression to sort by.
SUBJECT = (
    Column("run", "Run", "text", "The training run: the folder that the checkpoint lies in."),
    Column("checkpoint_id", "Checkpoint", "id", "Digest of the checkpoint's files."),
    Column("step", "Step", "step", "The training step at which it was saved."),
)
EASY_FIRST = (
    "CASE difficulty WHEN 'easy' THEN 0 WHEN 'medium' THEN 1 WHEN 'hard' THEN 2 ELSE 3 END, "
    "difficulty"
)

EVALUATED = "completed"
FAILED = ("failed", "abandoned")
ENDED = (EVALUATED, *FAILED)

# What numbers rest on: all examples of an evaluation, or those that came first.
Tier = Literal["full", "quick"]
TIER = Column(
    "tier", "Tier", "text", "full, or quick: only the examples that come first are measured yet."
)


class QuickTier(NamedTuple):
    """What is measured of an evaluation that goes on: `measured` of its `examples`.

    `position` is the last in the log that belongs to it.
    """

    measured: int
    examples: int
    position: int

    @property
    def words(self) -> str:
        """A sentence for people."""
        return f"Quick tier: {self.measured} of {self.examples} examples."


@dataclass(frozen=True)
class Ended:
    """A checkpoint whose current evaluation has ended, well (`completed`) or not.

    Or, where a view asks for those too, one that has not, and of which the `quick` tier is as
    complete as it will be.
    """

    checkpoint_id: str
    step: int
    evaluation_id: str
    completed: bool
    reason: str | None
    quick: QuickTier | None = None

    @property
    def tier(self) -> Tier | None:
        """What its numbers rest on; None without any."""
        return tier_of(self.quick) if self.completed else None


@dataclass(frozen=True)
class Result:
    """A row of `result` with its checkpoint and suite; None is what was not measured.

    `loss` is in nats a token, `accuracy` and `score` are shares; `reason` says why something is
    None. `suite` is the suite's name; `role` is None if the log does not hold the suite.
    `n_elsewhere` rows count in another suite, and once_* measure the others alone.
    """

    checkpoint_id: str
    step: int
    evaluation_id: str
    completed: bool
    suite_id: str
    suite: str
    role: str | None
    grader: str | None
    difficulty: str
    n: int
    n_failed: int
    n_graded: int
    loss: float | None
    perplexity: float | None
    bits_per_byte: float | None
    token_accuracy: float | None
    accuracy: float | None
    accuracy_low: float | None
    accuracy_high: float | None
    score: float | None
    loss_se: float | None
    accuracy_se: float | None
    n_elsewhere: int | None
    once_n: int | None
    once_n_graded: int | None
    once_loss: float | None
    once_accuracy: float | None
    reason: str | None

    @property
    def counts(self) -> bool:
        """Whether some of its examples do not stand in another suite, where they count."""
        return not self.n_elsewhere or self.n_elsewhere < self.n + self.n_failed


class Touched(NamedTuple):
    """What a batch of events touches, each sorted."""

    evaluations: tuple[str, ...]
    runs: tuple[str, ...]


def touched(connection: Connection, events: Iterable[Recorded]) -> Touched:
    """The evaluations, and the runs of their checkpoints, that events of CHANGES touch."""
    suites: set[str] = set()
    evaluations: set[str] = set()
    for recorded in events:
        match recorded.event:
            case SuiteRegistered() as event:
                suites.add(event.suite_id)
            case (
                EvaluationStarted()
                | QuickTierCompleted()
                | EvaluationCompleted()
                | EvaluationFailed()
                | EvaluationAbandoned()
            ) as event:
                evaluations.add(event.evaluation_id)
    for suite_id in suites:
        evaluations.update(
            connection.scalars(
                select(EVALUATION_SUITE.c.evaluation_id).where(
                    EVALUATION_SUITE.c.suite_id == suite_id
                )
            )
        )
    runs: set[str] = set()
    for evaluation_id in evaluations:
        runs.update(
            connection.scalars(
                select(CHECKPOINT.c.run)
                .join(EVALUATION, EVALUATION.c.checkpoint_id == CHECKPOINT.c.checkpoint_id)
                .where(EVALUATION.c.evaluation_id == evaluation_id)
            )
        )
    return Touched(tuple(sorted(evaluations)), tuple(sorted(runs)))


def per_evaluation(derive: Callable[[Connection, str], None]) -> Derive:
    """A projection's `derive` from one that derives a single evaluation, by id."""

    def derive_all(connection: Connection, events: Sequence[Recorded]) -> None:
        for evaluation_id in touched(connection, events).evaluations:
            derive(connection, evaluation_id)

    return derive_all


def per_run(derive: Callable[[Connection, str], None]) -> Derive:
    """A projection's `derive` from one that derives a single run, by name."""

    def derive_all(connection: Connection, events: Sequence[Recorded]) -> None:
        for run in touched(connection, events).runs:
            derive(connection, run)

    return derive_all


def rewrite(
    connection: Connection, table: Table, key: Mapping[str, str], rows: Sequence[Any]
) -> None:
    """Replaces the rows of `table` whose columns equal `key`; `rows` are dataclass instances.

    The columns in `key` are filled in from it; the others are the dataclass's fields.
    """
    matches = [table.c[name] == value for name, value in key.items()]
    connection.execute(delete(table).where(*matches))
    if rows:
        connection.execute(insert(table), [{**vars(row), **key} for row in rows])


def settings_text(*sections: BaseModel) -> str:
    """Canonical text of the settings that a projection depends on."""
    return dumps([section.model_dump(mode="json") for section in sections])


def by_difficulty(column: ColumnElement[str]) -> ColumnElement[int]:
    """Sorts easy, medium, hard, then anything else."""
    ranks = {name: rank for rank, name in enumerate(DIFFICULTIES)}
    return case(ranks, value=column, else_=len(ranks))


def tier_of(quick: QuickTier | None) -> Tier:
    """The tier of numbers that rest on `quick`, or on all examples where it is None."""
    return "full" if quick is None else "quick"


# Has it not ended, but its quick tier is in? A failure takes that back, a new attempt brings it.
QUICK = and_(EVALUATION.c.status == "started", EVALUATION.c.quick_position.is_not(None))
QUICK_COLUMNS = (EVALUATION.c.quick_examples, EVALUATION.c.examples, EVALUATION.c.quick_position)


def quick_of(
    status: str, measured: int | None, examples: int | None, position: int | None
) -> QuickTier | None:
    """The quick tier of an evaluation with this `status` and QUICK_COLUMNS, None if not shown."""
    if status in ENDED or measured is None or examples is None or position is None:
        return None
    return QuickTier(measured, examples, position)


def _shown(*, quick: bool) -> ColumnElement[bool]:
    ended = EVALUATION.c.status.in_(ENDED)
    return or_(ended, QUICK) if quick else ended


def ended_of(connection: Connection, run: str, *, quick: bool = False) -> list[Ended]:
    """The run's checkpoints whose current evaluation has ended, by step and then by arrival.

    With `quick`, also those of which the quick tier is in.
    """
    rows = connection.execute(
        select(
            CHECKPOINT.c.checkpoint_id,
            CHECKPOINT.c.step,
            EVALUATION.c.evaluation_id,
            (EVALUATION.c.error + ": " + EVALUATION.c.message).label("reason"),
            EVALUATION.c.status,
            *QUICK_COLUMNS,
        )
        .join(EVALUATION, EVALUATION.c.checkpoint_id == CHECKPOINT.c.checkpoint_id)
        .where(CHECKPOINT.c.run == run, EVALUATION.c.current == 1, _shown(quick=quick))
        .order_by(CHECKPOINT.c.step, CHECKPOINT.c.arrived_at, CHECKPOINT.c.checkpoint_id)
    )
    return [
        Ended(
            row.checkpoint_id,
            row.step,
            row.evaluation_id,
            completed=row.status not in FAILED,
            reason=row.reason,
            quick=quick_of(row.status, row.quick_examples, row.examples, row.quick_position),
        )
        for row in rows
    ]


def results_of(connection: Connection, run: str, *, quick: bool = False) -> list[Result]:
    """The results of the run's current evaluations that have ended.

    With `quick`, also those of quick tiers. By step, arrival, suite name and difficulty (easy,
    medium, hard, others).
    """
    name = func.coalesce(SUITE.c.name, RESULT.c.suite_id)
    from_elsewhere: dict[str, ColumnElement[Any]] = {
        "checkpoint_id": CHECKPOINT.c.checkpoint_id,
        "step": CHECKPOINT.c.step,
        "completed": EVALUATION.c.status.not_in(FAILED),
        "suite": name,
        "role": SUITE.c.role,
    }
    names = [field.name for field in fields(Result)]
    columns = [from_elsewhere[one] if one in from_elsewhere else RESULT.c[one] for one in names]
    rows = connection.execute(
        select(*columns)
        .select_from(RESULT)
        .join(EVALUATION, EVALUATION.c.evaluation_id == RESULT.c.evaluation_id)
        .join(CHECKPOINT, CHECKPOINT.c.checkpoint_id == EVALUATION.c.checkpoint_id)
        .outerjoin(SUITE, SUITE.c.suite_id == RESULT.c.suite_id)
        .where(CHECKPOINT.c.run == run, EVALUATION.c.current == 1, _shown(quick=quick))
        .order_by(
            CHECKPOINT.c.step,
            CHECKPOINT.c.arrived_at,
            CHECKPOINT.c.checkpoint_id,
            name,
            by_difficulty(RESULT.c.difficulty),
            RESULT.c.difficulty,
            RESULT.c.suite_id,
        )
    )
    return [Result(*tuple(row)) for row in rows]
