"""What a folder looks like from outside, and the content digests that need not be taken again."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from stat import S_ISDIR
from typing import NamedTuple

from ingest.files import open_file

# SHA-256 of a file is kept under device, inode, size, mtime and ctime, in nanoseconds.
_Key = tuple[int, int, int, int, int]

# Several times the files of a thousand checkpoints; beyond them the oldest are forgotten.
DIGESTS_LIMIT = 32_768


class Entry(NamedTuple):
    """A file as `stat` sees it; `name` is relative to the folder, times are in nanoseconds."""

    name: str
    size: int
    mtime: int
    ctime: int
    inode: int
    device: int


class Snapshot(NamedTuple):
    """The files of a folder, sorted by name. `changed` is the latest ctime, in nanoseconds.

    It counts the folders too, whose ctime moves when a name comes or goes; rsync can set every
    mtime back, but no one can set a ctime.
    """

    entries: tuple[Entry, ...]
    changed: int


def snapshot(folder: Path) -> Snapshot:
    """A look at `folder`. What cannot be seen is left out: judging the folder says so.

    Links to files are followed. One to a folder is not entered, and counts as a file: that it leads
    elsewhere, or that a name comes or goes there, is seen.
    """
    entries: list[Entry] = []
    changed = 0
    pending = [("", os.fspath(folder))]
    try:
        changed = os.stat(folder).st_ctime_ns
    except OSError:
        pending.clear()
    while pending:
        prefix, path = pending.pop()
        try:
            with os.scandir(path) as listed:
                inside = list(listed)
        except OSError:
            continue
        for one in inside:
            try:
                found = one.stat()
                is_folder = S_ISDIR(found.st_mode) and not one.is_symlink()
                if is_folder:
                    pending.append((f"{prefix}{one.name}/", one.path))
            except OSError:
                continue
            changed = max(changed, found.st_ctime_ns)
            if not is_folder:
                entries.append(
                    Entry(
                        prefix + one.name,
                        found.st_size,
                        found.st_mtime_ns,
                        found.st_ctime_ns,
                        found.st_ino,
                        found.st_dev,
                    )
                )
    entries.sort()
    return Snapshot(tuple(entries), changed)


def fingerprint(seen: Snapshot) -> str:
    """32 hex digits over the names, sizes and mtimes."""
    lines = "".join(f"{one.name}\0{one.size}\0{one.mtime}\n" for one in seen.entries)
    return hashlib.sha256(lines.encode("utf-8", "surrogateescape")).hexdigest()[:32]


class Digests:
    """SHA-256 of files, each read once for as long as it stays untouched, and among the newest."""

    def __init__(self, limit: int = DIGESTS_LIMIT) -> None:
        self._limit = limit
        self._known: dict[_Key, str] = {}

    def of(self, file: Path) -> str:
        """The digest of the content, 64 hex digits. Raises OSError or Unusable if it has none."""
        with open_file(file) as stream:
            found = os.fstat(stream.fileno())
            key = (
                found.st_dev,
                found.st_ino,
                found.st_size,
                found.st_mtime_ns,
                found.st_ctime_ns,
            )
            if key not in self._known:
                self._known[key] = hashlib.file_digest(stream, "sha256").hexdigest()
                if len(self._known) > self._limit:
                    del self._known[next(iter(self._known))]
        return self._known[key]
