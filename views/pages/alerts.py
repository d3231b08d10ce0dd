"""Alerts: what someone should look at, each for as long as it is true."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt
import streamlit as st

from views.pages import charts, layout, words
from views.pages.layout import Command
from views.pages.meanings import tone_of
from views.pages.reading import Here, Row
from views.pages.table import table

COLUMNS = ("severity", "step", "title", "detail", "raised_at")
KINDS = {
    "regression": "Regression",
    "failed_evaluation": "Evaluation failed",
    "failing_test": "Test fails",
    "rejected_checkpoint": "Folder rejected",
    "sync_failed": "Sync fails",
}
CARDS = 5


def render(here: Here) -> None:
    """The page."""
    view = here.view("alerts")
    layout.opening(view)
    alerts = of_run(here)
    if not alerts:
        others = len(here.rows_of_all("alerts"))
        sentence = "Nothing needs a look."
        if others:
            sentence += f" Other runs have {words.count(others, 'alert')}."
        layout.callout("good", "All well", sentence)
        return
    critical = [row for row in alerts if row["severity"] == "critical"]
    for row in critical[:CARDS]:
        layout.callout(
            "bad",
            KINDS[row["kind"]],
            row["title"],
            reason=row["detail"],
            commands=_remedy(here, row),
        )
    if len(critical) > CARDS:
        st.caption(f"{len(critical) - CARDS} more critical ones are in the table.")
    placed = [row for row in alerts if row["step"] is not None]
    if placed:
        layout.draw(chart(placed), key="alerts", alternative="The alerts by kind and step.")
    table(view, alerts, key="alerts-table", columns=COLUMNS)


def of_run(here: Here) -> list[Row]:
    """The alerts of the chosen run and those of none; critical ones and late steps first."""
    alerts = [row for row in here.rows_of_all("alerts") if row["run"] in (here.run, None)]
    return sorted(alerts, key=lambda row: (row["severity"] != "critical", -(row["step"] or 0)))


def _remedy(here: Here, row: Row) -> list[Command]:
    match row["kind"]:
        case "sync_failed":
            return [Command("Try again:", words.command(here.workspace, "sync", "--once"))]
        case "failed_evaluation":
            again = words.command(here.workspace, "evaluate", "--once")
            return [Command("When its cause is mended:", again)]
        case _:
            return []


def chart(rows: Sequence[Row]) -> alt.LayerChart:
    """One mark an alert: its step, its kind, its severity."""
    marks = [
        {
            "step": row["step"],
            "kind": KINDS[row["kind"]],
            "meaning": tone_of(row["severity"]),
            "title": row["title"],
            "severity": row["severity"],
            "since": words.exact(row["raised_at"]),
        }
        for row in rows
    ]
    kinds = [kind for kind in KINDS.values() if any(mark["kind"] == kind for mark in marks)]
    base = alt.Chart(charts.source(marks)).encode(
        x=charts.steps_axis(marks),
        y=alt.Y("kind:N", title=None, scale=alt.Scale(domain=kinds)),
        color=charts.color("meaning"),
        tooltip=charts.tips(
            ("title", "Alert"), ("severity", "Severity"), ("step", "Step"), ("since", "Since")
        ),
    )
    points = base.mark_point(filled=True, size=150, opacity=1).encode(shape=charts.shape("meaning"))
    return charts.layered(points, height=charts.AXIS_HEIGHT + 30 * len(kinds))
