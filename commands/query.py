"""`milepost sql`: one question to the database, which can read and nothing else.

`ask` may be given a query that nobody trusts. On SQLite an authorizer refuses every action but
reading; on PostgreSQL the query becomes a cursor of a read-only transaction, which takes one
SELECT alone. Rows and time are limited on both.
"""

from __future__ import annotations

import difflib
import math
import re
import sqlite3
import sys
import time
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, inspect

from commands.bootstrap import deriver, opened
from commands.output import Format, emit
from errors import QueryTimeout, StoreError, UsageError
from settings import Workspace
from store import faults, postgresql
from store.engine import reading

ROWS = 10_000
SECONDS = 30.0

# Larger values than any in the log: without it, one zeroblob() could fill the memory.
LARGEST_VALUE_BYTES = 256 * 2**20
# So often is the clock looked at: some milliseconds of work.
STEPS_BETWEEN_LOOKS = 20_000

READS = {
    sqlite3.SQLITE_SELECT,
    sqlite3.SQLITE_READ,
    sqlite3.SQLITE_FUNCTION,
    sqlite3.SQLITE_RECURSIVE,
}
# These two load code or hand out pointers to it.
UNSAFE_FUNCTIONS = {"load_extension", "fts3_tokenizer"}
SCHEMA_TABLES = {"sqlite_master", "sqlite_temp_master"}
# What a person would call an action; whatever else there is happens only after one of these.
ACTIONS = {
    sqlite3.SQLITE_INSERT: "INSERT",
    sqlite3.SQLITE_UPDATE: "UPDATE",
    sqlite3.SQLITE_DELETE: "DELETE",
    sqlite3.SQLITE_ALTER_TABLE: "ALTER TABLE",
    sqlite3.SQLITE_ATTACH: "ATTACH",
    sqlite3.SQLITE_CREATE_TRIGGER: "CREATE",
    sqlite3.SQLITE_CREATE_TEMP_TRIGGER: "CREATE",
    sqlite3.SQLITE_DETACH: "DETACH",
    sqlite3.SQLITE_PRAGMA: "PRAGMA",
    sqlite3.SQLITE_REINDEX: "REINDEX",
    sqlite3.SQLITE_SAVEPOINT: "SAVEPOINT",
    sqlite3.SQLITE_TRANSACTION: "TRANSACTION",
}

# How SQLSTATE begins where the query is to blame: a wrong name or text, a refusal, a division by
# zero. Any other error is the server's.
SQLSTATE_BLAMES_QUERY = ("0A", "21", "22", "25", "42")
SQLSTATE_SYNTAX_ERROR = "42601"
SQLSTATE_CANCELED = "57014"

UNKNOWN_NAME = re.compile(
    r"no such (?:column|table): (?P<sqlite>\S+)"
    r'|(?:column|relation) "?(?P<postgresql>[^"\s]+)"? does not exist'
)


class Answer(NamedTuple):
    """What a query found. `cut`: there are more rows than the limit, and these are the first."""

    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]
    cut: bool


class _Found(NamedTuple):
    """Rows as the driver gives them."""

    names: list[str]
    rows: Sequence[Sequence[Any]]


def answer(workspace: Workspace, query: str, form: Format, *, limit: int, seconds: float) -> None:
    """Brings the views up to date, asks, and prints; a cut is said on standard error."""
    with opened(workspace) as engine:
        deriver(engine, workspace)()
    with opened(workspace, read_only=True) as engine:
        found = ask(engine, query, limit=limit, seconds=seconds)
    rows = [dict(zip(found.columns, row, strict=True)) for row in found.rows]
    emit(rows, found.columns, form, empty="No rows.", every_column=True)
    if found.cut:
        print(f"the first {limit:,} rows; --limit N shows more.", file=sys.stderr)


def ask(engine: Engine, query: str, *, limit: int = ROWS, seconds: float = SECONDS) -> Answer:
    """Asks one question; never holds more than `limit` + 1 rows.

    Columns of the same name get _2, _3 … behind it. Blobs come as hexadecimal text, infinities and
    NaN as their names. Raises UsageError for a query that is wrong or does more than read,
    QueryTimeout after `seconds`, StoreError when the database itself fails.
    """
    fetch = _fetch_from_sqlite if engine.dialect.name == "sqlite" else _fetch_from_postgresql
    _check_text(query)
    try:
        with reading(engine) as connection:
            found = fetch(connection, query, limit + 1, seconds)
    except UsageError as error:
        raise UsageError(f"{error}{_hint(engine, str(error))}") from error
    rows = [tuple(_plain(value) for value in row) for row in found.rows[:limit]]
    return Answer(_distinct(found.names), rows, cut=len(found.rows) > limit)


