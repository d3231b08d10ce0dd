"""Notices: which alerts were sent where, and which a person acknowledged; from the log alone.

What was noticed is kept as it stood then, so that an alert that is over can still be told of.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Column as SqlColumn
from sqlalchemy import Connection, PrimaryKeyConstraint, Table, delete, insert, update

from store.events import AlertAcknowledged, AlertNotSent, AlertSending, AlertSent, Notice
from store.log import Recorded
from store.projections import Projection
from store.schema import INTEGER, TEXT, derived

SENDING, SENT, FAILED = "sending", "sent", "failed"
UNKNOWN = "it is not known whether the message went out"

NOTICE: Table = derived(
    "notice",
    SqlColumn("alert_id", TEXT, primary_key=True, nullable=False),
    SqlColumn("kind", TEXT, nullable=False),
    SqlColumn("subject", TEXT, nullable=False),
    SqlColumn("run", TEXT),
    SqlColumn("checkpoint_id", TEXT),
    SqlColumn("step", INTEGER),
    SqlColumn("severity", TEXT, nullable=False),
    SqlColumn("title", TEXT, nullable=False),
    SqlColumn("detail", TEXT, nullable=False),
    SqlColumn("raised_at", TEXT, nullable=False),
    SqlColumn("acknowledged_at", TEXT),
    SqlColumn("acknowledged_by", TEXT),
    SqlColumn("note", TEXT),
)

# How far the newest message about an alert to a place has come.
DELIVERY: Table = derived(
    "delivery",
    SqlColumn("alert_id", TEXT, nullable=False),
    SqlColumn("place", TEXT, nullable=False),
    SqlColumn("number", INTEGER, nullable=False),
    SqlColumn("state", TEXT, nullable=False),
    SqlColumn("at", TEXT, nullable=False),
    SqlColumn("reason", TEXT),
    PrimaryKeyConstraint("alert_id", "place"),
)

# A place that messages go to: its stream's version, the last message's number, when the first and
# the last message began, when the last one ended, and how many failed since one went out.
PLACE: Table = derived(
    "place",
    SqlColumn("place", TEXT, primary_key=True, nullable=False),
    SqlColumn("version", INTEGER, nullable=False),
    SqlColumn("number", INTEGER, nullable=False),
    SqlColumn("first_at", TEXT, nullable=False),
    SqlColumn("last_at", TEXT, nullable=False),
    SqlColumn("failures", INTEGER, nullable=False),
)


def notice_of(row: Mapping[str, Any]) -> Notice:
    """A row of the view of alerts, as the log keeps it."""
    return Notice(**{name: row[name] for name in Notice.model_fields})


def derive(connection: Connection, events: Sequence[Recorded]) -> None:
    """Follows messages and acknowledgements, one by one."""
    for recorded in events:
        match recorded.event:
            case AlertSending() as event:
                _begin(connection, event, recorded)
            case AlertSent() as event:
                _end(connection, event, recorded, SENT, None)
            case AlertNotSent() as event:
                _end(connection, event, recorded, FAILED, event.reason)
            case AlertAcknowledged() as event:
                _keep(connection, event.alert)
                connection.execute(
                    update(NOTICE)
                    .where(NOTICE.c.alert_id == event.alert_id)
                    .values(
                        acknowledged_at=recorded.recorded_at,
                        acknowledged_by=event.by,
                        note=event.note,
                    )
                )


def _begin(connection: Connection, event: AlertSending, recorded: Recorded) -> None:
    at = recorded.recorded_at
    for notice in event.alerts:
        _keep(connection, notice)
        this = (DELIVERY.c.alert_id == notice.alert_id) & (DELIVERY.c.place == event.place)
        connection.execute(delete(DELIVERY).where(this))
        connection.execute(
            insert(DELIVERY).values(
                alert_id=notice.alert_id,
                place=event.place,
                number=event.number,
                state=SENDING,
                at=at,
                reason=UNKNOWN,
            )
        )
    values = {"version": recorded.version, "number": event.number, "last_at": at}
    this_place = PLACE.c.place == event.place
    if connection.execute(update(PLACE).where(this_place).values(**values)).rowcount == 0:
        connection.execute(
            insert(PLACE).values(place=event.place, first_at=at, failures=0, **values)
        )


def _end(
    connection: Connection,
    event: AlertSent | AlertNotSent,
    recorded: Recorded,
    state: str,
    reason: str | None,
) -> None:
    connection.execute(
        update(DELIVERY)
        .where(DELIVERY.c.place == event.place, DELIVERY.c.number == event.number)
        .values(state=state, at=recorded.recorded_at, reason=reason)
    )
    failures = PLACE.c.failures + 1 if state == FAILED else 0
    connection.execute(
        update(PLACE)
        .where(PLACE.c.place == event.place)
        .values(version=recorded.version, last_at=recorded.recorded_at, failures=failures)
    )


def _keep(connection: Connection, notice: Notice) -> None:
    """Keeps an alert as it stands now; an acknowledgement of before stays."""
    this = NOTICE.c.alert_id == notice.alert_id
    if connection.execute(update(NOTICE).where(this).values(**notice.model_dump())).rowcount == 0:
        connection.execute(insert(NOTICE).values(**notice.model_dump()))


NOTICES = Projection(
    name="notices",
    version=1,
    tables=(NOTICE, DELIVERY, PLACE),
    listens=frozenset({AlertSending, AlertSent, AlertNotSent, AlertAcknowledged}),
    derive=derive,
)
