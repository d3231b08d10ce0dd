"""Time travel: what the views said when the log ended at an earlier position.

The past is derived, not stored. On one connection, temporary views of the facts end at the
position, and empty temporary tables stand in place of the derived ones: names find the temporary
first, so every projection and every SQL view works on the prefix. Nothing is copied, and nothing
of the database is written.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.pool import StaticPool

from errors import UsageError
from store import log
from store.engine import read_only_url, reading
from store.faults import file_of
from store.schema import FACTS, HEARTBEAT, METADATA


def moment(word: str) -> str:
    """A time as the log writes it, from ISO 8601. Without a zone it is UTC, as every time shown.

    Raises UsageError for anything else.
    """
    try:
        when = datetime.fromisoformat(word)
    except ValueError as error:
        raise UsageError(
            f"{word!r} is neither a position of the log nor a time. A time is written like "
            "2026-11-24T10:30 or 2026-11-24T10:30:00+01:00; without a zone it is UTC."
        ) from error
    return log.written(when if when.tzinfo else when.replace(tzinfo=UTC))


def position_of(connection: Connection, word: str) -> int:
    """The position that `--as-of POSITION|TIME` means. Raises UsageError outside the log."""
    end = log.head(connection)
    if word.isdecimal():
        position = int(word)
        if not 1 <= position <= end:
            raise UsageError(f"there is no position {position}: the log goes from 1 to {end}.")
        return position
    position = log.position_at(connection, moment(word))
    if position == 0:
        raise UsageError(f"the log has nothing from before {moment(word)}.")
    return position


def clock(connection: Connection, word: str) -> str:
    """What time it was at POSITION|TIME. Raises UsageError as `position_of` does."""
    return _recorded_at(connection, int(word)) if word.isdecimal() else moment(word)


def _recorded_at(connection: Connection, position: int) -> str:
    query = text("SELECT recorded_at FROM event WHERE position = :position")
    return str(connection.execute(query, {"position": position}).scalar_one())


@contextmanager
def as_of(engine: Engine, position: int) -> Iterator[Engine]:
    """An engine on the database as if its log ended at `position`, with nothing derived yet.

    It has one connection, and what it derives is gone with it.
    """
    past = _sqlite(engine) if engine.dialect.name == "sqlite" else _postgresql(engine)
    try:
        with past.begin() as connection:
            _shadow(connection, position)
        yield past
    finally:
        past.dispose()


def derived_tables() -> list[str]:
    """The names of all tables that are neither facts nor liveness."""
    others = {table.name for table in (*FACTS, HEARTBEAT)}
    return [table.name for table in METADATA.sorted_tables if table.name not in others]


def _shadow(connection: Connection, position: int) -> None:
    """Puts a temporary table or view before each one of the database."""
    dialect = connection.dialect.name
    views = (_sqlite_views if dialect == "sqlite" else _postgresql_views)(connection)
    copies = (_sqlite_copies if dialect == "sqlite" else _postgresql_copies)(connection)
    schema = "main" if dialect == "sqlite" else _schema(connection)
    for table in FACTS:
        connection.exec_driver_sql(
            f"CREATE TEMPORARY VIEW {table.name} AS "
            f"SELECT * FROM {schema}.{table.name} WHERE position <= {position}"
        )
    for statement in copies:
        connection.exec_driver_sql(statement)
    for name, select in views:
        connection.exec_driver_sql(f"CREATE TEMPORARY VIEW {name} AS {select}")


def _sqlite(engine: Engine) -> Engine:
    past = create_engine(
        read_only_url(file_of(engine.url.database or "")),
        poolclass=StaticPool,
        connect_args={"check_same_thread": False},
    )

    @event.listens_for(past, "connect")
    def _prepare(connection: sqlite3.Connection, _record: Any) -> None:
        connection.isolation_level = None

    @event.listens_for(past, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN")

    return past


def _sqlite_views(connection: Connection) -> list[tuple[str, str]]:
    """Name and SELECT of each SQL view."""
    query = "SELECT name, sql FROM main.sqlite_schema WHERE type = 'view' ORDER BY rowid"
    return [
        (name, sql.partition(" AS")[2]) for name, sql in connection.exec_driver_sql(query).all()
    ]


def _sqlite_copies(connection: Connection) -> list[str]:
    """The statements that make each derived table, and then its indexes, as temporary ones."""
    query = text(
        "SELECT type, name, sql FROM main.sqlite_schema "
        "WHERE tbl_name = :table AND sql IS NOT NULL ORDER BY type = 'index'"
    )
    statements = []
    for table in derived_tables():
        for kind, name, sql in connection.execute(query, {"table": table}).all():
            before, _, after = sql.partition(name)
            here = f"temp.{name}" if kind == "index" else name
            verb = before if kind == "index" else before.replace("TABLE", "TEMPORARY TABLE", 1)
            statements.append(f"{verb}{here}{after}")
    return statements


def _postgresql(engine: Engine) -> Engine:
    return create_engine(engine.url, poolclass=StaticPool)


def _schema(connection: Connection) -> str:
    return str(connection.exec_driver_sql("SELECT current_schema()").scalar_one())


def _postgresql_views(connection: Connection) -> Sequence[tuple[str, str]]:
    """Name and SELECT of each SQL view; read before anything shadows what they name."""
    query = (
        "SELECT viewname, definition FROM pg_views WHERE schemaname = current_schema() "
        "ORDER BY viewname::regclass::oid"
    )
    return [(name, definition) for name, definition in connection.exec_driver_sql(query).all()]


def _postgresql_copies(connection: Connection) -> list[str]:
    schema = _schema(connection)
    return [
        f"CREATE TEMPORARY TABLE {name} (LIKE {schema}.{name} INCLUDING ALL)"
        for name in derived_tables()
    ]


def describe(connection: Connection, position: int) -> str:
    """A sentence that says which past is shown."""
    at = _recorded_at(connection, position)
    return (
        f"As of position {position} of {log.head(connection)} ({at}), with today's milepost.toml."
    )


def prefix(engine: Engine, word: str) -> tuple[int, str]:
    """The position that `word` means, and a sentence that says so."""
    with reading(engine) as connection:
        position = position_of(connection, word)
        return position, describe(connection, position)
