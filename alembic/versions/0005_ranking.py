"""Rankings: the checkpoints of each run, best first."""

import sqlalchemy as sa
from alembic import op

from store.column_types import INTEGER, REAL_NUMBER, TEXT
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
        sa.Column("checkpoint_id", TEXT, nullable=False),
        sa.Column("run", TEXT, nullable=False),
        sa.Column("step", INTEGER, nullable=False),
        sa.Column("rank", INTEGER),
        sa.Column("score", REAL_NUMBER),
        sa.Column("loss", REAL_NUMBER),
        sa.Column("accuracy", REAL_NUMBER),
        sa.Column("balance", REAL_NUMBER),
        sa.Column("consistency", REAL_NUMBER),
        sa.Column("reason", TEXT),
        sa.PrimaryKeyConstraint("checkpoint_id"),
        sqlite_strict=True,
    )
    op.create_index(op.f("ix_ranking_run"), "ranking", ["run"])
    create_view(op.get_bind(), "rankings", RANKINGS)


def downgrade() -> None:
    drop_view(op.get_bind(), "rankings")
    op.drop_table("ranking")
