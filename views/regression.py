"""Regression: did a checkpoint get worse than the one before it, and is that more than chance?

A checkpoint is compared with the newest one at an earlier step of its run that was evaluated to the
end, over the examples that both measured: each validation suite and difficulty, and all together,
where an example that stands in several suites counts once. The rule is in views.comparison.

A pair of evaluations is compared once. It is compared again only when one of the two is touched, so
that a new checkpoint costs one comparison however long the run is.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Column as SqlColumn
from sqlalchemy import Connection, Index, PrimaryKeyConstraint, Table, delete, insert, select

from settings import RegressionSettings, Settings
from store.log import Recorded
from store.projections import Derive, Projection
from store.schema import INTEGER, REAL_NUMBER, TEXT, derived
from views.answers import VALIDATION, Answers
from views.blocks import answers_of
from views.comparison import Change, Pairs, alone, comparable, compare, measured
from views.pairing import NOWHERE, partners
from views.scope import (
    CHANGES,
    EASY_FIRST,
    SUBJECT,
    Ended,
    Result,
    ended_of,
    results_of,
    settings_text,
    touched,
)
from views.view import Column, View

REGRESSION: Table = derived(
    "regression",
    SqlColumn("run", TEXT, nullable=False),
    SqlColumn("checkpoint_id", TEXT, nullable=False),
    SqlColumn("step", INTEGER, nullable=False),
    SqlColumn("evaluation_id", TEXT, nullable=False),
    SqlColumn("baseline_checkpoint_id", TEXT),
    SqlColumn("baseline_step", INTEGER),
    SqlColumn("baseline_evaluation_id", TEXT),
    SqlColumn("suite", TEXT, nullable=False),
    SqlColumn("difficulty", TEXT, nullable=False),
    SqlColumn("n", INTEGER, nullable=False),
    SqlColumn("loss", REAL_NUMBER),
    SqlColumn("loss_before", REAL_NUMBER),
    SqlColumn("loss_change", REAL_NUMBER),
    SqlColumn("loss_p", REAL_NUMBER),
    SqlColumn("accuracy", REAL_NUMBER),
    SqlColumn("accuracy_before", REAL_NUMBER),
    SqlColumn("accuracy_change", REAL_NUMBER),
    SqlColumn("accuracy_p", REAL_NUMBER),
    SqlColumn("verdict", TEXT, nullable=False),
    SqlColumn("reason", TEXT, nullable=False),
    PrimaryKeyConstraint("evaluation_id", "suite", "difficulty"),
    Index(None, "run", "step"),
)


class Group(NamedTuple):
    """What one verdict is about: a suite, by name, and a difficulty; or `all` of both."""

    suite: str
    difficulty: str


ALL = "all"
TOTAL = Group(ALL, ALL)


def with_baselines(ended: Sequence[Ended]) -> list[tuple[Ended, Ended | None]]:
    """Each checkpoint, in order of steps, with the one that it is compared with.

    That is the last one, at an earlier step, whose evaluation completed.
    """
    found: list[tuple[Ended, Ended | None]] = []
    for one in ended:
        earlier = [other for other in ended if other.completed and other.step < one.step]
        found.append((one, earlier[-1] if earlier else None))
    return found


def judge(
    one: Ended,
    before: Ended | None,
    results: Sequence[Result],
    now: Answers,
    earlier: Answers,
    settings: RegressionSettings,
) -> dict[Group, Change]:
    """The verdicts on a checkpoint: one for each of its validation results, and one for all.

    `now` and `earlier` are the validation answers of the two evaluations.
    """
    reasons = {Group(result.suite, result.difficulty): result.reason for result in results}
    if not one.completed:
        return {
            group: Change(0, "FAILED", str(reason or one.reason))
            for group, reason in {**reasons, TOTAL: one.reason}.items()
        }
    if not reasons:
        return {TOTAL: Change(0, "INCONCLUSIVE", "No validation suite was evaluated.")}
    reasons[TOTAL] = "No example of a validation suite was measured."
    members = {
        group: now.suite.are(group.suite) & now.difficulty.are(group.difficulty)
        for group in reasons
    }
    members[TOTAL] = now.counts
    found = partners(now, earlier)
    return {
        group: _change(now, rows & measured(now), earlier, found, before, reasons[group], settings)
        for group, rows in members.items()
    }


def _change(
    now: Answers,
    rows: NDArray[np.bool_],
    earlier: Answers,
    found: NDArray[np.int64],
    before: Ended | None,
    reason: str | None,
    settings: RegressionSettings,
) -> Change:
    """The change of one group, whose measured `rows` have the partners `found` in `earlier`.

    `reason` is why nothing was measured, should that be so.
    """
    if not rows.any():
        return Change(0, "FAILED", reason or "No example was measured.")
    if before is None:
        return alone(now[rows], "No earlier checkpoint of the run was evaluated to compare with.")
    paired = rows & (found != NOWHERE)
    pairs = Pairs(now[paired], earlier[found[paired]])
    both = comparable(pairs)
    if not both.any():
        return alone(now[rows], f"None of these examples was measured at step {before.step}.")
    return compare(pairs if both.all() else pairs.where(both), settings)


def derive_with(settings: RegressionSettings) -> Derive:
    """The projection's `derive` under these settings."""

    def derive(connection: Connection, events: Sequence[Recorded]) -> None:
        new = touched(connection, events)
        for run in new.runs:
            _derive_run(connection, run, frozenset(new.evaluations), settings)

    return derive


