"""What each kind of confidence is worth, and the temperature that would mend it."""

import sqlalchemy as sa
from alembic import op

from store.column_types import INTEGER, REAL_NUMBER, TEXT
from store.replaceable import create_view, drop_view

revision = "0024"
down_revision = "0023"

CONFIDENCE_NUMBERS = (
    "confidence",
    "accuracy",
    "ece",
    "smooth_ece",
    "smooth_ece_low",
    "smooth_ece_high",
    "smooth_ece_chance",
    "brier",
    "reliability",
    "resolution",
    "uncertainty",
    "within_bins",
    "log_score",
)
TEMPERATURE_NUMBERS = (
    "temperature",
    "nll_before",
    "nll_after",
    "nll_change",
    "nll_change_low",
    "nll_change_high",
    "ece_before",
    "ece_after",
)

SELECT = """
SELECT
    checkpoint.run,
    evaluation.checkpoint_id,
    checkpoint.step,
    {columns}
FROM {table} AS derived
JOIN evaluation ON evaluation.evaluation_id = derived.evaluation_id AND evaluation.current = 1
LEFT JOIN checkpoint ON checkpoint.checkpoint_id = evaluation.checkpoint_id
"""


def upgrade() -> None:
    op.create_table(
        "confidence",
        sa.Column("evaluation_id", TEXT, nullable=False),
        sa.Column("difficulty", TEXT, nullable=False),
        sa.Column("kind", TEXT, nullable=False),
        sa.Column("n", INTEGER, nullable=False),
        sa.Column("examples", INTEGER, nullable=False),
        *(sa.Column(name, REAL_NUMBER) for name in CONFIDENCE_NUMBERS),
        sa.Column("verdict", TEXT),
        sa.Column("reason", TEXT, nullable=False),
        sa.Column("curve", TEXT),
        sa.PrimaryKeyConstraint("evaluation_id", "difficulty", "kind"),
        sqlite_strict=True,
    )
    op.create_table(
        "temperature",
        sa.Column("evaluation_id", TEXT, nullable=False),
        sa.Column("what", TEXT, nullable=False),
        sa.Column("n_fit", INTEGER, nullable=False),
        sa.Column("n_test", INTEGER, nullable=False),
        *(sa.Column(name, REAL_NUMBER) for name in TEMPERATURE_NUMBERS),
        sa.Column("verdict", TEXT),
        sa.Column("reason", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("evaluation_id", "what"),
        sqlite_strict=True,
    )
    shown = {
        "confidences": (
            "confidence",
            ("difficulty", "kind", "n", "examples", *CONFIDENCE_NUMBERS),
            ("verdict", "reason", "curve"),
        ),
        "temperatures": (
            "temperature",
            ("what", "n_fit", "n_test", *TEMPERATURE_NUMBERS),
            ("verdict", "reason"),
        ),
    }
    for view, (table, first, last) in shown.items():
        columns = ",\n    ".join(f"derived.{name}" for name in (*first, *last))
        create_view(op.get_bind(), view, SELECT.format(columns=columns, table=table))


def downgrade() -> None:
    for view in ("temperatures", "confidences"):
        drop_view(op.get_bind(), view)
    op.drop_table("temperature")
    op.drop_table("confidence")