def _fetch_from_sqlite(connection: Connection, query: str, most: int, seconds: float) -> _Found:
    connection.begin()
    driver = connection.connection.driver_connection
    assert isinstance(driver, sqlite3.Connection)
    deadline = time.monotonic() + seconds
    refused: list[str] = []

    def authorize(action: int, first: str | None, second: str | None, *_: str | None) -> int:
        what = _refused(action, first, second)
        if what is None:
            return sqlite3.SQLITE_OK
        refused.append(what)
        return sqlite3.SQLITE_DENY

    longest = driver.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LARGEST_VALUE_BYTES)
    driver.set_authorizer(authorize)
    driver.set_progress_handler(lambda: time.monotonic() > deadline, STEPS_BETWEEN_LOOKS)
    cursor = driver.cursor()
    try:
        cursor.execute(query)
        return _Found(_names(cursor.description), cursor.fetchmany(most))
    # A second statement is a sqlite3.Warning in Python 3.11, which is no sqlite3.Error.
    except (sqlite3.Error, sqlite3.Warning) as error:
        name = getattr(error, "sqlite_errorname", "")
        if refused:
            raise UsageError(_refusal(refused[0])) from error
        if name == "SQLITE_INTERRUPT":
            raise QueryTimeout(seconds) from error
        fault = faults.named(name, str(error), faults.file_of(connection.engine.url.database or ""))
        raise fault or _mistake(str(error)) from error
    finally:
        cursor.close()
        driver.set_progress_handler(None, 0)
        driver.set_authorizer(None)
        driver.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, longest)


def _fetch_from_postgresql(connection: Connection, query: str, most: int, seconds: float) -> _Found:
    connection.exec_driver_sql(f"SET LOCAL statement_timeout = {math.ceil(seconds * 1000)}")
    driver: Any = connection.connection.driver_connection
    try:
        # DECLARE … CURSOR takes one SELECT and nothing else, and rows come as they are fetched.
        with driver.cursor("milepost_sql") as cursor:
            cursor.execute(query)
            return _Found(_names(cursor.description), cursor.fetchmany(most))
    except connection.dialect.loaded_dbapi.Error as error:
        state = getattr(error, "sqlstate", None) or ""
        if state == SQLSTATE_CANCELED:
            raise QueryTimeout(seconds) from error
        # In str(error) stand lines of the DECLARE, which nobody wrote.
        said = error.diag.message_primary or str(error)
        if state == SQLSTATE_SYNTAX_ERROR:
            said += ". Write one SELECT: `milepost sql` only reads."
        if state.startswith(SQLSTATE_BLAMES_QUERY):
            raise _mistake(said) from error
        at = postgresql.named(connection.engine.url)
        raise StoreError(f"{at} failed: {said}. `milepost status` says what runs on it.") from error


def _check_text(query: str) -> None:
    """A driver would stop reading at a null character, or fail with a word of its own."""
    try:
        query.encode()
    except UnicodeEncodeError as error:
        raise UsageError("that query is not UTF-8 text.") from error
    if "\0" in query:
        raise UsageError("that query holds a null character.")


def _names(description: Iterable[Sequence[Any]] | None) -> list[str]:
    if description is None:
        raise UsageError("that is no query: write one SELECT.")
    return [column[0] for column in description]


def _refused(action: int, first: str | None, second: str | None) -> str | None:
    """What SQLite asks leave for, if it is more than reading; `first` and `second` are its words.

    Table-valued functions, such as json_each, declare themselves with an UPDATE of the schema. To
    allow that allows nothing more: SQLite itself refuses a person who writes it.
    """
    if action == sqlite3.SQLITE_FUNCTION and second in UNSAFE_FUNCTIONS:
        return f"{second}()"
    if action in READS or (action == sqlite3.SQLITE_UPDATE and first == "sqlite_master"):
        return None
    if action == sqlite3.SQLITE_PRAGMA:
        return f"PRAGMA {first}"
    if first in SCHEMA_TABLES:
        return "DROP" if action == sqlite3.SQLITE_DELETE else "CREATE"
    return ACTIONS.get(action, f"action {action}")


def _refusal(what: str) -> str:
    hint = " docs/sql.md names the columns of every view." if what.startswith("PRAGMA") else ""
    return f"`milepost sql` only reads: {what} is refused.{hint}"


def _mistake(said: str) -> UsageError:
    return UsageError(f"that query cannot run: {said}")


def _hint(engine: Engine, message: str) -> str:
    """For a wrong name: the names near it, or all views."""
    unknown = UNKNOWN_NAME.search(message)
    if unknown is None:
        return ""
    inspector = inspect(engine)
    views = sorted(inspector.get_view_names())
    known = {column["name"] for view in views for column in inspector.get_columns(view)}.union(
        views
    )
    name = (unknown["sqlite"] or unknown["postgresql"]).rpartition(".")[2]
    near = difflib.get_close_matches(name, sorted(known), n=3)
    if near:
        return f"\nNear it: {', '.join(near)}."
    return f"\nThe views: {', '.join(views)}. docs/sql.md names their columns."


def _distinct(names: Sequence[str]) -> tuple[str, ...]:
    distinct: list[str] = []
    for name in names:
        chosen, count = name, 1
        while chosen in distinct:
            count += 1
            chosen = f"{name}_{count}"
        distinct.append(chosen)
    return tuple(distinct)


def _plain(value: Any) -> Any:
    """A value that JSON, CSV and a table can hold."""
    match value:
        # A sum of integers has no decimal places; a mean keeps them, even when all are 0.
        case Decimal() if value.is_finite() and int(value.as_tuple().exponent) >= 0:
            return int(value)
        case Decimal():
            return _plain(float(value))
        case float() if not math.isfinite(value):
            return str(value)
        case bytes() | memoryview():
            return value.hex()
        case None | bool() | int() | float() | str() | list() | dict():
            return value
        case _:
            return str(value)
