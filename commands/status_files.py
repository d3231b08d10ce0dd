"""`milepost export status`: the status files, and how `milepost evaluate` keeps them up to date.

A reader never sees half a file: each is written beside its place and renamed. One whose content is
the same stays as it is, so that its time says when something changed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from sqlalchemy import Connection, Engine

from commands import destination
from commands.bootstrap import opened
from commands.checkpoints import of_run
from commands.output import as_json
from commands.progress import News
from errors import ExportFault, MilepostError, ProjectionStopped, UsageError
from settings import Workspace
from store import log
from store.engine import reading
from store.events import (
    EvaluationAbandoned,
    EvaluationCompleted,
    EvaluationFailed,
    QuickTierCompleted,
)
from store.projections import State, bring_up_to_date
from views import registry
from views.status_bodies import Source, source_of
from views.status_files import FILES, StatusFile
from views.words import count

# After any of these the views say something new.
NEWS = (EvaluationCompleted, EvaluationFailed, EvaluationAbandoned, QuickTierCompleted)

# What a file says of its writing, and not of the runs.
STAMPS = ("generated_at", "position")

Document = dict[str, Any]


class Written(NamedTuple):
    """The names of the files that were written, and the views that could not be read."""

    changed: list[str]
    stopped: list[State]


def export(workspace: Workspace, out: str, *, run: str | None = None) -> None:
    """Writes the status files into the folder `out`, which is made where it is missing.

    Raises UsageError for an unknown run and for standard output, ExportFault where a file cannot be
    written, and ProjectionStopped, once all are written, if a view could not be derived.
    """
    if out == destination.STANDARD_OUTPUT:
        raise UsageError("the status files are several: name a folder with --out.")
    with opened(workspace) as engine:
        written = write(engine, workspace, Path(out), run=run)
    console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
    console.print(
        f"wrote {count(len(written.changed), 'file')} to {out}, "
        f"and left {len(FILES) - len(written.changed)} that said the same"
    )
    if written.stopped:
        state = written.stopped[0]
        raise ProjectionStopped(
            f"view {state.name} stands still: {state.error}. What is made of it is null. When it "
            f"is mended, `milepost replay {state.name}` derives it again."
        )


def keeper(engine: Engine, workspace: Workspace) -> Callable[[], None]:
    """A function that writes the files of [export] status when an evaluation brought something new.

    It writes them the first time, too. What keeps it from writing is said, each once, and never
    raised: an evaluation goes on without status files. Without a folder it does nothing.
    """
    if not workspace.settings.export.status:
        return lambda: None
    folder = workspace.resolve(Path(workspace.settings.export.status))
    seen: int | None = None
    news = News()

    def keep() -> None:
        nonlocal seen
        try:
            with reading(engine) as connection:
                newest = log.newest(connection, NEWS)
            if newest == seen:
                return
            write(engine, workspace, folder)
        except MilepostError as error:
            news.tell([f"status files FAILED: {error}"])
        else:
            news.tell([])
        seen = newest

    return keep


def write(engine: Engine, workspace: Workspace, folder: Path, *, run: str | None = None) -> Written:
    """Writes those of the files into `folder` that changed, with the views up to date.

    Raises UsageError for a run that is not known, and ExportFault for a folder or file that cannot
    be written.
    """
    stopped = bring_up_to_date(engine, registry.projections(workspace.settings))
    with reading(engine) as connection:
        if run is not None:
            of_run(connection, run)
        documents = _documents(connection, workspace, stopped, run)
    texts = {name: _text(name, document) for name, document in documents.items()}
    changed = []
    for name, text in texts.items():
        file = folder / name
        with _faults(file):
            folder.mkdir(parents=True, exist_ok=True)
            if not stands(engine, file, json.loads(text)):
                with destination.replacement(file.resolve()) as part:
                    part.write(text.encode())
                changed.append(name)
    return Written(changed, stopped)


def _documents(
    connection: Connection, workspace: Workspace, stopped: Collection[State], run: str | None
) -> dict[str, Document]:
    views = registry.views(workspace.settings)
    source = source_of(connection, views, run)
    head = {
        "milepost": version("milepost"),
        "generated_at": log.now(),
        "position": log.head(connection),
        "run": source.run,
    }
    troubles = _troubles(workspace, stopped)
    return {one.name: {**head, **_body(one, source, troubles)} for one in FILES}


def _body(file: StatusFile, source: Source, troubles: Mapping[str, str]) -> Document:
    reason = next((troubles[name] for name in file.views if name in troubles), None)
    body = file.body(source) if reason is None else file.blank(reason)
    return {"reason": body.reason, **body.values}


def _troubles(workspace: Workspace, stopped: Collection[State]) -> dict[str, str]:
    """Why each view that cannot be read stands still, by its name."""
    errors = {one.name: one.error for one in stopped}
    known = registry.projections(workspace.settings)
    return {
        view.name: f"view {one.name} stands still: {errors[one.name]}"
        for view in registry.views(workspace.settings)
        for one in registry.needed_by(view, known)
        if one.name in errors
    }


def _text(name: str, document: Document) -> str:
    try:
        return as_json(document) + "\n"
    except ValueError as error:  # inf or NaN: no reader of JSON takes them
        raise ExportFault(f"{name} is not written: {error}") from error


def stands(engine: Engine, file: Path, document: Document) -> bool:
    """Whether a file says the same already, or something newer that another process wrote."""
    found = _read(file)
    if found is None:
        return False
    if _content(found) == _content(document):
        return True
    position = found.get("position")
    if not isinstance(position, int) or position <= document["position"]:
        return False
    with reading(engine) as connection:  # a file from beyond the end is of another log
        return position <= log.head(connection)


def _read(file: Path) -> Document | None:
    """What a file holds; None where there is none, or something else."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _content(document: Document) -> Document:
    return {name: value for name, value in document.items() if name not in STAMPS}


@contextmanager
def _faults(file: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ExportFault(
            f"cannot write {file}: {error.strerror or error}. Name a folder that you may write to "
            "with --out, or under [export] as status."
        ) from error
