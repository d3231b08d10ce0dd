"""What the disk or a lock refused, in plain words: SQLite names neither the file nor a remedy."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path
from urllib.parse import quote, unquote

from sqlalchemy import ExceptionContext

from errors import DatabaseBusy, DatabaseDamaged, DiskFull, StoreError

KEPT = "Nothing that was acknowledged is lost."


def translate(context: ExceptionContext) -> None:
    """Raises a StoreError in place of an error of SQLite that is none of the statement's.

    For SQLAlchemy's event `handle_error`; other errors go on as they are.
    """
    error = context.original_exception
    name = getattr(error, "sqlite_errorname", None)
    if name is None or context.engine is None:
        return
    fault = named(str(name), str(error), file_of(context.engine.url.database or ""))
    if fault is not None:
        raise fault from error


def file_of(database: str) -> Path:
    """The file that SQLAlchemy's URL names, with or without SQLite's own prefix."""
    prefix = "file:"
    return Path(unquote(database[len(prefix) :]) if database.startswith(prefix) else database)


def named(name: str, words: str, file: Path) -> StoreError | None:
    """The error for SQLite's result code `name`; None where the statement itself is at fault."""
    match name.removeprefix("SQLITE_").split("_")[0]:
        case "FULL":
            return disk_full(file)
        case "BUSY":
            return DatabaseBusy(
                f"{file} stayed locked: another process writes, and does not end. "
                f"{_suspects(file)} End it, then start again. {KEPT}"
            )
        case "IOERR":
            return StoreError(
                f"the disk refused to read or write {file} ({name}: {words}). See to its space, "
                f"its quota and its health, then start again. {KEPT}"
            )
        case "CORRUPT" | "NOTADB":
            return damaged(file, words)
        case "CANTOPEN":
            return StoreError(
                f"{file} cannot be opened ({words}). Its folder must be there, and both must be "
                "yours to read and write."
            )
        case _:
            return None


def disk_full(file: Path) -> DiskFull:
    """The error for a file that cannot grow."""
    free = shutil.disk_usage(file.parent).free / 1e6
    return DiskFull(
        f"the disk (or the database's size limit) is full: {file} cannot grow; {free:,.0f} MB are "
        f"free. Make space, then start again. {KEPT}"
    )


def damaged(file: Path, what: str) -> DatabaseDamaged:
    """The error for a file that does not hold what was written."""
    return DatabaseDamaged(
        f"{file} is damaged: {what}. `milepost db check` tells all of it; restore a backup."
    )


def _suspects(file: Path) -> str:
    """Who may hold the lock: Milepost's processes by their heartbeats, and others' programs."""
    others = "A program with an open transaction on it (sqlite3, a database browser) may hold it"
    try:
        client = sqlite3.connect(f"file:{quote(str(file))}?mode=ro", uri=True, timeout=0)
        try:
            rows = client.execute("SELECT process, pid, host FROM heartbeat ORDER BY 1").fetchall()
        finally:
            client.close()
    except sqlite3.Error:
        return f"{others}."
    if not rows:
        return f"{others}; no process of Milepost's is known to run."
    beats = ", ".join(f"{process} (process {pid} on {host})" for process, pid, host in rows)
    return f"{others}, or one of Milepost's: {beats}."
