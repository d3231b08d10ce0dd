"""Who is running, and what each is doing: the one mutable table, `heartbeat`.

A process beats every few seconds from a thread of its own, so a long batch does not look like
a death. A process on this host whose id is gone is dead at once; another host's, when it has not
been seen for STALE_SECONDS.
"""

from __future__ import annotations

import os
import platform
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from types import TracebackType
from typing import NamedTuple

import psutil
from sqlalchemy import ColumnElement, Connection, Engine, and_, delete, insert, select, update

from errors import StoreError
from store.log import now
from store.schema import HEARTBEAT

BEAT_SECONDS = 3.0
STALE_SECONDS = 30.0
PARENT_VARIABLE = "MILEPOST_PARENT"


class Heartbeat(NamedTuple):
    """The last sign of life of one process; `seen_at` is UTC, ISO 8601."""

    process: str
    host: str
    pid: int
    doing: str
    seen_at: str

    @property
    def alive(self) -> bool:
        """Whether the process still runs, as far as can be told from this host."""
        if self.host == platform.node() and not psutil.pid_exists(self.pid):
            return False
        return self.age_seconds < STALE_SECONDS

    @property
    def age_seconds(self) -> float:
        """Seconds since the last beat."""
        return (datetime.now(UTC) - datetime.fromisoformat(self.seen_at)).total_seconds()


def heartbeats(connection: Connection) -> list[Heartbeat]:
    """The last sign of life of every process, by name and newest first."""
    query = select(HEARTBEAT).order_by(HEARTBEAT.c.process, HEARTBEAT.c.seen_at.desc())
    return [Heartbeat(*row) for row in connection.execute(query)]


class Pulse:
    """Beats for this process while the `with` block runs; set `doing` to say what it is at.

    `on_orphaned` is called once when the process that started this one (named in the
    environment by `milepost up`) is gone.
    """

    def __init__(
        self, engine: Engine, process: str, on_orphaned: Callable[[], None] | None = None
    ) -> None:
        self.process = process
        self.doing = "starting"
        self._engine = engine
        self._on_orphaned = on_orphaned
        self._ended = threading.Event()
        self._mine = _row(process, platform.node(), os.getpid())
        self._thread = threading.Thread(target=self._run, name="pulse", daemon=True)

    def __enter__(self) -> Pulse:
        self._beat()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join()
        with self._engine.begin() as connection:
            connection.execute(delete(HEARTBEAT).where(self._mine))

    def say(self, doing: str) -> None:
        """Sets `doing` and beats at once."""
        self.doing = doing
        self._beat()

    def _run(self) -> None:
        while not self._ended.wait(BEAT_SECONDS):
            # A beat that cannot be written is missed; what the process itself appends says why.
            with suppress(StoreError):
                self._beat()
            if self._on_orphaned is not None and _orphaned():
                self._on_orphaned()
                self._on_orphaned = None

    def _beat(self) -> None:
        values = {"doing": self.doing, "seen_at": now()}
        with self._engine.begin() as connection:
            changed = connection.execute(update(HEARTBEAT).where(self._mine).values(**values))
            if changed.rowcount == 0:
                self._bury(connection)
                connection.execute(
                    insert(HEARTBEAT).values(
                        process=self.process, host=platform.node(), pid=os.getpid(), **values
                    )
                )

    def _bury(self, connection: Connection) -> None:
        """Takes away the rows of dead processes of this name on this host."""
        for other in heartbeats(connection):
            if (
                other.process == self.process
                and other.host == platform.node()
                and not psutil.pid_exists(other.pid)
            ):
                row = _row(other.process, other.host, other.pid)
                connection.execute(delete(HEARTBEAT).where(row))


def when_orphaned(act: Callable[[], None]) -> None:
    """Calls `act` from a thread once the `milepost up` that started this process is gone.

    For a process that has no Pulse; does nothing where none started it.
    """

    def look() -> None:
        pause = threading.Event()
        while not _orphaned():
            pause.wait(BEAT_SECONDS)
        act()

    if PARENT_VARIABLE in os.environ:
        threading.Thread(target=look, name="orphaned", daemon=True).start()


def _row(process: str, host: str, pid: int) -> ColumnElement[bool]:
    return and_(HEARTBEAT.c.process == process, HEARTBEAT.c.host == host, HEARTBEAT.c.pid == pid)


def _orphaned() -> bool:
    parent = os.environ.get(PARENT_VARIABLE)
    return parent is not None and os.getppid() != int(parent)
