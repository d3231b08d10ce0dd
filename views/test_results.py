"""Tests: which checkpoints reach the accuracy that milepost.toml asks for, suite by suite.

A validation suite with a `pass_threshold` is a test; one without is UNTESTED. Where nothing was
measured the test is FAILED, which is neither a pass nor a fail. The rules are in views.test_rules.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Column as SqlColumn
from sqlalchemy import Connection, Index, PrimaryKeyConstraint, Table

from settings import Settings, SuiteTestSettings
from store.projections import Derive, Projection
from store.schema import INTEGER, REAL_NUMBER, TEXT, derived, dumps
from views.answers import VALIDATION
from views.scope import CHANGES, SUBJECT, per_run, results_of, rewrite
from views.test_rules import judge
from views.view import Column, View


def _measured() -> tuple[SqlColumn[Any], ...]:
    """The columns of views.test_rules.Measured, but for the checkpoint and the suite."""
    return (
        SqlColumn("n", INTEGER, nullable=False),
        SqlColumn("n_failed", INTEGER, nullable=False),
        SqlColumn("n_ungraded", INTEGER, nullable=False),
        SqlColumn("accuracy", REAL_NUMBER),
        SqlColumn("accuracy_low", REAL_NUMBER),
        SqlColumn("accuracy_high", REAL_NUMBER),
        SqlColumn("previous_step", INTEGER),
        SqlColumn("previous_accuracy", REAL_NUMBER),
        SqlColumn("accuracy_change", REAL_NUMBER),
        SqlColumn("trend", TEXT),
        SqlColumn("reason", TEXT, nullable=False),
    )


TEST_RESULT: Table = derived(
    "test_result",
    SqlColumn("checkpoint_id", TEXT, nullable=False),
    SqlColumn("suite", TEXT, nullable=False),
    SqlColumn("run", TEXT, nullable=False),
    SqlColumn("step", INTEGER, nullable=False),
    SqlColumn("evaluation_id", TEXT, nullable=False),
    SqlColumn("threshold", REAL_NUMBER),
    SqlColumn("passed", INTEGER),
    SqlColumn("certain", INTEGER),
    SqlColumn("status", TEXT, nullable=False),
    *_measured(),
    PrimaryKeyConstraint("checkpoint_id", "suite"),
    Index(None, "run"),
)
TEST_DIFFICULTY: Table = derived(
    "test_difficulty",
    SqlColumn("checkpoint_id", TEXT, nullable=False),
    SqlColumn("suite", TEXT, nullable=False),
    SqlColumn("difficulty", TEXT, nullable=False),
    SqlColumn("run", TEXT, nullable=False),
    SqlColumn("step", INTEGER, nullable=False),
    *_measured(),
    PrimaryKeyConstraint("checkpoint_id", "suite", "difficulty"),
    Index(None, "run"),
)


def derive_with(thresholds: Mapping[str, float], settings: SuiteTestSettings) -> Derive:
    """The projection's `derive` with these thresholds, by suite name."""

    def derive(connection: Connection, run: str) -> None:
        results = [one for one in results_of(connection, run) if one.role == VALIDATION]
        outcomes, parts = judge(results, thresholds, settings)
        rewrite(connection, TEST_RESULT, {"run": run}, outcomes)
        rewrite(connection, TEST_DIFFICULTY, {"run": run}, parts)

    return per_run(derive)


SUITE = Column("suite", "Suite", "text", "The validation suite.")
MEASURED = (
    Column("n", "Graded", "count", "Answers that the accuracy is of."),
    Column("n_failed", "Not scored", "count", "Predictions that are an error instead."),
    Column("n_ungraded", "Not graded", "count", "Scored answers that could not be graded."),
    Column("accuracy", "Accuracy", "share", "Answers that the grader calls right."),
    Column("accuracy_low", "Accuracy, low", "share", "Lower end of the 95 % interval (Wilson)."),
    Column("accuracy_high", "Accuracy, high", "share", "Upper end of the 95 % interval (Wilson)."),
    Column("previous_step", "Step before", "step", "The last one that measured the same suite."),
    Column("previous_accuracy", "Accuracy before", "share", "The accuracy at that step."),
    Column("accuracy_change", "Change", "number", "In shares: -0.10 is 10 points less."),
    Column(
        "trend",
        "Trend",
        "text",
        "dropped or critical: more points less than `[tests]` allows. steady: neither. NULL: there "
        "is nothing to compare with.",
    ),
)

COLUMNS = (
    *SUBJECT,
    SUITE,
    Column("passed", "Passed", "flag", "Whether the accuracy reaches the threshold."),
    Column("threshold", "Threshold", "share", "The suite's pass_threshold in milepost.toml."),
    Column("certain", "Certain", "flag", "Whether all of the interval is on that side of it."),
    *MEASURED,
    Column(
        "status",
        "Status",
        "text",
        "PASS, FAIL, FAILED (nothing was measured) or UNTESTED (no threshold is set).",
    ),
    Column("reason", "Reason", "text", "What the status rests on."),
    Column(
        "seconds_per_example",
        "Seconds an example",
        "seconds",
        "Of the whole evaluation, in batches, after loading; NULL if it took several attempts.",
    ),
    Column(
        "tokens_per_second",
        "Tokens a second",
        "number",
        "Tokens written a second, scoring included, in all of the evaluation after loading.",
    ),
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
            "trend",
            "reason",
        ),
        projections=(
            Projection(
                name="test_results",
                version=2,
                tables=(TEST_RESULT, TEST_DIFFICULTY),
                listens=CHANGES,
                derive=derive_with(thresholds, settings.tests),
                reads=("lifecycle", "results"),
                settings=dumps([thresholds, settings.tests.model_dump(mode="json")]),
            ),
        ),
    )
