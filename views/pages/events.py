"""The log: what happened, newest first, exactly as it is kept."""

from __future__ import annotations

import json
from collections.abc import Sequence

import altair as alt
import pandas as pd
import streamlit as st

from errors import UnknownEvent
from store.events import TYPES
from store.log import Recorded
from views.pages import charts, layout, words
from views.pages.meanings import Tone
from views.pages.reading import Here, NewestEvents

LIMITS = (50, 200, 1000)
TONES: dict[str, Tone] = {
    "SyncFailed": "bad",
    "CheckpointRejected": "bad",
    "EvaluationFailed": "bad",
    "EvaluationAbandoned": "bad",
    "EvaluationCompleted": "good",
}


def render(here: Here) -> None:
    """The page."""
    layout.heading("Log", "What happened, and when?")
    if here.pulse.position == 0:
        layout.nothing(here, "The log")
        return
    with st.container(horizontal=True):
        names = st.multiselect(
            "Types", list(TYPES), key="types", placeholder="All types", bind="query-params"
        )
        limit = st.segmented_control(
            "Newest", LIMITS, default=LIMITS[0], required=True, key="newest", bind="query-params"
        )
    types = tuple(TYPES[name] for name in names)
    try:
        found = here.ask(NewestEvents(types, limit or LIMITS[0]))
    except UnknownEvent as error:
        layout.callout(
            "bad",
            "Unreadable",
            "The log holds what this Milepost does not know.",
            reason=str(error),
        )
        return
    if not found:
        layout.callout("neutral", "None", "No event of these types is in the log.")
        return
    layout.draw(chart(found), key="events", alternative="When events of each type were recorded.")
    _table(found)


def chart(found: Sequence[Recorded]) -> alt.LayerChart:
    """One tick an event: its time and its type."""
    ticks = [
        {
            "at": one.recorded_at,
            "type": type(one.event).__name__,
            "meaning": TONES.get(type(one.event).__name__, "neutral"),
            "position": one.position,
            "when": words.exact(one.recorded_at),
        }
        for one in found
    ]
    types = [name for name in TYPES if any(tick["type"] == name for tick in ticks)]
    base = alt.Chart(charts.source(ticks)).encode(
        x=alt.X("at:T", title="Recorded at (your time)", axis=alt.Axis(grid=False, tickCount=6)),
        y=alt.Y("type:N", title=None, scale=alt.Scale(domain=types), axis=alt.Axis(labelLimit=160)),
        color=charts.color("meaning"),
        tooltip=charts.tips(("type", "Event"), ("position", "Position"), ("when", "Recorded")),
    )
    marks = base.mark_tick(thickness=2, size=18, opacity=0.8)
    return charts.layered(marks, height=charts.AXIS_HEIGHT + 26 * len(types))


def _table(found: Sequence[Recorded]) -> None:
    times = pd.to_datetime([one.recorded_at for one in found], utc=True, format="ISO8601")
    frame = pd.DataFrame(
        {
            "position": [one.position for one in found],
            "type": [type(one.event).__name__ for one in found],
            "ago": times,
            "recorded_at": times,
            "stream": [one.stream for one in found],
            "payload": [_payload(one) for one in found],
        }
    )
    st.dataframe(
        frame,
        key="events-table",
        hide_index=True,
        column_config={
            "position": st.column_config.NumberColumn(
                "Position", help="Its place in the log; every view follows this order.", format="%d"
            ),
            "type": st.column_config.TextColumn("Event", help="docs/events.md explains each."),
            "ago": st.column_config.DatetimeColumn("Recorded", format="distance"),
            "recorded_at": st.column_config.DatetimeColumn(
                "Recorded, exact", format="YYYY-MM-DD HH:mm:ss", timezone=st.context.timezone
            ),
            "payload": st.column_config.TextColumn("What it says", width="large"),
            "stream": st.column_config.TextColumn("Stream", help="The subject that it is about."),
        },
        column_order=["position", "type", "ago", "payload", "stream", "recorded_at"],
        alt="The events of the log, newest first.",
    )


def _payload(recorded: Recorded) -> str:
    return json.dumps(recorded.event.model_dump(mode="json"), ensure_ascii=False, sort_keys=True)
