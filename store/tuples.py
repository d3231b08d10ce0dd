"""Rows as the driver takes and gives them: tuples, several times as fast as dictionaries.

Predictions come by the ten thousand, and SQLAlchemy's own executemany and Row objects would cost
more than the database does. Whoever only moves rows uses this; all else speaks SQLAlchemy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from operator import attrgetter
from typing import Any

from sqlalchemy import Connection, Select, Table, type_coerce

from store.column_types import storable
from store.schema import TEXT, Json, dumps

Tuple = tuple[Any, ...]

CHUNK = 5_000


def from_records(table: Table, records: Sequence[Any], position: int) -> list[Tuple]:
    """Records as rows of a fact table, in the order of its columns and sorted by its key.

    Numbers have the type of their column, so that each backend gives back what it was given.
    """
    names = [column.name for column in table.columns]
    get = attrgetter(*(name for name in names if name != "position"))
    at = names.index("position")
    convert = [
        (index, function)
        for index, column in enumerate(table.columns)
        if (function := _converter(column.type)) is not None
    ]
    key = attrgetter(*(column.name for column in table.primary_key.columns))
    rows = []
    for record in sorted(records, key=key):
        values = list(get(record))
        values.insert(at, position)
        for index, function in convert:
            if values[index] is not None:
                values[index] = function(values[index])
        rows.append(tuple(values))
    return rows


def insert(connection: Connection, table: Table, rows: Sequence[Tuple]) -> None:
    """Inserts rows whose values are in the order of the table's columns."""
    if not rows:
        return
    mark = "?" if connection.dialect.name == "sqlite" else "%s"
    names = [column.name for column in table.columns]
    connection.exec_driver_sql(
        f"INSERT INTO {table.name} ({', '.join(names)}) VALUES ({', '.join([mark] * len(names))})",
        list(rows),
    )


def fetch(connection: Connection, query: Select[Any]) -> list[Tuple]:
    """All rows of a query as the driver gives them: JSON columns are text, flags are 0 and 1."""
    result = connection.execute(query)
    cursor = result.cursor
    assert cursor is not None
    try:
        return list(cursor.fetchall())
    finally:
        result.close()


def stream(connection: Connection, query: Select[Any]) -> Iterator[Tuple]:
    """`fetch`, a few thousand rows at a time."""
    if connection.dialect.name == "postgresql":
        yield from _stream_from_server(connection, query)
        return
    result = connection.execute(query)
    cursor = result.cursor
    assert cursor is not None
    try:
        while chunk := cursor.fetchmany(CHUNK):
            yield from chunk
    finally:
        result.close()


def _stream_from_server(connection: Connection, query: Select[Any]) -> Iterator[Tuple]:
    """By a cursor on the server: psycopg would otherwise fetch all rows before it gives the first.

    SQLAlchemy has taken rows from such a cursor before one could use it directly.
    """
    columns = [
        type_coerce(column, TEXT) if isinstance(column.type, Json) else column
        for column in query.selected_columns
    ]
    as_stored = query.with_only_columns(*columns, maintain_column_froms=True)
    with connection.execute(as_stored, execution_options={"yield_per": CHUNK}) as result:
        for row in result:
            yield tuple(row)


def _converter(kind: Any) -> Callable[[Any], Any] | None:
    """How a value that is not None goes into a column of this type; None: as it is."""
    if isinstance(kind, Json):
        return dumps
    return _CONVERTERS.get(kind.python_type)


def _real(value: float) -> float:
    """A float, with 0.0 for -0.0: SQLite does not keep the sign of a zero."""
    return float(value) + 0.0


_CONVERTERS: dict[type, Callable[[Any], Any]] = {int: int, float: _real, str: storable}
