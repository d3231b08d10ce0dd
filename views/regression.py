"""Regression: did a checkpoint get worse, and is that more than chance?

A checkpoint is compared with the newest one at an earlier step of its run that was evaluated to the
end, or as far as its quick tier while there is no other (`previous`), and, if it comes after the
run's pinned baseline, with that (`pinned`): over the examples that both measured, overall, by suite
and by difficulty. An example that stands in several suites counts once where suites are together.
The verdicts are made in views.judging, by the rule in views.ruling.

A pair of evaluations is compared once. It is compared again only when one of the two is touched, so
that a new checkpoint costs two comparisons at most, however long the run is.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from typing import Literal, NamedTuple

from sqlalchemy import Column as SqlColumn
from sqlalchemy import Connection, Index, PrimaryKeyConstraint, Table, delete, insert, select

from settings import RegressionSettings, Settings
from store.events import BaselinePinned
from store.lifecycle import BASELINE, CHECKPOINT
from store.log import Recorded
from store.projections import Derive, Projection
from store.schema import EXAMPLE, INTEGER, REAL_NUMBER, TEXT, derived
from store.tuples import fetch
from views.answers import VALIDATION, Answers
from views.blocks import answers_of
from views.judging import ALL, Group, Other, Subject, clusters, judge
from views.scope import (
    EARLY_CHANGES,
    EASY_FIRST,
    SUBJECT,
    TIER,
    Ended,
    Tier,
    ended_of,
    results_of,
    settings_text,
    touched,
)
from views.view import Column, View

Against = Literal["previous", "pinned"]

PREVIOUS: Against = "previous"
PINNED: Against = "pinned"

_MEASURED = tuple(
    f"{measure}{suffix}"
    for measure in ("loss", "accuracy")
    for suffix in ("", "_before", "_change", "_low", "_high", "_p", "_p_holm", "_detectable")
)

REGRESSION: Table = derived(
    "regression",
    SqlColumn("run", TEXT, nullable=False),
    SqlColumn("checkpoint_id", TEXT, nullable=False),
    SqlColumn("step", INTEGER, nullable=False),
    SqlColumn("evaluation_id", TEXT, nullable=False),
    SqlColumn("against", TEXT, nullable=False),
    SqlColumn("baseline_checkpoint_id", TEXT),
    SqlColumn("baseline_step", INTEGER),
    SqlColumn("baseline_evaluation_id", TEXT),
    SqlColumn("suite", TEXT, nullable=False),
    SqlColumn("difficulty", TEXT, nullable=False),
    SqlColumn("n", INTEGER, nullable=False),
    SqlColumn("clusters", INTEGER),
    *(SqlColumn(name, REAL_NUMBER) for name in _MEASURED),
    SqlColumn("to_wrong", INTEGER),
    SqlColumn("to_right", INTEGER),
    SqlColumn("verdict", TEXT, nullable=False),
    SqlColumn("reason", TEXT, nullable=False),
    SqlColumn("tier", TEXT),
    PrimaryKeyConstraint("evaluation_id", "against", "suite", "difficulty"),
    Index(None, "run", "step"),
)


class Pin(NamedTuple):
    """The checkpoint that a run is held against."""

    checkpoint_id: str
    step: int


class Comparison(NamedTuple):
    """A checkpoint and what it is compared with; without `before`, `missing` says why."""

    one: Ended
    against: Against
    before: Ended | None
    missing: str
    baseline: Pin | None

    @property
    def key(self) -> tuple[str, str]:
        """What tells it from the others of its run."""
        return self.one.evaluation_id, self.against

    @property
    def tier(self) -> Tier | None:
        """What the verdict rests on: full if both evaluations are."""
        if self.before is None or self.one.tier != "full":
            return self.one.tier
        return self.before.tier

    @property
    def rests_on(self) -> tuple[str | None, str | None]:
        """The checkpoint and the evaluation that it compares with."""
        return (
            self.baseline.checkpoint_id if self.baseline else None,
            self.before.evaluation_id if self.before else None,
        )


def comparisons(ended: Sequence[Ended], pin: Pin | None) -> list[Comparison]:
    """What is compared with what, by the step of the checkpoint that is judged.

    `ended` is in order of steps. The last evaluated checkpoint before it is `previous`, or the last
    quick tier while there is none; what comes before the pinned one is not held against it.
    """
    found: list[Comparison] = []
    pinned = next((one for one in ended if pin and one.checkpoint_id == pin.checkpoint_id), None)
    for one in ended:
        earlier = [other for other in ended if other.completed and other.step < one.step]
        full = [other for other in earlier if other.tier == "full"]
        before = next(reversed(full or earlier), None)
        found.append(
            Comparison(
                one,
                PREVIOUS,
                before,
                "No earlier checkpoint of the run was evaluated to compare with.",
                Pin(before.checkpoint_id, before.step) if before else None,
            )
        )
        if pin is not None and one.step > pin.step:
            there = pinned if pinned and pinned.completed else None
            missing = f"The pinned baseline, step {pin.step}, is not evaluated."
            found.append(Comparison(one, PINNED, there, missing, pin))
    return found


def derive_with(settings: RegressionSettings) -> Derive:
    """The projection's `derive` under these settings."""

    def derive(connection: Connection, events: Sequence[Recorded]) -> None:
        new = touched(connection, events)
        pinned = {one.event.run for one in events if isinstance(one.event, BaselinePinned)}
        for run in sorted({*new.runs, *pinned}):
            _derive_run(connection, run, frozenset(new.evaluations), settings)

    return derive


