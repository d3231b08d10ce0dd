"""Tests by difficulty, with what was measured before; and the examples that failed."""

from typing import Any

import sqlalchemy as sa
from alembic import op

from store.column_types import INTEGER, REAL_NUMBER, TEXT
from store.dialects import last_user_message
from store.replaceable import create_view, drop_view

revision = "0018"
down_revision = "0017"

MEASURED = (
    "n",
    "n_failed",
    "n_ungraded",
    "accuracy",
    "accuracy_low",
    "accuracy_high",
    "previous_step",
    "previous_accuracy",
    "accuracy_change",
    "trend",
)
# An evaluation that was taken up again counts the seconds of its last attempt alone, and the
# predictions of all.
TEST_RESULTS = """
SELECT
    test_result.run,
    test_result.checkpoint_id,
    test_result.step,
    test_result.suite,
    test_result.passed,
    test_result.threshold,
    test_result.certain,
    {measured},
    test_result.status,
    test_result.reason,
    CASE
        WHEN evaluation.attempt = 1
            AND evaluation.scored + evaluation.failed > 0
            AND evaluation.seconds > evaluation.load_seconds
            THEN (evaluation.seconds - evaluation.load_seconds)
                / (evaluation.scored + evaluation.failed)
    END AS seconds_per_example,
    CASE
        WHEN evaluation.seconds > evaluation.load_seconds
            THEN evaluation.generated_tokens / (evaluation.seconds - evaluation.load_seconds)
    END AS tokens_per_second
FROM test_result
LEFT JOIN evaluation
    ON evaluation.evaluation_id = test_result.evaluation_id AND evaluation.status = 'completed'
"""
TEST_DIFFICULTIES = """
SELECT
    test_difficulty.run,
    test_difficulty.checkpoint_id,
    test_difficulty.step,
    test_difficulty.suite,
    test_difficulty.difficulty,
    {measured},
    test_difficulty.reason
FROM test_difficulty
"""
FAILED_EXAMPLES = """
SELECT
    test_result.run,
    test_result.checkpoint_id,
    test_result.step,
    test_result.suite,
    coalesce(example.difficulty, suite.difficulty, 'unspecified') AS difficulty,
    example.example_id,
    grade.sample,
    example.line,
    {prompt} AS prompt,
    example.target,
    prediction.generated_text,
    grade.grader,
    grade.parsed,
    grade.expected,
    grade.score,
    grade.error_class,
    prediction.error
FROM test_result
JOIN evaluation_suite ON evaluation_suite.evaluation_id = test_result.evaluation_id
JOIN suite
    ON suite.suite_id = evaluation_suite.suite_id
    AND suite.name = test_result.suite
    AND suite.role = 'validation'
JOIN grade
    ON grade.evaluation_id = test_result.evaluation_id
    AND grade.suite_id = suite.suite_id
    AND (grade.correct = 0 OR grade.error_class IN ('not_scored', 'grader_failed'))
JOIN example
    ON example.suite_id = grade.suite_id AND example.example_id = grade.example_id
JOIN prediction
    ON prediction.evaluation_id = grade.evaluation_id
    AND prediction.example_id = grade.example_id
    AND prediction.sample = grade.sample
WHERE test_result.passed IS NOT NULL
    AND test_result.step = (
        SELECT max(newest.step) FROM test_result AS newest
        WHERE newest.run = test_result.run AND newest.passed IS NOT NULL
    )
"""


def measured_columns() -> tuple[sa.Column[Any], ...]:
    """The columns that a test and its parts share."""
    return (
        sa.Column("n", INTEGER, nullable=False),
        sa.Column("n_failed", INTEGER, nullable=False),
        sa.Column("n_ungraded", INTEGER, nullable=False),
        sa.Column("accuracy", REAL_NUMBER),
        sa.Column("accuracy_low", REAL_NUMBER),
        sa.Column("accuracy_high", REAL_NUMBER),
        sa.Column("previous_step", INTEGER),
        sa.Column("previous_accuracy", REAL_NUMBER),
        sa.Column("accuracy_change", REAL_NUMBER),
        sa.Column("trend", TEXT),
        sa.Column("reason", TEXT, nullable=False),
    )


def upgrade() -> None:
    """Makes `test_result` anew: it is derived, and what it held is derived again."""
    bind = op.get_bind()
    drop_view(bind, "test_results")
    op.drop_table("test_result")
    op.create_table(
        "test_result",
        sa.Column("checkpoint_id", TEXT, nullable=False),
        sa.Column("suite", TEXT, nullable=False),
        sa.Column("run", TEXT, nullable=False),
        sa.Column("step", INTEGER, nullable=False),
        sa.Column("evaluation_id", TEXT, nullable=False),
        sa.Column("threshold", REAL_NUMBER),
        sa.Column("passed", INTEGER),
        sa.Column("certain", INTEGER),
        sa.Column("status", TEXT, nullable=False),
        *measured_columns(),
        sa.PrimaryKeyConstraint("checkpoint_id", "suite"),
        sqlite_strict=True,
    )
    op.create_index(op.f("ix_test_result_run"), "test_result", ["run"])
    op.create_table(
        "test_difficulty",
        sa.Column("checkpoint_id", TEXT, nullable=False),
        sa.Column("suite", TEXT, nullable=False),
        sa.Column("difficulty", TEXT, nullable=False),
        sa.Column("run", TEXT, nullable=False),
        sa.Column("step", INTEGER, nullable=False),
        *measured_columns(),
        sa.PrimaryKeyConstraint("checkpoint_id", "suite", "difficulty"),
        sqlite_strict=True,
    )
    op.create_index(op.f("ix_test_difficulty_run"), "test_difficulty", ["run"])
    op.execute("DELETE FROM projection WHERE name IN ('test_results', 'alerts')")
    for name, query in (
        ("test_results", TEST_RESULTS),
        ("test_difficulties", TEST_DIFFICULTIES),
    ):
        table = name.removesuffix("s") if name == "test_results" else "test_difficulty"
        columns = ",\n    ".join(f"{table}.{one}" for one in MEASURED)
        create_view(bind, name, query.format(measured=columns))
    prompt = last_user_message(bind.dialect.name, "example.messages")
    create_view(bind, "failed_examples", FAILED_EXAMPLES.format(prompt=prompt))


def downgrade() -> None:
    bind = op.get_bind()
    for view in ("failed_examples", "test_difficulties", "test_results"):
        drop_view(bind, view)
    op.drop_table("test_difficulty")
    op.drop_table("test_result")
    op.execute("DELETE FROM projection WHERE name IN ('test_results', 'alerts')")
    script = op.get_context().script
    assert script is not None
    script.get_revision("0010").module.upgrade()
