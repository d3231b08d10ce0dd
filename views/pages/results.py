"""Results: one measure of every suite and difficulty, over the steps of the run."""

from __future__ import annotations

import streamlit as st

from views.pages import curves, layout
from views.pages.reading import Here
from views.pages.table import newest_first, table

COLUMNS = (
    "step", "suite", "difficulty", "status", "accuracy", "loss", "n", "n_failed", "reason",
    "accuracy_low", "accuracy_high",
)  # fmt: skip
UNKNOWN = "unknown"


def render(here: Here) -> None:
    """The page."""
    view = here.view("results")
    layout.opening(view)
    rows = here.rows("results")
    if not rows:
        layout.nothing(here, "A result")
        return
    with st.container(horizontal=True):
        name = st.segmented_control(
            "Measure",
            list(curves.MEASURES),
            default="Loss",
            required=True,
            key="measure",
            bind="query-params",
        )
        role = layout.pick_role([row["role"] or UNKNOWN for row in rows])
    measure = curves.MEASURES[name or "Loss"]
    chosen = [row for row in rows if (row["role"] or UNKNOWN) == role]
    checkpoints = here.rows("checkpoints")
    failed = [row for row in checkpoints if row["status"] == "failed"]
    points = curves.curve_rows(chosen, here.rows("regression"), measure)
    if any(point["value"] is not None for point in points):
        layout.draw(
            curves.curves(points, failed, measure),
            key="results",
            alternative=f"{measure.title} of each suite over training steps.",
        )
        st.caption(curves.legend_text(points, failed))
    else:
        reasons = [row["reason"] for row in chosen if row["reason"]]
        layout.callout(
            "neutral",
            "Not measured",
            f"No suite of this role has it: {(name or 'loss').lower()} was not measured.",
            reason=reasons[-1] if reasons else None,
        )
    layout.failures(checkpoints)
    table(view, newest_first(chosen), key="results-table", columns=COLUMNS)
