"""Test results: each validation suite as a test of each checkpoint."""

import sqlalchemy as sa
from alembic import op

from store.column_types import INTEGER, REAL_NUMBER, TEXT
from store.replaceable import create_view, drop_view

revision = "0010"
down_revision = "0009"

TEST_RESULTS = """
SELECT
    run,
    checkpoint_id,
    step,
    suite,
    passed,
    accuracy,
    threshold,
    n,
    n_failed,
    status,
    reason
FROM test_result
"""


def upgrade() -> None:
    op.create_table(
        "test_result",
        sa.Column("checkpoint_id", TEXT, nullable=False),
        sa.Column("suite", TEXT, nullable=False),
        sa.Column("run", TEXT, nullable=False),
        sa.Column("step", INTEGER, nullable=False),
        sa.Column("passed", INTEGER),
        sa.Column("accuracy", REAL_NUMBER),
        sa.Column("threshold", REAL_NUMBER),
        sa.Column("n", INTEGER, nullable=False),
        sa.Column("n_failed", INTEGER, nullable=False),
        sa.Column("status", TEXT, nullable=False),
        sa.Column("reason", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("checkpoint_id", "suite"),
        sqlite_strict=True,
    )
    op.create_index(op.f("ix_test_result_run"), "test_result", ["run"])
    create_view(op.get_bind(), "test_results", TEST_RESULTS)


def downgrade() -> None:
    drop_view(op.get_bind(), "test_results")
    op.drop_table("test_result")
