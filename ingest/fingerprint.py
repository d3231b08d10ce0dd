"""What a folder looks like from outside, and the content digests that need not be taken again."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from stat import S_ISDIR
from typing import NamedTuple

from ingest.files import open_file

# SHA-256 of a file is kept under device, inode, size, mtime and ctime, in nanoseconds.
_Key = tuple[int, int, int, int, int]


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
    """A look at `folder`. What cannot be seen is left out: judging the folder says so."""
    entries = []
    changed = 0
    for path, found in _walk(folder):
        changed = max(changed, found.st_ctime_ns)
        if not S_ISDIR(found.st_mode):
            entries.append(
                Entry(
                    path.relative_to(folder).as_posix(),
                    found.st_size,
                    found.st_mtime_ns,
                    found.st_ctime_ns,
                    found.st_ino,
                    found.st_dev,
                )
            )
    return Snapshot(tuple(sorted(entries)), changed)


def fingerprint(seen: Snapshot) -> str:
    """32 hex digits over the names, sizes and mtimes."""
    lines = "".join(f"{one.name}\0{one.size}\0{one.mtime}\n" for one in seen.entries)
    return hashlib.sha256(lines.encode("utf-8", "surrogateescape")).hexdigest()[:32]


class Digests:
    """SHA-256 of files, each read once for as long as it stays untouched."""

    def __init__(self) -> None:
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
        return self._known[key]


def _walk(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """`folder` and all below it. Links to files are followed, links to folders below are not."""
    pending = [folder]
    while pending:
        path = pending.pop()
        try:
            found = path.stat()
            if S_ISDIR(found.st_mode) and (path == folder or not path.is_symlink()):
                pending.extend(path.iterdir())
        except OSError:
            continue
        yield path, found
