"""The page of alerts acknowledges them, and says what became of each."""

from __future__ import annotations

import re
from pathlib import Path

from streamlit.testing.v1 import AppTest

from settings import load_workspace
from store import log
from store.engine import connect, reading
from store.events import AlertAcknowledged
from tests.app.conftest import Show
from tests.app.story import derive, make_workspace
from tests.logs import arrive
from tests.views.deriving import rejected, sync_failed

PATH = "/checkpoints/run/checkpoint-900"


def said(app: AppTest) -> str:
    elements = [*app.markdown, *app.caption, *app.text]
    return re.sub(r"\\(.)", r"\1", "\n".join(one.value for one in elements))


def refuse_folder(workspace: Path) -> None:
    engine = make_workspace(workspace)
    log.append(engine, rejected(PATH))
    derive(workspace, engine)
    engine.dispose()


def acknowledged(workspace: Path) -> list[AlertAcknowledged]:
    engine = connect(load_workspace(workspace).database_url)
    with reading(engine) as connection:
        events = [one.event for one in log.read(connection, types=[AlertAcknowledged])]
    engine.dispose()
    return [one for one in events if isinstance(one, AlertAcknowledged)]


def test_a_note_and_a_button_acknowledge_an_alert(show: Show, tmp_path: Path) -> None:
    refuse_folder(tmp_path)
    app = show(tmp_path, "alerts")
    assert f"{PATH} is no usable checkpoint" in said(app)
    app.text_input[0].set_value("I copy it again")
    app.button[0].click().run()
    assert [one.value for one in app.exception] == []
    words = said(app)
    assert "Nothing needs a look. Acknowledged, and still true: 1." in words
    (row,) = app.dataframe[0].value.to_dict("records")
    assert (row["status"], row["note"]) == (["acknowledged"], "I copy it again")
    (event,) = acknowledged(tmp_path)
    assert (event.note, event.alert.title) == ("I copy it again", f"{PATH} is no usable checkpoint")
    assert event.by.endswith(", on the dashboard")


def test_without_a_note_nothing_is_acknowledged(show: Show, tmp_path: Path) -> None:
    refuse_folder(tmp_path)
    app = show(tmp_path, "alerts")
    app.button[0].click().run()
    assert "A note is needed" in said(app)
    assert acknowledged(tmp_path) == []


def test_an_acknowledged_alert_leaves_the_overview_and_one_that_is_over_is_resolved(
    show: Show, tmp_path: Path
) -> None:
    refuse_folder(tmp_path)
    assert "is no usable checkpoint" in said(show(tmp_path))
    app = show(tmp_path, "alerts")
    app.text_input[0].set_value("mine")
    app.button[0].click().run()
    assert "is no usable checkpoint" not in said(show(tmp_path))
    engine = connect(load_workspace(tmp_path).database_url)
    arrive(engine, 900)
    log.append(engine, sync_failed("1"))
    derive(tmp_path, engine)
    engine.dispose()
    rows = show(tmp_path, "alerts").dataframe[0].value
    assert [one for (one,) in rows["status"]] == ["open", "resolved"]
