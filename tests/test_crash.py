"""An evaluator that is ended in the middle leaves nothing half, and nothing is done twice."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, event, func, select

from commands.supervisor import milepost
from data.workspace import make
from store import log
from store.engine import connect
from store.events import (
    EvaluationCompleted,
    EvaluationFailed,
    EvaluationStarted,
    Event,
    PredictionsRecorded,
)
from store.schema import PREDICTION
from tests.commands.test_supervisor import wait_for
from tests.evaluators.checkpoints import make_model, save
from tests.test_cli import Milepost

ROWS = 300


def rows_and_batches(engine: Engine) -> tuple[int, int]:
    with engine.connect() as connection:
        rows = connection.execute(select(func.count()).select_from(PREDICTION)).scalar_one()
        batches = list(log.read(connection, types=[PredictionsRecorded]))
    return rows, len(batches)


def recorded_by_events(engine: Engine) -> int:
    with engine.connect() as connection:
        events = [one.event for one in log.read(connection, types=[PredictionsRecorded])]
    return sum(one.scored + one.failed for one in events if isinstance(one, PredictionsRecorded))


def events(engine: Engine, kind: type[Event]) -> list[Any]:
    with engine.connect() as connection:
        return [one.event for one in log.read(connection, types=[kind])]


def examples_recorded(engine: Engine) -> tuple[int, int]:
    """Predictions in the log, and the examples that they are of."""
    query = select(func.count(), func.count(PREDICTION.c.example_id.distinct()))
    with engine.connect() as connection:
        rows, examples = connection.execute(query).one()
    return rows, examples


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    root = tmp_path / "workspace"
    suite = tmp_path / "sums.jsonl"
    lines = [{"prompt": f"{n} plus {n}?", "answer": str(2 * n)} for n in range(ROWS)]
    suite.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    text = (
        "[evaluation]\nthreads = 1\nbatch_tokens = 64\nmax_new_tokens = 16\n"
        f"[[suite]]\nname = 'sums'\npath = {json.dumps(str(suite))}\n"
    )
    make(root, text=text)
    save(root / "checkpoints" / "run" / "checkpoint-1", make_model("llama"))
    subprocess.run(milepost("watch", "--once", workspace=root), check=True, capture_output=True)
    return root


def begun(workspace: Path) -> subprocess.Popen[str]:
    """An evaluator in a process of its own."""
    return subprocess.Popen(
        milepost("evaluate", "--once", workspace=workspace),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for_rows(engine: Engine, process: subprocess.Popen[str], least: int) -> None:
    """Until the log holds as many predictions, or the process has ended."""
    wait_for(lambda: rows_and_batches(engine)[0] >= least or process.poll() is not None)


def test_however_it_is_ended_every_example_is_recorded_exactly_once(workspace: Path) -> None:
    engine = connect(f"sqlite:///{workspace / 'milepost.db'}")
    ends = {signal.SIGKILL: -signal.SIGKILL, signal.SIGINT: 0, signal.SIGTERM: 0}
    for least, (number, code) in zip((20, 60, 100), ends.items(), strict=True):
        with begun(workspace) as process:
            wait_for_rows(engine, process, least)
            process.send_signal(number)
            _, said = process.communicate(timeout=60)
        rows, batches = rows_and_batches(engine)
        assert process.returncode == code
        assert "Traceback" not in said
        assert least <= rows < ROWS, f"{rows} rows when it was ended by {number.name}"
        assert rows == recorded_by_events(engine)
        assert batches > 1
    subprocess.run(milepost("evaluate", "--once", workspace=workspace), check=True)
    starts = events(engine, EvaluationStarted)
    (completed,) = events(engine, EvaluationCompleted)
    assert [one.attempt for one in starts] == [1, 2, 3, 4]
    assert (completed.scored, completed.failed) == (ROWS, 0)
    assert examples_recorded(engine) == (ROWS, ROWS)
    engine.dispose()


def test_a_full_disk_ends_the_evaluator_and_the_next_one_goes_on(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = connect(f"sqlite:///{workspace / 'milepost.db'}")
    run = Milepost(workspace, monkeypatch, capsys)
    with engine.connect() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()

    def no_more_than(connection: Connection) -> None:
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages + 60}")

    event.listen(Engine, "begin", no_more_than)
    try:
        ran = run("evaluate", "--once")
    finally:
        event.remove(Engine, "begin", no_more_than)
    assert ran.code == 3
    said = " ".join(ran.err.split())
    assert "size limit) is full" in said
    assert "Nothing that was acknowledged is lost." in said
    assert "Traceback" not in ran.err
    rows, batches = rows_and_batches(engine)
    assert 0 < rows < ROWS
    assert batches > 1
    assert rows == recorded_by_events(engine)
    assert run("evaluate", "--once").code == 0
    with engine.connect() as connection:
        (completed,) = [one.event for one in log.read(connection, types=[EvaluationCompleted])]
        assert list(log.read(connection, types=[EvaluationFailed])) == []
    assert isinstance(completed, EvaluationCompleted)
    assert (completed.scored, completed.failed) == (ROWS, 0)
    assert rows_and_batches(engine)[0] == ROWS
    engine.dispose()
    assert run("db", "check").code == 0
