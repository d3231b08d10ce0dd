"""Regressions: each checkpoint against the one before it."""

import sqlalchemy as sa
from alembic import op

from store.replaceable import create_view, drop_view

revision = "0004"
down_revision = "0003"

REGRESSIONS = """
SELECT
    run,
    checkpoint_id,
    step,
    baseline_checkpoint_id,
    baseline_step,
    suite,
    difficulty,
    n,
    loss,
    loss_before,
    loss_change,
    loss_p,
    accuracy,
    accuracy_before,
    accuracy_change,
    accuracy_p,
    verdict,
    reason
FROM regression
"""


def upgrade() -> None:
    op.create_table(
        "regression",
        sa.Column("run", sa.Text(), nullable=False),
        sa.Column("checkpoint_id", sa.Text(), nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("evaluation_id", sa.Text(), nullable=False),
        sa.Column("baseline_checkpoint_id", sa.Text()),
        sa.Column("baseline_step", sa.Integer()),
        sa.Column("baseline_evaluation_id", sa.Text()),
        sa.Column("suite", sa.Text(), nullable=False),
        sa.Column("difficulty", sa.Text(), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("loss", sa.REAL()),
        sa.Column("loss_before", sa.REAL()),
        sa.Column("loss_change", sa.REAL()),
        sa.Column("loss_p", sa.REAL()),
        sa.Column("accuracy", sa.REAL()),
        sa.Column("accuracy_before", sa.REAL()),
        sa.Column("accuracy_change", sa.REAL()),
        sa.Column("accuracy_p", sa.REAL()),
        sa.Column("verdict", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("evaluation_id", "suite", "difficulty"),
        sqlite_strict=True,
    )
    op.create_index(op.f("ix_regression_run_step"), "regression", ["run", "step"])
    create_view(op.get_bind(), "regressions", REGRESSIONS)


def downgrade() -> None:
    drop_view(op.get_bind(), "regressions")
    op.drop_table("regression")