def _derive_run(
    connection: Connection, run: str, stale: Collection[str], settings: RegressionSettings
) -> None:
    """Brings a run's rows up to date; `stale` are the evaluations that may have changed."""
    wanted = with_baselines(ended_of(connection, run))
    kept = _keep(connection, run, wanted, stale)
    results: dict[str, list[Result]] = defaultdict(list)
    for result in results_of(connection, run):
        if result.role == VALIDATION:
            results[result.evaluation_id].append(result)
    loaded: dict[str, Answers] = {}
    for one, before in wanted:
        if one.evaluation_id in kept:
            continue
        needed = [one.evaluation_id] + ([before.evaluation_id] if before else [])
        # The next checkpoint needs this one again, and nothing older.
        loaded = {
            name: loaded[name]
            if name in loaded
            else answers_of(connection, name).of_role(VALIDATION)
            for name in needed
        }
        changes = judge(
            one,
            before,
            results[one.evaluation_id],
            loaded[one.evaluation_id],
            loaded[before.evaluation_id] if before else Answers.none(),
            settings,
        )
        key = {
            "run": run,
            "checkpoint_id": one.checkpoint_id,
            "step": one.step,
            "evaluation_id": one.evaluation_id,
            "baseline_checkpoint_id": before.checkpoint_id if before else None,
            "baseline_step": before.step if before else None,
            "baseline_evaluation_id": before.evaluation_id if before else None,
        }
        rows = [{**key, **group._asdict(), **change._asdict()} for group, change in changes.items()]
        connection.execute(insert(REGRESSION), rows)


def _keep(
    connection: Connection,
    run: str,
    wanted: Sequence[tuple[Ended, Ended | None]],
    stale: Collection[str],
) -> set[str]:
    """Deletes the run's rows that no longer hold; returns the evaluations whose rows stay."""
    baselines = {
        one.evaluation_id: before.evaluation_id if before else None for one, before in wanted
    }
    there = connection.execute(
        select(REGRESSION.c.evaluation_id, REGRESSION.c.baseline_evaluation_id)
        .where(REGRESSION.c.run == run)
        .distinct()
    ).all()
    kept = {
        evaluation
        for evaluation, baseline in there
        if evaluation in baselines
        and baselines[evaluation] == baseline
        and not {evaluation, baseline}.intersection(stale)
    }
    for evaluation, _ in there:
        if evaluation not in kept:
            connection.execute(delete(REGRESSION).where(REGRESSION.c.evaluation_id == evaluation))
    return kept


COLUMNS = (
    *SUBJECT,
    Column("baseline_checkpoint_id", "Compared with", "id", "The checkpoint before it."),
    Column("baseline_step", "Step before", "step", "The step of the checkpoint before it."),
    Column("suite", "Suite", "text", "The validation suite, or all of them."),
    Column("difficulty", "Difficulty", "text", "The difficulty, or all of them."),
    Column("n", "Examples", "count", "How many examples the numbers rest on."),
    Column("loss", "Loss", "nats", "Mean negative log-likelihood of a target token."),
    Column("loss_before", "Loss before", "nats", "The same, at the checkpoint before."),
    Column("loss_change", "Loss change", "number", "Relative: 0.15 is 15 % more."),
    Column("loss_p", "Loss, p", "number", "Paired t-test: how easily chance does this."),
    Column("accuracy", "Accuracy", "share", "Answers that the grader calls right."),
    Column("accuracy_before", "Accuracy before", "share", "The same, at the checkpoint before."),
    Column("accuracy_change", "Accuracy change", "number", "In shares: -0.10 is 10 points less."),
    Column("accuracy_p", "Accuracy, p", "number", "McNemar's test: how easily chance does this."),
    Column(
        "verdict",
        "Verdict",
        "text",
        "REGRESSED: beyond a limit and beyond chance. SUSPECT: one of the two. INCONCLUSIVE: too "
        "little to compare. FAILED: nothing was measured. OK: none of these.",
    ),
    Column("reason", "Reason", "text", "The numbers and limits that the verdict rests on."),
)


def view(settings: Settings) -> View:
    """Each checkpoint against the one before it."""
    return View(
        name="regression",
        title="Regressions",
        question="Did a checkpoint get worse than the one before it?",
        sql_view="regressions",
        columns=COLUMNS,
        order=f"run, step, checkpoint_id, suite <> '{ALL}', suite, {EASY_FIRST}",
        brief=(
            "run",
            "step",
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
                version=2,
                tables=(REGRESSION,),
                listens=CHANGES,
                derive=derive_with(settings.regression),
                reads=("lifecycle", "results"),
                settings=settings_text(settings.regression),
            ),
        ),
    )
