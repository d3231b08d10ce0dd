"""Curriculum: what the next steps of training should be made of, and why."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt
import streamlit as st

from views.pages import charts, data_map, layout, words
from views.pages.meanings import MEANINGS, meaning_of_difficulty
from views.pages.reading import Here, Row
from views.pages.table import Shown, newest_first, table

COLUMNS = (
    "step", "difficulty", "recommended_share", "share_low", "share_high", "strategy", "accuracy",
    "loss", "trend", "trend_low", "trend_high", "progress", "learnability", "gain",
)  # fmt: skip
SKILLS = ("skill", "n_graded", "accuracy", "loss", "trend", "trend_low", "trend_high", "progress")
PACES: dict[str, Shown] = dict.fromkeys(("progress", "trend", "trend_low", "trend_high"), "pace")
SHOWN: dict[str, Shown] = {
    **PACES,
    **dict.fromkeys(("recommended_share", "share_low", "share_high"), "percent"),
    "gain": "points",
}
MEASURES = {"Accuracy": "accuracy", "Loss": "loss"}


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
    if newest[0]["strategies"] is not None:
        layout.section("What each strategy is expected to gain")
        layout.draw(
            strategies(newest[0]["strategies"], newest[0]["strategy"]),
            key="strategies",
            alternative="The score of each strategy, with the shares that it would recommend.",
        )
        st.caption(
            "A model of what training gains, not a measurement: docs/views.md says how. In a bar: "
            "easy / medium / hard."
        )
    _by_difficulty(rows)
    _by_skill(here)
    data_map.section(here)
    if advised:
        layout.section("Advice, checkpoint by checkpoint")
        layout.draw(
            chart(advised),
            key="curriculum",
            alternative="The recommended share of each difficulty at each checkpoint.",
        )
    table(view, newest_first(rows), key="curriculum-table", columns=COLUMNS, shown=SHOWN)


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
        reason=f"{first['reason']}\n{_certainty(newest)}",
    )


def _certainty(newest: Sequence[Row]) -> str:
    """How much the advice depends on which examples were asked."""
    between = words.listed(
        [f"{row['difficulty']} {row['share_low']}–{row['share_high']} %" for row in newest]
    )
    asked = words.listed([f"{row['n_graded']:,} {row['difficulty']}" for row in newest])
    support = words.percent(newest[0]["support"])
    return (
        f"With other examples the shares would be {between} (95 % intervals from {asked} "
        f"examples), and the strategy the same in {support} of cases."
    )


def strategies(plans: dict[str, Row], chosen: str) -> alt.LayerChart:
    """A bar a strategy, the highest score first."""
    bars = [
        {
            "name": name,
            "score": plan["score"],
            "said": f"{100 * plan['score']:.1f}",
            "mix": " / ".join(f"{plan['shares'][one]}" for one in MEANINGS[:3]) + " %",
            "meaning": "good" if name == chosen else "neutral",
            "chosen": "yes" if name == chosen else "no",
        }
        for name, plan in sorted(plans.items(), key=lambda one: -one[1]["score"])
    ]
    base = alt.Chart(charts.source(bars)).encode(
        y=alt.Y("name:N", title=None, sort=[one["name"] for one in bars]),
        x=alt.X(
            "score:Q",
            title="Score: Σ gain · √share, in points of accuracy",
            axis=alt.Axis(format=".0%", tickCount=5, labelExpr="datum.value * 100"),
        ),
        tooltip=charts.tips(
            ("name", "Strategy"), ("said", "Score"), ("mix", "Shares"), ("chosen", "Chosen")
        ),
    )
    drawn = base.mark_bar(height=20).encode(color=charts.color("meaning"))
    label = charts.ink(base, "mix", align="left", dx=6)
    return charts.layered(drawn, label, height=charts.AXIS_HEIGHT + 36 * len(bars))


def _by_difficulty(rows: Sequence[Row]) -> None:
    layout.section("By difficulty")
    measure = layout.pick("Measure", list(MEASURES), key="curriculum-measure") or "Accuracy"
    column = MEASURES[measure]
    measured = [row for row in rows if row[column] is not None]
    if not measured:
        st.caption(f"No checkpoint has measured the {column}.")
        return
    layout.draw(
        curves(measured, column),
        key="difficulties",
        alternative=f"The {column} of each difficulty over the training steps.",
    )
    newest = [row for row in rows if row["step"] == rows[-1]["step"]]
    paces = [_pace(row) for row in newest if row["trend"] is not None]
    if paces:
        st.caption(
            f"At step {newest[0]['step']}, in 1,000 steps: {'; '.join(paces)}. Trends are over the "
            f"last {newest[0]['trend_checkpoints']} checkpoints, with their 95 % intervals."
        )


def _pace(row: Row) -> str:
    return (
        f"{row['difficulty']} {words.points(row['trend'])} "
        f"({words.points(row['trend_low']).removesuffix(' points')} to "
        f"{words.points(row['trend_high']).removesuffix(' points')})"
    )


def curves(rows: Sequence[Row], column: str) -> alt.LayerChart:
    """A curve a difficulty; the accuracy with its interval."""
    points = [
        {
            "step": row["step"],
            "difficulty": row["difficulty"],
            "meaning": meaning_of_difficulty(row["difficulty"]),
            "value": row[column],
            "low": row["accuracy_low"] if column == "accuracy" else None,
            "high": row["accuracy_high"] if column == "accuracy" else None,
            "accuracy": words.percent(row["accuracy"]),
            "between": words.interval(row["accuracy_low"], row["accuracy_high"]),
            "loss": words.nats(row["loss"]),
            "trend": _told(row["trend"]),
            "progress": _told(row["progress"]),
            "learnability": words.NOT_MEASURED
            if row["learnability"] is None
            else f"{row['learnability']:.2f}",
            "examples": words.count(row["n"], "example"),
        }
        for row in rows
    ]
    present = charts.present(points)
    y = (
        charts.percent_axis("value", "Accuracy (right answers)")
        if column == "accuracy"
        else alt.Y("value:Q", title="Loss (nats a token)", scale=alt.Scale(nice=True))
    )
    base = alt.Chart(charts.source(points)).encode(
        x=charts.steps_axis(points), color=charts.color("meaning", legend=present)
    )
    marks = base.mark_point(filled=True, size=48, opacity=1).encode(
        y=y,
        shape=charts.shape("meaning", legend=present),
        tooltip=charts.tips(
            ("step", "Step"),
            ("difficulty", "Difficulty"),
            ("accuracy", "Accuracy"),
            ("between", "95 % interval"),
            ("loss", "Loss"),
            ("trend", "Trend"),
            ("progress", "Since the step before"),
            ("learnability", "Learnability"),
            ("examples", "From"),
        ),
    )
    layers: list[alt.Chart] = [base.mark_line(strokeWidth=2).encode(y=y), marks]
    if column == "accuracy":
        band = base.mark_area(opacity=0.14, line=False)
        layers.insert(
            0, band.encode(y=alt.Y("low:Q", title="Accuracy (right answers)"), y2="high:Q")
        )
    return charts.layered(*layers, height=charts.HEIGHT)


def _by_skill(here: Here) -> None:
    steps = [one["step"] for one in here.counts("skills", "step")]
    if not steps:
        return
    rows = here.rows("skills", only={"step": (max(steps),)})
    layout.section("By skill")
    graded = [row for row in rows if row["accuracy"] is not None]
    if graded:
        layout.draw(
            skills(graded),
            key="skills",
            alternative="The accuracy of each skill at the newest step, with its interval.",
        )
        st.caption(f"At step {max(steps)}, with 95 % intervals; the least learned first.")
    table(here.view("skills"), rows, key="skills-table", columns=SKILLS, shown=PACES)


def skills(rows: Sequence[Row]) -> alt.LayerChart:
    """A point a skill, the least learned first, on the line of its interval."""
    points = [
        {
            "skill": row["skill"],
            "value": row["accuracy"],
            "low": row["accuracy_low"],
            "high": row["accuracy_high"],
            "said": words.percent(row["accuracy"]),
            "between": words.interval(row["accuracy_low"], row["accuracy_high"]),
            "loss": words.nats(row["loss"]),
            "trend": _told(row["trend"]),
            "progress": _told(row["progress"]),
            "answers": words.count(row["n_graded"], "answer"),
            "meaning": "neutral",
        }
        for row in sorted(rows, key=lambda row: (row["accuracy"], row["skill"]))
    ]
    base = alt.Chart(charts.source(points)).encode(
        y=alt.Y("skill:N", title=None, sort=[one["skill"] for one in points]),
        color=charts.color("meaning"),
        tooltip=charts.tips(
            ("skill", "Skill"),
            ("said", "Accuracy"),
            ("between", "95 % interval"),
            ("loss", "Loss"),
            ("trend", "Trend"),
            ("progress", "Since the step before"),
            ("answers", "From"),
        ),
    )
    share = alt.X(
        "value:Q",
        title="Accuracy (right answers)",
        scale=alt.Scale(domain=[0, 1]),
        axis=alt.Axis(format=".0%", tickCount=5),
    )
    line = base.mark_rule(strokeWidth=2, opacity=0.5).encode(
        x=alt.X("low:Q", title="Accuracy (right answers)"), x2="high:Q"
    )
    marks = base.mark_point(filled=True, size=60, opacity=1).encode(x=share)
    return charts.layered(line, marks, height=charts.AXIS_HEIGHT + 24 * len(points))


def _told(pace: float | None) -> str:
    return "not told" if pace is None else f"{words.points(pace)} in 1,000 steps"


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
            "between": f"{row['share_low']}–{row['share_high']} %",
            "strategy": row["strategy"],
            "support": words.percent(row["support"]),
            "accuracy": words.percent(row["accuracy"]),
            "trend": _told(row["trend"]),
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
            ("between", "95 % interval"),
            ("strategy", "Strategy"),
            ("support", "Same strategy in"),
            ("accuracy", "Accuracy"),
            ("trend", "Trend"),
        ),
    )
    return charts.layered(base.mark_bar(), height=charts.HEIGHT)
