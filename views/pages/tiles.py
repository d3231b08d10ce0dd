"""Tiles: one row a step, newest on top, one column a suite, filled by how good the news is."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import altair as alt

from views.pages import charts
from views.pages.charts import Row
from views.pages.meanings import MEANINGS, Tone

ROW_HEIGHT = 30
# How much of a tile its colour fills: bad news must be seen first.
FILLS: dict[Tone, float] = {"good": 0.18, "neutral": 0.12, "warning": 0.35, "bad": 0.55}
STEPS_SHOWN = 20


def newest_steps(rows: Sequence[Row], n: int = STEPS_SHOWN) -> list[int]:
    """The last `n` steps that `rows` have, newest first."""
    return sorted({row["step"] for row in rows}, reverse=True)[:n]


def easy_first(rows: Sequence[Row], name: Callable[[Row], str]) -> list[str]:
    """The names of the columns by difficulty: all together, easy, medium, hard, any other."""
    order = ("all", *MEANINGS[:3])
    ranks = {name(row): _rank(row.get("difficulty", ""), order) for row in rows}
    return sorted(ranks, key=lambda one: ranks[one])


def _rank(difficulty: str, order: Sequence[str]) -> int:
    return order.index(difficulty) if difficulty in order else len(order)


def tiles(
    rows: Sequence[Row], groups: Sequence[str], tooltips: Sequence[tuple[str, str]]
) -> alt.LayerChart:
    """`rows` have `step`, `group` (a column, one of `groups`), `meaning`, `text`, and tooltips."""
    steps = newest_steps(rows)
    filled = [{**row, "fill": FILLS[row["meaning"]]} for row in rows if row["step"] in steps]
    base = alt.Chart(charts.source(filled)).encode(
        x=alt.X(
            "group:N",
            title=None,
            sort=list(groups),
            scale=alt.Scale(paddingInner=0.02, paddingOuter=0.01),
            axis=alt.Axis(orient="top", labelAngle=0, grid=False, labelLimit=110, domain=False),
        ),
        y=alt.Y(
            "step:O",
            title="Training step",
            sort="descending",
            scale=alt.Scale(paddingInner=0.12, paddingOuter=0.06),
            axis=alt.Axis(grid=False, domain=False),
        ),
        tooltip=charts.tips(*tooltips),
    )
    rects = base.mark_rect(cornerRadius=4, stroke=None).encode(
        color=charts.color("meaning"), fillOpacity=alt.FillOpacity("fill:Q", scale=None)
    )
    words = charts.ink(base, "text")
    return charts.layered(rects, words, height=40 + ROW_HEIGHT * len(steps))
