"""`milepost evaluate` on a checkpoint that a person names, with a real model and a real log."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from sqlalchemy import insert, select

import cli
from data.workspace import make
from errors import ModelLoadFault
from evaluators.attempt import Attempt
from evaluators.claims import PROCESS, host
from ingest.arrival import Complete, judge
from ingest.fingerprint import Digests
from settings import load_workspace
from store import log
from store.engine import connect, reading
from store.events import (
    CheckpointRemoved,
    EvaluationCompleted,
    EvaluationFailed,
    EvaluationStarted,
    Event,
    PredictionsRecorded,
)
from store.schema import HEARTBEAT
from tests.evaluators.checkpoints import make_model, save

SUITES = {
    "easy": [{"prompt": f"{n} plus {n}?", "answer": str(2 * n)} for n in range(4)],
    "hard": [{"prompt": f"{n} times {n}?", "answer": str(n * n)} for n in range(2)],
}
# Run, step, and the token at which texts end: it makes the contents differ.
CHECKPOINTS = (("old", 100, 3), ("new", 100, 23), ("new", 200, 24))


class Ran(NamedTuple):
    code: int
    out: str
    err: str


class Bench:
    """A workspace in which three checkpoints have arrived, and `milepost …` on it."""

    def __init__(
        self, root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.root = root
        self.place = load_workspace(root)
        self.engine = connect(self.place.database_url)
        self._monkeypatch = monkeypatch
        self._capsys = capsys

    def folder(self, run: str, step: int) -> Path:
        return self.place.checkpoints / run / f"checkpoint-{step}"

    def take_in(self, run: str, step: int) -> str:
        """Appends the arrival of a folder, and returns the checkpoint's id."""
        found = judge(self.folder(run, step))
        assert isinstance(found, Complete)
        event = found.arrived(Digests().of)
        log.append(self.engine, event)
        return event.checkpoint_id

    def __call__(self, *arguments: str) -> Ran:
        self._monkeypatch.setattr(
            sys, "argv", ["milepost", *arguments, "--workspace", str(self.root)]
        )
        self._capsys.readouterr()
        with pytest.raises(SystemExit) as caught:
            cli.main()
        out, err = self._capsys.readouterr()
        return Ran(int(caught.value.code or 0), out, " ".join(err.split()))

    def evaluate(self, *arguments: str) -> Ran:
        return self("evaluate", *arguments)

    def show(self, view: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = json.loads(self("show", view, "--format", "json").out)
        return rows

    def evaluated(self) -> list[tuple[str, int, int]]:
        """(run, step, completed evaluations) of the checkpoints that have one."""
        return [
            (row["run"], row["step"], row["evaluations"])
            for row in self.show("checkpoints")
            if row["evaluations"]
        ]

    def events(self, *types: type[Event]) -> list[Any]:
        with reading(self.engine) as connection:
            return [one.event for one in log.read(connection, types=types)]


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the runs."""
    root = tmp_path_factory.mktemp("runs")
    model = make_model("llama")
    for run, step, end in CHECKPOINTS:
        save(root / run / f"checkpoint-{step}", model, eos=(3, end))
    return root


@pytest.fixture
def bench(
    checkpoints: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Bench]:
    root = tmp_path / "workspace"
    # In so little memory, each example is a batch of its own.
    text = "[evaluation]\nthreads = 1\nmemory_bytes = 1\nmax_new_tokens = 4\n"
    for name, rows in SUITES.items():
        file = tmp_path / f"{name}.jsonl"
        file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        text += f"[[suite]]\nname = '{name}'\npath = {json.dumps(str(file))}\n"
    make(root, text=text)
    shutil.copytree(checkpoints, root / "checkpoints", dirs_exist_ok=True)
    bench = Bench(root, monkeypatch, capsys)
    for run, step, _ in CHECKPOINTS:
        bench.take_in(run, step)
    yield bench
    bench.engine.dispose()


def test_a_step_names_one_checkpoint_and_the_others_wait(bench: Bench) -> None:
    ran = bench.evaluate("--checkpoint", "200")
    assert ran.code == 0
    assert "new step 200 has 1 completed evaluation; views show this one" in ran.out
    assert bench.evaluated() == [("new", 200, 1)]


def test_an_id_may_be_cut_short(bench: Bench) -> None:
    checkpoint_id = bench.take_in("old", 100)
    assert bench.evaluate("--checkpoint", checkpoint_id[:8].upper()).code == 0
    assert bench.evaluated() == [("old", 100, 1)]
    short = bench.evaluate("--checkpoint", "abcde")
    assert short.code == 2
    assert "An id needs at least 6 digits." in short.err


@pytest.mark.parametrize("spelling", ["whole", "from here", "from the watched folder", "by a link"])
def test_a_folder_names_the_checkpoint_in_it(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, spelling: str
) -> None:
    folder = bench.folder("new", 100)
    match spelling:
        case "whole":
            word = f"{folder}/"
        case "from here":
            monkeypatch.chdir(folder.parent)
            word = "checkpoint-100"
        case "from the watched folder":
            word = "new/checkpoint-100"
        case _:
            link = bench.root / "link"
            link.symlink_to(folder.parent)
            word = str(link / "checkpoint-100")
    assert bench.evaluate("--checkpoint", word).code == 0
    assert bench.evaluated() == [("new", 100, 1)]


def test_a_step_of_two_runs_asks_for_the_run(bench: Bench) -> None:
    ran = bench.evaluate("--checkpoint", "100")
    assert ran.code == 2
    assert "old step 100" in ran.err
    assert "new step 100" in ran.err
    assert "--run RUN says which" in ran.err
    assert bench.evaluate("--checkpoint", "100", "--run", "old").code == 0
    assert bench.evaluated() == [("old", 100, 1)]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--checkpoint", "190"], "no checkpoint has the step 190. The nearest: new step 200"),
        (["--checkpoint", "190", "--run", "old"], "of run 'old' has the step 190"),
        (["--checkpoint", "100", "--run", "od"], "a run 'od' has arrived. There are: new, old."),
        (["--checkpoint", "new/checkpoint-20"], "'new/checkpoint-20'. The nearest: new step 200"),
        (["--checkpoint", "abcdef012345"], "The newest: new step 200"),
        (["--checkpoint", "new"], "is a folder, and no checkpoint arrived from it"),
        (["--checkpoint", "200", "--suite", "eazy"], "no suite 'eazy'. It names: easy, hard."),
        (["--once", "--run", "od"], "a run 'od' has arrived. There are: new, old."),
        (["--again"], "--again needs --checkpoint"),
    ],
)
def test_what_does_not_exist_is_refused_with_what_is_near(
    bench: Bench, arguments: list[str], words: str
) -> None:
    ran = bench.evaluate(*arguments)
    assert ran.code == 2
    assert words in ran.err
    assert bench.events(EvaluationStarted, EvaluationFailed) == []


def test_what_is_evaluated_already_is_said_and_not_done(bench: Bench) -> None:
    bench.evaluate("--checkpoint", "200")
    ran = bench.evaluate("--checkpoint", "200")
    assert ran.code == 0
    assert "new step 200 is evaluated already on these suites" in ran.out
    assert "of 6 examples. --again evaluates it once more" in ran.out
    assert len(bench.events(EvaluationStarted)) == 1


def test_again_stands_beside_the_first_and_views_show_it(bench: Bench) -> None:
    bench.evaluate("--checkpoint", "200")
    for k in (2, 3):
        ran = bench.evaluate("--checkpoint", "200", "--again")
        assert ran.code == 0
        newest = bench.events(EvaluationStarted)[-1].evaluation_id
        assert f"new step 200: once more, as evaluation {newest[:8]}" in ran.out
        assert f"new step 200 has {k} completed evaluations; views show this one" in ran.out
    started = bench.events(EvaluationStarted)
    assert [one.settings.get("again") for one in started] == [None, 1, 2]
    assert bench.evaluated() == [("new", 200, 3)]
    shown = {row["evaluation_id"] for row in bench.show("results")}
    assert shown == {started[-1].evaluation_id}


def test_the_worker_neither_redoes_nor_undoes_what_was_asked_for(bench: Bench) -> None:
    bench.evaluate("--checkpoint", "200")
    bench.evaluate("--checkpoint", "200", "--again")
    (newest,) = {row["evaluation_id"] for row in bench.show("results")}
    assert bench.evaluate("--once").code == 0
    assert bench.evaluated() == [("new", 100, 1), ("new", 200, 2), ("old", 100, 1)]
    assert newest in {row["evaluation_id"] for row in bench.show("results")}


def killed_after_a_batch(bench: Bench, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    """Evaluates as one that dies with its first batch recorded."""
    record = Attempt.record

    def last_words(*given: Any) -> None:
        record(*given)
        raise GeneratorExit

    with monkeypatch.context() as patch:
        patch.setattr(Attempt, "record", last_words)
        patch.setattr(
            sys, "argv", ["milepost", "evaluate", *arguments, "--workspace", str(bench.root)]
        )
        with pytest.raises(GeneratorExit):
            cli.main()


def test_a_repeat_that_was_killed_goes_on_when_it_is_asked_for_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.evaluate("--checkpoint", "200")
    killed_after_a_batch(bench, monkeypatch, "--checkpoint", "200", "--again")
    begun = bench.events(EvaluationStarted)[-1]
    recorded = sum(
        one.scored
        for one in bench.events(PredictionsRecorded)
        if one.evaluation_id == begun.evaluation_id
    )
    assert 0 < recorded < 6
    bench.evaluate("--once", "--run", "new")
    assert bench.evaluated() == [("new", 100, 1), ("new", 200, 1)]
    ran = bench.evaluate("--checkpoint", "200", "--again")
    assert ran.code == 0
    assert f"attempt 2 of evaluation {begun.evaluation_id[:8]}" in ran.out
    ended = bench.events(EvaluationCompleted)[-1]
    assert (ended.evaluation_id, ended.scored) == (begun.evaluation_id, 6)
    assert bench.evaluated() == [("new", 100, 1), ("new", 200, 2)]


def test_a_failure_is_said_with_its_reason_and_tried_again_when_asked(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ModelLoadFault("the driver is too old")

    with monkeypatch.context() as patch:
        patch.setattr("evaluators.engine.load", broken)
        ran = bench.evaluate("--checkpoint", "200")
    said = "evaluation of new step 200 FAILED"
    assert ran.code == 3
    assert f"{said}: ModelLoadFault: the driver is too old" in ran.err
    before = bench.evaluate("--checkpoint", "200")
    assert before.code == 3
    assert f"{said} before, at attempt 1: ModelLoadFault: the driver is too old" in before.err
    assert "--again tries once more" in before.err
    assert bench.evaluate("--checkpoint", "200", "--again").code == 0
    (failed,) = bench.events(EvaluationFailed)
    (completed,) = bench.events(EvaluationCompleted)
    assert completed.evaluation_id == failed.evaluation_id
    assert bench.evaluated() == [("new", 200, 1)]


def test_a_folder_that_is_gone_is_refused_until_it_is_back(bench: Bench, tmp_path: Path) -> None:
    folder = bench.folder("new", 200)
    away = folder.rename(tmp_path / "away")
    ran = bench.evaluate("--checkpoint", "200")
    assert ran.code == 2
    assert f"its folder {folder} is gone" in ran.err
    removed = CheckpointRemoved(
        checkpoint_id=bench.show("checkpoints")[1]["checkpoint_id"],
        path=str(folder),
        reason="the folder is gone",
        at=log.now(),
    )
    log.append(bench.engine, removed)
    assert bench.evaluate("--checkpoint", "200").code == 2
    away.rename(folder)
    assert bench.evaluate("--checkpoint", "200").code == 0
    assert bench.evaluated() == [("new", 200, 1)]


def test_a_folder_that_holds_something_else_now_is_refused(bench: Bench) -> None:
    folder = bench.folder("new", 200)
    shutil.rmtree(folder)
    shutil.copytree(bench.folder("old", 100), folder)
    ran = bench.evaluate("--checkpoint", "200")
    assert ran.code == 2
    assert f"{folder} holds checkpoint " in ran.err
    (folder / "config.json").unlink()
    ran = bench.evaluate("--checkpoint", "200")
    assert ran.code == 2
    assert f"{folder} holds no whole checkpoint:" in ran.err
    assert bench.events(EvaluationStarted) == []


def test_the_suites_may_be_narrowed_down_and_the_worker_does_the_whole(bench: Bench) -> None:
    assert bench.evaluate("--checkpoint", "200", "--suite", "hard").code == 0
    assert {row["suite"] for row in bench.show("results")} == {"hard"}
    assert bench.evaluate("--once", "--run", "new").code == 0
    assert [row["suite"] for row in bench.show("results") if row["step"] == 200] == ["easy", "hard"]
    ran = bench.evaluate("--checkpoint", "200", "--suite", "easy")
    assert "is evaluated already on these suites" in ran.out
    assert "of 6 examples" in ran.out


def test_a_narrower_repeat_says_what_views_will_not_show(bench: Bench) -> None:
    bench.evaluate("--checkpoint", "200")
    ran = bench.evaluate("--checkpoint", "200", "--suite", "hard", "--again")
    assert "views will show this evaluation of new step 200, without easy" in ran.out
    assert {row["suite"] for row in bench.show("results")} == {"hard"}
    bench.evaluate("--checkpoint", "200", "--again")
    assert {row["suite"] for row in bench.show("results")} == {"easy", "hard"}


def test_a_suite_with_other_rows_is_another_evaluation_that_hides_nothing(bench: Bench) -> None:
    bench.evaluate("--checkpoint", "200")
    file = bench.root.parent / "easy.jsonl"
    file.write_text(json.dumps(SUITES["easy"][0]) + "\n", encoding="utf-8")
    ran = bench.evaluate("--checkpoint", "200")
    assert "views will show" not in ran.out
    assert "new step 200 has 2 completed evaluations" in ran.out
    assert {row["suite"]: row["n"] for row in bench.show("results")} == {"easy": 1, "hard": 2}


def test_without_a_checkpoint_a_suite_is_evaluated_where_it_is_not_yet(bench: Bench) -> None:
    bench.evaluate("--checkpoint", "200")
    assert bench.evaluate("--once", "--suite", "hard").code == 0
    assert {(row["run"], row["step"], row["suite"]) for row in bench.show("results")} == {
        ("new", 100, "hard"),
        ("new", 200, "easy"),
        ("new", 200, "hard"),
        ("old", 100, "hard"),
    }


def test_what_another_worker_is_at_is_left_to_it(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed_after_a_batch(bench, monkeypatch, "--checkpoint", "200")
    (begun,) = bench.events(EvaluationStarted)
    other = {"process": PROCESS, "host": host(), "pid": os.getppid(), "doing": "evaluating"}
    with bench.engine.begin() as connection:
        connection.execute(insert(HEARTBEAT).values(**other, seen_at=log.now()))
    log.append(bench.engine, begun.model_copy(update={"attempt": 2, "pid": os.getppid()}))
    ran = bench.evaluate("--checkpoint", "200")
    assert ran.code == 0
    assert f"new step 200 is being evaluated by process {os.getppid()}" in ran.out
    assert bench.events(EvaluationCompleted) == []
    with bench.engine.connect() as connection:
        assert connection.execute(select(HEARTBEAT.c.pid)).scalars().all() == [os.getppid()]


def test_the_status_files_follow_each_evaluation(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MILEPOST_EXPORT__STATUS", "status")
    file = bench.root / "status" / "regression_monitoring.json"
    for step, checkpoint in ((100, "old/checkpoint-100"), (200, "new/checkpoint-200")):
        assert bench.evaluate("--checkpoint", str(bench.place.checkpoints / checkpoint)).code == 0
        found = json.loads(file.read_text(encoding="utf-8"))
        assert found["run"] == checkpoint.partition("/")[0]
        assert found["checks"][-1]["step"] == step


def test_status_files_that_cannot_be_written_stop_no_evaluation(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MILEPOST_EXPORT__STATUS", "milepost.toml")
    ran = bench.evaluate("--once")
    assert ran.code == 0
    assert ran.out.count("status files FAILED: cannot write") == 1
    assert bench.evaluated() == [("new", 100, 1), ("new", 200, 1), ("old", 100, 1)]
