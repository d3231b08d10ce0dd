"""Hard examples: what the newest checkpoint still gets wrong or is unsure of, one by one."""

from __future__ import annotations

import streamlit as st

from views.pages import bars, layout, words
from views.pages.reading import Here, Row
from views.pages.table import table

COLUMNS = (
    "type", "difficulty", "skill", "prompt", "target", "generated_text", "confidence", "loss",
    "times_right", "times_seen",
)  # fmt: skip
TYPES = {
    "not_scored": "Not scored: an error in place of an answer",
    "forgotten": "Forgotten: wrong now, right before",
    "confidently_wrong": "Confidently wrong: wrong and sure of it",
    "never_learned": "Never learned: wrong at three checkpoints or more",
    "incorrect": "Incorrect: wrong, for any other reason",
    "unstable": "Unstable: right now, after changing sides twice",
    "low_confidence": "Low confidence: right but unsure",
}


def render(here: Here) -> None:
    """The page."""
    view = here.view("hard-examples")
    layout.opening(view)
    rows = here.rows("hard-examples")
    if not rows:
        if any(row["status"] == "evaluated" for row in here.rows("checkpoints")):
            layout.callout(
                "good", "None", "The newest checkpoint gets everything right and is sure of it."
            )
        else:
            layout.nothing(here, "A list of hard examples")
        return
    step = rows[-1]["step"]
    role = layout.pick_role([row["role"] for row in rows if row["role"]])
    examples = [row for row in rows if row["type"] is not None and row["role"] == role]
    if not examples:
        layout.callout(
            "bad", "FAILED", f"Step {step} has no answers to look at.", reason=rows[0]["reason"]
        )
        return
    st.caption(f"{words.count(len(examples), 'example')} at step {step}.")
    layout.draw(
        bars.stacked(
            [{**row, "name": TYPES[row["type"]].split(":")[0]} for row in examples], "Examples"
        ),
        key="hard-examples",
        alternative="How many examples there are of each type and difficulty.",
    )
    present = [one for one in TYPES if any(row["type"] == one for row in examples)]
    chosen = st.pills(
        "Type",
        present,
        selection_mode="multi",
        format_func=lambda one: TYPES[one].split(":")[0],
        key="type",
        bind="query-params",
        help="  \n".join(TYPES[one] for one in present),
    )
    shown = [row for row in examples if not chosen or row["type"] in chosen]
    _one(shown)
    table(view, shown, key="hard-examples-table", columns=COLUMNS)


def _one(rows: list[Row]) -> None:
    """Pages through the examples, each in full."""
    with st.container(horizontal=True, vertical_alignment="center"):
        place = st.pagination(len(rows), key="example")
    row = rows[min(place, len(rows)) - 1]
    layout.facts(
        {
            "Type": TYPES[row["type"]].split(":")[0],
            "Suite": row["suite"],
            "Difficulty": row["difficulty"],
            "Skill": row["skill"],
            "Confidence": words.percent(row["confidence"]),
            "Loss": words.nats(row["loss"]),
            "Mistake": words.named(row["error_class"]),
            "Right at": f"{row['times_right']} of {words.count(row['times_seen'], 'checkpoint')}",
            "Last right": None
            if row["last_right_step"] is None
            else f"step {row['last_right_step']}",
        }
    )
    layout.texts(
        {"Prompt": row["prompt"], "Should say": row["target"], "Said": row["generated_text"]}
    )
    if row["reason"]:
        st.text(row["reason"])
