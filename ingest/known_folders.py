"""Folders whose content was read, kept across restarts, so that no weights are read twice.

A file in the workspace, not a table: it speaks of this machine's devices and inodes, and may be
deleted at any time. It never makes an identity: it only confirms, for a folder that still has the
same inodes, sizes and ctimes, what the log says of it already.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
from contextlib import suppress
from pathlib import Path

from ingest.fingerprint import Snapshot

# Above what one workspace holds; at 100 bytes each, the file stays small.
LIMIT = 20_000
# A file changed within the tick in which it was read would look the same, so young ones are not
# remembered. Some file systems count whole seconds.
FINE_NS, COARSE_NS = 500_000_000, 3_000_000_000
VERSION = "1"

_logger = logging.getLogger(__name__)


class KnownFolders:
    """Checkpoint ids by what their folders look like. Without a `file` nothing outlives it."""

    def __init__(self, file: Path | None = None) -> None:
        self._file = file
        self._ids = {} if file is None else _read(file)
        self._learned = False

    def id_of(self, seen: Snapshot) -> str | None:
        """The checkpoint that a folder holds which looks so."""
        key = _key(seen)
        found = self._ids.pop(key, None)
        if found is not None:
            # Least recently seen first, to be forgotten first.
            self._ids[key] = found
        return found

    def learn(self, seen: Snapshot, checkpoint_id: str, read_at: int) -> None:
        """A folder's content was read from `read_at` on, in nanoseconds since 1970."""
        coarse = all(one.ctime % 1_000_000_000 == 0 for one in seen.entries)
        if seen.entries and seen.changed < read_at - (COARSE_NS if coarse else FINE_NS):
            self._ids[_key(seen)] = checkpoint_id
            self._learned = True
            while len(self._ids) > LIMIT:
                del self._ids[next(iter(self._ids))]

    def save(self) -> None:
        """Writes the file if there is something new; a disk that is full costs a later reading."""
        if self._file is None or not self._learned:
            return
        self._learned = False
        body = json.dumps(self._ids)
        draft = self._file.with_name(f"{self._file.name}.{os.getpid()}")
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            draft.write_text(f"{_seal(body)}\n{body}", encoding="ascii")
            os.replace(draft, self._file)
        except OSError as error:
            with suppress(OSError):
                draft.unlink()
            _logger.warning("%s cannot be written: %s", self._file, error.strerror)


def _read(file: Path) -> dict[str, str]:
    """What the file holds; nothing if it is missing, cut off or was changed by anyone."""
    try:
        seal, _, body = file.read_text(encoding="ascii").partition("\n")
    except (OSError, ValueError):
        return {}
    if seal != _seal(body):
        return {}
    found: dict[str, str] = json.loads(body)
    return found


def _seal(body: str) -> str:
    return hashlib.sha256(f"{VERSION}\n{body}".encode()).hexdigest()


def _key(seen: Snapshot) -> str:
    """32 hex digits over all that `stat` says of the files, and where they lie."""
    lines = "".join(
        f"{one.name}\0{one.size}\0{one.mtime}\0{one.ctime}\0{one.inode}\0{one.device}\n"
        for one in seen.entries
    )
    return hashlib.sha256(lines.encode("utf-8", "surrogateescape")).hexdigest()[:32]


def now_ns() -> int:
    """The wall clock that ctimes are compared with, in nanoseconds since 1970."""
    return time.time_ns()
