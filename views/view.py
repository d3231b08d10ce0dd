"""What a view is: one question, one read-only SQL view with documented columns, one projection.

`milepost show`, the page and docs/sql.md all read a view through its SQL view, so that they can
not tell different stories.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from sqlalchemy import Connection, text

from store.projections import Projection

Unit = Literal[
    "text", "id", "time", "count", "step", "bytes", "seconds", "nats", "share", "number", "flag",
    "json",
]  # fmt: skip


class Column(NamedTuple):
    """A column of a SQL view: `unit` says how to read and show it, `help` what it means.

    `share` is between 0 and 1; `time` is UTC in ISO 8601; `flag` is 0, 1 or NULL; `json` is text.
    """

    name: str
    label: str
    unit: Unit
    help: str


@dataclass(frozen=True)
class View:
    """One question about the runs, answered from the log.

    `name` is what `milepost show` takes; `sql_view` the name in SQL; `order` its ORDER BY; `brief`
    the columns that fit a terminal, all of them when empty.
    """

    name: str
    title: str
    question: str
    sql_view: str
    columns: tuple[Column, ...]
    order: str
    brief: tuple[str, ...] = ()
    projections: tuple[Projection, ...] = ()

    def rows(self, connection: Connection, *, run: str | None = None) -> list[dict[str, Any]]:
        """The view's rows as dictionaries by column name; of one run when it is named.

        Flags become bool, JSON becomes its value, and what was not measured is None.
        """
        names = [column.name for column in self.columns]
        where = "WHERE run = :run" if run is not None else ""
        query = f"SELECT {', '.join(names)} FROM {self.sql_view} {where} ORDER BY {self.order}"
        found = connection.execute(text(query), {} if run is None else {"run": run})
        return [
            {column.name: _value(column, row[index]) for index, column in enumerate(self.columns)}
            for row in found
        ]


def _value(column: Column, stored: Any) -> Any:
    if stored is None:
        return None
    match column.unit:
        case "flag":
            return bool(stored)
        case "json":
            return json.loads(stored)
        case _:
            return stored
