"""The dashboard, as `milepost dashboard` serves it. Its pages stand in views/pages."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import streamlit as st
from sqlalchemy.exc import SQLAlchemyError

from errors import DerivedAnew, MilepostError, StoreError
from settings import Workspace, find_workspace
from views import registry
from views.pages import layout, live, reading, setup, words
from views.pages.contents import SECTIONS
from views.pages.layout import Command
from views.pages.reading import Here

ART = Path(layout.__file__).parent


def main(first: str = "overview") -> None:
    """Draws the page that the address names; `first` is the one for an address without a name."""
    # Before the navigation: otherwise the browser fetches the page's icon from a font server.
    st.set_page_config(page_title="Milepost", page_icon=str(ART / "milepost.svg"), layout="wide")
    try:
        workspace = find_workspace()
        here = _look(workspace)
    except (MilepostError, SQLAlchemyError) as error:
        setup.render(error)
        return
    pages = {
        section: [
            st.Page(
                partial(page.render, here),
                title=page.title,
                icon=page.icon,
                url_path=page.path,
                default=page.path == first,
            )
            for page in listed
        ]
        for section, listed in SECTIONS.items()
    }
    st.logo(str(ART / "wordmark.svg"), icon_image=str(ART / "milepost.svg"), size="large")
    chosen = st.navigation(pages, expanded=True)
    st.set_page_config(page_title=f"{chosen.title} · Milepost")
    with st.sidebar:
        live.follow(here)
    layout.lagging(here)
    try:
        chosen.run()
    except DerivedAnew as error:
        layout.derived_anew(here, error)
    except (StoreError, SQLAlchemyError) as error:
        layout.callout(
            "bad",
            "Unreadable",
            "The database cannot be read; this page tries again when the log goes on.",
            reason=str(error),
            commands=[Command("What is wrong:", words.command(workspace, "status"))],
        )


def _look(workspace: Workspace) -> Here:
    """The workspace as it is now, with the run that the sidebar or the address names."""
    file = reading.file_number(workspace.database_url)
    engine = reading.engine(workspace.database_url, file)
    runs = reading.runs(engine)
    run = None
    if runs:
        with st.sidebar:
            run = layout.choose("Run", runs, key="run", help="The one with the newest arrival.")
    return Here(
        workspace=workspace,
        engine=engine,
        file=file,
        views=tuple(registry.views(workspace.settings)),
        pulse=reading.pulse(engine),
        runs=runs,
        run=run,
    )


if __name__ == "__main__":
    main()
