"""Every page says on PostgreSQL what it says on SQLite, but for the times."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from tests.app.conftest import Show
from tests.app.story import Story, tell
from tests.app.test_pages import PATHS, said
from tests.conftest import MIGRATED
from tests.postgres import Server

TIME = re.compile(
    r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:[\d.]+(Z|\+00:00)?|\d+ (minute|hour)s? ago|just now"
)
# An alert's id holds when it was raised.
ALERT_ID = "alert_id"


@pytest.fixture(scope="module")
def told_there(postgres: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """The story on PostgreSQL, to be read only."""
    with postgres.copy_of(MIGRATED) as name:
        yield tell(tmp_path_factory.mktemp("there") / "workspace", postgres.url(name))


@pytest.mark.parametrize("path", PATHS)
def test_a_page_is_the_same_on_both(show: Show, told: Story, told_there: Story, path: str) -> None:
    pages = [content(show(one.workspace, path), one.workspace) for one in (told, told_there)]
    assert pages[0] == pages[1]


def content(app: AppTest, workspace: Path) -> tuple[str, list[str], int]:
    """The words, the tables as CSV, and the number of charts."""
    words = TIME.sub("TIME", said(app)).replace(str(workspace), "WORKSPACE")
    frames = [one.value.drop(columns=ALERT_ID, errors="ignore") for one in app.dataframe]
    tables = [TIME.sub("TIME", one.to_csv()) for one in frames]
    return words, tables, len(app.get("vega_lite_chart"))
