"""The table of alerts, and what makes one the same for as long as it is about the same thing."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

from sqlalchemy import Column as SqlColumn
from sqlalchemy import Index, PrimaryKeyConstraint, Table

from settings import AlertKind, Severity
from store.log import written
from store.schema import INTEGER, TEXT, derived

DIGITS = 10

# What the clock decides has a `raised_at` to come: it is true from then on, unless the log says
# otherwise before. So the table follows from the log alone, and the SQL view asks the clock.
ALERT: Table = derived(
    "alert",
    SqlColumn("kind", TEXT, nullable=False),
    SqlColumn("subject", TEXT, nullable=False),
    SqlColumn("alert_id", TEXT, nullable=False),
    SqlColumn("run", TEXT),
    SqlColumn("checkpoint_id", TEXT),
    SqlColumn("step", INTEGER),
    SqlColumn("severity", TEXT, nullable=False),
    SqlColumn("title", TEXT, nullable=False),
    SqlColumn("detail", TEXT, nullable=False),
    SqlColumn("raised_at", TEXT, nullable=False),
    PrimaryKeyConstraint("kind", "subject"),
    Index(None, "run"),
    Index(None, "alert_id"),
)


@dataclass(frozen=True)
class Alert:
    """A row of `alert`. `subject` is the stream of the log that it is about.

    `since` tells one occurrence from the next: it changes when the alert ended and came back.
    """

    kind: AlertKind
    subject: str
    run: str | None
    checkpoint_id: str | None
    step: int | None
    severity: Severity
    title: str
    detail: str
    raised_at: str
    since: str

    @property
    def alert_id(self) -> str:
        """Names this occurrence, in so few digits that a person can type them."""
        words = "\n".join((self.kind, self.subject, self.severity, self.since))
        return hashlib.sha256(words.encode()).hexdigest()[:DIGITS]

    @property
    def row(self) -> dict[str, Any]:
        """Its columns."""
        columns = (column.name for column in ALERT.columns)
        return {name: getattr(self, name) for name in columns}


def of_checkpoint(
    kind: AlertKind,
    run: str,
    row: Any,
    *,
    severity: Severity,
    title: str,
    detail: str,
    raised_at: str,
    since: str | None = None,
) -> Alert:
    """An alert about a row's checkpoint; another occurrence has another `since`, or `raised_at`."""
    return Alert(
        kind=kind,
        subject=f"checkpoint/{row.checkpoint_id}",
        run=run,
        checkpoint_id=row.checkpoint_id,
        step=row.step,
        severity=severity,
        title=title,
        detail=detail,
        raised_at=raised_at,
        since=since or raised_at,
    )


def by_checkpoint(rows: Any) -> list[list[Any]]:
    """The rows of each checkpoint together; they are sorted by checkpoint."""
    return [list(group) for _, group in groupby(rows, key=lambda row: row.checkpoint_id)]


def later(moment: str, hours: float) -> str:
    """A time of the log, so many hours later."""
    return written(datetime.fromisoformat(moment) + timedelta(hours=hours))


def minute(moment: str) -> str:
    """A time of the log for a sentence."""
    return f"{moment[:16].replace('T', ' ')} UTC"
