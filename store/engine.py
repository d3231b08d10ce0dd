"""One way to open the database: `connect` for the writer, `connect(read_only=True)` for readers.

SQLite runs in WAL mode with synchronous=FULL, so what append acknowledged survives a power cut,
and every transaction of a writer begins IMMEDIATE, so that it never fails halfway for a lock.
On PostgreSQL locks of its own take the place of that one, see `lock_log` and `lock_derivations`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from errors import DatabaseMismatch, StoreError
from store import faults, postgresql
from store.vocabulary import refuse_unknown

# "MlPt" in ASCII: what `file` and `PRAGMA application_id` show of a Milepost database.
APPLICATION_ID = 0x4D6C5074
MIGRATIONS = Path(__file__).resolve().parent.parent / "alembic" / "versions"
# Counts the migrations. A file with a larger number is a newer Milepost's.
SCHEMA_NUMBER = len(list(MIGRATIONS.glob("[0-9]*.py")))
BUSY_TIMEOUT_MS = 30_000
READING = "milepost_reading"


def connect(url: str, *, read_only: bool = False) -> Engine:
    """An engine on an existing database whose schema is this Milepost's.

    Raises StoreError when there is no database, DatabaseMismatch when it is another's, a newer
    Milepost's, or not upgraded yet, and UnknownEvent when a newer Milepost wrote to its log.
    """
    file = sqlite_file(url)
    if file is not None and not file.is_file():
        raise StoreError(f"there is no database at {file}. `milepost init` makes one.")
    engine = bare_engine(url, read_only=read_only)
    try:
        check_schema(engine)
        with reading(engine) as connection:
            refuse_unknown(connection)
    except BaseException:
        engine.dispose()
        raise
    return engine


def bare_engine(url: str, *, read_only: bool = False) -> Engine:
    """An engine with the pragmas set and nothing checked; migrations start from it."""
    file = sqlite_file(url)
    if file is None:
        return postgresql.engine(make_url(url), read_only=read_only)
    location = read_only_url(file) if read_only else URL.create("sqlite", database=str(file))
    engine = create_engine(location, connect_args={"check_same_thread": False})
    event.listen(engine, "handle_error", faults.translate)

    @event.listens_for(engine, "connect")
    def _prepare(connection: sqlite3.Connection, _record: Any) -> None:
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
        cursor.execute("PRAGMA foreign_keys = ON")
        if read_only:
            cursor.execute("PRAGMA query_only = ON")
        else:
            cursor.execute("PRAGMA journal_mode = WAL")
            cursor.execute("PRAGMA synchronous = FULL")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        only_reads = read_only or connection.get_execution_options().get(READING)
        connection.exec_driver_sql("BEGIN" if only_reads else "BEGIN IMMEDIATE")

    return engine


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A connection for reads alone: one consistent snapshot, and no writer waits for it."""
    if engine.dialect.name == "postgresql":
        engine = postgresql.snapshots(engine)
    with engine.connect().execution_options(**{READING: True}) as connection:
        yield connection


@contextmanager
def appending(engine: Engine) -> Iterator[Connection]:
    """A transaction that no other append comes between: what it reads stays true to its end."""
    with engine.begin() as connection:
        lock_log(connection)
        yield connection


def lock_log(connection: Connection) -> None:
    """Makes this transaction the only one that appends, from here to its end.

    Events commit in the order of their positions for that, so whoever has read up to one has read
    all before it. SQLite needs no lock: there is one writer at a time, from BEGIN IMMEDIATE on.
    """
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({APPLICATION_ID})")


def lock_derivations(connection: Connection) -> None:
    """Makes this transaction the only one that derives, on one snapshot of the log, to its end.

    Comes first in a transaction: PostgreSQL takes the snapshot at the first query, and LOCK TABLE
    is none, so that the snapshot holds what the holder before had committed. Readers never wait.
    """
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        connection.exec_driver_sql("LOCK TABLE projection IN EXCLUSIVE MODE")


def read_only_url(file: Path) -> URL:
    """SQLite's own URL of a file that is opened for reading alone."""
    query = {"mode": "ro", "uri": "true"}
    return URL.create("sqlite", database=f"file:{quote(str(file))}", query=query)


def sqlite_file(url: str) -> Path | None:
    """The file of a SQLite URL; None for another database."""
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise StoreError(
            "[database] url is none: write sqlite:///FILE or postgresql+psycopg://USER@HOST/NAME."
        ) from error
    if parsed.get_backend_name() != "sqlite":
        return None
    if not parsed.database:
        raise StoreError(f"{url}: an in-memory database cannot be shared. Name a file.")
    return Path(parsed.database)


def check_schema(engine: Engine) -> None:
    """Raises DatabaseMismatch unless the database has this Milepost's schema."""
    with reading(engine) as connection:
        application, number = marks(connection)
    at = name_of(engine)
    if application != APPLICATION_ID:
        raise DatabaseMismatch(
            f"{at} is not a Milepost database. Name another in [database] url, or let "
            "`milepost init` make one there."
        )
    refuse_newer(engine, number)
    if number < SCHEMA_NUMBER:
        raise DatabaseMismatch(
            f"{at} has schema {number}, and this Milepost needs {SCHEMA_NUMBER}. "
            "Run `milepost db upgrade`: it keeps a backup, and what is there."
        )


class Marks(NamedTuple):
    """What a database says of itself: whose it is, and the number of its schema."""

    application: int
    number: int


def marks(connection: Connection) -> Marks:
    """The marks of the database behind `connection`."""
    if connection.dialect.name == "postgresql":
        number = postgresql.schema_number(connection)
        return Marks(0, 0) if number is None else Marks(APPLICATION_ID, number)
    return Marks(
        connection.execute(text("PRAGMA application_id")).scalar_one(),
        connection.execute(text("PRAGMA user_version")).scalar_one(),
    )


def name_of(engine: Engine) -> str:
    """The database for a message: a file, or a URL without its password."""
    if engine.dialect.name == "postgresql":
        return postgresql.named(engine.url)
    return str(faults.file_of(engine.url.database or ""))


def refuse_newer(engine: Engine, number: int) -> None:
    """Raises DatabaseMismatch for a schema number that is beyond this Milepost's."""
    if number > SCHEMA_NUMBER:
        raise DatabaseMismatch(
            f"{name_of(engine)} has schema {number}, and this Milepost knows up to "
            f"{SCHEMA_NUMBER}: a newer Milepost made it. Use that version."
        )
