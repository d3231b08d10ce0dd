"""Alerts: what someone should look at, each for as long as it is true.

The one page that writes: an acknowledgement, through a connection of its own that it closes again.
"""

from __future__ import annotations

import getpass
from collections.abc import Sequence

import altair as alt
import streamlit as st

from store import log
from store.engine import connect
from store.events import AlertAcknowledged
from store.projections import bring_up_to_date
from views.alerts import ACKNOWLEDGED, OPEN, RESOLVED
from views.notices import NOTICES, notice_of
from views.pages import charts, layout, words
from views.pages.layout import Command
from views.pages.meanings import tone_of
from views.pages.reading import Here, Row
from views.pages.table import table

COLUMNS = (
    "status", "severity", "step", "title", "note", "acknowledged_by", "raised_at", "detail",
    "not_sent", "alert_id",
)  # fmt: skip
KINDS = {
    "regression": "Regression",
    "failed_evaluation": "Evaluation failed",
    "failing_test": "Test fails",
    "calibration_broken": "Calibration broken",
    "rejected_checkpoint": "Folder rejected",
    "sync_failed": "Sync fails",
    "sync_stalled": "Sync stalls",
    "nothing_evaluated": "Nothing evaluated",
}
CARDS = 5
EVERY_SECONDS = 60.0


def render(here: Here) -> None:
    """The page."""
    view = here.view("alerts")
    layout.opening(view)
    rows = _of_run(here)
    alerts = [row for row in rows if row["status"] == OPEN]
    if not alerts:
        _all_well(here, rows)
    for row in alerts[:CARDS]:
        _card(here, row)
    if len(alerts) > CARDS:
        st.caption(f"{len(alerts) - CARDS} more open ones are in the table.")
    standing = [row for row in rows if row["status"] != RESOLVED]
    placed = [row for row in standing if row["step"] is not None]
    if placed:
        layout.draw(chart(placed), key="alerts", alternative="The alerts by kind and step.")
    if rows:
        table(view, rows, key="alerts-table", columns=COLUMNS)
    _look_again(here, len(alerts))


@st.fragment(run_every=EVERY_SECONDS)
def _look_again(here: Here, shown: int) -> None:
    """Has the page drawn again when the clock alone has raised an alert."""
    if len(of_run(here)) != shown:
        st.rerun()


def of_run(here: Here) -> list[Row]:
    """The open alerts of the chosen run and of none; critical ones and late steps first."""
    return [row for row in _of_run(here) if row["status"] == OPEN]


def _of_run(here: Here) -> list[Row]:
    """The same, with those acknowledged and then those resolved at the end."""
    order = (OPEN, ACKNOWLEDGED, RESOLVED)
    alerts = [row for row in here.rows_of_all("alerts") if row["run"] in (here.run, None)]
    return sorted(
        alerts,
        key=lambda row: (
            order.index(row["status"]), row["severity"] != "critical", -(row["step"] or 0)
        ),
    )  # fmt: skip


def _all_well(here: Here, rows: Sequence[Row]) -> None:
    acknowledged = sum(row["status"] == ACKNOWLEDGED for row in rows)
    others = sum(
        row["status"] == OPEN and row["run"] not in (here.run, None)
        for row in here.rows_of_all("alerts")
    )
    sentence = "Nothing needs a look."
    if acknowledged:
        sentence += f" Acknowledged, and still true: {acknowledged}."
    if others:
        sentence += f" Other runs have {words.count(others, 'alert')}."
    layout.callout("good", "All well", sentence)


def _card(here: Here, row: Row) -> None:
    """An open alert, with what to do about it and a field to acknowledge it."""
    layout.callout(
        tone_of(row["severity"]),
        KINDS[row["kind"]],
        row["title"],
        reason=row["detail"],
        commands=_remedy(here, row),
    )
    with st.form(f"acknowledge-{row['alert_id']}", border=False, clear_on_submit=True):
        field, button = st.columns([5, 2], vertical_alignment="bottom")
        note = field.text_input(
            "Note", key=f"note-{row['alert_id']}", placeholder="What comes of it"
        )
        if button.form_submit_button("Acknowledge", width="stretch"):
            if note.strip():
                _acknowledge(here, row, note.strip())
                st.rerun()
            st.caption("A note is needed: those who read it later will not know more.")


def _acknowledge(here: Here, row: Row, note: str) -> None:
    """Puts it into the log, and into the view at once, whatever else runs."""
    writer = connect(here.workspace.database_url)
    try:
        by = f"{getpass.getuser()}, on the dashboard"
        event = AlertAcknowledged(alert=notice_of(row), note=note, by=by, at=log.now())
        log.append(writer, event)
        bring_up_to_date(writer, [NOTICES])
    finally:
        writer.dispose()


def _remedy(here: Here, row: Row) -> list[Command]:
    match row["kind"]:
        case "sync_failed" | "sync_stalled":
            return [Command("Try again:", words.command(here.workspace, "sync", "--once"))]
        case "failed_evaluation":
            again = words.command(here.workspace, "evaluate", "--once")
            return [Command("When its cause is mended:", again)]
        case "nothing_evaluated":
            return [Command("What runs, and what waits:", words.command(here.workspace, "status"))]
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
