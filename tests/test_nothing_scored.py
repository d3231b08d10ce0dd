"""Rows in which no target can be read end in a failure with a name, wherever one looks."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from commands.services import APP
from commands.supervisor import milepost
from data.workspace import make
from settings import load_workspace
from store import log
from store.engine import connect, reading
from store.events import EvaluationFailed
from tests.evaluators.checkpoints import make_model, save

WHY = "none of its 2 rows can be used"
ROWS = [{"conversation": "How are you?"}, {"conversation": "What is 2 + 2?"}]


def run(workspace: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        milepost(*arguments, workspace=workspace), capture_output=True, text=True, check=False
    )


def show(workspace: Path, view: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(run(workspace, "show", view, "--format", "json").stdout)
    return rows


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("nothing") / "workspace"
    suites = ""
    for name, rows in {"chats": ROWS, "sums": [{"prompt": "1 + 1?", "answer": "2"}]}.items():
        file = root.parent / f"{name}.jsonl"
        file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        suites += f"[[suite]]\nname = '{name}'\npath = {json.dumps(str(file))}\n"
        suites += "difficulty = 'easy'\npass_threshold = 0.5\n"
    make(root, text=suites)
    save(root / "checkpoints" / "run" / "checkpoint-7", make_model("llama"))
    for command in ("watch", "evaluate"):
        assert run(root, command, "--once").returncode == 0
    return root


def test_the_log_names_the_failure_the_suite_and_the_field(workspace: Path) -> None:
    engine = connect(load_workspace(workspace).database_url)
    with reading(engine) as connection:
        (failed,) = [one.event for one in log.read(connection, types=[EvaluationFailed])]
    engine.dispose()
    assert isinstance(failed, EvaluationFailed)
    assert failed.error == "NothingScored"
    for word in ("suite 'chats'", WHY, "Line 1", "conversation", "messages"):
        assert word in failed.message


@pytest.mark.parametrize(
    ("view", "empty"),
    [
        ("results", ["loss", "perplexity", "token_accuracy", "accuracy", "score"]),
        ("regression", ["loss", "accuracy", "loss_change", "accuracy_change"]),
        ("ranking", ["rank", "score", "loss", "accuracy", "balance", "consistency"]),
        ("calibration", ["confidence", "accuracy", "ece", "brier"]),
        ("confidences", ["confidence", "accuracy", "ece", "smooth_ece", "brier", "log_score"]),
        ("temperature", ["temperature", "nll_before", "nll_after", "ece_before", "ece_after"]),
        ("curriculum", ["loss", "accuracy", "recommended_share"]),
        ("tests", ["passed", "accuracy"]),
    ],
)
def test_every_view_says_why_and_shows_no_number(
    workspace: Path, view: str, empty: list[str]
) -> None:
    rows = show(workspace, view)
    assert rows
    for row in rows:
        assert {name: row[name] for name in empty} == dict.fromkeys(empty)
        assert WHY in row["reason"]


def test_the_checkpoint_the_verdict_and_the_test_stand_as_failed(workspace: Path) -> None:
    (checkpoint,) = show(workspace, "checkpoints")
    assert (checkpoint["step"], checkpoint["status"]) == (7, "failed")
    assert WHY in checkpoint["reason"]
    assert {row["verdict"] for row in show(workspace, "regression")} == {"FAILED"}
    assert {row["status"] for row in show(workspace, "tests")} == {"FAILED"}


def test_status_says_so_and_exits_with_1(workspace: Path) -> None:
    ran = run(workspace, "status")
    assert ran.returncode == 1
    said = " ".join(ran.stdout.split())
    assert "run step 7 FAILED: NothingScored" in said
    assert WHY in said


def test_the_page_says_so(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILEPOST_WORKSPACE", str(workspace))
    page = AppTest.from_file(str(APP), default_timeout=60).run()
    assert not page.exception
    texts = [*page.error, *page.markdown, *page.text, *page.warning]
    shown = "\n".join(str(element.value) for element in texts)
    assert "FAILED" in shown
    assert WHY in shown
