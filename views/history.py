"""The history of each example over the checkpoints of a run, by step: a tally for hard examples.

A run's histories are folded one evaluation at a time, so that a new checkpoint costs one evaluation
however long the run is. They are folded again from the start only where an evaluation that went
into them was touched, or one came in between.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from sqlalchemy import Column, Connection, PrimaryKeyConstraint, Table, delete, insert, select

from store.log import Recorded
from store.projections import Projection
from store.schema import INTEGER, TEXT, derived
from views.answers import outcomes_of
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


class History(NamedTuple):
    """How an example fared: at how many checkpoints it was graded, right, and changed sides."""

    times_seen: int = 0
    times_right: int = 0
    flips: int = 0
    first_right_step: int | None = None
    last_right_step: int | None = None
    was_right: bool | None = None

    def then(self, step: int, correct: bool) -> History:
        """The history with one more checkpoint, at `step`."""
        first, last = self.first_right_step, self.last_right_step
        return History(
            times_seen=self.times_seen + 1,
            times_right=self.times_right + correct,
            flips=self.flips + (self.was_right is not None and self.was_right != correct),
            first_right_step=step if correct and first is None else first,
            last_right_step=step if correct else last,
            was_right=correct,
        )


def histories_of(connection: Connection, run: str) -> dict[str, History]:
    """The histories of a run's examples, by example id."""
    rows = connection.execute(
        select(*EXAMPLE_HISTORY.columns)
        .where(EXAMPLE_HISTORY.c.run == run)
        .order_by(EXAMPLE_HISTORY.c.example_id)
    )
    histories = {}
    for row in rows:
        numbers = History(*tuple(row)[2:])
        was_right = None if numbers.was_right is None else bool(numbers.was_right)
        histories[row.example_id] = numbers._replace(was_right=was_right)
    return histories


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
        for example_id, correct in outcomes_of(connection, one.evaluation_id).items():
            before = histories.get(example_id, History())
            histories[example_id] = before.then(one.step, correct)
    connection.execute(delete(EXAMPLE_HISTORY).where(EXAMPLE_HISTORY.c.run == run))
    if histories:
        connection.execute(
            insert(EXAMPLE_HISTORY),
            [
                {"run": run, "example_id": example_id, **history._asdict()}
                for example_id, history in histories.items()
            ],
        )
    connection.execute(
        insert(FOLDED),
        [
            {"run": run, "ordinal": ordinal, "evaluation_id": wanted[ordinal]}
            for ordinal in range(len(folded), len(wanted))
        ],
    )


HISTORY = Projection(
    name="history",
    version=1,
    tables=(EXAMPLE_HISTORY, FOLDED),
    listens=CHANGES,
    derive=derive,
    reads=("lifecycle", "results"),
)
