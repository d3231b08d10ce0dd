"""Curriculum: what the next steps of training should be made of."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt

from views.pages import charts, layout, words
from views.pages.meanings import MEANINGS, meaning_of_difficulty
from views.pages.reading import Here, Row
from views.pages.table import newest_first, table

COLUMNS = ("step", "difficulty", "recommended_share", "strategy", "accuracy", "loss", "progress")


def render(here: Here) -> None:
    """The page."""
    view = here.view("curriculum")
    layout.opening(view)
    rows = here.rows("curriculum")
    if not rows:
        layout.nothing(here, "Advice on what to train on")
        return
    newest = [row for row in rows if row["checkpoint_id"] == rows[-1]["checkpoint_id"]]
    _advice(newest)
    advised = [row for row in rows if row["recommended_share"] is not None]
    if advised:
        layout.section("Advice, checkpoint by checkpoint")
        layout.draw(
            chart(advised),
            key="curriculum",
            alternative="The recommended share of each difficulty at each checkpoint.",
        )
    table(
        view,
        newest_first(rows),
        key="curriculum-table",
        columns=COLUMNS,
        shown={"recommended_share": "percent", "progress": "pace"},
    )


def _advice(newest: Sequence[Row]) -> None:
    first = newest[0]
    if first["recommended_share"] is None:
        layout.callout(
            "neutral",
            "No advice",
            f"What to train on after step {first['step']} cannot be told.",
            reason=first["reason"],
        )
        return
    mix = words.listed([f"{row['recommended_share']} % {row['difficulty']}" for row in newest])
    layout.callout(
        "neutral",
        first["strategy"],
        f"After step {first['step']}, train on {mix}.",
        reason=first["reason"],
    )


def chart(rows: Sequence[Row]) -> alt.LayerChart:
    """A bar a checkpoint, divided as its advice says."""
    bars = [
        {
            "step": row["step"],
            "difficulty": row["difficulty"],
            "order": MEANINGS.index(meaning_of_difficulty(row["difficulty"])),
            "meaning": meaning_of_difficulty(row["difficulty"]),
            "share": row["recommended_share"] / 100,
            "said": f"{row['recommended_share']} %",
            "strategy": row["strategy"],
            "accuracy": words.percent(row["accuracy"]),
            "progress": "not told"
            if row["progress"] is None
            else f"{words.points(row['progress'])} in 1,000 steps",
        }
        for row in rows
    ]
    present = charts.present(bars)
    base = alt.Chart(charts.source(bars)).encode(
        x=alt.X(
            "step:O", title="Training step", axis=alt.Axis(labelAngle=0, labelOverlap="greedy")
        ),
        y=alt.Y(
            "share:Q",
            title="Share of the next training data",
            stack="zero",
            scale=alt.Scale(domain=[0, 1]),
            axis=alt.Axis(format=".0%", tickCount=5),
        ),
        order="order:Q",
        color=charts.color("meaning", legend=present),
        tooltip=charts.tips(
            ("step", "Step"),
            ("difficulty", "Difficulty"),
            ("said", "Share"),
            ("strategy", "Strategy"),
            ("accuracy", "Accuracy"),
            ("progress", "Progress"),
        ),
    )
    return charts.layered(base.mark_bar(), height=charts.HEIGHT)
