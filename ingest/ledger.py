"""What the log says of the checkpoints that came, so that nothing is taken in twice."""

from __future__ import annotations

import os
from collections.abc import Set
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import Connection, Engine

from store import log
from store.engine import reading
from store.events import (
    CheckpointArrived,
    CheckpointFound,
    CheckpointRemoved,
    SyncCompleted,
)


class Arrival(NamedTuple):
    """A folder that holds a checkpoint and has not been reported gone."""

    checkpoint_id: str
    path: Path


class Ledger:
    """The folders that should be there; `refresh` reads on from where it stood."""

    def __init__(self) -> None:
        self._position = 0
        self._present: dict[Path, dict[str, Arrival]] = {}

    @property
    def present(self) -> list[Arrival]:
        """What each folder should hold: more than one thing only until it was looked at again."""
        return [arrival for held in self._present.values() for arrival in held.values()]

    def refresh(self, engine: Engine) -> None:
        """Reads the events that are new since the last time."""
        with reading(engine) as connection:
            self.read(connection)

    def read(self, connection: Connection) -> None:
        """`refresh` inside a transaction, so that what it says holds to the end of that."""
        types = (CheckpointArrived, CheckpointFound, CheckpointRemoved)
        for recorded in log.read(connection, after=self._position, types=types):
            self._position = recorded.position
            match recorded.event:
                case (
                    CheckpointArrived(checkpoint_id=checkpoint_id, path=path)
                    | CheckpointFound(checkpoint_id=checkpoint_id, path=path)
                ):
                    arrival = Arrival(checkpoint_id, Path(path))
                    self._present.setdefault(arrival.path, {})[checkpoint_id] = arrival
                case CheckpointRemoved(checkpoint_id=checkpoint_id, path=path):
                    held = self._present.get(Path(path), {})
                    held.pop(checkpoint_id, None)
                    if not held:
                        self._present.pop(Path(path), None)
                case other:
                    raise TypeError(type(other).__name__)

    def holds(self, folder: Path, checkpoint_id: str) -> bool:
        """Whether the log says that `folder` holds the checkpoint."""
        return checkpoint_id in self._present.get(folder, {})


class Taken:
    """What sync brought and what arrived otherwise; `read` goes on where it stood."""

    def __init__(self) -> None:
        self._position = 0
        self._names: set[tuple[str, str]] = set()

    def read(self, connection: Connection) -> Set[tuple[str, str]]:
        """Run and folder name of each."""
        types = (CheckpointArrived, SyncCompleted)
        for recorded in log.read(connection, after=self._position, types=types):
            self._position = recorded.position
            match recorded.event:
                case SyncCompleted(run=str(run), name=str(name)):
                    self._names.add((run, name))
                case SyncCompleted():
                    pass
                case CheckpointArrived(run=run, path=path):
                    self._names.add((run, os.path.basename(path)))
                case other:
                    raise TypeError(type(other).__name__)
        return self._names
