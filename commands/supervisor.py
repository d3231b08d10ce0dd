"""Runs several `milepost` commands as child processes and ends them together.

Each child's lines go to a file of its own under logs/. One that dies is started again after a
pause that doubles, and is short again after it has run well for a while; one that says that it was
asked for what cannot be (exit code 2) is tried again after the longest pause. One that is told to
stop gets SIGTERM, and SIGKILL only if it has not ended in time.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from commands.child_log import ChildLog
from commands.roster import Entry
from errors import UsageError
from store.liveness import PARENT_VARIABLE
from store.log import now, written

FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 60.0
WELL_SECONDS = 60.0
GRACE_SECONDS = 15.0
POLL_SECONDS = 0.2
DRAIN_SECONDS = 1.0


@dataclass
class Child:
    """One supervised process. `restarts` counts how often it had to be started again.

    `started` and `due` are on the monotonic clock: when it was started last, and when it is to be
    started again; `since` is when it came up or went down, UTC.
    """

    name: str
    command: Sequence[str]
    log: Path
    process: subprocess.Popen[bytes] | None = None
    output: ChildLog | None = None
    pause: float = FIRST_PAUSE_SECONDS
    started: float = 0.0
    due: float = 0.0
    restarts: int = 0
    since: str = ""
    exit_code: int | None = None
    starts_again_at: str | None = None

    def start(self) -> None:
        """Starts the process in a session of its own, so that Ctrl-C reaches only the parent."""
        if self.output is None:
            self.output = ChildLog(self.log)
        self.process = subprocess.Popen(
            self.command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            # A line is in the log when it is printed, and is not broken at 80 columns.
            env={
                **os.environ,
                PARENT_VARIABLE: str(os.getpid()),
                "PYTHONUNBUFFERED": "1",
                "COLUMNS": "1000",
                "NO_COLOR": "1",
            },
        )
        assert self.process.stdout is not None
        self.output.follow(self.process.stdout)
        self.started = time.monotonic()
        self.since = now()
        self.starts_again_at = None

    def died(self, exit_code: int) -> float:
        """Notes the death and when it is due again; the pause until then, in seconds."""
        if self.output is not None:
            self.output.finish(DRAIN_SECONDS)
        self.process = None
        self.exit_code = exit_code
        self.since = now()
        ended = time.monotonic()
        if ended - self.started >= WELL_SECONDS:
            self.pause = FIRST_PAUSE_SECONDS
        if exit_code == UsageError.exit_code:
            self.pause = LONGEST_PAUSE_SECONDS
        pause = self.pause
        self.due = ended + pause
        again = datetime.now(UTC) + timedelta(seconds=pause)
        self.starts_again_at = written(again)
        self.pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
        return pause

    @property
    def last_words(self) -> str | None:
        """Its newest error; when it is down, of its last life only, or else its last line."""
        if self.output is None:
            return None
        if self.process is not None:
            return self.output.last_error
        return self.output.final_error or self.output.last_line

    @property
    def entry(self) -> Entry:
        """What `status` is told of it."""
        return Entry(
            self.name,
            None if self.process is None else self.process.pid,
            self.since,
            self.restarts,
            self.exit_code,
            self.last_words,
            self.starts_again_at,
            None if self.output is None else self.output.last_error_at,
        )


def ending(exit_code: int) -> str:
    """How a process ended, in words."""
    if exit_code < 0:
        return f"was killed by {signal.Signals(-exit_code).name}"
    return f"ended with exit code {exit_code}"


def milepost(*arguments: str, workspace: Path) -> list[str]:
    """The command line of a `milepost` command in this environment."""
    return [sys.executable, "-m", "cli", *arguments, "--workspace", str(workspace)]


@dataclass
class Supervisor:
    """Starts children, restarts what dies, ends all; `tell` learns of each change."""

    children: Sequence[Child]
    report: Callable[[str], None]
    tell: Callable[[list[Entry]], None] = lambda _entries: None
    stop: threading.Event = field(default_factory=threading.Event)
    _told: list[Entry] = field(default_factory=list)

    def __enter__(self) -> Supervisor:
        for child in self.children:
            child.start()
        self._tell()
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    @property
    def entries(self) -> list[Entry]:
        """The state of every child."""
        return [child.entry for child in self.children]

    def check(self) -> None:
        """Starts again what has died and whose pause is over."""
        for child in self.children:
            process = child.process
            if process is not None and process.poll() is not None:
                pause = child.died(process.returncode)
                self.report(_obituary(child, pause))
            elif process is None and time.monotonic() >= child.due and not self.stop.is_set():
                child.restarts += 1
                child.start()
        self._tell()

    def _tell(self) -> None:
        entries = self.entries
        if entries != self._told:
            self._told = entries
            self.tell(entries)

    def wait(self) -> None:
        """Supervises until `stop` is set."""
        while not self.stop.wait(POLL_SECONDS):
            self.check()

    def end(self) -> None:
        """Ends all children: SIGTERM to each, then SIGKILL to those still there."""
        running = [child.process for child in self.children if child.process is not None]
        for process in running:
            process.terminate()
        deadline = time.monotonic() + GRACE_SECONDS
        for process in running:
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for child in self.children:
            child.process = None
            if child.output is not None:
                child.output.finish(DRAIN_SECONDS)
                child.output.close()
                child.output = None


def _obituary(child: Child, pause: float) -> str:
    assert child.exit_code is not None
    again = f"it starts again in {pause:.0f} s"
    if child.exit_code == UsageError.exit_code:
        again = f"that does not mend by itself: put it right; {again}"
    words = "" if child.last_words is None else f" It said: {child.last_words}"
    return f"{child.name} {ending(child.exit_code)}; {again}. Its words are in {child.log}.{words}"


@contextlib.contextmanager
def stop_on_signals() -> Iterator[threading.Event]:
    """An event that SIGINT, SIGTERM and SIGHUP set; the old handlers come back at the end."""
    stop = threading.Event()
    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup ignores it on purpose
        numbers.append(signal.SIGHUP)
    old = {number: signal.signal(number, lambda *_: stop.set()) for number in numbers}
    try:
        yield stop
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


def free_port(wanted: int, host: str = "127.0.0.1") -> int:
    """`wanted` if it can be bound on `host`, else a free port that the system picks."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            try:
                probe.bind((host, port))
            except OSError:
                continue
            bound: int = probe.getsockname()[1]
            return bound
    raise OSError(f"no port can be bound on {host}")
