"""Ranking: the checkpoints of the run, best first."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt
import streamlit as st

from views.pages import charts, layout, verdict, words
from views.pages.layout import Command
from views.pages.reading import Here, Row
from views.pages.table import table

SHOWN = 15
COLUMNS = ("rank", "step", "score", "loss", "accuracy", "balance", "consistency")


def render(here: Here) -> None:
    """The page."""
    view = here.view("ranking")
    layout.opening(view)
    rows = here.rows("ranking")
    if not rows:
        layout.nothing(here, "The ranking")
        return
    best = verdict.best(rows)
    if best is None:
        layout.callout(
            "neutral", "No rank yet", "No checkpoint can be ranked.", reason=rows[-1]["reason"]
        )
    else:
        _best(here, best)
        layout.draw(
            chart([row for row in rows if row["rank"] is not None]),
            key="ranking",
            alternative="The score of each ranked checkpoint, best first.",
        )
        weights = here.workspace.settings.ranking
        st.caption(
            "Score: the weighted mean of a target token's probability "
            f"(weight {weights.loss_weight:g}), balance ({weights.balance_weight:g}) and "
            f"consistency ({weights.consistency_weight:g}). 100 % is the best there can be."
        )
    table(view, rows, key="ranking-table", columns=COLUMNS)


def _best(here: Here, best: Row) -> None:
    path = next(
        (
            row["path"]
            for row in here.rows("checkpoints")
            if row["checkpoint_id"] == best["checkpoint_id"] and row["status"] != "removed"
        ),
        None,
    )
    layout.callout(
        "good",
        "Best",
        f"Step {best['step']} is the best of this run: accuracy {words.percent(best['accuracy'])}, "
        f"loss {words.nats(best['loss'])}, each the mean over the difficulties.",
        commands=[Command("Its folder:", path)] if path else [],
    )


def chart(ranked: Sequence[Row]) -> alt.LayerChart:
    """A bar for each of the first few."""
    bars = [
        {
            "name": f"{row['rank']}. step {row['step']}",
            "score": row["score"],
            "meaning": "good" if row["rank"] == 1 else "neutral",
            "said": words.percent(row["score"]),
            "loss": words.nats(row["loss"]),
            "accuracy": words.percent(row["accuracy"]),
            "balance": words.percent(row["balance"]),
            "consistency": words.percent(row["consistency"]),
        }
        for row in ranked[:SHOWN]
    ]
    base = alt.Chart(charts.source(bars)).encode(
        y=alt.Y("name:N", title=None, sort=None, axis=alt.Axis(labelLimit=160)),
        x=alt.X(
            "score:Q",
            title="Score",
            scale=alt.Scale(domainMin=0, nice=True),
            axis=alt.Axis(format=".0%", tickCount=5),
        ),
        tooltip=charts.tips(
            ("name", "Rank"),
            ("said", "Score"),
            ("loss", "Loss"),
            ("accuracy", "Accuracy"),
            ("balance", "Balance"),
            ("consistency", "Consistency"),
        ),
    )
    bar = base.mark_bar(cornerRadiusEnd=3, height=16).encode(color=charts.color("meaning"))
    label = charts.ink(base, "said", align="left", dx=4)
    return charts.layered(bar, label, height=charts.AXIS_HEIGHT + 26 * len(bars))
