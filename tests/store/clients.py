"""Any other program on the database: the bare driver, with none of Milepost's settings."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TypeAlias

import psycopg
from sqlalchemy import Engine

Client: TypeAlias = "sqlite3.Connection | psycopg.Connection"

# PostgreSQL has no number beyond the largest real, so it refuses to read one.
REFUSED = (sqlite3.IntegrityError, psycopg.IntegrityError, psycopg.DataError)


@contextmanager
def client(engine: Engine) -> Iterator[Client]:
    """A connection that commits each statement; on PostgreSQL the superuser's."""
    url = engine.url
    if engine.dialect.name == "sqlite":
        with closing(sqlite3.connect(str(url.database), isolation_level=None)) as opened:
            yield opened
    else:
        conninfo = f"host={url.query['host']} user=postgres dbname={url.database}"
        with psycopg.connect(conninfo, autocommit=True) as connection:
            yield connection


def run(opened: Client, statement: str) -> int:
    """Runs a statement; the number of rows that it changed."""
    return cursor_of(opened, statement).rowcount


def rows(opened: Client, statement: str) -> list[tuple[object, ...]]:
    """All rows of a query."""
    return [tuple(row) for row in cursor_of(opened, statement).fetchall()]


def cursor_of(opened: Client, statement: str) -> sqlite3.Cursor | psycopg.Cursor:
    if isinstance(opened, sqlite3.Connection):
        return opened.execute(statement)
    return opened.execute(statement.encode())


def drop_guards(opened: Client) -> None:
    """Takes every trigger off, as whoever owns the database can."""
    if isinstance(opened, sqlite3.Connection):
        found = rows(opened, "SELECT name, tbl_name FROM sqlite_schema WHERE type = 'trigger'")
        statements = [f"DROP TRIGGER {name}" for name, _ in found]
    else:
        found = rows(
            opened, "SELECT tgname, tgrelid::regclass::text FROM pg_trigger WHERE NOT tgisinternal"
        )
        statements = [f"DROP TRIGGER {name} ON {table}" for name, table in found]
    for statement in statements:
        run(opened, statement)


def drop_guard(opened: Client, table: str, name: str) -> None:
    """Takes one trigger off."""
    on = "" if isinstance(opened, sqlite3.Connection) else f" ON {table}"
    run(opened, f"DROP TRIGGER {table}_refuses_{name}{on}")


def ignore_foreign_keys(opened: Client) -> None:
    """As a bare SQLite client does anyway, and a superuser of PostgreSQL can."""
    if isinstance(opened, psycopg.Connection):
        run(opened, "SET session_replication_role = replica")
