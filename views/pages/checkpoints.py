"""Checkpoints: what is here, where each stands, and all that is known of one of them."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt
import streamlit as st

from views.pages import charts, layout, words
from views.pages.meanings import tone_of
from views.pages.reading import Here, Row
from views.pages.table import newest_first, table

STATUSES = ("evaluated", "evaluating", "arrived", "failed", "rejected", "removed")
COLUMNS = ("step", "status", "reason", "arrived_at", "scored", "failed", "seconds", "peak_bytes")


def render(here: Here) -> None:
    """The page."""
    view = here.view("checkpoints")
    layout.opening(view)
    rows = here.rows("checkpoints")
    if not rows:
        layout.nothing(here, "This list")
        return
    layout.draw(
        chart(rows), key="checkpoints", alternative="The status of each checkpoint by its step."
    )
    known = [row for row in reversed(rows) if row["checkpoint_id"] is not None]
    if known:
        steps = list(dict.fromkeys(row["step"] for row in known))
        step = layout.choose("Step", steps, key="step", width=layout.NARROW)
        for row in known:
            if row["step"] == step:
                _detail(here, row)
    layout.section("All of them")
    table(view, newest_first(rows), key="checkpoints-table", columns=COLUMNS)


def chart(rows: Sequence[Row]) -> alt.LayerChart:
    """One mark a checkpoint: its step, its status, and what is said of it."""
    placed = [
        {
            "step": row["step"],
            "status": row["status"],
            "meaning": tone_of(row["status"]),
            "scored": _scored(row),
            "arrived": words.exact(row["arrived_at"]),
            "reason": row["reason"] or "",
        }
        for row in rows
        if row["step"] is not None
    ]
    present = [status for status in STATUSES if any(row["status"] == status for row in placed)]
    base = alt.Chart(charts.source(placed)).encode(
        x=charts.steps_axis(placed),
        y=alt.Y("status:N", title=None, sort=present, scale=alt.Scale(domain=present)),
    )
    marks = base.mark_point(filled=True, size=150, opacity=1).encode(
        color=charts.color("meaning"),
        shape=charts.shape("meaning"),
        tooltip=charts.tips(
            ("step", "Step"),
            ("status", "Status"),
            ("scored", "Examples"),
            ("arrived", "Arrived"),
            ("reason", "Reason"),
        ),
    )
    return charts.layered(marks, height=charts.AXIS_HEIGHT + 30 * len(present))


def _scored(row: Row) -> str:
    if row["scored"] is None:
        return words.NOT_MEASURED
    return f"{row['scored']} scored, {row['failed']} not, of {row['examples'] or 'unknown'}"


def _evaluations(row: Row) -> str | None:
    """Which of several the numbers are of; nothing where there is one."""
    n = row["evaluations"]
    return f"{n}; the numbers are of the newest" if n and n > 1 else None


def _detail(here: Here, row: Row) -> None:
    if row["status"] == "failed":
        layout.failures([row])
    elif row["status"] == "removed":
        layout.callout(
            "neutral",
            "Removed",
            f"The folder of step {row['step']} is gone. What it predicted stays in the log.",
            reason=row["reason"],
        )
    zone = st.context.timezone
    layout.facts(
        {
            "Status": row["status"],
            "Arrived": f"{words.ago(row['arrived_at'])}, {words.exact(row['arrived_at'], zone)}",
            "Size": words.size(row["bytes"]),
            "Parameters": f"{row['parameters']:,}",
            "Architecture": f"{row['architecture']}, {row['dtype']}, {row['kind']}",
            "Training loss": words.nats(row["train_loss"]),
            "Epoch": None if row["epoch"] is None else f"{row['epoch']:.3g}",
            "Learning rate": None
            if row["learning_rate"] is None
            else f"{row['learning_rate']:.3g}",
            "Examples": None if row["scored"] is None else _scored(row),
            "Evaluations": _evaluations(row),
            "Evaluation took": words.seconds(row["seconds"]),
            "Peak memory": words.size(row["peak_bytes"]),
            "Pinned": "the run's baseline, never pruned" if row["pinned"] else None,
        }
    )
    for path in row["paths"] or [row["path"]]:
        st.code(path, language=None, wrap_lines=True)
    results = [one for one in here.rows("results") if one["checkpoint_id"] == row["checkpoint_id"]]
    if results:
        table(
            here.view("results"),
            results,
            key=f"results-of-{row['checkpoint_id']}",
            columns=("suite", "difficulty", "accuracy", "loss", "n", "n_failed", "status"),
        )