def _derive_run(
    connection: Connection, run: str, stale: Collection[str], settings: RegressionSettings
) -> None:
    """Brings a run's rows up to date; `stale` are the evaluations that may have changed."""
    wanted = comparisons(ended_of(connection, run, quick=True), _pin_of(connection, run))
    kept = _keep(connection, run, wanted, stale)
    missing = [one for one in wanted if one.key not in kept]
    if not missing:
        return
    reasons: dict[str, dict[Group, str | None]] = defaultdict(dict)
    for result in results_of(connection, run, quick=True):
        if result.role == VALIDATION:
            reasons[result.evaluation_id][Group(result.suite, result.difficulty)] = result.reason
    train_losses = _train_losses(connection, run)
    reader = _Reader(connection, settings.cluster_by)
    for one in missing:
        answers = reader.answers(one.one.evaluation_id)
        subject = Subject(
            one.one,
            reasons[one.one.evaluation_id],
            answers,
            clusters(answers.example_id, reader.sources(answers)),
            train_losses[one.one.checkpoint_id],
        )
        before = reader.answers(one.before.evaluation_id) if one.before else Answers.none()
        changes = judge(subject, Other(one.before, before, one.missing), settings)
        key = {
            "run": run,
            "checkpoint_id": one.one.checkpoint_id,
            "step": one.one.step,
            "evaluation_id": one.one.evaluation_id,
            "against": one.against,
            "baseline_checkpoint_id": one.baseline.checkpoint_id if one.baseline else None,
            "baseline_step": one.baseline.step if one.baseline else None,
            "baseline_evaluation_id": one.before.evaluation_id if one.before else None,
            "tier": one.tier,
        }
        rows = [{**key, **group._asdict(), **change._asdict()} for group, change in changes.items()]
        connection.execute(insert(REGRESSION), rows)


class _Reader:
    """Reads validation answers and the sources of examples, and keeps what is needed again."""

    def __init__(self, connection: Connection, field: str) -> None:
        self._connection = connection
        self._field = field
        self._sources: dict[str, dict[bytes, str]] = {}
        # The next checkpoint needs this one and the pinned one again, and nothing older.
        self.answers = lru_cache(maxsize=3)(self._read)

    def _read(self, evaluation_id: str) -> Answers:
        return answers_of(self._connection, evaluation_id).of_role(VALIDATION)

    def sources(self, answers: Answers) -> Mapping[bytes, str]:
        """The sources of those examples whose metadata names one, by example id."""
        found: dict[bytes, str] = {}
        for suite_id in answers.suite_id.present():
            if suite_id is not None:
                found |= self._sources_of(suite_id)
        return found

    def _sources_of(self, suite_id: str) -> dict[bytes, str]:
        if suite_id not in self._sources:
            query = select(EXAMPLE.c.example_id, EXAMPLE.c.metadata).where(
                EXAMPLE.c.suite_id == suite_id, EXAMPLE.c.metadata.is_not(None)
            )
            named = json.dumps(self._field)
            self._sources[suite_id] = {
                example_id.encode(): json.dumps(source)
                for example_id, text in fetch(self._connection, query)
                if named in text and (source := json.loads(text).get(self._field)) is not None
            }
        return self._sources[suite_id]


def _pin_of(connection: Connection, run: str) -> Pin | None:
    row = connection.execute(
        select(BASELINE.c.checkpoint_id, BASELINE.c.step).where(BASELINE.c.run == run)
    ).one_or_none()
    return None if row is None else Pin(*row)


def _train_losses(connection: Connection, run: str) -> dict[str, float | None]:
    rows = connection.execute(
        select(CHECKPOINT.c.checkpoint_id, CHECKPOINT.c.train_loss).where(CHECKPOINT.c.run == run)
    )
    return {row.checkpoint_id: row.train_loss for row in rows}


