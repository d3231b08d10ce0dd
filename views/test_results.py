"""Tests: which checkpoints reach the accuracy that milepost.toml asks for, suite by suite.

A validation suite with a `pass_threshold` is a test; one without is UNTESTED. Where nothing was
measured the test is FAILED, which is neither a pass nor a fail.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from typing import Literal

from sqlalchemy import Column as SqlColumn
from sqlalchemy import Connection, Index, PrimaryKeyConstraint, Table

from settings import Settings
from store.projections import Derive, Projection
from store.schema import INTEGER, REAL_NUMBER, TEXT, derived, dumps
from views.answers import VALIDATION
from views.scope import CHANGES, SUBJECT, Result, per_run, results_of, rewrite
from views.view import Column, View
from views.words import percent

Status = Literal["PASS", "FAIL", "FAILED", "UNTESTED"]

TEST_RESULT: Table = derived(
    "test_result",
    SqlColumn("checkpoint_id", TEXT, nullable=False),
    SqlColumn("suite", TEXT, nullable=False),
    SqlColumn("run", TEXT, nullable=False),
    SqlColumn("step", INTEGER, nullable=False),
    SqlColumn("passed", INTEGER),
    SqlColumn("accuracy", REAL_NUMBER),
    SqlColumn("threshold", REAL_NUMBER),
    SqlColumn("n", INTEGER, nullable=False),
    SqlColumn("n_failed", INTEGER, nullable=False),
    SqlColumn("status", TEXT, nullable=False),
    SqlColumn("reason", TEXT, nullable=False),
    PrimaryKeyConstraint("checkpoint_id", "suite"),
    Index(None, "run"),
)


@dataclass(frozen=True)
class Outcome:
    """A suite's test at one checkpoint. `n` counts graded answers, all difficulties together."""

    checkpoint_id: str
    suite: str
    step: int
    passed: bool | None
    accuracy: float | None
    threshold: float | None
    n: int
    n_failed: int
    status: Status
    reason: str


def judge(results: Sequence[Result], thresholds: Mapping[str, float]) -> list[Outcome]:
    """The tests of validation results, which are sorted by checkpoint and suite."""
    subject = attrgetter("checkpoint_id", "suite")
    return [
        _test(list(several), thresholds.get(suite))
        for (_, suite), several in groupby(results, key=subject)
    ]


def _test(results: Sequence[Result], threshold: float | None) -> Outcome:
    """The test of one suite at one checkpoint, over its difficulties."""
    first = results[0]
    right = sum(round(one.accuracy * one.n_graded) for one in results if one.accuracy is not None)
    n = sum(one.n_graded for one in results)
    accuracy = right / n if n else None
    status, passed, reason = _status(results, accuracy, threshold)
    return Outcome(
        checkpoint_id=first.checkpoint_id,
        suite=first.suite,
        step=first.step,
        passed=passed,
        accuracy=accuracy,
        threshold=threshold,
        n=n,
        n_failed=sum(one.n_failed for one in results),
        status=status,
        reason=reason,
    )


def _status(
    results: Sequence[Result], accuracy: float | None, threshold: float | None
) -> tuple[Status, bool | None, str]:
    if accuracy is None:
        reasons = dict.fromkeys(one.reason for one in results if one.reason is not None)
        return "FAILED", None, " ".join(reasons) or "Nothing was measured."
    failed = sum(one.n_failed for one in results)
    left_out = f" {failed} examples could not be scored and are left out." if failed else ""
    if threshold is None:
        reason = f"{percent(accuracy)} right; the suite has no pass_threshold in milepost.toml."
        return "UNTESTED", None, reason + left_out
    passed = accuracy >= threshold
    reason = f"{percent(accuracy)} right, and at least {percent(threshold)} must be."
    return "PASS" if passed else "FAIL", passed, reason + left_out


def derive_with(thresholds: Mapping[str, float]) -> Derive:
    """The projection's `derive` with these thresholds, by suite name."""

    def derive(connection: Connection, run: str) -> None:
        results = [one for one in results_of(connection, run) if one.role == VALIDATION]
        rewrite(connection, TEST_RESULT, {"run": run}, judge(results, thresholds))

    return per_run(derive)


COLUMNS = (
    *SUBJECT,
    Column("suite", "Suite", "text", "The validation suite."),
    Column("passed", "Passed", "flag", "Whether the accuracy reaches the threshold."),
    Column("accuracy", "Accuracy", "share", "Answers that the grader calls right."),
    Column("threshold", "Threshold", "share", "The suite's pass_threshold in milepost.toml."),
    Column("n", "Graded", "count", "Answers that the accuracy is of."),
    Column("n_failed", "Not scored", "count", "Predictions that are an error instead."),
    Column(
        "status",
        "Status",
        "text",
        "PASS, FAIL, FAILED (nothing was measured) or UNTESTED (no threshold is set).",
    ),
    Column("reason", "Reason", "text", "What the status rests on."),
)


def view(settings: Settings) -> View:
    """Each validation suite as a test of each checkpoint."""
    thresholds = {
        one.name: one.pass_threshold for one in settings.suite if one.pass_threshold is not None
    }
    return View(
        name="tests",
        title="Tests",
        question="Which checkpoints reach the accuracy that each suite asks for?",
        sql_view="test_results",
        columns=COLUMNS,
        order="run, step, checkpoint_id, suite",
        brief=(
            "run",
            "step",
            "suite",
            "status",
            "accuracy",
            "threshold",
            "n",
            "n_failed",
            "reason",
        ),
        projections=(
            Projection(
                name="test_results",
                version=1,
                tables=(TEST_RESULT,),
                listens=CHANGES,
                derive=derive_with(thresholds),
                reads=("lifecycle", "results"),
                settings=dumps(thresholds),
            ),
        ),
    )
