"""The history of each example over the checkpoints of a run, by step: a tally for hard examples.

A run's histories are folded one evaluation at a time, so that a new checkpoint costs one evaluation
however long the run is. They are folded again from the start only where an evaluation that went
into them was touched, or one came in between.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Column, Connection, PrimaryKeyConstraint, Table, delete, insert, select

from store import tuples
from store.log import Recorded
from store.projections import Projection
from store.schema import INTEGER, REAL_NUMBER, TEXT, derived
from store.tuples import fetch
from views.answers import Answers
from views.blocks import answers_of, bytes_of
from views.scope import CHANGES, ended_of, touched

# `was_right` is the outcome at the newest checkpoint that graded the example; `suite_id` the suite
# that it counted in at the newest that measured it. `probability` is the mean of the target's,
# `deviations` the sum of the squared differences from it, which the next checkpoint adds to.
EXAMPLE_HISTORY: Table = derived(
    "example_history",
    Column("run", TEXT, nullable=False),
    Column("example_id", TEXT, nullable=False),
    Column("times_seen", INTEGER, nullable=False),
    Column("times_right", INTEGER, nullable=False),
    Column("flips", INTEGER, nullable=False),
    Column("first_right_step", INTEGER),
    Column("last_right_step", INTEGER),
    Column("was_right", INTEGER),
    Column("suite_id", TEXT, nullable=False),
    Column("times_measured", INTEGER, nullable=False),
    Column("probability", REAL_NUMBER),
    Column("deviations", REAL_NUMBER, nullable=False),
    Column("spread", REAL_NUMBER),
    PrimaryKeyConstraint("run", "example_id"),
)

# The evaluations that went into a run's histories, in the order of their checkpoints' steps.
FOLDED: Table = derived(
    "example_history_evaluation",
    Column("run", TEXT, nullable=False),
    Column("ordinal", INTEGER, nullable=False),
    Column("evaluation_id", TEXT, nullable=False),
    PrimaryKeyConstraint("run", "ordinal"),
)


NEVER = -1  # a step that has not come
UNSEEN = -1  # in `was_right`, of an example that was never graded
# How columns are stored: what is a text, a real number, or NULL where it is NEVER or UNSEEN.
STORED = tuple(column.name for column in EXAMPLE_HISTORY.columns if column.name != "run")
TEXTS = ("example_id", "suite_id")
REALS = ("probability", "deviations", "spread")
UNKNOWN = ("first_right_step", "last_right_step", "was_right")


@dataclass(frozen=True)
class Histories:
    """How examples fared: at how many checkpoints each was graded, right, and changed sides.

    Columns of equal length, by example id. Steps are NEVER where it was never right.

    `probability` is the mean of the target's at the `times_measured` checkpoints that measured it,
    exp(target_logprob / target_tokens), which is the geometric mean of its tokens'; NaN if none
    did. `deviations` is Σ (p − mean)², in Welford's way (1962): no answer of before is read again.
    `spread` is the standard deviation, √(deviations / times_measured), NaN before the second.
    """

    example_id: NDArray[np.bytes_]
    times_seen: NDArray[np.int64]
    times_right: NDArray[np.int64]
    flips: NDArray[np.int64]
    first_right_step: NDArray[np.int64]
    last_right_step: NDArray[np.int64]
    was_right: NDArray[np.int64]
    suite_id: NDArray[np.bytes_]
    times_measured: NDArray[np.int64]
    probability: NDArray[np.float64]
    deviations: NDArray[np.float64]
    spread: NDArray[np.float64]

    @classmethod
    def unseen(cls, example_id: NDArray[np.bytes_]) -> Histories:
        """The histories of examples, in order of their ids, before any checkpoint."""
        n = len(example_id)
        none, never = np.zeros(n, np.int64), np.full(n, NEVER)
        return cls(
            example_id,
            times_seen=none,
            times_right=none,
            flips=none,
            first_right_step=never,
            last_right_step=never,
            was_right=np.full(n, UNSEEN),
            suite_id=np.zeros(n, np.bytes_),
            times_measured=none,
            probability=np.full(n, np.nan),
            deviations=np.zeros(n),
            spread=np.full(n, np.nan),
        )

    def places(self, example_id: NDArray[np.bytes_]) -> NDArray[np.intp]:
        """The rows of these examples; of an unknown one, some row."""
        last = len(self.example_id) - 1
        return np.minimum(np.searchsorted(self.example_id, example_id), last)

    def knows(self, example_id: NDArray[np.bytes_]) -> bool:
        """Whether all of these examples have a row."""
        if not len(self.example_id):
            return not len(example_id)
        return bool((self.example_id[self.places(example_id)] == example_id).all())

    def of(self, example_id: NDArray[np.bytes_]) -> Histories:
        """The histories of these examples, in order of their ids."""
        unseen = Histories.unseen(example_id)
        if not len(self.example_id):
            return unseen
        places = self.places(example_id)
        known = self.example_id[places] == example_id
        columns = {
            name: np.where(known, column[places], vars(unseen)[name])
            for name, column in vars(self).items()
            if name != "example_id"
        }
        return Histories(example_id, **columns)

    def then(self, step: int, answers: Answers) -> Histories:
        """The histories with one more checkpoint, at `step`, which has one answer an example."""
        answers = answers[answers.graded | answers.has_target]
        answers = answers[np.argsort(answers.example_id, kind="stable")]
        ids = answers.example_id
        whole = self if self.knows(ids) else self.of(np.union1d(self.example_id, ids))
        n, places = len(whole.example_id), whole.places(ids)
        asked, seen, correct = np.zeros((3, n), np.bool_)
        asked[places], seen[places], correct[places] = True, answers.graded, answers.right
        suites = np.array(answers.suite_id.values(), np.bytes_)
        suite_id = np.zeros(n, suites.dtype)
        suite_id[places] = suites
        flipped = seen & (whole.was_right != UNSEEN) & (whole.was_right != correct)
        first = correct & (whole.first_right_step == NEVER)
        probability = np.full(n, np.nan)
        probability[places] = np.exp(-answers.loss)
        measured = ~np.isnan(probability)
        times_measured = whole.times_measured + measured
        before = np.where(whole.times_measured > 0, whole.probability, probability)
        off = np.where(measured, probability - before, 0.0)
        mean = before + off / np.maximum(times_measured, 1)
        deviations = whole.deviations + off * np.where(measured, probability - mean, 0.0)
        return Histories(
            example_id=whole.example_id,
            times_seen=whole.times_seen + seen,
            times_right=whole.times_right + correct,
            flips=whole.flips + flipped,
            first_right_step=np.where(first, step, whole.first_right_step),
            last_right_step=np.where(correct, step, whole.last_right_step),
            was_right=np.where(seen, correct, whole.was_right),
            suite_id=np.where(asked, suite_id, whole.suite_id),
            times_measured=times_measured,
            probability=mean,
            deviations=deviations,
            spread=np.sqrt(deviations / np.where(times_measured > 1, times_measured, np.nan)),
        )


def histories_of(connection: Connection, run: str) -> Histories:
    """The histories of a run's examples."""
    rows = fetch(connection, select(EXAMPLE_HISTORY).where(EXAMPLE_HISTORY.c.run == run))
    rows.sort()
    _, *columns = zip(*rows, strict=True) if rows else [()] * len(EXAMPLE_HISTORY.columns)
    return Histories(**{name: _read(name, own) for name, own in zip(STORED, columns, strict=True)})


