"""`milepost db`: upgrade the database, check all of it, back it up."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from commands.output import Format, as_json, emit
from errors import StoreError, UsageError
from settings import Workspace
from store import backup, migrations
from store.check import Checked, Finding, check
from store.engine import bare_engine, sqlite_file
from views.words import count, size

_console = Console(stderr=True, highlight=False, markup=False)


def upgrade(workspace: Workspace, *, with_backup: bool) -> None:
    """Brings the database to this Milepost's schema, with a backup first."""
    _existing(workspace)
    with _said("looking") as say:
        done = migrations.upgrade_safely(
            workspace.database_url, with_backup=with_backup, progress=say
        )
    print(done.words)


def back_up(workspace: Workspace, target: Path, *, replace: bool) -> None:
    """Copies the database to `target` while others write to it, and checks the copy."""
    file = _existing(workspace)
    if file is None:
        raise UsageError(
            "the database is PostgreSQL's, which has a tool of its own for this: "
            "pg_dump --format=custom --file=FILE DATABASE."
        )
    migrations.schema_number(workspace.database_url)  # another program's file is no backup of ours
    with _said("copying") as say:
        made = backup.write(file, target, replace=replace, progress=say)
    print(
        f"{made.file}: {size(made.bytes)}, {count(made.events, 'event')}, "
        f"{count(made.predictions, 'prediction')}, checked, {made.seconds:.1f} s"
    )


def report(workspace: Workspace, form: Format) -> int:
    """Looks through the database and prints what is wrong. Returns 0 when nothing is, else 1."""
    _existing(workspace)
    began = time.monotonic()
    engine = bare_engine(workspace.database_url, read_only=True)
    try:
        with _said("checking") as say:
            checked = check(engine, lambda part: say(f"checking {part}"))
    finally:
        engine.dispose()
    seconds = time.monotonic() - began
    match form:
        case Format.json:
            print(as_json(_as_dict(checked, seconds)))
        case Format.csv:
            rows = [one._asdict() for one in checked.findings]
            emit(rows, Finding._fields, form, empty="")
        case Format.table:
            for one in checked.findings:
                print(f"{one.what}. Remedy: {one.remedy}.")
            if not checked.findings:
                print(
                    f"All is well: {count(checked.events, 'event')}, "
                    f"{count(checked.predictions, 'prediction')}, looked through in {seconds:.1f} s"
                )
    return 1 if checked.findings else 0


def _as_dict(checked: Checked, seconds: float) -> dict[str, object]:
    return {
        "well": not checked.findings,
        "events": checked.events,
        "predictions": checked.predictions,
        "seconds": round(seconds, 3),
        "findings": [one._asdict() for one in checked.findings],
    }


def _existing(workspace: Workspace) -> Path | None:
    """The database's file, None for PostgreSQL. Raises StoreError where there is no database."""
    file = sqlite_file(workspace.database_url)
    if file is not None and not file.is_file():
        raise StoreError(f"there is no database at {file}. `milepost init` makes one.")
    return file


@contextmanager
def _said(word: str) -> Iterator[Callable[[str], None]]:
    """What is being done, on the terminal, while it takes."""
    with _console.status(f"{word} …") as status:
        yield lambda next_word: status.update(f"{next_word} …")
