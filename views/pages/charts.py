"""What all charts share: one scale of meanings, an axis of steps, and the marks of bad news.

Charts are pure: rows in, an Altair chart out. Colours come from the theme by the order of MEANINGS.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt

from views.pages.meanings import MEANINGS, Meaning

Row = dict[str, Any]
Chart = alt.Chart | alt.LayerChart

# Streamlit fits a chart, its axes and its legend into its height together.
HEIGHT = 340
AXIS_HEIGHT = 60
LEGEND_HEIGHT = 36
FEW = 12
FAILED = "FAILED"
_SHAPES: dict[Meaning, str] = {
    "easy": "circle",
    "medium": "square",
    "hard": "triangle-up",
    "good": "circle",
    "warning": "triangle-right",
    "bad": "triangle-down",
    "neutral": "diamond",
    "ink": "circle",
}


def source(rows: Sequence[Row]) -> alt.InlineData:
    """Rows as a chart's data; None stays null, which is a gap and never a zero."""
    return alt.InlineData(values=list(rows))


def layered(*parts: Chart, height: int | None = None, title: str = "") -> alt.LayerChart:
    """Charts on top of each other, the first lowest; `height` in pixels."""
    return alt.LayerChart(
        layer=list(parts),
        height=height if height is not None else alt.Undefined,
        title=title or alt.Undefined,
    )


def color(field: str, *, legend: Sequence[Meaning] = (), neutral: str = "other") -> alt.Color:
    """Colours `field`, which holds meanings; `legend` names those to explain.

    `neutral` is what the legend calls that meaning.
    """
    return alt.Color(
        f"{field}:N",
        scale=alt.Scale(domain=list(MEANINGS)),
        legend=_legend(legend, neutral) if legend else None,
    )


def shape(field: str, *, legend: Sequence[Meaning] = (), neutral: str = "other") -> alt.Shape:
    """A shape for each meaning, so that colour is not needed to tell them apart."""
    return alt.Shape(
        f"{field}:N",
        scale=alt.Scale(domain=list(MEANINGS), range=[_SHAPES[one] for one in MEANINGS]),
        legend=_legend(legend, neutral) if legend else None,
    )


def present(rows: Sequence[Row]) -> list[Meaning]:
    """The meanings that `rows` have in their field `meaning`, in order."""
    return [one for one in MEANINGS if any(row["meaning"] == one for row in rows)]


def ink(base: alt.Chart, text: str, **mark: Any) -> alt.Chart:
    """The field `text` in the colour that the theme gives to text."""
    inked: alt.Chart = base.transform_calculate(ink="'ink'").mark_text(fontSize=12, **mark)
    return inked.encode(text=f"{text}:N", color=color("ink"))


def steps_axis(rows: Sequence[Row]) -> alt.X:
    """The axis of training steps, with a tick at each one while they are few."""
    steps = sorted({row["step"] for row in rows if row["step"] is not None})
    return alt.X(
        "step:Q",
        title="Training step",
        scale=alt.Scale(zero=False, nice=False, padding=14),
        axis=alt.Axis(
            format="d",
            grid=False,
            labelOverlap="greedy",
            tickMinStep=1,
            values=steps if 0 < len(steps) <= FEW else alt.Undefined,
        ),
    )


def percent_axis(field: str, title: str, *, full: bool = True) -> alt.Y:
    """A share on the y axis, from 0 to 1 if `full`."""
    scale = alt.Scale(domain=[0, 1]) if full else alt.Scale(nice=True)
    return alt.Y(f"{field}:Q", title=title, scale=scale, axis=alt.Axis(format=".0%", tickCount=5))


def tips(*pairs: tuple[str, str]) -> list[alt.Tooltip]:
    """Tooltips from pairs of a field, which holds text made for people, and its title."""
    return [alt.Tooltip(f"{field}:N", title=title) for field, title in pairs]


def failures(rows: Sequence[Row], x: alt.X, legend: Sequence[Meaning] = ()) -> alt.LayerChart:
    """A dashed line and the word FAILED at each step where nothing was measured.

    Rows have `step` and `reason`.
    """
    marked = [{"step": row["step"], "reason": row["reason"], "meaning": "bad"} for row in rows]
    base = alt.Chart(source(marked)).encode(
        x=x,
        color=color("meaning", legend=legend),
        tooltip=tips(("step", "Step"), ("reason", "Why")),
    )
    line = base.mark_rule(strokeDash=[4, 4], strokeWidth=1.5)
    word = base.mark_text(
        align="left", baseline="top", dx=4, y=4, text=FAILED, fontSize=11, fontWeight=600
    )
    return layered(line, word)


def _legend(values: Sequence[Meaning], neutral: str) -> alt.Legend:
    return alt.Legend(
        orient="top",
        title=None,
        values=list(values),
        symbolOpacity=1,
        labelExpr=f"datum.label == 'neutral' ? '{neutral}' : datum.label",
    )
