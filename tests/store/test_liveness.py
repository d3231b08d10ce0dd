"""A heartbeat tells the living from the dead."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import threading

import pytest
from sqlalchemy import Engine, insert

from store import liveness
from store.liveness import PARENT_VARIABLE, Heartbeat, Pulse, heartbeats
from store.log import now
from store.schema import HEARTBEAT


def read(engine: Engine) -> list[Heartbeat]:
    with engine.connect() as connection:
        return heartbeats(connection)


def ended_process() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_a_pulse_is_seen_while_it_runs_and_gone_after(engine: Engine) -> None:
    with Pulse(engine, "evaluate") as pulse:
        pulse.say("step 100")
        (beat,) = read(engine)
        assert (beat.process, beat.pid, beat.doing) == ("evaluate", os.getpid(), "step 100")
        assert beat.alive
    assert read(engine) == []


def test_a_process_of_this_host_that_ended_is_dead_at_once() -> None:
    assert not Heartbeat("watch", platform.node(), ended_process(), "scanning", now()).alive


def test_a_process_of_another_host_is_dead_when_not_seen_for_long() -> None:
    assert Heartbeat("watch", "elsewhere", 1, "scanning", now()).alive
    assert not Heartbeat("watch", "elsewhere", 1, "scanning", "2026-01-01T00:00:00.000Z").alive


def test_a_starting_process_takes_away_its_dead_namesake_only(engine: Engine) -> None:
    dead = ended_process()
    with engine.begin() as connection:
        for process, host, pid in [
            ("watch", platform.node(), dead),
            ("sync", platform.node(), dead),
            ("watch", "elsewhere", 1),
        ]:
            row = {"process": process, "host": host, "pid": pid, "doing": "", "seen_at": now()}
            connection.execute(insert(HEARTBEAT).values(row))
    with Pulse(engine, "watch"):
        found = {(beat.process, beat.host, beat.pid) for beat in read(engine)}
    assert found == {
        ("sync", platform.node(), dead),
        ("watch", "elsewhere", 1),
        ("watch", platform.node(), os.getpid()),
    }


def test_an_orphan_is_told_so(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(liveness, "BEAT_SECONDS", 0.01)
    monkeypatch.setenv(PARENT_VARIABLE, str(ended_process()))
    told = threading.Event()
    with Pulse(engine, "watch", on_orphaned=told.set):
        assert told.wait(timeout=30)
