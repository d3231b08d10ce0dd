"""`milepost show VIEW`: a view's rows, of now or as of an earlier position of the log."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine

from commands.bootstrap import opened
from commands.output import Format, emit
from errors import ProjectionStopped
from settings import Workspace
from store import log, past, projections
from store.engine import reading
from views import registry

EVENTS = "events"
EVENT_COLUMNS = ["position", "recorded_at", "type", "stream", "version", "payload"]


def report(workspace: Workspace, name: str, form: Format, run: str | None, as_of: str) -> None:
    """Prints a view, or the events. `as_of` is a position or a time; empty for now.

    Raises ProjectionStopped if what the view needs could not be derived.
    """
    if name == EVENTS:
        _report_events(workspace, form, as_of)
        return
    view = registry.find(name, registry.views(workspace.settings))
    known = registry.projections(workspace.settings)
    needed = registry.needed_by(view, known)
    with opened(workspace) as engine, _past(engine, as_of) as source:
        # What is derived of the past is for this view alone, and gone with it.
        for state in projections.bring_up_to_date(source, needed if as_of else known):
            if state.name in {one.name for one in needed}:
                raise ProjectionStopped(
                    f"view {name} stands still: {state.error}. When it is mended, "
                    f"`milepost replay {state.name}` derives it again."
                )
        with reading(source) as connection:
            until = past.clock(connection, as_of) if as_of else None
            rows = view.rows(connection, run=run, until=until)
    columns = [column.name for column in view.columns]
    emit(
        rows,
        list(view.brief or columns) if form is Format.table else columns,
        form,
        empty=f"Nothing to show for {name} yet. `milepost status` says what is going on.",
    )


def _report_events(workspace: Workspace, form: Format, as_of: str) -> None:
    with opened(workspace, read_only=True) as engine:
        until = _prefix(engine, as_of) if as_of else None
        with reading(engine) as connection:
            rows = [_event_row(one) for one in log.read(connection, until=until)]
    # A payload does not fit a line for people; JSON and CSV have it.
    columns = EVENT_COLUMNS[:-1] if form is Format.table else EVENT_COLUMNS
    emit(rows, columns, form, empty="The log is empty.")


@contextmanager
def _past(engine: Engine, as_of: str) -> Iterator[Engine]:
    if not as_of:
        yield engine
        return
    with past.as_of(engine, _prefix(engine, as_of)) as earlier:
        yield earlier


def _prefix(engine: Engine, as_of: str) -> int:
    """The position; which one it is stands on standard error, beside what is printed."""
    position, sentence = past.prefix(engine, as_of)
    print(sentence, file=sys.stderr)
    return position


def _event_row(recorded: log.Recorded) -> dict[str, Any]:
    return {
        "position": recorded.position,
        "recorded_at": recorded.recorded_at,
        "type": type(recorded.event).__name__,
        "stream": recorded.stream,
        "version": recorded.version,
        "payload": recorded.event.model_dump(mode="json"),
    }
