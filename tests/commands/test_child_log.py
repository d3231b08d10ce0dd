"""A child's lines are kept, stamped, and moved aside when there are many."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from commands import child_log
from commands.child_log import ChildLog, plain


def test_a_line_gets_the_time_in_front_unless_it_brings_one(tmp_path: Path) -> None:
    log = ChildLog(tmp_path / "logs" / "a.log")
    log.write("loading\n")
    log.write("2026-01-02 03:04:05 arrived\n")
    log.write("\n")
    log.close()
    first, second = (tmp_path / "logs" / "a.log").read_text(encoding="utf-8").splitlines()
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d loading", first)
    assert second == "2026-01-02 03:04:05 arrived"


def test_colours_and_bars_are_left_out() -> None:
    assert plain("\x1b[31mred\x1b[0m\n") == "red"
    assert plain("10 %\r50 %\r100 %\n") == "100 %"


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("milepost: the database is locked", True),
        ("2026-01-02 03:04:05 FAILED: no route to host", True),
        ("sqlalchemy.exc.OperationalError: disk I/O error", True),
        ("ValueError", True),
        ("arrived: run step 100", False),
        ("suite Errors has 3 rows", False),
    ],
)
def test_an_error_is_told_from_other_lines(tmp_path: Path, line: str, error: bool) -> None:
    log = ChildLog(tmp_path / "a.log")
    log.write(line)
    log.close()
    assert log.last_line == line
    assert log.last_error == (line if error else None)


def test_old_lines_move_aside_and_the_oldest_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child_log, "LARGEST_BYTES", 100)
    monkeypatch.setattr(child_log, "GENERATIONS", 2)
    log = ChildLog(tmp_path / "a.log")
    for number in range(20):
        log.write(f"line {number} of twenty")  # 38 bytes with its stamp: two a file
    log.close()
    files = {file.name: file.read_text(encoding="utf-8") for file in tmp_path.iterdir()}
    assert set(files) == {"a.log", "a.log.1", "a.log.2"}
    kept = re.findall(r"line (\d+) of", files["a.log.2"] + files["a.log.1"] + files["a.log"])
    assert kept == ["14", "15", "16", "17", "18", "19"]


def test_no_line_is_lost_when_the_child_is_killed(tmp_path: Path) -> None:
    code = "import os, signal\nfor n in range(5000): print('line', n)\n"
    code += "print('last', flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    log = ChildLog(tmp_path / "a.log")
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert child.stdout is not None
    log.follow(child.stdout)
    assert child.wait(60) == -signal.SIGKILL
    log.finish(60)
    log.close()
    lines = (tmp_path / "a.log").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 5001
    assert log.last_line == "last"
