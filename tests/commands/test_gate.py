"""`milepost gate` from logs to exit codes."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from sqlalchemy import Engine, text

import cli
from commands.gate import gate
from commands.output import Format
from data.workspace import make
from settings import load_workspace
from store.engine import connect
from tests import logs
from tests.ingest.folders import wait_for
from tests.views.deriving import answered

TOML = """
[[suite]]
name = "easy"
path = "easy.jsonl"
pass_threshold = 0.7
"""
EXAMPLES = logs.questions("easy", 40)


class Ran(NamedTuple):
    code: int
    out: list[str]
    err: str


class Desk:
    """A workspace with a suite in its log, and `milepost gate …` on it."""

    def __init__(
        self, root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.root = make(root, text=TOML).root
        self.engine = connect(load_workspace(self.root).database_url)
        self._monkeypatch = monkeypatch
        self._capsys = capsys
        logs.register_suite(self.engine, EXAMPLES, suite_id="easy")

    def evaluate(self, step: int, right: int, run: str = "run") -> str:
        checkpoint = logs.arrive(self.engine, step, run=run)
        logs.evaluate(self.engine, checkpoint, ["easy"], answered(EXAMPLES, right))
        return checkpoint

    def gate(self, *arguments: str) -> Ran:
        words = ["milepost", "gate", *arguments, "--workspace", str(self.root)]
        self._monkeypatch.setattr(sys, "argv", words)
        self._capsys.readouterr()
        with pytest.raises(SystemExit) as caught:
            cli.main()
        out, err = self._capsys.readouterr()
        return Ran(int(caught.value.code or 0), out.splitlines(), " ".join(err.split()))


@pytest.fixture
def desk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Desk]:
    desk = Desk(tmp_path / "workspace", monkeypatch, capsys)
    yield desk
    desk.engine.dispose()


def test_a_good_checkpoint_passes_with_its_reasons(desk: Desk) -> None:
    desk.evaluate(100, 36)
    desk.evaluate(200, 38)
    ran = desk.gate("200")
    assert (ran.code, ran.out[0]) == (0, "PASS run step 200")
    assert ran.out[1].split()[:2] == ["PASS", "easy:"]
    assert "95 % right, and at least 70 % must be. 5 points more than at step 100." in ran.out[1]
    assert ran.out[2].split()[:5] == ["PASS", "beside", "the", "step", "before:"]


def test_the_first_checkpoint_is_a_warning_and_may_pass(desk: Desk) -> None:
    desk.evaluate(100, 36)
    ran = desk.gate("100")
    assert (ran.code, ran.out[0]) == (0, "WARN run step 100")
    assert "No earlier checkpoint of the run was evaluated" in ran.out[1]
    assert desk.gate("100", "--strict").code == 1


def test_a_bad_checkpoint_is_blocked_for_every_reason(desk: Desk) -> None:
    desk.evaluate(100, 38)
    desk.evaluate(200, 4)
    ran = desk.gate("200", "--format", "json")
    found = json.loads("\n".join(ran.out))
    assert (ran.code, found["verdict"], found["run"], found["step"]) == (1, "BLOCK", "run", 200)
    blocked = [one["about"] for one in found["reasons"] if one["verdict"] == "BLOCK"]
    assert blocked[:2] == ["easy", "easy"]  # below its threshold, and 85 points less
    assert "beside the step before" in blocked


def test_what_is_not_evaluated_is_inconclusive(desk: Desk) -> None:
    desk.evaluate(100, 38)
    logs.arrive(desk.engine, 200)
    ran = desk.gate("200")
    assert (ran.code, ran.out) == (
        1,
        ["INCONCLUSIVE run step 200", "  INCONCLUSIVE evaluation: It is not evaluated yet."],
    )


def test_an_evaluation_that_failed_for_good_is_blocked(desk: Desk) -> None:
    checkpoint = logs.arrive(desk.engine, 100)
    evaluation = logs.start(desk.engine, checkpoint, ["easy"], examples=40)
    logs.fail(desk.engine, evaluation, checkpoint, ["easy"], message="every logit is NaN")
    ran = desk.gate("100", "--format", "csv")
    assert (ran.code, ran.out) == (
        1,
        ["verdict,about,reason", "BLOCK,evaluation,NothingScored: every logit is NaN"],
    )


def test_a_test_added_since_then_is_not_passed(desk: Desk) -> None:
    desk.evaluate(100, 38)
    more = TOML.replace("easy", "hard")
    (desk.root / "milepost.toml").write_text(TOML + more, encoding="utf-8")
    ran = desk.gate("100")
    assert (ran.code, ran.out[0]) == (1, "INCONCLUSIVE run step 100")
    assert "hard: It has a threshold, and was not part of the evaluation." in ran.out[1]


def test_a_checkpoint_that_is_not_known_or_not_one_is_a_wrong_question(desk: Desk) -> None:
    desk.evaluate(100, 38)
    desk.evaluate(100, 38, run="other")
    assert desk.gate("300").code == 2
    ran = desk.gate("100")
    assert (ran.code, "--run RUN says which" in ran.err) == (2, True)
    assert desk.gate("100", "--run", "other").out[0] == "WARN other step 100"


def test_a_view_that_stands_still_is_broken_and_no_verdict(desk: Desk) -> None:
    desk.evaluate(100, 38)
    desk.gate("100")
    with desk.engine.begin() as connection:
        connection.execute(
            text("UPDATE projection SET error = 'ValueError: x' WHERE name = 'regression'")
        )
    ran = desk.gate("100")
    assert (ran.code, ran.out) == (3, [])
    assert "view regression stands still: ValueError: x" in ran.err


def has_looked(engine: Engine) -> bool:
    """Whether the views have been derived, which the gate does before it looks."""
    with engine.connect() as connection:
        done = connection.execute(text("SELECT count(*) FROM projection WHERE name = 'alerts'"))
        return bool(done.scalar_one())


def test_it_waits_until_the_evaluation_has_ended(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = logs.arrive(desk.engine, 100)
    codes: list[int] = []

    def ask() -> None:
        codes.append(gate(load_workspace(desk.root), "100", None, Format.table, wait=60))

    asking = threading.Thread(target=ask)
    asking.start()
    wait_for(lambda: has_looked(desk.engine))
    logs.evaluate(desk.engine, checkpoint, ["easy"], answered(EXAMPLES, 38))
    asking.join(60)
    assert codes == [0]
    assert capsys.readouterr().out.startswith("WARN run step 100")
