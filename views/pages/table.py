"""A view's rows as a table: columns named, explained and formatted by what the view says of them.

Digests are left out, and the run, which the sidebar names. A share is per cent, a time is in words
with the exact one beside it, and what was not measured is a dash: the reason has its own column.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import pandas as pd
import streamlit as st

from views.pages import layout
from views.pages.layout import Command
from views.pages.meanings import MEANINGS, TONES
from views.pages.reading import Row
from views.pages.words import named
from views.view import Column, Unit, View

Shown = Unit | Literal["change", "points", "pace", "percent", "status", "name"]

DASH = "–"
PAGE = 500  # rows: what a browser shows at once, and the database gives in milliseconds
STATUS_COLUMNS = frozenset({"verdict", "status", "severity"})
NAME_COLUMNS = frozenset({"kind", "type", "error_class"})
_SHARES = frozenset({"share", "change", "points", "pace"})
_LABELS: dict[Shown, str] = {"nats": " (nats)"}
_FORMATS: dict[Shown, str] = {
    "count": "localized",
    "step": "%d",
    "bytes": "bytes",
    "seconds": "%.1f s",
    "nats": "%.3f",
    "share": "%.1f %%",
    "change": "%+.1f %%",
    "points": "%+.1f pts",
    "pace": "%+.1f pts / 1,000 steps",
    "percent": "%d %%",
    "number": "%.4g",
}


def newest_first(rows: Sequence[Row]) -> list[Row]:
    """Late steps first, in the view's order within a step; what has no step at the end."""
    return sorted(rows, key=lambda row: -1 if row["step"] is None else row["step"], reverse=True)


def page_of(n: int, *, key: str, everything: str) -> int:
    """Which page of a table of `n` rows to show, as the number of rows before it.

    Asks, and says how many rows there are, only where they do not fit one page; `everything` is the
    command that lists them all.
    """
    pages = -(-n // PAGE)
    if pages < 2:
        return 0
    with st.container(horizontal=True, vertical_alignment="center"):
        place = st.pagination(pages, key=key, bind="query-params")
        first = PAGE * (min(place, pages) - 1)
        st.caption(f"Rows {first + 1:,} to {min(first + PAGE, n):,} of {n:,}.")
    layout.offer(Command("All of them, for a spreadsheet:", everything))
    return first


def table(
    view: View,
    rows: Sequence[Row],
    *,
    key: str,
    columns: Sequence[str] = (),
    shown: Mapping[str, Shown] | None = None,
) -> None:
    """Shows `rows`, `columns` first and the others after them; `shown` overrides a unit."""
    units = {column.name: _unit(column, shown or {}) for column in view.columns}
    visible = [
        column for column in view.columns if units[column.name] != "id" and column.name != "run"
    ]
    frame: dict[str, Any] = {}
    config: dict[str, Any] = {}
    for column in visible:
        unit = units[column.name]
        frame[column.name] = _series([row[column.name] for row in rows], unit)
        config[column.name] = _config(column, unit)
        if unit == "time":
            name = f"{column.name}, exact"
            frame[name] = frame[column.name]
            config[name] = st.column_config.DatetimeColumn(
                f"{column.label}, exact",
                help=column.help,
                format="YYYY-MM-DD HH:mm:ss",
                timezone=st.context.timezone,
            )
    order = [*columns, *(name for name in frame if name not in columns)]
    st.dataframe(
        pd.DataFrame(frame),
        key=key,
        hide_index=True,
        column_order=[name for name in order if frame[name].notna().any()],
        column_config=config,
        placeholder=DASH,
        alt=f"{view.title}: {view.question}",
    )


def _unit(column: Column, shown: Mapping[str, Shown]) -> Shown:
    if column.name in shown:
        return shown[column.name]
    if column.name in STATUS_COLUMNS:
        return "status"
    return "name" if column.name in NAME_COLUMNS else column.unit


def _series(values: Sequence[Any], unit: Shown) -> pd.Series[Any]:
    if unit in _SHARES:
        values = [None if value is None else 100 * value for value in values]
    match unit:
        case "count" | "step" | "bytes":
            return pd.Series(values, dtype="Int64")
        case "time":
            return pd.Series(pd.to_datetime(values, utc=True, format="ISO8601"))
        case "status":
            return pd.Series([None if value is None else [value] for value in values], dtype=object)
        case "flag":
            words = {True: "yes", False: "no", None: None}
            return pd.Series([words[value] for value in values], dtype="string")
        case "name":
            return pd.Series([named(value) for value in values], dtype="string")
        case "text" | "id" | "json":
            return pd.Series([None if one is None else str(one) for one in values], dtype="string")
        case _:
            return pd.Series(values, dtype="Float64")


def _config(column: Column, unit: Shown) -> Any:
    label = column.label + _LABELS.get(unit, "")
    match unit:
        case "time":
            return st.column_config.DatetimeColumn(
                label, help=column.help, format="distance", timezone=st.context.timezone
            )
        case "status":
            return st.column_config.MultiselectColumn(
                label, help=column.help, options=list(TONES), color=_status_colors()
            )
        case "text" | "id" | "json" | "flag" | "name":
            width: Literal["large"] | None = "large" if column.name == "reason" else None
            return st.column_config.TextColumn(label, help=column.help, width=width)
        case _:
            return st.column_config.NumberColumn(label, help=column.help, format=_FORMATS[unit])


def _status_colors() -> list[str]:
    """A colour for each word in TONES, dark enough for the white text on it in either theme."""
    colors = st.get_option("theme.light.chartCategoricalColors")
    return [colors[MEANINGS.index(tone)] for tone in TONES.values()]
