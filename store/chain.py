"""The digest chain over the log: a change that went around the guards is found, and where.

Each event carries the SHA-256 of the digest before it, of its own columns and of its rows in
`example`, `prediction` and `token_trace`. Whoever changes, takes away or slips in anything would
have to compute every later digest anew.

    digest = SHA-256(lines joined by a line feed)
    lines  = the digest before; the event's columns; then, for each table in ROWS, the SHA-256 of
             the event's rows in it, or nothing where it has none

Columns and rows are JSON arrays without spaces, ASCII only; bytes are hexadecimal; rows stand in
the order of their key, each without the NULLs at its end, so that a column added later leaves old
digests as they are.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple

from sqlalchemy import Connection, Table, inspect, select, update

from store.dialects import last_position_given
from store.schema import EVENT, EXAMPLE, GENESIS, PREDICTION, TOKEN_TRACE
from store.tuples import Tuple, stream

ROWS = (EXAMPLE, PREDICTION, TOKEN_TRACE)


class Fields(NamedTuple):
    """The columns of an event that its digest covers, in this order."""

    position: int
    event_id: str
    stream: str
    version: int
    type: str
    schema_version: int
    recorded_at: str
    payload: str


class Break(NamedTuple):
    """A place where the log is not what was appended."""

    position: int
    what: str


def link(previous: str, fields: Fields, rows: Sequence[str]) -> str:
    """The digest of an event: `previous` is that of the one before, `rows` one digest a table."""
    return _sha256("\n".join((previous, _json(fields), *rows)))


def digest_of_rows(rows: Sequence[Tuple]) -> str:
    """The digest of one event's rows in one table, sorted by key; empty for none."""
    return _sha256(_json([_trimmed(row) for row in rows])) if rows else ""


def breaks(connection: Connection) -> Iterator[Break]:
    """Every place where the log breaks its chain, by position.

    A gap in the positions is told once, with the last position before it; what follows it is
    still compared, each event with the digest that the one before it carries.
    """
    rows = _digests_of_all_rows(connection)
    last, previous = 0, GENESIS
    for fields, stored in _events(connection):
        if fields.position != last + 1:
            yield Break(last, f"the events from {last + 1} to {fields.position - 1} are missing")
        elif link(previous, fields, _of(rows, fields.position)) != stored:
            yield Break(
                fields.position,
                f"{fields.type} ({fields.stream}), or its rows, are not what was appended",
            )
        last, previous = fields.position, stored
        for table in ROWS:
            rows[table.name].pop(fields.position, None)
    for table in ROWS:
        for position in sorted(rows[table.name]):
            yield Break(position, f"{table.name} has rows of this position, which has no event")
    end = _last_position_given(connection)
    if end > last:
        yield Break(last, f"the log's end is missing: it had come to position {end}")


def seal(connection: Connection) -> None:
    """Writes the digests of a log that has none yet, for the migration that brings them."""
    rows = _digests_of_all_rows(connection)
    previous = GENESIS
    for fields, _ in list(_events(connection)):
        previous = link(previous, fields, _of(rows, fields.position))
        connection.execute(
            update(EVENT).where(EVENT.c.position == fields.position).values(digest=previous)
        )


def _events(connection: Connection) -> Iterator[tuple[Fields, str]]:
    columns = [EVENT.c[name] for name in Fields._fields]
    query = select(*columns, EVENT.c.digest).order_by(EVENT.c.position)
    for *fields, digest in stream(connection, query):
        yield Fields(*fields), digest


def _of(rows: Mapping[str, Mapping[int, str]], position: int) -> list[str]:
    return [rows[table.name].get(position, "") for table in ROWS]


def _digests_of_all_rows(connection: Connection) -> dict[str, dict[int, str]]:
    """By table and position. Rows are read in the order of the key, without a sort.

    A batch lies within one value of the key's first column, so that one of these at a time is in
    memory. Where a position has rows under two of them, its digest fits no event.
    """
    there = inspect(connection)
    found: dict[str, dict[int, str]] = {}
    for table in ROWS:
        digests: dict[int, str] = {}
        existing = {column["name"] for column in there.get_columns(table.name)}
        columns = [column for column in table.columns if column.name in existing]
        query = select(*columns).order_by(*table.primary_key.columns)
        at = [column.name for column in columns].index("position")
        lead = [column.name for column in columns].index(_first_of_key(table))
        for _, group in groupby(stream(connection, query), key=lambda row: row[lead]):
            batches: dict[int, list[Tuple]] = defaultdict(list)
            for row in group:
                batches[row[at]].append(row)
            for position, batch in batches.items():
                digests[position] = digests.get(position, "") + digest_of_rows(batch)
        found[table.name] = digests
    return found


def _first_of_key(table: Table) -> str:
    return next(iter(table.primary_key.columns)).name


def _last_position_given(connection: Connection) -> int:
    """The highest position that the log ever gave, even when its event is gone."""
    query = f"SELECT {last_position_given(connection.dialect.name)}"
    return int(connection.exec_driver_sql(query).scalar_one())


def _trimmed(row: Tuple) -> Tuple:
    end = len(row)
    while row[end - 1] is None:
        end -= 1
    return row[:end]


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), allow_nan=False, default=_hex)


def _hex(value: Any) -> str:
    return bytes(value).hex()


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("ascii")).hexdigest()
