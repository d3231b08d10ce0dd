"""Effects: did what was exported to train on help?

What was wrong at the checkpoint that examples were exported from is looked at again at each later
one that arrived after the export. What was exported is held against what was not, in three ways:

| measured | what is counted                                                                   |
|----------|-----------------------------------------------------------------------------------|
| examples | the exported examples, against others that were wrong: are they known now?       |
| answers  | wrong validation answers of the exported patterns, against those of others        |
| patterns | these patterns: one is solved when more than half of its answers are right        |

A pattern is an error class within a difficulty and skill. Validation is never trained on, so that
answers and patterns say whether something was learned. Which examples are exported is not left to
chance: a difference may have another cause.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Column as SqlColumn
from sqlalchemy import Connection, Index, PrimaryKeyConstraint, Table, delete, insert, select

from settings import Settings
from store.events import ExamplesExported
from store.lifecycle import CHECKPOINT, EVALUATION
from store.log import Recorded
from store.projections import Projection
from store.schema import INTEGER, JSON, REAL_NUMBER, TEXT, derived
from store.tuples import insert as insert_tuples
from views.answers import VALIDATION, Answers
from views.blocks import answers_of, bytes_of
from views.scope import CHANGES, EVALUATED, SUBJECT, touched
from views.two_shares import fisher, newcombe
from views.view import Column, View

Measured = Literal["examples", "answers", "patterns"]
HELPED, WORSE = "helped", "worse"
NOT_SHOWN, TOO_FEW = "no difference shown", "too few to tell"
LEAST = 10  # on either side, to tell anything
SIGNIFICANT = 0.05
SOLVED = 0.5

EXPORTED_FILE: Table = derived(
    "exported_file",
    SqlColumn("event_id", TEXT, primary_key=True, nullable=False),
    SqlColumn("kind", TEXT, nullable=False),
    SqlColumn("file", TEXT, nullable=False),
    SqlColumn("digest", TEXT, nullable=False),
    SqlColumn("run", TEXT, nullable=False),
    SqlColumn("checkpoint_id", TEXT, nullable=False),
    SqlColumn("step", INTEGER, nullable=False),
    SqlColumn("evaluation_id", TEXT, nullable=False),
    SqlColumn("filter", JSON, nullable=False),
    SqlColumn("n", INTEGER, nullable=False),
    SqlColumn("left_out", JSON, nullable=False),
    SqlColumn("exported_at", TEXT, nullable=False),
)
EXPORTED_EXAMPLE: Table = derived(
    "exported_example",
    SqlColumn("event_id", TEXT, nullable=False),
    SqlColumn("example_id", TEXT, nullable=False),
    PrimaryKeyConstraint("event_id", "example_id"),
)
EFFECT: Table = derived(
    "effect",
    SqlColumn("evaluation_id", TEXT, nullable=False),
    SqlColumn("exported_evaluation_id", TEXT, nullable=False),
    SqlColumn("measured", TEXT, nullable=False),
    SqlColumn("run", TEXT, nullable=False),
    SqlColumn("exported_step", INTEGER, nullable=False),
    SqlColumn("n_exported", INTEGER, nullable=False),
    SqlColumn("solved_exported", INTEGER, nullable=False),
    SqlColumn("n_other", INTEGER, nullable=False),
    SqlColumn("solved_other", INTEGER, nullable=False),
    SqlColumn("difference", REAL_NUMBER),
    SqlColumn("difference_low", REAL_NUMBER),
    SqlColumn("difference_high", REAL_NUMBER),
    SqlColumn("p", REAL_NUMBER),
    SqlColumn("verdict", TEXT, nullable=False),
    SqlColumn("reason", TEXT),
    PrimaryKeyConstraint("evaluation_id", "exported_evaluation_id", "measured"),
    Index(None, "run"),
)


@dataclass(frozen=True)
class Effect:
    """How many of what was wrong are solved, exported or not; `difference` is of the shares.

    None where a side has nothing to count. `p` is Fisher's, the interval Newcombe's.
    """

    measured: Measured
    n_exported: int
    solved_exported: int
    n_other: int
    solved_other: int
    difference: float | None
    difference_low: float | None
    difference_high: float | None
    p: float | None
    verdict: str
    reason: str | None


def effect(measured: Measured, exported: NDArray[np.bool_], other: NDArray[np.bool_]) -> Effect:
    """The effect on what was exported and on what was not; each says which of its are solved."""
    n, solved, n_other, solved_other = (
        len(exported), int(exported.sum()), len(other), int(other.sum()),
    )  # fmt: skip
    counts = (measured, n, solved, n_other, solved_other)
    if not n or not n_other:
        side = "nothing that was exported" if not n else "nothing that was not exported"
        return Effect(*counts, None, None, None, None, TOO_FEW, f"There is {side} to look at.")
    difference = solved / n - solved_other / n_other
    low, high = newcombe(solved, n, solved_other, n_other)
    p = fisher(solved, n, solved_other, n_other)
    verdict, reason = NOT_SHOWN, None
    if min(n, n_other) < LEAST:
        verdict, reason = TOO_FEW, f"Fewer than {LEAST} on a side."
    elif p < SIGNIFICANT:
        verdict = HELPED if difference > 0 else WORSE
    return Effect(*counts, difference, low, high, p, verdict, reason)


def effects(
    before: Answers, after: Answers, exported: NDArray[np.bytes_], ever: NDArray[np.bytes_]
) -> list[Effect]:
    """The three effects of exporting `exported`, by the answers before and after.

    One answer an example. What is in `ever`, exported at any time, is not compared with.
    """
    wrong = before[before.graded & ~before.right]
    graded = after[after.graded]
    graded = graded[np.argsort(graded.example_id, kind="stable")]
    places = np.minimum(
        np.searchsorted(graded.example_id, wrong.example_id), max(0, len(graded) - 1)
    )
    if len(graded):
        seen = graded.example_id[places] == wrong.example_id
        solved = seen & graded.right[places]
    else:
        seen = solved = np.zeros(len(wrong), np.bool_)
    given = np.isin(wrong.example_id, exported)
    free = ~np.isin(wrong.example_id, ever)
    pattern = _patterns(wrong)
    validates = seen & free & wrong.role.are(VALIDATION)
    known = np.isin(pattern, pattern[given])
    return [
        effect("examples", solved[seen & given], solved[seen & free]),
        effect("answers", solved[validates & known], solved[validates & ~known]),
        effect(
            "patterns",
            _mostly(pattern[validates & known], solved[validates & known]),
            _mostly(pattern[validates & ~known], solved[validates & ~known]),
        ),
    ]


def _patterns(answers: Answers) -> NDArray[np.int64]:
    """The pattern of each answer, as a number."""
    number = np.zeros(len(answers), np.int64)
    for labels in (answers.difficulty, answers.skill, answers.error_class):
        number = number * (len(labels.names) or 1) + labels.codes
    return number


def _mostly(pattern: NDArray[np.int64], solved: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Of each pattern, whether more than the share SOLVED of its answers are solved."""
    _, which, n = np.unique(pattern, return_inverse=True, return_counts=True)
    return np.asarray(np.bincount(which, solved, len(n)) > SOLVED * n)


