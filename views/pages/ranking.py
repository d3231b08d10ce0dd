"""Ranking: which checkpoint to keep, and which ones cannot be told from it."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt
import streamlit as st

from views.pages import charts, layout, verdict, words
from views.pages.layout import Command
from views.pages.reading import Here, Row
from views.pages.table import table

SHOWN = 15
COLUMNS = (
    "rank", "step", "score", "rank_low", "rank_high", "p_best", "tie", "pareto", "loss", "accuracy",
    "ece", "balance", "consistency", "evidence",
)  # fmt: skip


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
        ranked = [row for row in rows if row["rank"] is not None]
        _best(here, best)
        left, right = st.columns(2, gap="medium")
        with left:
            _scores(here, ranked)
        with right:
            _places([row for row in ranked if row["rank_low"] is not None])
        _pareto(ranked)
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
    numbers = [f"accuracy {words.percent(best['accuracy'])}", f"loss {words.nats(best['loss'])}"]
    layout.callout(
        "good",
        "Keep",
        best["evidence"],
        reason=f"Its means over the difficulties: {words.listed(numbers)}.",
        commands=[Command("Its folder:", path)] if path else [],
    )


def _scores(here: Here, ranked: Sequence[Row]) -> None:
    layout.section("Scores")
    layout.draw(
        chart(ranked),
        key="ranking",
        alternative="The score of each ranked checkpoint, best first.",
    )
    weights = here.workspace.settings.ranking
    st.caption(
        "Score: the weighted mean of a target token's probability "
        f"(weight {weights.loss_weight:g}), balance ({weights.balance_weight:g}) and "
        f"consistency ({weights.consistency_weight:g}). 100 % is the best there can be."
    )


def _places(resampled: Sequence[Row]) -> None:
    layout.section("How sure the places are")
    if not resampled:
        layout.callout("neutral", "Not known", "The examples were not resampled.")
        return
    layout.draw(
        intervals(resampled),
        key="places",
        alternative="The places that each checkpoint has in 95 % of the resamples, and the chance "
        "that it is the best.",
    )
    st.caption(
        "Line: the places in 95 % of the resamples of the examples. Number: in how many of them it "
        "is first. Circle: may be the best (95 % confidence)."
    )


def _pareto(ranked: Sequence[Row]) -> None:
    """Which ones no other beats in everything; nothing where that is one alone."""
    front = sorted(row["step"] for row in ranked if row["pareto"])
    if 1 < len(front) < len(ranked):
        steps = words.listed([str(step) for step in front])
        st.caption(
            f"Pareto front: no checkpoint beats steps {steps} in loss, accuracy and calibration "
            "error at once."
        )


def intervals(resampled: Sequence[Row]) -> alt.LayerChart:
    """A line from the best to the worst place of each of the first few."""
    lines = [
        {
            "name": f"{row['rank']}. step {row['step']}",
            "rank": row["rank"],
            "low": row["rank_low"],
            "high": row["rank_high"],
            "meaning": "good" if row["tie"] else "neutral",
            "said": words.percent(row["p_best"]),
            "between": f"{row['rank_low']} to {row['rank_high']}",
            "evidence": row["evidence"],
        }
        for row in resampled[:SHOWN]
    ]
    most = max(line["high"] for line in lines)
    base = alt.Chart(charts.source(lines)).encode(
        y=alt.Y("name:N", title=None, sort=None, axis=alt.Axis(labelLimit=160)),
        color=charts.color("meaning"),
        tooltip=charts.tips(
            ("name", "Rank"),
            ("between", "Place, 95 %"),
            ("said", "Chance of best"),
            ("evidence", "Evidence"),
        ),
    )
    x = alt.X(
        "low:Q",
        title="Place",
        scale=alt.Scale(domain=[0.5, most + 1.5], nice=False),
        axis=alt.Axis(format="d", values=list(range(1, most + 1)), grid=False),
    )
    line = base.mark_rule(strokeWidth=3, opacity=0.6).encode(x=x, x2="high:Q")
    mark = base.mark_point(filled=True, size=90, opacity=1).encode(
        x="rank:Q", shape=charts.shape("meaning")
    )
    label = charts.ink(base, "said", align="left", dx=10).encode(x="high:Q")
    return charts.layered(line, mark, label, height=charts.AXIS_HEIGHT + 26 * len(lines))


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
