"""What a view is: one question, one read-only SQL view with documented columns, one projection.

`milepost show`, the page and docs/sql.md all read a view through its SQL view, so that they can
not tell different stories.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from sqlalchemy import ColumnElement, Connection, Select, column, func, or_, select, table, text

from store.dialects import ordered
from store.projections import Projection

Unit = Literal[
    "text", "id", "time", "count", "step", "bytes", "seconds", "nats", "share", "number", "flag",
    "json",
]  # fmt: skip


# The values that each column may have; None among them stands for what was not measured.
Only = Mapping[str, Collection[Any]]


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
    the columns that fit a terminal, all of them when empty. `clock` is the column that says from
    when on a row is true, where the log alone does not.
    """

    name: str
    title: str
    question: str
    sql_view: str
    columns: tuple[Column, ...]
    order: str
    brief: tuple[str, ...] = ()
    clock: str | None = None
    projections: tuple[Projection, ...] = ()

    def rows(
        self,
        connection: Connection,
        *,
        run: str | None = None,
        only: Only | None = None,
        limit: int | None = None,
        offset: int = 0,
        until: str | None = None,
    ) -> list[dict[str, Any]]:
        """The view's rows as dictionaries by column name; of one run when it is named.

        `only` leaves some of them, `limit` and `offset` a stretch of those; `until` those that were
        true by that time. Flags become bool, JSON becomes its value, and what was not measured is
        None.
        """
        query = self._select([one.name for one in self.columns], run, only)
        if self.clock is not None and until is not None:
            query = query.where(column(self.clock) <= until)
        order = text(ordered(connection.dialect.name, self.order))
        query = query.order_by(order).limit(limit).offset(offset or None)
        return [
            {one.name: _value(one, row[index]) for index, one in enumerate(self.columns)}
            for row in connection.execute(query)
        ]

    def counts(
        self,
        connection: Connection,
        by: Sequence[str],
        *,
        run: str | None = None,
        only: Only | None = None,
    ) -> list[dict[str, Any]]:
        """Each combination of values in the columns `by`, and as `rows` how many rows have it.

        For a page that shows numbers of rows, which the database counts faster than Python.
        """
        query = self._select(by, run, only).add_columns(func.count().label("rows"))
        grouped = query.group_by(*(column(name) for name in by))
        return [dict(row) for row in connection.execute(grouped).mappings()]

    def _select(
        self, names: Sequence[str], run: str | None, only: Only | None
    ) -> Select[*tuple[Any, ...]]:
        wanted = {**(only or {}), **({} if run is None else {"run": (run,)})}
        columns: list[ColumnElement[Any]] = [column(name) for name in names]
        query = select(*columns).select_from(table(self.sql_view))
        return query.where(*(_among(column(name), values) for name, values in wanted.items()))


def _among(one: ColumnElement[Any], values: Collection[Any]) -> ColumnElement[bool]:
    """Whether a column has one of `values`; NULL is in no list of SQL and is asked for apart."""
    known = [value for value in values if value is not None]
    return one.in_(known) if len(known) == len(values) else or_(one.in_(known), one.is_(None))


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
