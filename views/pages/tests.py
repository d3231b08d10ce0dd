"""Tests: which checkpoints reach the accuracy that each suite asks for."""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter

import streamlit as st

from views.pages import layout, tiles, words
from views.pages.layout import Command
from views.pages.meanings import tone_of
from views.pages.reading import Here, Row
from views.pages.table import newest_first, table

COLUMNS = ("step", "suite", "status", "accuracy", "threshold", "n", "n_failed", "reason")
TOOLTIPS = (
    ("step", "Step"),
    ("group", "Suite"),
    ("status", "Status"),
    ("accuracy", "Accuracy"),
    ("threshold", "Threshold"),
    ("graded", "From"),
    ("reason", "Why"),
)


def render(here: Here) -> None:
    """The page."""
    view = here.view("tests")
    layout.opening(view)
    rows = here.rows("tests")
    if not rows:
        layout.nothing(here, "A test")
        return
    if all(row["threshold"] is None for row in rows):
        layout.callout(
            "neutral",
            "No threshold",
            "No suite says how good is good enough, so nothing can pass or fail.",
            commands=[
                Command(
                    f"Add a line to each [[suite]] in {here.workspace.root / 'milepost.toml'}:",
                    "pass_threshold = 0.8",
                )
            ],
        )
    difficulties = {row["suite"]: row["difficulty"] for row in here.rows("results")}
    suites = tiles.easy_first(
        [{**row, "difficulty": difficulties.get(row["suite"], "")} for row in rows],
        itemgetter("suite"),
    )
    layout.draw(
        tiles.tiles(tile_rows(rows), suites, TOOLTIPS),
        key="tests",
        alternative="Whether each checkpoint passes each suite, the newest step on top.",
    )
    newest = [row for row in rows if row["checkpoint_id"] == rows[-1]["checkpoint_id"]]
    tested = [row for row in newest if row["threshold"] is not None]
    if tested:
        passed = sum(row["status"] == "PASS" for row in tested)
        st.caption(
            f"Step {newest[-1]['step']} passes {passed} of {words.count(len(tested), 'test')}."
        )
    table(view, newest_first(rows), key="tests-table", columns=COLUMNS)


def tile_rows(rows: Sequence[Row]) -> list[Row]:
    """What each tile says, in words."""
    return [
        {
            "step": row["step"],
            "group": row["suite"],
            "status": row["status"],
            "meaning": tone_of(row["status"]),
            "text": row["status"]
            if row["accuracy"] is None
            else f"{row['status']} · {words.percent(row['accuracy'])}",
            "accuracy": words.percent(row["accuracy"]),
            "threshold": "none set"
            if row["threshold"] is None
            else words.percent(row["threshold"]),
            "graded": words.count(row["n"], "example"),
            "reason": row["reason"],
        }
        for row in rows
    ]
