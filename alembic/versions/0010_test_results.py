"""Test results: each validation suite as a test of each checkpoint."""

import sqlalchemy as sa
from alembic import op

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
        sa.Column("checkpoint_id", sa.Text(), nullable=False),
        sa.Column("suite", sa.Text(), nullable=False),
        sa.Column("run", sa.Text(), nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("passed", sa.Integer()),
        sa.Column("accuracy", sa.REAL()),
        sa.Column("threshold", sa.REAL()),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("n_failed", sa.Integer(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("checkpoint_id", "suite"),
        sqlite_strict=True,
    )
    op.create_index(op.f("ix_test_result_run"), "test_result", ["run"])
    create_view(op.get_bind(), "test_results", TEST_RESULTS)


def downgrade() -> None:
    drop_view(op.get_bind(), "test_results")
    op.drop_table("test_result")
