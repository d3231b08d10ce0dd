"""Answers at rest: one row an evaluation and suite, each column of it packed into one value.

Written by views.results next to `grade`, which holds the same for SQL, one row a prediction. Here
ten thousand answers are read in a few milliseconds, without a join: a suite's role and name are the
only things that are looked up. Arrays are little-endian; a column of labels whose rows are all
alike takes no bytes.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Column, Connection, PrimaryKeyConstraint, Table, select

from store.lifecycle import EVALUATION, SUITE
from store.schema import BLOB, INTEGER, TEXT, derived, dumps
from store.tuples import fetch
from views.answers import Answers
from views.labels import Labels
from views.scope import EVALUATED, FAILED, QUICK_COLUMNS, QuickTier, quick_of

LABELS = ("difficulty", "skill", "grader", "error_class", "error")
# As stored, and in memory.
ARRAYS: dict[str, tuple[str, type[Any]]] = {
    "sample": ("<i4", np.int64),
    "counts": ("<i1", np.bool_),
    "correct": ("<i1", np.int8),
    "score": ("<f8", np.float64),
    "confidence": ("<f8", np.float64),
    "target_logprob": ("<f8", np.float64),
    "target_tokens": ("<i4", np.int64),
    "target_bytes": ("<i4", np.int64),
    "target_top1": ("<i4", np.int64),
}
CODES = "<i4"

# `names` are the labels that the codes stand for, as JSON by column; `example_ids` one a line.
ANSWER_BLOCK: Table = derived(
    "answer_block",
    Column("evaluation_id", TEXT, nullable=False),
    Column("suite_id", TEXT, nullable=False),
    Column("n", INTEGER, nullable=False),
    Column("names", TEXT, nullable=False),
    Column("example_ids", TEXT, nullable=False),
    *(Column(name, BLOB, nullable=False) for name in (*LABELS, *ARRAYS)),
    PrimaryKeyConstraint("evaluation_id", "suite_id"),
)


class Ending(NamedTuple):
    """How an evaluation ended; `reason` says why it did not complete.

    One that goes on is complete as far as its `quick` tier goes.
    """

    completed: bool
    reason: str | None
    quick: QuickTier | None = None


def ending_of(connection: Connection, evaluation_id: str, *, quick: bool = False) -> Ending | None:
    """How the evaluation ended; None while it has not, unless its `quick` tier is asked for."""
    row = connection.execute(
        select(EVALUATION.c.status, EVALUATION.c.error, EVALUATION.c.message, *QUICK_COLUMNS).where(
            EVALUATION.c.evaluation_id == evaluation_id
        )
    ).one()
    if row.status in FAILED:
        return Ending(completed=False, reason=f"{row.error}: {row.message}")
    if row.status == EVALUATED:
        return Ending(completed=True, reason=None)
    tier = quick_of(row.status, row.quick_examples, row.examples, row.quick_position)
    return None if tier is None or not quick else Ending(completed=True, reason=None, quick=tier)


def packed(evaluation_id: str, suite_id: str, answers: Answers) -> tuple[Any, ...]:
    """The answers of one suite as a row of `answer_block`."""
    labels: dict[str, Labels] = {name: getattr(answers, name) for name in LABELS}
    return (
        evaluation_id,
        suite_id,
        len(answers),
        dumps({name: column.names for name, column in labels.items()}),
        b"\n".join(answers.example_id.tolist()).decode(),
        *(_packed_codes(column) for column in labels.values()),
        *(getattr(answers, name).astype(kind).tobytes() for name, (kind, _) in ARRAYS.items()),
    )


def _packed_codes(column: Labels) -> bytes:
    return b"" if len(column.names) == 1 else column.codes.astype(CODES).tobytes()


def answers_of(connection: Connection, evaluation_id: str) -> Answers:
    """All answers of an evaluation; none of one that did not complete.

    Suites come in the order in which an example that stands in several counts, and in each the
    rows by example id and sample.
    """
    rows = fetch(
        connection,
        select(SUITE.c.name, SUITE.c.role, *ANSWER_BLOCK.columns)
        .join(SUITE, SUITE.c.suite_id == ANSWER_BLOCK.c.suite_id)
        .where(ANSWER_BLOCK.c.evaluation_id == evaluation_id),
    )
    # "validation" comes after "mining".
    rows.sort(key=lambda row: (row[0], row[3]))
    rows.sort(key=lambda row: row[1], reverse=True)
    return Answers.joined([_unpacked(*row[:2], *row[3:]) for row in rows])


def _unpacked(
    suite: str, role: str, suite_id: str, n: int, names: str, example_ids: str, *columns: bytes
) -> Answers:
    name_of = json.loads(names)
    labels: dict[str, Any] = {
        name: Labels(tuple(name_of[name]), _codes(column, n))
        for name, column in zip(LABELS, columns, strict=False)
    }
    arrays: dict[str, Any] = {
        name: np.frombuffer(column, stored).astype(kind)
        for (name, (stored, kind)), column in zip(
            ARRAYS.items(), columns[len(LABELS) :], strict=True
        )
    }
    return Answers(
        suite_id=Labels.alike(suite_id, n),
        suite=Labels.alike(suite, n),
        role=Labels.alike(role, n),
        example_id=_ids(example_ids),
        **labels,
        **arrays,
    )


def _codes(column: bytes, n: int) -> NDArray[np.int64]:
    return np.frombuffer(column, CODES).astype(np.int64) if column else np.zeros(n, np.int64)


# A run asks the same examples of every checkpoint.
@lru_cache(maxsize=16)
def _ids(lines: str) -> NDArray[np.bytes_]:
    ids = bytes_of(lines.split("\n") if lines else [])
    ids.flags.writeable = False
    return ids


def bytes_of(example_ids: Sequence[str]) -> NDArray[np.bytes_]:
    """Example ids as an array; in UTF-8 they sort as the database sorts them."""
    return np.array([one.encode() for one in example_ids], np.bytes_)