def _keep(
    connection: Connection, run: str, wanted: Sequence[Comparison], stale: Collection[str]
) -> set[tuple[str, str]]:
    """Deletes the run's rows that no longer hold; returns the comparisons whose rows stay."""
    rests_on = {one.key: one.rests_on for one in wanted}
    columns = REGRESSION.c
    there = connection.execute(
        select(
            columns.evaluation_id,
            columns.against,
            columns.baseline_checkpoint_id,
            columns.baseline_evaluation_id,
        )
        .where(columns.run == run)
        .distinct()
    ).all()
    kept = set()
    for evaluation, against, checkpoint, baseline in there:
        key = (evaluation, against)
        fresh = not {evaluation, baseline}.intersection(stale)
        if fresh and rests_on.get(key) == (checkpoint, baseline):
            kept.add(key)
        else:
            connection.execute(
                delete(REGRESSION).where(
                    columns.evaluation_id == evaluation, columns.against == against
                )
            )
    return kept


COLUMNS = (
    *SUBJECT,
    Column(
        "against", "Against", "text", "previous: the checkpoint before it. pinned: the baseline."
    ),
    Column(
        "baseline_checkpoint_id", "Compared with", "id", "The checkpoint that it is held against."
    ),
    Column("baseline_step", "Compared with step", "step", "That checkpoint's step."),
    Column("suite", "Suite", "text", "The validation suite, or all of them."),
    Column("difficulty", "Difficulty", "text", "The difficulty, or all of them."),
    Column("n", "Examples", "count", "How many pairs of answers the numbers rest on."),
    Column("clusters", "Sources", "count", "How many of these are independent of each other."),
    Column("loss", "Loss", "nats", "Mean negative log-likelihood of a target token."),
    Column("loss_before", "Loss before", "nats", "The same, at the checkpoint compared with."),
    Column("loss_change", "Loss change", "number", "Relative: 0.15 is 15 % more."),
    Column("loss_low", "Loss change, low", "number", "Lower end of its 95 % interval."),
    Column("loss_high", "Loss change, high", "number", "Upper end of its 95 % interval."),
    Column("loss_p", "Loss, p", "number", "Sign-flip test: how easily chance does this."),
    Column("loss_p_holm", "Loss, p corrected", "number", "The same, after Holm over all groups."),
    Column(
        "loss_detectable", "Loss, detectable", "number", "The least change likely to show (80 %)."
    ),
    Column("accuracy", "Accuracy", "share", "Answers that the grader calls right."),
    Column("accuracy_before", "Accuracy before", "share", "The same, at the one compared with."),
    Column("accuracy_change", "Accuracy change", "number", "In shares: -0.10 is 10 points less."),
    Column("accuracy_low", "Accuracy change, low", "number", "Lower end of its 95 % interval."),
    Column("accuracy_high", "Accuracy change, high", "number", "Upper end of its 95 % interval."),
    Column("accuracy_p", "Accuracy, p", "number", "McNemar's test: how easily chance does this."),
    Column(
        "accuracy_p_holm",
        "Accuracy, p corrected",
        "number",
        "The same, after Holm over all groups.",
    ),
    Column(
        "accuracy_detectable", "Accuracy, detectable", "number", "The least change likely to show."
    ),
    Column("to_wrong", "Flipped to wrong", "count", "Answers right before and wrong now."),
    Column("to_right", "Flipped to right", "count", "Answers wrong before and right now."),
    Column(
        "verdict",
        "Verdict",
        "text",
        "REGRESSED: beyond a limit and beyond chance for a whole run. SUSPECT: beyond a limit, or "
        "worse beyond chance. INCONCLUSIVE: neither, but a change beyond a limit is not excluded. "
        "FAILED: nothing was measured. OK: none of these.",
    ),
    TIER,
    Column("reason", "Reason", "text", "The numbers and limits that the verdict rests on."),
)


def view(settings: Settings) -> View:
    """Each checkpoint against the one before it, and against the pinned one."""
    return View(
        name="regression",
        title="Regressions",
        question="Is a checkpoint worse than the one before it or the pinned one, beyond chance?",
        sql_view="regressions",
        columns=COLUMNS,
        order=(
            f"run, step, checkpoint_id, against DESC, suite <> '{ALL}', suite, "
            f"difficulty <> '{ALL}', {EASY_FIRST}"
        ),
        brief=(
            "run",
            "step",
            "baseline_step",
            "suite",
            "difficulty",
            "loss_change",
            "accuracy_change",
            "verdict",
            "reason",
        ),
        projections=(
            Projection(
                name="regression",
                version=4,
                tables=(REGRESSION,),
                listens=EARLY_CHANGES | {BaselinePinned},
                derive=derive_with(settings.regression),
                reads=("lifecycle", "results"),
                settings=settings_text(settings.regression),
            ),
        ),
    )
