"""Children are started, restarted when they die, and ended together."""

from __future__ import annotations

import signal
import socket
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from commands import supervisor
from commands.roster import Entry
from commands.supervisor import Child, Supervisor, free_port, milepost, stop_on_signals

WAITS = "import time; print('up', flush=True); time.sleep(600)"
STUBBORN = "import signal, time; signal.signal(15, signal.SIG_IGN);" + WAITS
TIMEOUT_SECONDS = 60


def child(folder: Path, code: str, name: str = "child") -> Child:
    return Child(name, [sys.executable, "-c", code], folder / "logs" / f"{name}.log")


def wait_for(condition: object) -> None:
    assert callable(condition)
    pause = threading.Event()
    for _ in range(TIMEOUT_SECONDS * 100):
        if condition():
            return
        pause.wait(0.01)
    raise AssertionError("the condition did not come true in time")


def test_children_run_while_the_block_does_and_write_to_their_files(tmp_path: Path) -> None:
    children = [child(tmp_path, WAITS, "a"), child(tmp_path, WAITS, "b")]
    with Supervisor(children, report=print):
        wait_for(lambda: all("up" in one.log.read_text() for one in children))
        pids = [one.process.pid for one in children if one.process is not None]
        assert all(psutil.pid_exists(pid) for pid in pids)
    assert len(pids) == 2
    assert not any(psutil.pid_exists(pid) for pid in pids)


def test_a_child_that_dies_is_reported_and_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "FIRST_PAUSE_SECONDS", 0.01)
    said: list[str] = []
    one = child(tmp_path, "raise SystemExit(7)")
    one.pause = 0.01
    with Supervisor([one], report=said.append) as running:

        def restarted_twice() -> bool:
            running.check()
            return one.restarts >= 2

        wait_for(restarted_twice)
    assert "ended with exit code 7" in said[0]
    assert str(one.log) in said[0]
    assert one.pause > 0.02


def test_a_child_that_ignores_the_signal_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "GRACE_SECONDS", 0.2)
    one = child(tmp_path, STUBBORN)
    with Supervisor([one], report=print):
        wait_for(lambda: "up" in one.log.read_text())
        assert one.process is not None
        process = one.process
    assert process.returncode == -signal.SIGKILL


def test_waiting_ends_when_told_to(tmp_path: Path) -> None:
    with Supervisor([child(tmp_path, WAITS)], report=print) as running:
        threading.Timer(0.05, running.stop.set).start()
        running.wait()
        assert running.stop.is_set()


def test_a_signal_sets_the_event_and_the_old_handler_comes_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with stop_on_signals() as stop:
        signal.raise_signal(signal.SIGTERM)
        assert stop.is_set()
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_taken_port_is_replaced_by_a_free_one() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        found = free_port(port)
    assert found != port
    assert free_port(port) == port


def test_a_command_line_names_the_workspace() -> None:
    line = milepost("watch", "--once", workspace=Path("/w"))
    assert line == [sys.executable, "-m", "cli", "watch", "--once", "--workspace", "/w"]


def test_the_pause_is_short_again_after_a_child_ran_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = child(tmp_path, WAITS)
    one.pause, one.started = 32.0, time.monotonic()
    assert one.died(1) == 32.0
    assert one.pause == 60.0
    monkeypatch.setattr(supervisor, "WELL_SECONDS", 0.0)
    assert one.died(1) == 1.0
    assert one.pause == 2.0


def test_what_does_not_mend_by_itself_waits_long_at_once(tmp_path: Path) -> None:
    said: list[str] = []
    one = child(tmp_path, "print('milepost: no such suite'); raise SystemExit(2)")
    told: list[list[Entry]] = []
    with Supervisor([one], report=said.append, tell=told.append) as running:

        def reported() -> bool:
            running.check()
            return bool(said)

        wait_for(reported)
        (entry,) = told[-1]
    assert "does not mend by itself" in said[0]
    assert "starts again in 60 s" in said[0]
    assert "milepost: no such suite" in said[0]
    assert (entry.pid, entry.exit_code, entry.restarts) == (None, 2, 0)
    assert entry.last_error == "milepost: no such suite"
    assert entry.starts_again_at is not None


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_every_signal_that_ends_a_terminal_sets_the_event(number: signal.Signals) -> None:
    with stop_on_signals() as stop:
        signal.raise_signal(number)
        assert stop.is_set()


def test_a_hangup_that_nohup_ignores_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stop_on_signals() as stop:
            signal.raise_signal(signal.SIGHUP)
            assert not stop.is_set()
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_death_is_not_explained_by_an_error_of_an_earlier_life(tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    code = (
        f"import os, pathlib; flag = pathlib.Path({str(flag)!r})\n"
        "if flag.exists(): print('fine', flush=True); os.kill(os.getpid(), 9)\n"
        "flag.touch(); raise ValueError('first life')"
    )
    said: list[str] = []
    one = child(tmp_path, code)
    one.pause = 0.01
    with Supervisor([one], report=said.append) as running:

        def died_twice() -> bool:
            running.check()
            return len(said) >= 2

        wait_for(died_twice)
    assert said[0].endswith("It said: ValueError: first life")
    assert "was killed by SIGKILL" in said[1]
    assert said[1].endswith("It said: fine")
