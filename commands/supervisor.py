"""Runs several `milepost` commands as child processes and ends them together.

Each child writes to its own file under logs/. One that dies is started again after a pause that
doubles; one that is told to stop gets SIGTERM, and SIGKILL only if it has not ended in time.
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
from pathlib import Path
from typing import IO

from store.liveness import PARENT_VARIABLE

FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 60.0
GRACE_SECONDS = 15.0
POLL_SECONDS = 0.2


@dataclass
class Child:
    """One supervised process. `restarts` counts how often it had to be started again."""

    name: str
    command: Sequence[str]
    log: Path
    process: subprocess.Popen[bytes] | None = None
    file: IO[bytes] | None = None
    pause: float = FIRST_PAUSE_SECONDS
    due: float = 0.0
    restarts: int = 0

    def start(self) -> None:
        """Starts the process in a session of its own, so that Ctrl-C reaches only the parent."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        if self.file is None:
            self.file = self.log.open("ab")
        self.process = subprocess.Popen(
            self.command,
            stdin=subprocess.DEVNULL,
            stdout=self.file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, PARENT_VARIABLE: str(os.getpid())},
        )


def milepost(*arguments: str, workspace: Path) -> list[str]:
    """The command line of a `milepost` command in this environment."""
    return [sys.executable, "-m", "cli", *arguments, "--workspace", str(workspace)]


@dataclass
class Supervisor:
    """Starts children, restarts what dies, ends all."""

    children: Sequence[Child]
    report: Callable[[str], None]
    stop: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Supervisor:
        for child in self.children:
            child.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def check(self) -> None:
        """Starts again what has died and whose pause is over."""
        for child in self.children:
            process = child.process
            if process is not None and process.poll() is not None:
                child.process = None
                child.due = time.monotonic() + child.pause
                self.report(
                    f"{child.name} ended with exit code {process.returncode}; it starts again in "
                    f"{child.pause:.0f} s. Its words are in {child.log}"
                )
                child.pause = min(2 * child.pause, LONGEST_PAUSE_SECONDS)
            elif process is None and time.monotonic() >= child.due and not self.stop.is_set():
                child.restarts += 1
                child.start()

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
            if child.file is not None:
                child.file.close()
                child.file = None


@contextlib.contextmanager
def stop_on_signals() -> Iterator[threading.Event]:
    """An event that SIGINT and SIGTERM set; the old handlers come back at the end."""
    stop = threading.Event()
    old = {
        number: signal.signal(number, lambda *_: stop.set())
        for number in (signal.SIGINT, signal.SIGTERM)
    }
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
