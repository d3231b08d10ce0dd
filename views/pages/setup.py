"""What to do when there is no workspace or no database yet; goes on by itself when there is."""

from __future__ import annotations

import streamlit as st
from sqlalchemy.exc import SQLAlchemyError

from errors import MilepostError
from settings import find_workspace
from views.pages import layout, reading
from views.pages.layout import Command
from views.pages.live import EVERY_SECONDS


def render(error: Exception) -> None:
    """Says what is missing and what to run."""
    layout.heading("Milepost", "Evaluates training checkpoints as they arrive, once each.")
    layout.callout(
        "warning",
        "Not ready",
        "There is nothing to show yet: the workspace or its database cannot be read.",
        reason=str(error),
        commands=[
            Command("Make a workspace, or mend the one that is there:", "milepost init"),
            Command("Then open this page for it:", "milepost dashboard --workspace FOLDER"),
            Command("Or see it all at work on a small model first:", "milepost demo"),
        ],
    )
    _wait()


@st.fragment(run_every=EVERY_SECONDS)
def _wait() -> None:
    """Has the page drawn again as soon as a database can be read."""
    try:
        url = find_workspace().database_url
        reading.engine(url, reading.file_number(url))
    except (MilepostError, SQLAlchemyError):
        st.caption("Waiting: this page goes on by itself.")
    else:
        st.rerun()
