"""Regressions: each checkpoint against the one before it."""

import sqlalchemy as sa
from alembic import op

from store.column_types import INTEGER, REAL_NUMBER, TEXT
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
        sa.Column("run", TEXT, nullable=False),
        sa.Column("checkpoint_id", TEXT, nullable=False),
        sa.Column("step", INTEGER, nullable=False),
        sa.Column("evaluation_id", TEXT, nullable=False),
        sa.Column("baseline_checkpoint_id", TEXT),
        sa.Column("baseline_step", INTEGER),
        sa.Column("baseline_evaluation_id", TEXT),
        sa.Column("suite", TEXT, nullable=False),
        sa.Column("difficulty", TEXT, nullable=False),
        sa.Column("n", INTEGER, nullable=False),
        sa.Column("loss", REAL_NUMBER),
        sa.Column("loss_before", REAL_NUMBER),
        sa.Column("loss_change", REAL_NUMBER),
        sa.Column("loss_p", REAL_NUMBER),
        sa.Column("accuracy", REAL_NUMBER),
        sa.Column("accuracy_before", REAL_NUMBER),
        sa.Column("accuracy_change", REAL_NUMBER),
        sa.Column("accuracy_p", REAL_NUMBER),
        sa.Column("verdict", TEXT, nullable=False),
        sa.Column("reason", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("evaluation_id", "suite", "difficulty"),
        sqlite_strict=True,
    )
    op.create_index(op.f("ix_regression_run_step"), "regression", ["run", "step"])
    create_view(op.get_bind(), "regressions", REGRESSIONS)


def downgrade() -> None:
    drop_view(op.get_bind(), "regressions")
    op.drop_table("regression")
