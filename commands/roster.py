"""What `milepost up` knows of its children: a small file beside their logs.

It is a file, not a table, because a database that is locked or damaged is what may keep them down.
"""

from __future__ import annotations

import json
import os
import platform
from pathlib import Path
from typing import NamedTuple

import psutil

FILE_NAME = "up.json"


class Entry(NamedTuple):
    """One child. Times are UTC, ISO 8601.

    `since` is when it started, or went down when `pid` is None; then `exit_code` says how (minus
    the signal's number when it was killed), `starts_again_at` when it is tried again, and
    `last_error`, where it printed none, holds its last line.
    """

    name: str
    pid: int | None
    since: str
    restarts: int
    exit_code: int | None
    last_error: str | None
    starts_again_at: str | None
    last_error_at: str | None = None


class Roster(NamedTuple):
    """The children of the `milepost up` that is process `pid` on `host`, begun at `started`."""

    pid: int
    host: str
    started: float
    address: str
    entries: list[Entry]

    @property
    def alive(self) -> bool:
        """Whether that `milepost up` still runs, on this host."""
        try:
            started = psutil.Process(self.pid).create_time()
        except psutil.NoSuchProcess:
            return False
        return self.host == platform.node() and abs(started - self.started) < 1


def write(logs: Path, entries: list[Entry], address: str) -> None:
    """Writes the roster of this process in one step."""
    pid = os.getpid()
    roster = Roster(pid, platform.node(), psutil.Process(pid).create_time(), address, entries)
    values = {**roster._asdict(), "entries": [one._asdict() for one in entries]}
    logs.mkdir(parents=True, exist_ok=True)
    draft = logs / f".{FILE_NAME}.{pid}"
    draft.write_text(json.dumps(values), encoding="utf-8")
    draft.replace(logs / FILE_NAME)


def read(logs: Path) -> Roster | None:
    """The roster of a `milepost up` that runs on this host, or None."""
    try:
        values = json.loads((logs / FILE_NAME).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    entries = [Entry(**one) for one in values.pop("entries")]
    roster = Roster(**values, entries=entries)
    return roster if roster.alive else None


def forget(logs: Path) -> None:
    """Takes the roster away, when all children have ended."""
    (logs / FILE_NAME).unlink(missing_ok=True)
