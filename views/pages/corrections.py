"""Corrections: what kinds of mistake a checkpoint makes, how often, and a sample of each."""

from __future__ import annotations

import streamlit as st

from views.pages import bars, layout, words
from views.pages.alike import alike
from views.pages.downloads import downloads
from views.pages.helped import helped
from views.pages.reading import Here, Row
from views.pages.table import table

COLUMNS = (
    "error_class", "difficulty", "skill", "n", "of_examples", "share", "prompt", "target",
    "generated_text",
)  # fmt: skip


def render(here: Here) -> None:
    """The page."""
    view = here.view("corrections")
    layout.opening(view)
    # The patterns of all checkpoints are many; the page shows those of one.
    steps = sorted({row["step"] for row in here.counts("corrections", "step")}, reverse=True)
    if not steps:
        if any(row["status"] == "evaluated" for row in here.rows("checkpoints")):
            layout.callout("good", "None", "No checkpoint of this run makes a mistake.")
        else:
            layout.nothing(here, "A list of mistakes")
        return
    with st.container(horizontal=True):
        step = layout.choose("Step", steps, key="step", width=layout.NARROW)
        at_step = layout.at_step(here.rows("corrections", only={"step": (step,)}), step)
        role = layout.pick_role([row["role"] for row in at_step if row["role"]])
    patterns = [row for row in at_step if row["error_class"] is not None and row["role"] == role]
    if not patterns:
        reason = at_step[0]["reason"]
        layout.callout(
            "bad" if reason else "good",
            "FAILED" if reason else "None",
            f"Step {step} has no answers to look at."
            if reason
            else f"Step {step} makes no mistake.",
            reason=reason,
        )
        helped(here, step)
        return
    layout.draw(
        bars.stacked(
            [{**row, "name": _name(row["error_class"])} for row in patterns], "Mistakes", "n"
        ),
        key="corrections",
        alternative="How often each kind of mistake is made, by difficulty.",
    )
    layout.section("A sample of each")
    for row in patterns[:5]:
        _sample(row)
    table(view, patterns, key="corrections-table", columns=COLUMNS)
    alike(here, patterns[0]["checkpoint_id"], str(role))
    helped(here, step)
    downloads(here, "corrections")


def _name(error_class: str) -> str:
    return error_class.replace("_", " ").capitalize()


def _sample(row: Row) -> None:
    of = f"{row['n']} of {words.count(row['of_examples'], 'answer')}"
    where = ", ".join(filter(None, (row["difficulty"], row["skill"])))
    with st.expander(words.plain(f"{_name(row['error_class'])}: {of}, {where}")):
        layout.texts(
            {"Prompt": row["prompt"], "Should say": row["target"], "Said": row["generated_text"]}
        )
        if row["reason"]:
            st.text(row["reason"])