class _Export(NamedTuple):
    """What was exported of an evaluation, in all files, and when the first was written."""

    run: str
    step: int
    evaluation_id: str
    at: str
    example_ids: frozenset[str]


class _Later(NamedTuple):
    """An evaluation that completed."""

    run: str
    step: int
    evaluation_id: str
    arrived_at: str


def derive(connection: Connection, events: Sequence[Recorded]) -> None:
    """Follows the exports, and what became of them at each evaluation that was touched.

    An export changes what all of its run's are compared with; a checkpoint costs itself alone.
    """
    runs: set[str] = set()
    for recorded in events:
        if isinstance(recorded.event, ExamplesExported):
            _keep(connection, recorded.event, recorded)
            runs.add(recorded.event.run)
    new = touched(connection, events)
    exports = {run: _exports(connection, run) for run in sorted({*new.runs, *runs})}
    sources = {one.evaluation_id: run for run, found in exports.items() for one in found}
    runs.update(sources[one] for one in new.evaluations if one in sources)
    for run in sorted(runs):
        connection.execute(delete(EFFECT).where(EFFECT.c.run == run))
    connection.execute(delete(EFFECT).where(EFFECT.c.evaluation_id.in_(new.evaluations)))
    for run, found in exports.items():
        if found:
            only = None if run in runs else new.evaluations
            _derive_run(connection, found, _completed(connection, run, only))


def _derive_run(
    connection: Connection, exports: Sequence[_Export], later: Iterable[_Later]
) -> None:
    ever = _bytes({one for export in exports for one in export.example_ids})
    before = {
        one.evaluation_id: answers_of(connection, one.evaluation_id).once() for one in exports
    }
    rows: list[dict[str, Any]] = []
    for one in later:
        of = [export for export in exports if _could_learn(one, export)]
        after = answers_of(connection, one.evaluation_id).once() if of else Answers.none()
        for export in of:
            found = effects(before[export.evaluation_id], after, _bytes(export.example_ids), ever)
            key = {
                "evaluation_id": one.evaluation_id,
                "exported_evaluation_id": export.evaluation_id,
                "run": export.run,
                "exported_step": export.step,
            }
            rows.extend({**vars(effect), **key} for effect in found)
    if rows:
        connection.execute(insert(EFFECT), rows)


