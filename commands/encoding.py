"""How rows are written: JSON lines, CSV, or Parquet. What is written reads back equal.

A null is null: `null` in JSON, nothing at all in CSV (where text is always quoted, so that an
empty text is ""), a null in Parquet. Integers stay integers, floats come back to the last bit.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from typing import Any, BinaryIO

from store.schema import dumps
from views.view import Column, Unit

Rows = Sequence[Sequence[Any]]
Write = Callable[[Rows], None]

WHOLE_NUMBERS: frozenset[Unit] = frozenset({"count", "step", "bytes"})
REAL_NUMBERS: frozenset[Unit] = frozenset({"seconds", "nats", "share", "number"})

# Rows in one group of a Parquet file: enough to be packed well, few enough to be held in memory.
ROW_GROUP = 50_000

# Readers that split at every kind of line break would cut a JSON line at these.
LINE_BREAKS = {0x85: "\\u0085", 0x2028: "\\u2028", 0x2029: "\\u2029"}


class Encoding(StrEnum):
    """What `milepost export --format` takes, which is also how a file's name ends."""

    jsonl = "jsonl"
    csv = "csv"
    parquet = "parquet"


@contextmanager
def writer(file: BinaryIO, encoding: Encoding, columns: Sequence[Column]) -> Iterator[Write]:
    """A function that writes rows, one at least, as the database gives them.

    `columns` say what they hold.
    """
    match encoding:
        case Encoding.jsonl:
            yield lambda rows: _write_lines(file, [_json_line(columns, row) for row in rows])
        case Encoding.csv:
            _write_lines(file, [",".join(column.name for column in columns)], end="\r\n")
            yield lambda rows: _write_lines(
                file, [_csv_line(columns, row) for row in rows], end="\r\n"
            )
        case Encoding.parquet:
            with _parquet(file, columns) as write:
                yield write


def _write_lines(file: BinaryIO, lines: Sequence[str], end: str = "\n") -> None:
    file.write("".join(line + end for line in lines).encode())


def _json_line(columns: Sequence[Column], row: Sequence[Any]) -> str:
    values = {
        column.name: json.loads(value) if column.unit == "json" and value is not None else value
        for column, value in zip(columns, _typed(columns, row), strict=True)
    }
    line = json.dumps(values, ensure_ascii=False, allow_nan=False)
    return line if line.isascii() else line.translate(LINE_BREAKS)


def _csv_line(columns: Sequence[Column], row: Sequence[Any]) -> str:
    return ",".join(_csv_field(value) for value in _typed(columns, row))


def _csv_field(value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case str():
            return '"' + value.replace('"', '""') + '"'
        case _:
            return repr(value)


@contextmanager
def _parquet(file: BinaryIO, columns: Sequence[Column]) -> Iterator[Write]:
    import pyarrow
    from pyarrow import parquet

    schema = pyarrow.schema(
        [
            pyarrow.field(column.name, _arrow_type(column.unit), metadata={"help": column.help})
            for column in columns
        ]
    )

    batches: list[Any] = []

    with parquet.ParquetWriter(file, schema, compression="zstd") as table:

        def flush() -> None:
            table.write_table(pyarrow.Table.from_batches(batches, schema))
            batches.clear()

        def write(rows: Rows) -> None:
            values = zip(*(_typed(columns, row) for row in rows), strict=True)
            arrays = [
                pyarrow.array(one, field.type) for one, field in zip(values, schema, strict=True)
            ]
            batches.append(pyarrow.RecordBatch.from_arrays(arrays, schema=schema))
            if sum(len(batch) for batch in batches) >= ROW_GROUP:
                flush()

        yield write
        flush()


def _arrow_type(unit: Unit) -> Any:
    """Fixed by the unit, so that a column of nulls has the type that it has in every file."""
    import pyarrow

    if unit in WHOLE_NUMBERS:
        return pyarrow.int64()
    if unit in REAL_NUMBERS:
        return pyarrow.float64()
    return pyarrow.bool_() if unit == "flag" else pyarrow.string()


def _typed(columns: Sequence[Column], row: Sequence[Any]) -> list[Any]:
    """Flags as bool, reals as float, JSON as text, whatever the driver gave."""
    return [_typed_value(column.unit, value) for column, value in zip(columns, row, strict=True)]


def _typed_value(unit: Unit, value: Any) -> Any:
    if value is None:
        return None
    if unit == "flag":
        return bool(value)
    if unit in REAL_NUMBERS:
        return float(value)
    if unit == "json" and not isinstance(value, str):
        return dumps(value)
    return value
