"""Alerts have a name, a status and a clock; who was told of them, and who acknowledged them."""

from typing import Any

import sqlalchemy as sa
from alembic import op

from store.column_types import INTEGER, TEXT
from store.dialects import present
from store.replaceable import create_view, drop_view

revision = "0022"
down_revision = "0021"

# A sync that is stalled is not said to fail as well.
ALERTS = """
SELECT
    alert.run,
    alert.checkpoint_id,
    alert.step,
    alert.kind,
    alert.severity,
    CASE WHEN notice.acknowledged_at IS NULL THEN 'open' ELSE 'acknowledged' END AS status,
    alert.title,
    alert.detail,
    alert.raised_at,
    notice.acknowledged_by,
    notice.acknowledged_at,
    notice.note,
    {delivery},
    alert.subject,
    alert.alert_id
FROM alert
LEFT JOIN notice ON notice.alert_id = alert.alert_id
WHERE
    {due}
    AND NOT (
        alert.kind = 'sync_failed'
        AND EXISTS (
            SELECT 1
            FROM alert AS stalled
            WHERE stalled.kind = 'sync_stalled'
                AND stalled.subject = alert.subject
                AND stalled.raised_at <= {present}
        )
    )
UNION ALL
SELECT
    notice.run,
    notice.checkpoint_id,
    notice.step,
    notice.kind,
    notice.severity,
    'resolved' AS status,
    notice.title,
    notice.detail,
    notice.raised_at,
    notice.acknowledged_by,
    notice.acknowledged_at,
    notice.note,
    {delivery_noticed},
    notice.subject,
    notice.alert_id
FROM notice
WHERE NOT EXISTS (
    SELECT 1
    FROM alert
    WHERE alert.alert_id = notice.alert_id AND {due}
)
"""

# What the log alone decides is due whatever the clock of the database says.
DUE = "(alert.kind NOT IN ('sync_stalled', 'nothing_evaluated') OR alert.raised_at <= {present})"

DELIVERY = """(
        SELECT min(delivery.at)
        FROM delivery
        WHERE delivery.alert_id = {row}.alert_id AND delivery.state = 'sent'
    ) AS sent_at,
    (
        SELECT min(delivery.place || ': ' || delivery.reason)
        FROM delivery
        WHERE delivery.alert_id = {row}.alert_id AND delivery.state <> 'sent'
    ) AS not_sent"""


def upgrade() -> None:
    bind = op.get_bind()
    drop_view(bind, "alerts")
    _rename("alert_id")
    op.create_table(
        "notice",
        sa.Column("alert_id", TEXT, nullable=False),
        sa.Column("kind", TEXT, nullable=False),
        sa.Column("subject", TEXT, nullable=False),
        sa.Column("run", TEXT),
        sa.Column("checkpoint_id", TEXT),
        sa.Column("step", INTEGER),
        sa.Column("severity", TEXT, nullable=False),
        sa.Column("title", TEXT, nullable=False),
        sa.Column("detail", TEXT, nullable=False),
        sa.Column("raised_at", TEXT, nullable=False),
        sa.Column("acknowledged_at", TEXT),
        sa.Column("acknowledged_by", TEXT),
        sa.Column("note", TEXT),
        sa.PrimaryKeyConstraint("alert_id"),
        sqlite_strict=True,
    )
    op.create_table(
        "delivery",
        sa.Column("alert_id", TEXT, nullable=False),
        sa.Column("place", TEXT, nullable=False),
        sa.Column("number", INTEGER, nullable=False),
        sa.Column("state", TEXT, nullable=False),
        sa.Column("at", TEXT, nullable=False),
        sa.Column("reason", TEXT),
        sa.PrimaryKeyConstraint("alert_id", "place"),
        sqlite_strict=True,
    )
    op.create_table(
        "place",
        sa.Column("place", TEXT, nullable=False),
        sa.Column("version", INTEGER, nullable=False),
        sa.Column("number", INTEGER, nullable=False),
        sa.Column("first_at", TEXT, nullable=False),
        sa.Column("last_at", TEXT, nullable=False),
        sa.Column("failures", INTEGER, nullable=False),
        sa.PrimaryKeyConstraint("place"),
        sqlite_strict=True,
    )
    now = present(bind.dialect.name)
    select = ALERTS.format(
        present=now,
        due=DUE.format(present=now),
        delivery=DELIVERY.format(row="alert"),
        delivery_noticed=DELIVERY.format(row="notice"),
    )
    create_view(bind, "alerts", select)


def downgrade() -> None:
    bind = op.get_bind()
    drop_view(bind, "alerts")
    for name in ("place", "delivery", "notice"):
        op.drop_table(name)
    _rename(None)
    create_view(bind, "alerts", _made_by("0011").ALERTS)


def _rename(name: str | None) -> None:
    """Makes the table of alerts anew, with a column for their names or without, to be derived."""
    op.drop_table("alert")
    op.create_table(
        "alert",
        sa.Column("kind", TEXT, nullable=False),
        sa.Column("subject", TEXT, nullable=False),
        *([] if name is None else [sa.Column(name, TEXT, nullable=False)]),
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
    if name is not None:
        op.create_index(op.f(f"ix_alert_{name}"), "alert", [name])
    op.execute("DELETE FROM projection WHERE name IN ('alerts', 'notices')")


def _made_by(number: str) -> Any:
    """An earlier migration."""
    script = op.get_context().script
    assert script is not None
    return script.get_revision(number).module
