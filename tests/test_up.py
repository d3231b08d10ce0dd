"""`milepost up` runs everything, and one Ctrl-C ends everything."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from commands.supervisor import free_port, milepost
from data.workspace import make
from settings import load_workspace
from store import log
from store.engine import connect, reading
from store.events import CheckpointArrived, EvaluationCompleted, SyncCompleted
from tests.commands.test_supervisor import wait_for
from tests.evaluators.checkpoints import make_model, save

ROWS = [{"prompt": f"{n} plus {n}?", "answer": str(2 * n)} for n in range(5)]


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    suite = tmp_path / "sums.jsonl"
    suite.write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")
    text = (
        f"[sync]\nsource = {json.dumps(str(tmp_path / 'trainer'))}\ninterval_seconds = 0.5\n"
        "[evaluation]\nthreads = 1\nmax_new_tokens = 4\n"
        f"[[suite]]\nname = 'sums'\npath = {json.dumps(str(suite))}\n"
    )
    save(tmp_path / "trainer" / "run" / "checkpoint-1", make_model("llama"))
    return make(tmp_path / "workspace", text=text).root


@pytest.fixture
def running(workspace: Path) -> Iterator[subprocess.Popen[str]]:
    port = str(free_port(0))
    process = subprocess.Popen(
        milepost("up", "--port", port, workspace=workspace),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    yield process
    if process.poll() is None:
        process.kill()
    process.communicate()


def answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}/_stcore/health", timeout=5) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, ConnectionError):
        return False


def ended(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_ZOMBIE  # an orphan's end is init's to collect
    except psutil.NoSuchProcess:
        return True


def test_up_runs_the_whole_way_and_ends_with_ctrl_c(
    workspace: Path, running: subprocess.Popen[str]
) -> None:
    engine = connect(load_workspace(workspace).database_url)

    def evaluated() -> bool:
        assert running.poll() is None
        with reading(engine) as connection:
            return any(log.read(connection, types=[EvaluationCompleted]))

    wait_for(evaluated)
    with reading(engine) as connection:
        types = [type(one.event) for one in log.read(connection)]
    engine.dispose()
    assert types.count(SyncCompleted) == types.count(CheckpointArrived) == 1
    assert types.count(EvaluationCompleted) == 1
    children = psutil.Process(running.pid).children()
    assert len(children) == 4
    assert running.stdout is not None
    address = re.search(r"http://\S+", running.stdout.readline())
    assert address is not None
    wait_for(lambda: answers(address.group()))
    status = subprocess.run(
        milepost("status", "--format", "json", workspace=workspace),
        capture_output=True,
        text=True,
        check=True,
    )
    beats = json.loads(status.stdout)["processes"]
    assert {beat["process"] for beat in beats if beat["alive"]} == {
        "up",
        "sync",
        "watch",
        "evaluate",
    }
    running.send_signal(signal.SIGINT)
    rest, _ = running.communicate(timeout=60)
    assert running.returncode == 0
    assert "Ending" in rest
    assert "starts again" not in rest
    assert not any(child.is_running() for child in children)
    for file in (workspace / "logs").iterdir():
        assert "Traceback" not in file.read_text(encoding="utf-8"), file


def test_children_end_themselves_when_up_is_killed(
    running: subprocess.Popen[str],
) -> None:
    assert running.stdout is not None
    address = re.search(r"http://\S+", running.stdout.readline())
    assert address is not None
    wait_for(lambda: answers(address.group()))
    children = psutil.Process(running.pid).children()
    assert len(children) == 4
    running.kill()
    wait_for(lambda: all(ended(child) for child in children))
    assert not answers(address.group())
