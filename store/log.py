"""The event log: `append` writes facts in one transaction, `read` gives them back in order.

Appending is idempotent by event id, and optimistic by stream version: whoever passes
`expected_version` loses, with ConcurrencyError, against a process that appended first.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, Row, Table, func, insert, select

from errors import ConcurrencyError, EventConflict
from store import chain, tuples
from store.chain import Fields, digest_of_rows, link
from store.engine import lock_log
from store.events import Event, load
from store.records import Example, Prediction, TokenTrace
from store.schema import EVENT, EXAMPLE, GENESIS, PREDICTION, TOKEN_TRACE
from store.tuples import Tuple


@dataclass(frozen=True)
class Rows:
    """The rows that belong to the one event appended with them."""

    examples: Sequence[Example] = ()
    predictions: Sequence[Prediction] = ()
    traces: Sequence[TokenTrace] = ()

    def by_table(self, position: int) -> dict[Table, list[Tuple]]:
        """The rows as tuples, by the table that they go into."""
        return {
            table: tuples.from_records(table, records, position)
            for table, records in (
                (EXAMPLE, self.examples),
                (PREDICTION, self.predictions),
                (TOKEN_TRACE, self.traces),
            )
        }


NO_ROWS = Rows()


class Recorded(NamedTuple):
    """An event as the log holds it. `recorded_at` is UTC, ISO 8601 with milliseconds."""

    position: int
    event_id: str
    stream: str
    version: int
    recorded_at: str
    event: Event


class Appended(NamedTuple):
    """Where an event stands: its position, its stream's version, and whether it was new."""

    position: int
    version: int
    new: bool


def now() -> str:
    """The present, UTC, ISO 8601 with milliseconds, such as 2026-11-24T10:24:57.123Z."""
    return written(datetime.now(UTC))


def written(when: datetime) -> str:
    """A time that knows its zone as the log writes it, see `now`."""
    return when.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def append(
    engine: Engine, event: Event, *, expected_version: int | None = None, rows: Rows = NO_ROWS
) -> Appended:
    """Appends one event, with its rows, in one transaction.

    An event id that the log holds already is left as it is: the answer says where it stands, and
    its rows are not written again. Raises EventConflict if it came with another payload or other
    rows, and ConcurrencyError if the stream is not at `expected_version` (None: wherever it is).
    """
    with engine.begin() as connection:
        return append_in(connection, event, expected_version=expected_version, rows=rows)


def append_in(
    connection: Connection,
    event: Event,
    *,
    expected_version: int | None = None,
    rows: Rows = NO_ROWS,
) -> Appended:
    """`append` inside a transaction that the caller holds."""
    lock_log(connection)
    payload = event.payload()
    stored = connection.execute(select(EVENT).where(EVENT.c.event_id == event.event_id)).first()
    if stored is not None:
        _refuse_conflict(connection, stored, event, payload, rows)
        return Appended(stored.position, stored.version, new=False)
    found = version_of(connection, event.stream)
    if expected_version is not None and found != expected_version:
        raise ConcurrencyError(event.stream, expected_version, found)
    before = _end(connection)
    fields = Fields(
        position=before.position + 1,
        event_id=event.event_id,
        stream=event.stream,
        version=found + 1,
        type=type(event).__name__,
        schema_version=event.schema_version,
        recorded_at=now(),
        payload=payload,
    )
    tables = rows.by_table(fields.position)
    digest = _digest(before, fields, tables)
    connection.execute(insert(EVENT).values(**fields._asdict(), digest=digest))
    for table in chain.ROWS:
        tuples.insert(connection, table, tables[table])
    return Appended(fields.position, fields.version, new=True)


class _End(NamedTuple):
    """The newest event's position, and the digest that the next one goes on from."""

    position: int
    digest: str


def _end(connection: Connection, before: int | None = None) -> _End:
    """The end of the log, or of what lies before a position."""
    query = select(EVENT.c.position, EVENT.c.digest).order_by(EVENT.c.position.desc()).limit(1)
    if before is not None:
        query = query.where(EVENT.c.position < before)
    row = connection.execute(query).first()
    return _End(0, GENESIS) if row is None else _End(*row)


