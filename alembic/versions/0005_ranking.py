"""Rankings: the checkpoints of each run, best first."""

import sqlalchemy as sa
from alembic import op

from store.replaceable import create_view, drop_view

revision = "0005"
down_revision = "0004"

RANKINGS = """
SELECT
    run,
    checkpoint_id,
    step,
    rank,
    score,
    loss,
    accuracy,
    balance,
    consistency,
    reason
FROM ranking
"""


def upgrade() -> None:
    op.create_table(
        "ranking",
        sa.Column("checkpoint_id", sa.Text(), nullable=False),
        sa.Column("run", sa.Text(), nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("rank", sa.Integer()),
        sa.Column("score", sa.REAL()),
        sa.Column("loss", sa.REAL()),
        sa.Column("accuracy", sa.REAL()),
        sa.Column("balance", sa.REAL()),
        sa.Column("consistency", sa.REAL()),
        sa.Column("reason", sa.Text()),
        sa.PrimaryKeyConstraint("checkpoint_id"),
        sqlite_strict=True,
    )
    op.create_index(op.f("ix_ranking_run"), "ranking", ["run"])
    create_view(op.get_bind(), "rankings", RANKINGS)


def downgrade() -> None:
    drop_view(op.get_bind(), "rankings")
    op.drop_table("ranking")
