"""The parts that move by themselves: they look at the database every two seconds.

A batch of predictions moves the progress alone; when something was decided, the whole page is drawn
again, once for all that came in between.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st
from sqlalchemy.exc import SQLAlchemyError

from errors import StoreError
from views.pages import layout, reading, words
from views.pages.layout import Command
from views.pages.reading import Here, Running

EVERY_SECONDS = 2.0


@contextmanager
def patiently() -> Iterator[None]:
    """Says so when the database cannot be read just now, as while it is being replaced."""
    try:
        yield
    except (StoreError, SQLAlchemyError) as error:
        st.caption(f"The database cannot be read just now: {words.plain(str(error))}")


@st.fragment(run_every=EVERY_SECONDS)
@patiently()
def follow(here: Here) -> None:
    """What runs and how far the log is; has the page drawn again when that is due."""
    if reading.file_number(here.workspace.database_url) != here.file:
        st.rerun()
    now = reading.pulse(here.engine)
    if now.mark != here.pulse.mark:
        st.rerun()
    alive = [one for one in reading.processes(here.engine) if one.alive]
    if alive:
        for one in alive:
            st.markdown(f":green[●] **{words.plain(one.process)}** {words.plain(one.doing)}")
    else:
        st.markdown(":gray[○] Nothing is running")
    behind = now.lags(here.projections)
    state = f"Log at event {now.position:,}"
    if now.standing_still():
        state += ", some views stand still"
    elif behind and alive:
        state += ", views follow"
    elif behind:
        state += f", {words.count(len(behind), 'view')} behind"
    st.caption(f"{state}. Looks again every {EVERY_SECONDS:g} s.")


@st.fragment(run_every=EVERY_SECONDS)
@patiently()
def progress(here: Here) -> None:
    """How far each evaluation under way is."""
    under_way = reading.running(here.engine)
    if not under_way:
        return
    evaluating = any(
        one.alive and one.process == "evaluate" for one in reading.processes(here.engine)
    )
    with st.container(border=True, gap="xsmall", key="progress"):
        for one in under_way:
            _bar(one)
        if not evaluating:
            st.caption("No evaluator is running: the counts stand until one takes over.")
            start = words.command(here.workspace, "evaluate")
            layout.offer(Command("Start one:", start))


def _bar(one: Running) -> None:
    name = f"{one.run} step {one.step}" if one.run is not None else "A removed checkpoint"
    if not one.examples:
        st.progress(0.0, text=f"**{words.plain(name)}** is being loaded")
        return
    text = f"**{words.plain(name)}**: {one.recorded:,} of {words.count(one.examples, 'example')}"
    if one.failed:
        text += f", :red[{one.failed:,} not scored]"
    if one.attempt > 1:
        text += f", attempt {one.attempt}"
    share = min(1.0, one.recorded / one.examples)
    st.progress(share, text=f"{text} ({words.percent(share)}), begun {words.ago(one.started_at)}")
