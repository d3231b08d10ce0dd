"""How commands print what they found: as a table for people, as JSON or CSV for scripts."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

Row = Mapping[str, Any]

PIPE_WIDTH = 240

VERDICT_STYLES = {
    "REGRESSED": "bold red",
    "FAILED": "bold red",
    "BLOCK": "bold red",
    "FAIL": "red",
    "failed": "bold red",
    "rejected": "red",
    "critical": "bold red",
    "SUSPECT": "yellow",
    "WARN": "yellow",
    "warning": "yellow",
    "INCONCLUSIVE": "yellow",
    "OK": "green",
    "PASS": "green",
    "evaluated": "green",
}


class Format(StrEnum):
    """What `--format` takes."""

    table = "table"
    json = "json"
    csv = "csv"


def emit(
    rows: Sequence[Row],
    columns: Sequence[str],
    form: Format,
    *,
    empty: str,
    every_column: bool = False,
) -> None:
    """Prints `rows` on standard output. `empty` is what the table says when there are none.

    A table leaves out columns that hold nothing, unless `every_column` was asked for.
    """
    match form:
        case Format.json:
            print(as_json(rows))
        case Format.csv:
            print(as_csv(rows, columns), end="")
        case Format.table if rows:
            _console().print(as_table(rows, columns, every_column=every_column))
        case Format.table:
            _console().print(empty, highlight=False)


def _console() -> Console:
    """As wide as the terminal; wide enough for any row where there is none."""
    console = Console()
    return console if console.is_terminal else Console(width=PIPE_WIDTH)


def as_json(value: Any) -> str:
    """Strict JSON: what was not measured is null; inf and NaN raise ValueError."""
    return json.dumps(value, ensure_ascii=False, indent=2, allow_nan=False)


def as_csv(rows: Sequence[Row], columns: Sequence[str]) -> str:
    """RFC 4180 with a header line; null is an empty field, nested values are JSON."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(columns)
    for row in rows:
        writer.writerow([_plain(row[column]) for column in columns])
    return text.getvalue()


def as_table(rows: Sequence[Row], columns: Sequence[str], *, every_column: bool = False) -> Table:
    """A table with numbers to the right, without columns that hold nothing unless asked for."""
    shown = [
        column for column in columns if every_column or any(row[column] is not None for row in rows)
    ]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for column in shown:
        numeric = any(isinstance(row[column], int | float) for row in rows)
        table.add_column(
            column, justify="right" if numeric else "left", overflow="fold", no_wrap=numeric
        )
    for row in rows:
        table.add_row(*(_cell(row[column]) for column in shown))
    return table


def _cell(value: Any) -> Text:
    """Text, never markup: a prediction that holds brackets must stay as it is."""
    match value:
        case None:
            return Text("–", style="dim")
        case bool():
            return Text("yes" if value else "no")
        case float():
            return Text(f"{value:.4g}")
        case str():
            return Text(value, style=VERDICT_STYLES.get(value, ""))
        case _:
            return Text(str(_plain(value)))


def _plain(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, list | dict | tuple):
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    return value
