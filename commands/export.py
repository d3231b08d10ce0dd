"""`milepost export WHAT`: every prediction, result or event, to a file for another program.

Rows come from one snapshot of the database and are written as they come: memory does not grow
with the log.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import PurePath
from typing import Any, NamedTuple

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from sqlalchemy import Connection, text

from commands import destination
from commands.bootstrap import opened
from commands.encoding import Encoding, Rows, writer
from errors import ProjectionStopped, UsageError
from settings import Workspace
from store.engine import reading
from store.projections import bring_up_to_date
from views import registry, results
from views.relations import EVENTS, PREDICTIONS
from views.view import Column

CHUNK_ROWS = 2_000


class What(StrEnum):
    """What `milepost export` takes."""

    predictions = "predictions"
    results = "results"
    events = "events"


class Exported(StrEnum):
    """What `milepost export` takes: rows, reports with a form of their own, or data to train on."""

    predictions = What.predictions
    results = What.results
    events = What.events
    junit = "junit"
    status = "status"
    hard_examples = "hard-examples"
    corrections = "corrections"


class HardType(StrEnum):
    """What `milepost export hard-examples --type` takes."""

    forgotten = "forgotten"
    confidently_wrong = "confidently_wrong"
    never_learned = "never_learned"
    incorrect = "incorrect"
    unstable = "unstable"
    low_confidence = "low_confidence"


class _Source(NamedTuple):
    """A SQL view or table, the columns that are exported, and the order of the rows."""

    relation: str
    columns: tuple[Column, ...]
    order: str


SOURCES = {
    What.predictions: _Source(PREDICTIONS.name, PREDICTIONS.columns, "suite, example_id, sample"),
    What.results: _Source(
        "results", results.COLUMNS, "run, step, evaluation_id, suite, difficulty"
    ),
    What.events: _Source(EVENTS.name, EVENTS.columns, "position"),
}


def export(
    workspace: Workspace,
    what: What,
    out: str,
    *,
    encoding: Encoding | None = None,
    run: str | None = None,
    force: bool = False,
) -> None:
    """Brings the views up to date and writes `what` to `out`; says on standard error how many.

    Raises UsageError for an unknown run, a file that exists or a format that does not fit,
    ProjectionStopped if the rows cannot be brought up to date, and ExportFault when `out` cannot
    be written.
    """
    chosen = choose_encoding(out, encoding)
    _bring_up_to_date(workspace, what)
    with opened(workspace, read_only=True) as engine, reading(engine) as connection:
        if run is not None:
            _check_run(connection, run)
        with (
            _progress(what) as note,
            destination.opened(out, force=force) as file,
            writer(file, chosen, SOURCES[what].columns) as write,
        ):
            n = 0
            for rows in chunks(connection, what, run):
                if rows:
                    write(rows)
                n += len(rows)
                note(n)
    _errors().print(f"exported {n:,} {what} to {out}", soft_wrap=True)


def choose_encoding(out: str, given: Encoding | None) -> Encoding:
    """The one that was asked for, or the one that the file's name ends in; JSONL for a pipe.

    Raises UsageError for another ending, and for Parquet where there is no file to go back in.
    """
    regular = destination.is_regular(out)
    if given is Encoding.parquet and not regular:
        raise UsageError(f"Parquet needs a file, and {out} is none. Take --format jsonl or csv.")
    if given is not None or not regular:
        return given or Encoding.jsonl
    ending = PurePath(out).suffix.removeprefix(".").lower()
    if ending not in list(Encoding):
        endings = ", ".join(f".{one}" for one in Encoding)
        raise UsageError(f"{out} ends in none of {endings}: say which one it is with --format.")
    return Encoding(ending)


def chunks(connection: Connection, what: What, run: str | None) -> Iterator[Rows]:
    """The rows, some thousand at a time, in an order that does not change."""
    match what:
        case What.predictions:
            return _predictions(connection, run)
        case What.events if run is not None:
            return _events_of(connection, run)
        case _ if run is not None:
            return _select(connection, SOURCES[what], "run = :run", run=run)
        case _:
            return _select(connection, SOURCES[what])


def _predictions(connection: Connection, run: str | None) -> Iterator[Rows]:
    """An evaluation at a time: SQLite would sort all of them at once on the disk."""
    evaluations = connection.execute(
        text("SELECT evaluation_id, run FROM evaluations WHERE current = 1 ORDER BY run, step")
    ).all()
    for evaluation_id, its_run in evaluations:
        if run in (None, its_run):
            yield from _select(
                connection, SOURCES[What.predictions], "evaluation_id = :id", id=evaluation_id
            )


def _events_of(connection: Connection, run: str) -> Iterator[Rows]:
    """The events that name the run, one of its checkpoints, or an evaluation of one of those.

    One pass is enough: a checkpoint arrives before it is evaluated.
    """
    payload = [column.name for column in EVENTS.columns].index("payload")
    subjects: set[str] = set()

    def of_run(row: Sequence[Any]) -> bool:
        fields = json.loads(row[payload])
        names = {fields[key] for key in ("checkpoint_id", "evaluation_id") if fields.get(key)}
        if fields.get("run") != run and subjects.isdisjoint(names):
            return False
        subjects.update(names)
        return True

    for rows in _select(connection, SOURCES[What.events]):
        yield [row for row in rows if of_run(row)]


def _select(
    connection: Connection, source: _Source, where: str = "", **values: str
) -> Iterator[Rows]:
    names = ", ".join(column.name for column in source.columns)
    condition = f"WHERE {where}" if where else ""
    found = connection.execute(
        text(f"SELECT {names} FROM {source.relation} {condition} ORDER BY {source.order}"),
        values,
        execution_options={"stream_results": True},
    )
    return iter(found.partitions(CHUNK_ROWS))


def _bring_up_to_date(workspace: Workspace, what: What) -> None:
    known = registry.projections(workspace.settings)
    needed = registry.needed_by(results.view(workspace.settings), known)
    names = set() if what is What.events else {one.name for one in needed}
    with opened(workspace) as engine:
        for state in bring_up_to_date(engine, known):
            if state.name in names:
                raise ProjectionStopped(
                    f"nothing is exported: view {state.name} stands still: {state.error}. When it "
                    f"is mended, `milepost replay {state.name}` derives it again."
                )


def _check_run(connection: Connection, run: str) -> None:
    runs = connection.execute(text("SELECT DISTINCT run FROM checkpoints ORDER BY run")).scalars()
    known = list(runs)
    if run not in known:
        raise UsageError(f"there is no run {run!r}. There are: {', '.join(known) or 'none yet'}.")


@contextmanager
def _progress(what: What) -> Iterator[Callable[[int], None]]:
    """A function that shows how many rows are written, in a terminal only."""
    console = _errors()
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[rows]} rows"),
        TimeElapsedColumn(),
        console=console,
        disable=not console.is_terminal,
        transient=True,
    ) as progress:
        task = progress.add_task(f"exporting {what}", total=None, rows="0")
        yield lambda n: progress.update(task, rows=f"{n:,}")


def _errors() -> Console:
    return Console(stderr=True, highlight=False, markup=False)
