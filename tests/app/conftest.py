"""Fixtures of the dashboard's tests: the story, told once, and pages run without a browser."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from tests.app.story import Story, tell

Show = Callable[..., AppTest]


@pytest.fixture(scope="session")
def told(tmp_path_factory: pytest.TempPathFactory) -> Story:
    """The story, to be read only."""
    return tell(tmp_path_factory.mktemp("told") / "workspace")


@pytest.fixture
def story(told: Story, tmp_path: Path) -> Story:
    """A copy of the story that a test may go on with."""
    workspace = tmp_path / "workspace"
    shutil.copytree(told.workspace, workspace)
    return told._replace(workspace=workspace)


@pytest.fixture
def show(monkeypatch: pytest.MonkeyPatch) -> Iterator[Show]:
    """Runs one page on a workspace, with query parameters; fails on an exception in it."""

    def run(workspace: Path, page: str = "overview", **query: str) -> AppTest:
        monkeypatch.setenv("MILEPOST_WORKSPACE", str(workspace))
        script = f"import streamlit_app\nstreamlit_app.main({page!r})"
        app = AppTest.from_string(script, default_timeout=60)
        for name, value in query.items():
            app.query_params[name] = value
        app.run()
        assert [one.value for one in app.exception] == []
        return app

    yield run
    st.cache_data.clear()
    st.cache_resource.clear()
