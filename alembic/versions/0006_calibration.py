"""Calibration: verdicts and bins, and the SQL view `calibration`."""

import sqlalchemy as sa
from alembic import op

from store.column_types import INTEGER, REAL_NUMBER, TEXT
from store.replaceable import create_view, drop_view

revision = "0006"
down_revision = "0005"

# A failed evaluation has a verdict row and no bins: it stays in the view, with its reason.
CALIBRATION = """
SELECT
    checkpoint.run,
    evaluation.checkpoint_id,
    checkpoint.step,
    verdict.difficulty,
    bin.bin_low,
    bin.bin_high,
    coalesce(bin.n, 0) AS n,
    bin.confidence,
    bin.accuracy,
    bin.accuracy_low,
    bin.accuracy_high,
    verdict.ece,
    verdict.brier,
    verdict.n_total,
    verdict.verdict,
    verdict.reason
FROM calibration_verdict AS verdict
JOIN evaluation ON evaluation.evaluation_id = verdict.evaluation_id AND evaluation.current = 1
LEFT JOIN checkpoint ON checkpoint.checkpoint_id = evaluation.checkpoint_id
LEFT JOIN calibration_bin AS bin
    ON bin.evaluation_id = verdict.evaluation_id AND bin.difficulty = verdict.difficulty
"""


def upgrade() -> None:
    op.create_table(
        "calibration_verdict",
        sa.Column("evaluation_id", TEXT, nullable=False),
        sa.Column("difficulty", TEXT, nullable=False),
        sa.Column("n_total", INTEGER, nullable=False),
        sa.Column("ece", REAL_NUMBER),
        sa.Column("brier", REAL_NUMBER),
        sa.Column("verdict", TEXT),
        sa.Column("reason", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("evaluation_id", "difficulty"),
        sqlite_strict=True,
    )
    op.create_table(
        "calibration_bin",
        sa.Column("evaluation_id", TEXT, nullable=False),
        sa.Column("difficulty", TEXT, nullable=False),
        sa.Column("bin_low", REAL_NUMBER, nullable=False),
        sa.Column("bin_high", REAL_NUMBER, nullable=False),
        sa.Column("n", INTEGER, nullable=False),
        sa.Column("confidence", REAL_NUMBER),
        sa.Column("accuracy", REAL_NUMBER),
        sa.Column("accuracy_low", REAL_NUMBER),
        sa.Column("accuracy_high", REAL_NUMBER),
        sa.PrimaryKeyConstraint("evaluation_id", "difficulty", "bin_low"),
        sqlite_strict=True,
    )
    create_view(op.get_bind(), "calibration", CALIBRATION)


def downgrade() -> None:
    drop_view(op.get_bind(), "calibration")
    op.drop_table("calibration_bin")
    op.drop_table("calibration_verdict")
