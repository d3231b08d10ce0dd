"""Curriculum: what was measured of each difficulty, advice, and the SQL view `curriculum`."""

import sqlalchemy as sa
from alembic import op

from store.column_types import INTEGER, REAL_NUMBER, TEXT
from store.replaceable import create_view, drop_view

revision = "0007"
down_revision = "0006"

CURRICULUM = """
SELECT
    advice.run,
    evaluation.checkpoint_id,
    checkpoint.step,
    advice.difficulty,
    advice.loss,
    advice.accuracy,
    advice.progress,
    advice.recommended_share,
    advice.strategy,
    advice.reason
FROM curriculum_advice AS advice
JOIN evaluation ON evaluation.evaluation_id = advice.evaluation_id
JOIN checkpoint ON checkpoint.checkpoint_id = evaluation.checkpoint_id
"""


def upgrade() -> None:
    op.create_table(
        "difficulty_tally",
        sa.Column("evaluation_id", TEXT, nullable=False),
        sa.Column("difficulty", TEXT, nullable=False),
        sa.Column("loss", REAL_NUMBER),
        sa.Column("accuracy", REAL_NUMBER),
        sa.Column("suites", TEXT, nullable=False),
        sa.Column("reason", TEXT),
        sa.PrimaryKeyConstraint("evaluation_id", "difficulty"),
        sqlite_strict=True,
    )
    op.create_table(
        "curriculum_advice",
        sa.Column("run", TEXT, nullable=False),
        sa.Column("evaluation_id", TEXT, nullable=False),
        sa.Column("difficulty", TEXT, nullable=False),
        sa.Column("loss", REAL_NUMBER),
        sa.Column("accuracy", REAL_NUMBER),
        sa.Column("progress", REAL_NUMBER),
        sa.Column("recommended_share", INTEGER),
        sa.Column("strategy", TEXT),
        sa.Column("reason", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("evaluation_id", "difficulty"),
        sqlite_strict=True,
    )
    op.create_index(op.f("ix_curriculum_advice_run"), "curriculum_advice", ["run"])
    create_view(op.get_bind(), "curriculum", CURRICULUM)


def downgrade() -> None:
    drop_view(op.get_bind(), "curriculum")
    op.drop_table("curriculum_advice")
    op.drop_table("difficulty_tally")