def _could_learn(one: _Later, export: _Export) -> bool:
    return one.step > export.step and one.arrived_at >= export.at


def _bytes(example_ids: Collection[str]) -> NDArray[np.bytes_]:
    return bytes_of(sorted(example_ids))


def _keep(connection: Connection, event: ExamplesExported, recorded: Recorded) -> None:
    connection.execute(
        insert(EXPORTED_FILE).values(
            event_id=event.event_id,
            kind=event.kind,
            file=event.file,
            digest=event.digest,
            run=event.run,
            checkpoint_id=event.checkpoint_id,
            step=event.step,
            evaluation_id=event.evaluation_id,
            filter=event.filter,
            n=len(event.examples),
            left_out=event.left_out,
            exported_at=recorded.recorded_at,
        )
    )
    ids = sorted(set(event.examples))
    insert_tuples(connection, EXPORTED_EXAMPLE, [(event.event_id, one) for one in ids])


def _exports(connection: Connection, run: str) -> list[_Export]:
    """What was exported of a run, by evaluation, in the order of their steps."""
    file = EXPORTED_FILE.c
    rows = connection.execute(
        select(file.step, file.evaluation_id, file.exported_at, EXPORTED_EXAMPLE.c.example_id)
        .join(EXPORTED_EXAMPLE, EXPORTED_EXAMPLE.c.event_id == file.event_id)
        .where(file.run == run)
    ).all()
    ids: defaultdict[tuple[int, str], set[str]] = defaultdict(set)
    first: dict[tuple[int, str], str] = {}
    for step, evaluation_id, at, example_id in rows:
        key = (step, evaluation_id)
        ids[key].add(example_id)
        first[key] = min(at, first.get(key, at))
    return [_Export(run, *key, first[key], frozenset(ids[key])) for key in sorted(ids)]


def _completed(connection: Connection, run: str, only: Collection[str] | None) -> list[_Later]:
    """The completed evaluations of a run, or of those in `only`."""
    query = (
        select(CHECKPOINT.c.step, EVALUATION.c.evaluation_id, CHECKPOINT.c.arrived_at)
        .join(EVALUATION, EVALUATION.c.checkpoint_id == CHECKPOINT.c.checkpoint_id)
        .where(CHECKPOINT.c.run == run, EVALUATION.c.status == EVALUATED)
    )
    if only is not None:
        query = query.where(EVALUATION.c.evaluation_id.in_(only))
    return sorted(_Later(run, *row) for row in connection.execute(query))


EFFECTS = Projection(
    name="effects",
    version=1,
    tables=(EXPORTED_FILE, EXPORTED_EXAMPLE, EFFECT),
    listens=CHANGES | {ExamplesExported},
    derive=derive,
    reads=("lifecycle", "results"),
)

COLUMNS = (
    *SUBJECT,
    Column("exported_step", "Exported at", "step", "The step that the examples were exported of."),
    Column(
        "measured",
        "Measured",
        "text",
        "examples: the exported ones themselves. answers: wrong validation answers of the exported "
        "patterns. patterns: those, solved when more than half of their answers are right.",
    ),
    Column("n_exported", "Exported", "count", "Those that were wrong then and are graded now."),
    Column("solved_exported", "Solved", "count", "How many of these are right now."),
    Column("n_other", "Others", "count", "Wrong then too, and not exported."),
    Column("solved_other", "Others solved", "count", "How many of these are right now."),
    Column("difference", "Difference", "number", "The share solved of the exported minus others."),
    Column("difference_low", "At least", "number", "The 95 % interval's low end (Newcombe)."),
    Column("difference_high", "At most", "number", "The 95 % interval's high end (Newcombe)."),
    Column("p", "p", "number", "Of Fisher's exact test, two-sided, for this row alone."),
    Column(
        "verdict",
        "Verdict",
        "text",
        "helped, worse (p < 0.05), no difference shown, or too few to tell (under 10 on a side).",
    ),
    Column("reason", "Reason", "text", "Why nothing can be told."),
)


def view(settings: Settings) -> View:  # noqa: ARG001 - every view takes them
    """The effects of every export of a run at its later checkpoints."""
    return View(
        name="effects",
        title="Effects",
        question="Did the examples that were exported to train on help at later checkpoints?",
        sql_view="effects",
        columns=COLUMNS,
        order="run, step, checkpoint_id, exported_step, measured",
        brief=(
            "run",
            "step",
            "exported_step",
            "measured",
            "n_exported",
            "solved_exported",
            "n_other",
            "solved_other",
            "difference",
            "p",
            "verdict",
        ),
        projections=(EFFECTS,),
    )
