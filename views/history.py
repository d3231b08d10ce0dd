"""The history of each example over the checkpoints of a run, by step: a tally for hard examples.

A run's histories are folded one evaluation at a time, so that a new checkpoint costs one evaluation
however long the run is. They are folded again from the start only where an evaluation that went
into them was touched, or one came in between.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Column, Connection, PrimaryKeyConstraint, Table, delete, insert, select

from store import tuples
from store.log import Recorded
from store.projections import Projection
from store.schema import INTEGER, TEXT, derived
from store.tuples import fetch
from views.answers import Answers
from views.blocks import answers_of, bytes_of
from views.scope import CHANGES, ended_of, touched

# `was_right` is the outcome at the newest checkpoint that graded the example.
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


@dataclass(frozen=True)
class Histories:
    """How examples fared: at how many checkpoints each was graded, right, and changed sides.

    Columns of equal length, by example id. Steps are NEVER where it was never right.
    """

    example_id: NDArray[np.bytes_]
    times_seen: NDArray[np.int64]
    times_right: NDArray[np.int64]
    flips: NDArray[np.int64]
    first_right_step: NDArray[np.int64]
    last_right_step: NDArray[np.int64]
    was_right: NDArray[np.int64]

    @classmethod
    def unseen(cls, example_id: NDArray[np.bytes_]) -> Histories:
        """The histories of examples, in order of their ids, before any checkpoint."""
        n = len(example_id)
        none, never = np.zeros(n, np.int64), np.full(n, NEVER)
        return cls(example_id, none, none, none, never, never, np.full(n, UNSEEN))

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
        graded = answers[answers.graded]
        order = np.argsort(graded.example_id, kind="stable")
        ids, right = graded.example_id[order], graded.right[order]
        whole = self if self.knows(ids) else self.of(np.union1d(self.example_id, ids))
        seen = np.zeros(len(whole.example_id), np.bool_)
        correct = np.zeros(len(whole.example_id), np.bool_)
        places = whole.places(ids)
        seen[places], correct[places] = True, right
        flipped = seen & (whole.was_right != UNSEEN) & (whole.was_right != correct)
        first = correct & (whole.first_right_step == NEVER)
        return Histories(
            example_id=whole.example_id,
            times_seen=whole.times_seen + seen,
            times_right=whole.times_right + correct,
            flips=whole.flips + flipped,
            first_right_step=np.where(first, step, whole.first_right_step),
            last_right_step=np.where(correct, step, whole.last_right_step),
            was_right=np.where(seen, correct, whole.was_right),
        )


def histories_of(connection: Connection, run: str) -> Histories:
    """The histories of a run's examples."""
    rows = fetch(connection, select(EXAMPLE_HISTORY).where(EXAMPLE_HISTORY.c.run == run))
    rows.sort()
    _, ids, *columns = zip(*rows, strict=True) if rows else [()] * len(EXAMPLE_HISTORY.columns)
    numbers = [np.array([NEVER if one is None else one for one in own]) for own in columns]
    return Histories(bytes_of(ids), *(own.astype(np.int64) for own in numbers))


def _rows(run: str, histories: Histories) -> list[tuple[Any, ...]]:
    """The rows of `example_history`."""
    columns = vars(histories)
    return list(
        zip(
            [run] * len(histories.example_id),
            [one.decode() for one in histories.example_id.tolist()],
            *(columns[name].tolist() for name in ("times_seen", "times_right", "flips")),
            *(steps_of(columns[name]) for name in ("first_right_step", "last_right_step")),
            histories.was_right.tolist(),
            strict=True,
        )
    )


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
    version=2,
    tables=(EXAMPLE_HISTORY, FOLDED),
    listens=CHANGES,
    derive=derive,
    reads=("lifecycle", "results"),
)
