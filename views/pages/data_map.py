"""The data map: each example by the probability of its target and how that wavers, to pick from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import altair as alt
import streamlit as st
from sqlalchemy import Connection, text

from views.data_map import AMBIGUOUS, EASY, HARD
from views.pages import charts, layout, words
from views.pages.meanings import Meaning
from views.pages.reading import Here, Row

SHOWN = 2_000  # points that a browser draws at once
HOVERED = 160  # characters
PICKED = "picked"
KEY = "data-map"

# Example ids are digests, so the first of them are a fair sample.
POINTS = f"""
SELECT example_id, difficulty, skill, region, probability, spread, times_measured, times_right,
    times_seen, forgetting_events, never_learned, substr(prompt, 1, {HOVERED}) AS prompt,
    substr(target, 1, {HOVERED}) AS target, substr(generated_text, 1, {HOVERED}) AS answer
FROM data_map
WHERE run = :run AND role = :role AND spread IS NOT NULL
ORDER BY example_id
LIMIT {SHOWN}
"""


@dataclass(frozen=True)
class Points:
    """Where do the examples of a run and role stand?"""

    run: str
    role: str

    def answer(self, connection: Connection) -> list[Row]:
        """At most SHOWN of them, by example id."""
        found = connection.execute(text(POINTS), {"run": self.run, "role": self.role})
        return [dict(row) for row in found.mappings()]


def section(here: Here) -> None:
    """The map of the chosen run; nothing while no evaluation of it is in."""
    counts = here.counts(KEY, "role", "region", "never_learned")
    if not counts:
        return
    layout.section("Data map: every example over the checkpoints")
    role = layout.pick_role([one["role"] for one in counts if one["role"]])
    counts = [one for one in counts if one["role"] == role]
    mapped = [one for one in counts if one["region"] is not None]
    if not mapped or here.run is None or role is None:
        st.caption("The map needs two checkpoints that measured the probability of targets.")
        return
    st.caption(_summary(counts, mapped))
    limits = here.workspace.settings.data_map
    rows = here.ask(Points(here.run, role))
    total = sum(one["rows"] for one in mapped)
    event = st.altair_chart(
        chart(rows),
        width="stretch",
        key=KEY,
        on_select="rerun",
        selection_mode=PICKED,
        alt="Each example by the spread and the mean of its target's probability.",
    )
    sampled = "" if len(rows) == total else f" A sample of {len(rows):,} of {total:,} is drawn."
    st.caption(
        ":green[●] was right, never forgotten · :orange[▶] was forgotten at least once · "
        ":red[▼] never right · ◆ graded less than twice. Ambiguous from a spread of "
        f"{limits.ambiguous_spread:g} on; else easy-to-learn from a mean of "
        f"{limits.easy_probability:g} on. Click on an example to read it.{sampled}"
    )
    _picked(here, event)


def _summary(counts: Sequence[Row], mapped: Sequence[Row]) -> str:
    sizes = {
        region: sum(one["rows"] for one in mapped if one["region"] == region)
        for region in (EASY, AMBIGUOUS, HARD)
    }
    never = sum(one["rows"] for one in counts if one["never_learned"])
    said = words.listed([f"{size:,} {region}" for region, size in sizes.items()])
    total = sum(one["rows"] for one in counts)
    return f"{words.count(total, 'example')}: {said}. Never right at any checkpoint: {never:,}."


def chart(rows: Sequence[Row]) -> alt.Chart:
    """A point an example; one can be picked."""
    points = [
        {
            **row,
            "meaning": meaning_of(row),
            "mean": words.percent(row["probability"]),
            "deviation": f"{100 * row['spread']:.1f} points",
            "right": f"{row['times_right']} of {words.count(row['times_seen'], 'checkpoint')}",
            "forgotten": _times(row["forgetting_events"]),
        }
        for row in rows
    ]
    picked = alt.selection_point(name=PICKED, fields=["example_id"])
    drawn: alt.Chart = (
        alt.Chart(charts.source(points), height=charts.HEIGHT + 80)
        .mark_point(filled=True, size=44)
        .encode(
            x=alt.X(
                "spread:Q",
                title="Spread over checkpoints (standard deviation)",
                scale=alt.Scale(domain=[0, 0.5]),
                axis=alt.Axis(grid=False, tickCount=5),
            ),
            y=charts.percent_axis("probability", "Mean probability of the target, a token"),
            color=charts.color("meaning"),
            shape=charts.shape("meaning"),
            opacity=alt.condition(picked, alt.value(0.75), alt.value(0.15)),
            tooltip=charts.tips(
                ("prompt", "Prompt"),
                ("target", "Should say"),
                ("answer", "Said"),
                ("mean", "Probability"),
                ("deviation", "Spread"),
                ("region", "Region"),
                ("right", "Right at"),
                ("forgotten", "Forgotten"),
                ("difficulty", "Difficulty"),
                ("skill", "Skill"),
            ),
        )
        .add_params(picked)
    )
    return drawn


def meaning_of(row: Row) -> Meaning:
    """What the colour and the shape of an example say."""
    if row["never_learned"] is None:
        return "neutral"
    if row["never_learned"]:
        return "bad"
    return "warning" if row["forgetting_events"] else "good"


def _picked(here: Here, event: object) -> None:
    """The example that was clicked on, in full."""
    chosen = picked_id(event)
    if chosen is None:
        return
    rows = here.rows(KEY, only={"example_id": (chosen,)})
    if not rows:
        return  # Picked in another run, or derived again since.
    row = rows[0]
    layout.facts(
        {
            "Suite": row["suite"],
            "Difficulty": row["difficulty"],
            "Skill": row["skill"],
            "Region": row["region"],
            "Probability": words.percent(row["probability"]),
            "Right at": f"{row['times_right']} of {words.count(row['times_seen'], 'checkpoint')}",
            "Forgotten": _times(row["forgetting_events"]),
        }
    )
    layout.texts(
        {"Prompt": row["prompt"], "Should say": row["target"], "Said": row["generated_text"]}
    )


def picked_id(event: object) -> str | None:
    """The example id in what Streamlit tells of a chart's selections."""
    selection = cast(Mapping[str, Any], event).get("selection", {})
    rows = selection.get(PICKED) or []
    return rows[0].get("example_id") if rows else None


def _times(n: int | None) -> str:
    if n is None:
        return words.NOT_MEASURED
    return "never" if n == 0 else words.count(n, "time")
