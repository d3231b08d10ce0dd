"""A copy of the SQLite file, made while writers go on, and looked through before it has its name.

SQLite's backup API copies one snapshot in one step; in WAL mode no writer waits for it.
"""

from __future__ import annotations

import os
import re
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import psutil
from sqlalchemy import create_engine
from sqlalchemy.exc import DBAPIError

from errors import StoreError
from store import chain, faults

Progress = Callable[[str], None]


class Backup(NamedTuple):
    """A finished backup: its file, its size, and what its snapshot of the log holds."""

    file: Path
    bytes: int
    events: int
    predictions: int
    seconds: float


class _Holds(NamedTuple):
    events: int
    newest: int


_HOLDS = "SELECT count(*), coalesce(max(position), 0) FROM event"


def write(
    source: Path, target: Path, *, replace: bool = False, progress: Progress = lambda _word: None
) -> Backup:
    """Copies the database `source` to `target`, which appears when it is whole and checked.

    `progress` is told what is being done. A database from before the digest chain is checked
    without it. Raises StoreError when `target` cannot be written, is there already (unless
    `replace`) or is the database itself, DiskFull when there is no space, and DatabaseDamaged
    when the copy is not sound; none of these leaves a file behind.
    """
    began = time.monotonic()
    try:
        _refuse(source, target, replace)
        with _part(target) as part:
            progress("copying")
            holds = _copy(source, part, target)
            progress("checking the copy")
            predictions = _check(source, part, holds)
            progress("writing it through to the disk")
            _sync(part)
            _refuse(source, target, replace)
            part.replace(target)
        _sync(target.parent)
    except OSError as error:
        raise StoreError(f"{target} cannot be written: {error.strerror}.") from error
    seconds = time.monotonic() - began
    return Backup(target, target.stat().st_size, holds.events, predictions, seconds)


def _refuse(source: Path, target: Path, replace: bool) -> None:
    if not target.parent.is_dir():
        raise StoreError(f"there is no folder {target.parent} to put the backup in. Make it first.")
    if target.is_dir():
        raise StoreError(f"{target} is a folder. Name a file in it.")
    if not target.exists():
        return
    if target.samefile(source):
        raise StoreError(f"{target} is the database itself. Name another file.")
    if not replace:
        raise StoreError(f"{target} is there already. Name another file, or pass --force.")


@contextmanager
def _part(target: Path) -> Iterator[Path]:
    """A new file beside `target` to write to; gone at the end unless it was renamed.

    Its name holds this process's id, so that what a killed process left can be told and cleared.
    """
    name = re.compile(rf"\.{re.escape(target.name)}\.(\d+)\.part")
    for old in target.parent.iterdir():
        owner = name.fullmatch(old.name)
        if owner is not None and not psutil.pid_exists(int(owner[1])):
            old.unlink()
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    try:
        yield part
    finally:
        part.unlink(missing_ok=True)


def _copy(source: Path, part: Path, target: Path) -> _Holds:
    """Copies one snapshot and returns what it holds. Faults name `target`, not its part."""
    with (
        closing(sqlite3.connect(_uri(source, "mode=ro"), uri=True)) as reader,
        closing(sqlite3.connect(part, isolation_level=None)) as writer,
    ):
        # The file is synced once, as a whole, and thrown away if anything goes wrong before.
        writer.execute("PRAGMA journal_mode = OFF")
        writer.execute("PRAGMA synchronous = OFF")
        reader.execute("BEGIN")
        try:
            holds = _Holds(*reader.execute(_HOLDS).fetchone())
        except sqlite3.Error as error:
            raise _fault(error, source) from error
        try:
            reader.backup(writer, pages=-1)
        except sqlite3.Error as error:
            raise _fault(error, target) from error
    return holds


def _check(source: Path, part: Path, holds: _Holds) -> int:
    """Raises DatabaseDamaged unless the copy is sound and whole. Returns its predictions."""
    # Nobody else knows the file: no locks are needed, and no WAL comes to stand beside it.
    uri = _uri(part, "mode=ro&immutable=1")
    engine = create_engine("sqlite://", creator=lambda: sqlite3.connect(uri, uri=True))
    try:
        with engine.connect() as connection:
            words = connection.exec_driver_sql("PRAGMA integrity_check").scalars().all()
            found = words if words != ["ok"] else []
            columns = connection.exec_driver_sql("SELECT name FROM pragma_table_info('event')")
            if not found and "digest" in columns.scalars().all():
                found = [f"position {one.position}: {one.what}" for one in chain.breaks(connection)]
            copied = _Holds(*connection.exec_driver_sql(_HOLDS).one())
            if not found and copied != holds:
                found = [f"it holds {copied.events} events, the database {holds.events}"]
            count = "SELECT count(*) FROM prediction"
            predictions = 0 if found else connection.exec_driver_sql(count).scalar_one()
    except DBAPIError as error:
        found = [str(error.orig)]
    finally:
        engine.dispose()
    if found:
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        raise faults.damaged(source, found[0] + more)
    return predictions


def _fault(error: sqlite3.Error, file: Path) -> StoreError:
    fault = faults.named(error.sqlite_errorname, str(error), file)
    return fault or StoreError(f"{file} cannot be backed up: {error}.")


def _uri(file: Path, parameters: str) -> str:
    return f"file:{quote(str(file.absolute()))}?{parameters}"


def _sync(path: Path) -> None:
    """Waits until the disk has a file's content, or a folder's entries."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