def _digest(before: _End, fields: Fields, tables: Mapping[Table, Sequence[Tuple]]) -> str:
    """The digest of an event with its rows, at its place."""
    return link(before.digest, fields, [digest_of_rows(tables[table]) for table in chain.ROWS])


def _refuse_conflict(
    connection: Connection, stored: Row[Any], event: Event, payload: str, rows: Rows
) -> None:
    """Raises EventConflict if the event that is there has another payload or other rows."""
    named = f"event {event.event_id} ({type(event).__name__}, position {stored.position})"
    # One that an older version wrote down says the same in other words.
    if stored.payload != payload and _recorded(stored).event != event:
        raise EventConflict(
            f"{named} is in the log with another payload.\n"
            f"  there: {stored.payload}\n  new:   {payload}"
        )
    tables = rows.by_table(stored.position)
    fields = Fields(*(getattr(stored, name) for name in Fields._fields))
    before = _end(connection, before=stored.position)
    if _digest(before, fields, tables) != stored.digest:
        raise EventConflict(
            f"{named} is in the log with other rows than these. If nothing was appended twice, "
            "the log was changed: `milepost db check` says where."
        )


def read(
    connection: Connection,
    *,
    after: int = 0,
    until: int | None = None,
    types: Collection[type[Event]] | None = None,
    stream: str | None = None,
) -> Iterator[Recorded]:
    """Events with `after` < position ≤ `until`, in order; of some types or one stream if named.

    Raises UnknownEvent at an event that this Milepost cannot read.
    """
    query = select(EVENT).where(EVENT.c.position > after).order_by(EVENT.c.position)
    if until is not None:
        query = query.where(EVENT.c.position <= until)
    if types is not None:
        query = query.where(EVENT.c.type.in_([one.__name__ for one in types]))
    if stream is not None:
        query = query.where(EVENT.c.stream == stream)
    for row in connection.execute(query):
        yield _recorded(row)


def head(connection: Connection) -> int:
    """The position of the newest event; 0 for an empty log."""
    return connection.execute(select(func.max(EVENT.c.position))).scalar() or 0


def newest(connection: Connection, types: Collection[type[Event]]) -> int:
    """The position of the newest event of any of some types; 0 when there is none."""
    found = (
        connection.execute(
            select(func.max(EVENT.c.position)).where(EVENT.c.type == one.__name__)
        ).scalar()
        for one in types
    )
    return max((position or 0 for position in found), default=0)


def version_of(connection: Connection, stream: str) -> int:
    """The version of a stream's newest event; 0 for a stream that has none."""
    query = select(func.max(EVENT.c.version)).where(EVENT.c.stream == stream)
    return connection.execute(query).scalar() or 0


def latest(connection: Connection, stream: str) -> Recorded | None:
    """The newest event of a stream."""
    newest_first = select(EVENT).where(EVENT.c.stream == stream).order_by(EVENT.c.version.desc())
    row = connection.execute(newest_first.limit(1)).one_or_none()
    return None if row is None else _recorded(row)


def latest_of(connection: Connection, kind: type[Event]) -> Recorded | None:
    """The newest event of a type."""
    newest_first = select(EVENT).where(EVENT.c.type == kind.__name__)
    row = connection.execute(newest_first.order_by(EVENT.c.position.desc()).limit(1)).first()
    return None if row is None else _recorded(row)


def position_at(connection: Connection, moment: str) -> int:
    """The position of the newest event recorded up to `moment`, as `now` writes it; 0 for none."""
    query = select(func.max(EVENT.c.position)).where(EVENT.c.recorded_at <= moment)
    return connection.execute(query).scalar() or 0


def _recorded(row: Row[Any]) -> Recorded:
    return Recorded(
        row.position,
        row.event_id,
        row.stream,
        row.version,
        row.recorded_at,
        load(row.type, row.schema_version, row.payload, row.position),
    )
