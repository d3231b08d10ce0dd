"""What the log says of the checkpoints that came, so that nothing is taken in twice."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import Connection, Engine

from ingest.fingerprint import Snapshot
from store import log
from store.engine import reading
from store.events import CheckpointArrived, CheckpointRemoved, SyncCompleted

# A file's time is that of the kernel's last tick, so a change can look a little older than it is.
TICK_NS = 50_000_000


class Arrival(NamedTuple):
    """A checkpoint whose folder has not been reported gone. `at` is in nanoseconds since 1970."""

    checkpoint_id: str
    path: Path
    at: int


class Ledger:
    """The arrivals whose folders should be there; `refresh` reads on from where it stood."""

    def __init__(self) -> None:
        self._position = 0
        self._present: dict[str, Arrival] = {}

    @property
    def present(self) -> list[Arrival]:
        """The arrivals, in the order of the log."""
        return list(self._present.values())

    def refresh(self, engine: Engine) -> None:
        """Reads the events that are new since the last time."""
        types = (CheckpointArrived, CheckpointRemoved)
        with reading(engine) as connection:
            for recorded in log.read(connection, after=self._position, types=types):
                self._position = recorded.position
                match recorded.event:
                    case CheckpointArrived(checkpoint_id=checkpoint_id, path=path):
                        at = _nanoseconds(recorded.recorded_at)
                        self._present[checkpoint_id] = Arrival(checkpoint_id, Path(path), at)
                    case CheckpointRemoved(checkpoint_id=checkpoint_id):
                        self._present.pop(checkpoint_id, None)
                    case other:
                        raise TypeError(type(other).__name__)

    def untouched(self, folder: Path, seen: Snapshot) -> str | None:
        """The checkpoint that arrived from `folder`, if nothing in it has changed since then."""
        arrivals = [one for one in self._present.values() if one.path == folder]
        if arrivals and seen.changed < arrivals[-1].at - TICK_NS:
            return arrivals[-1].checkpoint_id
        return None


def taken(connection: Connection) -> frozenset[tuple[str, str]]:
    """(run, folder name) of every checkpoint that sync brought or that arrived otherwise."""
    found = set()
    for recorded in log.read(connection, types=(CheckpointArrived, SyncCompleted)):
        match recorded.event:
            case SyncCompleted(run=str(run), name=str(name)):
                found.add((run, name))
            case SyncCompleted():
                pass
            case CheckpointArrived(run=run, path=path):
                found.add((run, Path(path).name))
            case other:
                raise TypeError(type(other).__name__)
    return frozenset(found)


def _nanoseconds(recorded_at: str) -> int:
    return int(datetime.fromisoformat(recorded_at).timestamp() * 1000) * 1_000_000