def _rows(run: str, histories: Histories) -> list[tuple[Any, ...]]:
    """The rows of `example_history`."""
    columns = [_written(name, getattr(histories, name)) for name in STORED]
    return list(zip([run] * len(histories.example_id), *columns, strict=True))


def _read(name: str, stored: Sequence[Any]) -> NDArray[Any]:
    """A column of `example_history` as one of `Histories`."""
    if name in TEXTS:
        return bytes_of(stored)
    if name in REALS:
        return np.array([np.nan if one is None else one for one in stored], np.float64)
    return np.array([NEVER if one is None else one for one in stored], np.int64)


def _written(name: str, column: NDArray[Any]) -> list[Any]:
    """A column of `Histories` as one of `example_history`."""
    if name in TEXTS:
        return [one.decode() for one in column.tolist()]
    if name in REALS:
        return [None if math.isnan(one) else one for one in column.tolist()]
    return steps_of(column) if name in UNKNOWN else column.tolist()


def steps_of(steps: NDArray[np.int64]) -> list[int | None]:
    """Steps, with None for one that has not come."""
    return [None if step == NEVER else step for step in steps.tolist()]


def derive(connection: Connection, events: Sequence[Recorded]) -> None:
    """Folds what the events brought into the histories of the runs that they touch."""
    new = touched(connection, events)
    for run in new.runs:
        _derive_run(connection, run, frozenset(new.evaluations))


def _derive_run(connection: Connection, run: str, stale: Collection[str]) -> None:
    completed = [one for one in ended_of(connection, run) if one.completed]
    wanted = [one.evaluation_id for one in completed]
    folded = list(
        connection.scalars(
            select(FOLDED.c.evaluation_id).where(FOLDED.c.run == run).order_by(FOLDED.c.ordinal)
        )
    )
    if folded != wanted[: len(folded)] or any(one in stale for one in folded):
        connection.execute(delete(FOLDED).where(FOLDED.c.run == run))
        connection.execute(delete(EXAMPLE_HISTORY).where(EXAMPLE_HISTORY.c.run == run))
        folded = []
    if len(folded) == len(wanted):
        return
    histories = histories_of(connection, run)
    for one in completed[len(folded) :]:
        histories = histories.then(one.step, answers_of(connection, one.evaluation_id).once())
    connection.execute(delete(EXAMPLE_HISTORY).where(EXAMPLE_HISTORY.c.run == run))
    tuples.insert(connection, EXAMPLE_HISTORY, _rows(run, histories))
    connection.execute(
        insert(FOLDED),
        [
            {"run": run, "ordinal": ordinal, "evaluation_id": wanted[ordinal]}
            for ordinal in range(len(folded), len(wanted))
        ],
    )


HISTORY = Projection(
    name="history",
    version=3,
    tables=(EXAMPLE_HISTORY, FOLDED),
    listens=CHANGES,
    derive=derive,
    reads=("lifecycle", "results"),
)
