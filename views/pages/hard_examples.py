"""Hard examples: what the newest checkpoint still gets wrong or is unsure of, one by one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import streamlit as st

from views.pages import bars, layout, words
from views.pages.downloads import downloads
from views.pages.reading import Here, Row
from views.pages.table import PAGE, page_of, table
from views.view import Only

COLUMNS = (
    "type", "difficulty", "skill", "prompt", "target", "generated_text", "confidence", "loss",
    "times_right", "times_seen",
)  # fmt: skip
PARTS = {"skill": "Skill", "error_class": "Mistake"}
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
    # A run may have tens of thousands: the page counts them all and reads what it shows.
    counts = here.counts(
        "hard-examples", "step", "role", "type", "difficulty", "skill", "error_class"
    )
    if not counts:
        if any(row["status"] == "evaluated" for row in here.rows("checkpoints")):
            layout.callout(
                "good", "None", "The newest checkpoint gets everything right and is sure of it."
            )
        else:
            layout.nothing(here, "A list of hard examples")
        return
    for row in here.rows("hard-examples", only={"type": (None,)}):
        layout.callout(
            "bad", "FAILED", f"Step {row['step']} has no answers to look at.", reason=row["reason"]
        )
    role = layout.pick_role([one["role"] for one in counts if one["role"]])
    examples = [one for one in counts if one["type"] is not None and one["role"] == role]
    if not examples:
        return
    examples.sort(key=lambda one: list(TYPES).index(one["type"]))
    total, step = sum(one["rows"] for one in examples), examples[0]["step"]
    st.caption(f"{words.count(total, 'example')} at step {step}.")
    layout.draw(
        bars.stacked(
            [{**one, "name": TYPES[one["type"]].split(":")[0]} for one in examples],
            "Examples",
            "rows",
        ),
        key="hard-examples",
        alternative="How many examples there are of each type and difficulty.",
    )
    present = list(dict.fromkeys(one["type"] for one in examples))
    chosen = st.pills(
        "Type",
        present,
        selection_mode="multi",
        format_func=lambda one: TYPES[one].split(":")[0],
        key="type",
        bind="query-params",
        help="  \n".join(TYPES[one] for one in present),
    )
    only: dict[str, tuple[Any, ...]] = {"role": (role,), "type": tuple(chosen) or tuple(present)}
    with st.container(horizontal=True):
        for column, label in PARTS.items():
            only |= _part(examples, column, label)
    n = sum(
        one["rows"] for one in examples if all(one[name] in known for name, known in only.items())
    )
    if not n:
        st.caption("No example is all of this at once.")
        return
    _one(here, only, n)
    everything = words.command(
        here.workspace, "show", view.name, "--run", str(here.run), "--format", "csv"
    )
    first = page_of(n, key="rows", everything=everything)
    rows = here.rows("hard-examples", only=only, limit=PAGE, offset=first)
    table(view, rows, key="hard-examples-table", columns=COLUMNS)
    options = [("--type", one) for one in chosen] + [
        (f"--{name.replace('_', '-')}", value)
        for name in PARTS
        for value in only.get(name, ())
        if value is not None
    ]
    downloads(here, "hard-examples", *(word for option in options for word in option))


def _part(examples: Sequence[Row], column: str, label: str) -> dict[str, tuple[Any, ...]]:
    """The values of a column that are chosen, each offered with its number of examples."""
    n: Counter[str | None] = Counter()
    for one in examples:
        n[one[column]] += one["rows"]
    known = sorted((one for one in n if one is not None), key=lambda one: (-n[one], one))
    if len(known) < 2:
        return {}
    chosen = st.multiselect(
        label,
        known,
        format_func=lambda one: f"{words.named(one)} ({n[one]:,})",
        key=column,
        bind="query-params",
        placeholder="All",
    )
    return {column: tuple(chosen)} if chosen else {}


def _one(here: Here, only: Only, n: int) -> None:
    """Pages through the examples, each in full."""
    with st.container(horizontal=True, vertical_alignment="center"):
        place = st.pagination(n, key="example")
    rows = here.rows("hard-examples", only=only, limit=1, offset=min(place, n) - 1)
    if not rows:
        return  # Derived again since they were counted: the page is about to be drawn anew.
    row = rows[0]
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
