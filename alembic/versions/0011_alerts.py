"""Alerts, and the SQL view `alerts`."""

import sqlalchemy as sa
from alembic import op

from store.column_types import INTEGER, TEXT
from store.replaceable import create_view, drop_view

revision = "0011"
down_revision = "0010"

ALERTS = """
SELECT
    run,
    checkpoint_id,
    step,
    kind,
    severity,
    title,
    detail,
    raised_at,
    subject
FROM alert
"""


def upgrade() -> None:
    op.create_table(
        "alert",
        sa.Column("kind", TEXT, nullable=False),
        sa.Column("subject", TEXT, nullable=False),
        sa.Column("run", TEXT),
        sa.Column("checkpoint_id", TEXT),
        sa.Column("step", INTEGER),
        sa.Column("severity", TEXT, nullable=False),
        sa.Column("title", TEXT, nullable=False),
        sa.Column("detail", TEXT, nullable=False),
        sa.Column("raised_at", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("kind", "subject"),
        sqlite_strict=True,
    )
    op.create_index(op.f("ix_alert_run"), "alert", ["run"])
    create_view(op.get_bind(), "alerts", ALERTS)


def downgrade() -> None:
    drop_view(op.get_bind(), "alerts")
    op.drop_table("alert")
