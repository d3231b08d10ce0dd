"""The commands as a person or a script runs them: what they print, and their exit codes."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from sqlalchemy import Engine

import cli
from data.workspace import make
from settings import load_workspace
from store import log
from store.engine import connect
from store.events import CheckpointRejected, EvaluationCompleted
from store.liveness import Pulse
from tests import logs
from tests.logs import Seen

COMMANDS = [
    command.callback.__name__ for command in cli.app.registered_commands if command.callback
]


class Ran(NamedTuple):
    code: int
    out: str
    err: str


class Milepost:
    """Runs `milepost …` in this process on one workspace."""

    def __init__(
        self, root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.root = root
        self._monkeypatch = monkeypatch
        self._capsys = capsys

    def __call__(self, *arguments: str) -> Ran:
        self._capsys.readouterr()
        self._monkeypatch.setattr(sys, "argv", ["milepost", *arguments])
        self._monkeypatch.setenv("MILEPOST_WORKSPACE", str(self.root))
        with pytest.raises(SystemExit) as caught:
            cli.main()
        code = caught.value.code
        out, err = self._capsys.readouterr()
        return Ran(code if isinstance(code, int) else int(code is not None), out, err)


@pytest.fixture
def milepost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Milepost:
    return Milepost(make(tmp_path / "workspace").root, monkeypatch, capsys)


@pytest.fixture
def writer(milepost: Milepost) -> Engine:
    return connect(f"sqlite:///{milepost.root / 'milepost.db'}")


def fill(engine: Engine) -> None:
    """Two checkpoints on one suite of 30 examples; the second one forgot everything."""
    examples = logs.questions("easy", 30, "easy")
    logs.register_suite(engine, examples, suite_id="easy", difficulty="easy")
    right = [(one, Seen(one.target, target_logprob=-1.0)) for one in examples]
    wrong = [(one, Seen("no", target_logprob=-9.0)) for one in examples]
    logs.evaluate(engine, logs.arrive(engine, 100), ["easy"], right)
    logs.evaluate(engine, logs.arrive(engine, 200), ["easy"], wrong)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_answers_help_with_an_example(milepost: Milepost, command: str) -> None:
    ran = milepost(command, "--help")
    assert ran.code == 0
    assert f"Example: milepost {command}" in " ".join(ran.out.split())


def test_init_makes_a_workspace_and_may_be_repeated(tmp_path: Path, milepost: Milepost) -> None:
    root = tmp_path / 'with "quotes"'
    first = milepost("init", "--workspace", str(root), "--source", 'host:/a "b"')
    assert first.code == 0
    settings = (root / "milepost.toml").read_text()
    assert load_workspace(root).settings.sync.source == 'host:/a "b"'
    assert (root / "milepost.db").is_file()
    assert (root / "checkpoints").is_dir()
    assert milepost("init", "--workspace", str(root), "--source", "other").code == 0
    assert (root / "milepost.toml").read_text() == settings


def test_a_missing_workspace_is_a_usage_error_with_its_remedy(
    tmp_path: Path, milepost: Milepost
) -> None:
    ran = milepost("status", "--workspace", str(tmp_path / "nowhere"))
    assert ran.code == 2
    assert "milepost init" in ran.err


def test_a_missing_database_is_a_fault(milepost: Milepost) -> None:
    (milepost.root / "milepost.db").unlink()
    ran = milepost("show", "results")
    assert ran.code == 3
    assert "`milepost init` makes one" in ran.err


def test_an_unknown_view_names_the_known_ones(milepost: Milepost) -> None:
    ran = milepost("show", "regresion")
    assert ran.code == 2
    for name in ("checkpoints", "results", "regression", "hard-examples", "alerts"):
        assert name in ran.err


def test_show_prints_strict_json_with_what_was_measured(milepost: Milepost, writer: Engine) -> None:
    fill(writer)
    rows = json.loads(milepost("show", "results", "--format", "json").out)
    assert [(row["step"], row["accuracy"], row["n"]) for row in rows] == [
        (100, 1.0, 30),
        (200, 0.0, 30),
    ]
    verdicts = json.loads(milepost("show", "regression", "--format", "json").out)
    assert [row["verdict"] for row in verdicts if row["step"] == 200] == ["REGRESSED"] * 2


def test_show_prints_csv_and_a_table(milepost: Milepost, writer: Engine) -> None:
    fill(writer)
    rows = list(csv.DictReader(io.StringIO(milepost("show", "results", "--format", "csv").out)))
    assert [row["suite"] for row in rows] == ["easy", "easy"]
    assert "accuracy" in milepost("show", "results").out


def test_show_keeps_to_a_run(milepost: Milepost, writer: Engine) -> None:
    logs.arrive(writer, 1, run="a")
    logs.arrive(writer, 2, run="b")
    ran = milepost("show", "checkpoints", "--run", "b", "--format", "json")
    assert [(row["run"], row["step"], row["status"]) for row in json.loads(ran.out)] == [
        ("b", 2, "arrived")
    ]


def test_show_as_of_an_earlier_position_says_what_it_said_then(
    milepost: Milepost, writer: Engine
) -> None:
    fill(writer)
    with writer.connect() as connection:
        first = [one for one in log.read(connection) if isinstance(one.event, EvaluationCompleted)]
    position = str(first[0].position)
    ran = milepost("show", "ranking", "--as-of", position, "--format", "json")
    assert [one["step"] for one in json.loads(ran.out)] == [100]
    assert f"As of position {position} of 9 (" in ran.err
    assert len(json.loads(milepost("show", "ranking", "--format", "json").out)) == 2
    events = milepost("show", "events", "--as-of", position, "--format", "json")
    assert json.loads(events.out)[-1]["type"] == "EvaluationCompleted"
    assert milepost("show", "ranking", "--as-of", "10").code == 2


def test_an_empty_view_says_what_to_do(milepost: Milepost) -> None:
    assert "milepost status" in milepost("show", "results").out
    assert json.loads(milepost("show", "results", "--format", "json").out) == []


def test_show_events_prints_the_log(milepost: Milepost, writer: Engine) -> None:
    logs.arrive(writer, 5)
    (event,) = json.loads(milepost("show", "events", "--format", "json").out)
    assert (event["position"], event["type"]) == (1, "CheckpointArrived")
    assert event["payload"]["step"] == 5


def test_sql_reads(milepost: Milepost, writer: Engine) -> None:
    fill(writer)
    query = "SELECT step, accuracy FROM results WHERE suite LIKE 'ea%' ORDER BY step"
    assert json.loads(milepost("sql", query, "--format", "json").out) == [
        {"step": 100, "accuracy": 1.0},
        {"step": 200, "accuracy": 0.0},
    ]


@pytest.mark.parametrize(
    ("query", "word"),
    [
        ("DELETE FROM heartbeat", "only reads"),
        ("SELECT absent FROM results", "no such column"),
        ("SELECT 1; SELECT 2", "one statement"),
    ],
)
def test_sql_refuses_anything_else(milepost: Milepost, query: str, word: str) -> None:
    ran = milepost("sql", query)
    assert ran.code == 2
    assert word in ran.err


def test_status_is_0_when_all_is_well_and_1_when_not(milepost: Milepost, writer: Engine) -> None:
    fill(writer)
    well = milepost("status", "--format", "json")
    state = json.loads(well.out)
    assert (well.code, state["troubles"]) == (0, [])
    assert (state["arrived"], state["evaluated"], state["waiting"]) == (2, 2, 0)
    assert state["peak_bytes"] == 500_000_000
    assert "500.0 MB" in milepost("status").out
    rejected = CheckpointRejected(
        run="run", path="/c/checkpoint-3", step=3, reason="config.json is cut", fingerprint=""
    )
    log.append(writer, rejected)
    ill = milepost("status")
    assert ill.code == 1
    assert "config.json is cut" in " ".join(ill.out.split())


def test_status_names_a_failed_evaluation_with_its_reason(
    milepost: Milepost, writer: Engine
) -> None:
    checkpoint = logs.arrive(writer, 300)
    evaluation = logs.start(writer, checkpoint, ["easy"], examples=1)
    logs.fail(writer, evaluation, checkpoint, ["easy"], message="none of its 3 rows can be used")
    ran = milepost("status")
    assert ran.code == 1
    said = " ".join(ran.out.split())
    assert "run step 300 FAILED: NothingScored: none of its 3 rows can be used" in said


def test_status_misses_the_evaluator_when_checkpoints_wait(
    milepost: Milepost, writer: Engine
) -> None:
    logs.arrive(writer, 100)
    assert milepost("status").code == 0
    with Pulse(writer, "watch"):
        ran = milepost("status")
        with Pulse(writer, "evaluate"):
            assert milepost("status").code == 0
    assert ran.code == 1
    assert "checkpoints wait (1), and no evaluator runs" in " ".join(ran.out.split())


def test_replay_derives_the_same_rows_again(milepost: Milepost, writer: Engine) -> None:
    fill(writer)
    before = milepost("show", "regression", "--format", "json").out
    ran = milepost("replay")
    assert ran.code == 0
    assert "deriving regression" in ran.out
    assert milepost("show", "regression", "--format", "json").out == before
    assert milepost("replay", "nonsense").code == 2


def test_a_fault_in_milepost_is_3_with_its_traceback(
    milepost: Milepost, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_settings: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("views.registry.views", broken)
    ran = milepost("show", "results")
    assert ran.code == 3
    assert "Traceback" in ran.err
    assert "ZeroDivisionError: a bug" in ran.err


def test_evaluate_without_a_suite_says_what_to_add(milepost: Milepost) -> None:
    ran = milepost("evaluate", "--once")
    assert ran.code == 2
    assert "[[suite]]" in ran.err


def test_show_does_not_load_the_heavy_packages(milepost: Milepost) -> None:
    code = (
        "import sys, cli\n"
        f"sys.argv = ['milepost', 'show', 'results', '--workspace', {str(milepost.root)!r}]\n"
        "try:\n    cli.main()\n"
        "except SystemExit:\n    pass\n"
        "heavy = {'torch', 'transformers', 'streamlit', 'pandas', 'scipy'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines()[-1] == "[]"
