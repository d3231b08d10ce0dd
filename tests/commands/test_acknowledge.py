"""`milepost acknowledge` takes what `show alerts` prints, and says what is wrong with the rest."""

from __future__ import annotations

import getpass
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

import cli
from commands.acknowledge import acknowledge
from data.workspace import make
from errors import UsageError
from settings import Workspace
from store import log
from store.engine import connect
from tests import logs
from tests.views.deriving import rejected


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return make(tmp_path / "workspace", text="[alerts]\nquiet_after_hours = 0.0000028\n")


@pytest.fixture
def engine(workspace: Workspace) -> Iterator[Engine]:
    engine = connect(workspace.database_url)
    log.append(engine, rejected("/checkpoints/run/checkpoint-900"))
    yield engine
    engine.dispose()


@pytest.fixture
def show(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Any:
    def run(*words: str) -> list[dict[str, Any]]:
        command = ["milepost", "show", "alerts", "--format", "json", *words]
        monkeypatch.setattr(sys, "argv", [*command, "--workspace", str(workspace.root)])
        capsys.readouterr()
        with pytest.raises(SystemExit):
            cli.main()
        rows: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
        return rows

    return run


def test_four_digits_of_an_id_and_a_note_are_enough(
    engine: Engine,  # noqa: ARG001 - it holds the alert
    workspace: Workspace,
    show: Any,
) -> None:
    (before,) = show()
    acknowledge(workspace, before["alert_id"][:4].upper() + "\r", "  I copy it again ")
    (after,) = show()
    assert (after["status"], after["note"]) == ("acknowledged", "I copy it again")
    assert after["acknowledged_by"] == getpass.getuser()
    assert after["alert_id"] == before["alert_id"]


def test_what_cannot_be_acknowledged_is_refused_with_the_reason(
    engine: Engine, workspace: Workspace, show: Any
) -> None:
    (row,) = show()
    alert_id = row["alert_id"]
    with pytest.raises(UsageError, match="--note is empty"):
        acknowledge(workspace, alert_id, " ")
    with pytest.raises(UsageError, match=rf"at least 4 digits\). Standing: {alert_id} \(/check"):
        acknowledge(workspace, alert_id[:3], "seen")
    with pytest.raises(UsageError, match="no alert has the id 'ffffffffff'"):
        acknowledge(workspace, "ffffffffff", "seen")
    acknowledge(workspace, alert_id, "seen")
    logs.evaluate(engine, logs.arrive(engine, 900), [], [])
    with pytest.raises(UsageError, match="is no usable checkpoint: that is over already"):
        acknowledge(workspace, alert_id, "seen again")


def test_the_past_has_the_clock_of_then(engine: Engine, show: Any) -> None:
    logs.arrive(engine, 900)
    position = log.append(engine, rejected("/checkpoints/run/checkpoint-1")).position
    kinds = {row["kind"] for row in show()}
    assert kinds == {"rejected_checkpoint", "nothing_evaluated"}
    assert {row["kind"] for row in show("--as-of", str(position - 1))} == set()
