"""What a page reads: one read-only engine, and a view's rows cached by the log's position.

A page is drawn from one `Pulse` of the database. `mark` is what the live part compares, so that a
page is drawn again when something is decided and not for every batch of predictions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import streamlit as st
from sqlalchemy import Engine, select, text

from settings import Workspace
from store import engine as database
from store import log
from store.liveness import Heartbeat, heartbeats
from store.projections import State, stamps, states
from store.schema import EVENT
from views import registry
from views.view import View

Row = dict[str, Any]


class Pulse(NamedTuple):
    """How far the database is.

    `position` is the newest event's, `milestone` that of the newest event that is more than a batch
    of predictions; `states` says how far each derived view has come.
    """

    position: int
    milestone: int
    states: tuple[State, ...]

    @property
    def mark(self) -> tuple[object, ...]:
        """Changes when a page drawn before would now say something else."""
        reached = (
            (one.name, one.stamp, min(one.position, self.milestone), one.error)
            for one in self.states
        )
        return (self.milestone, *reached)

    def standing_still(self) -> list[State]:
        """The derived views that failed and show what they last knew."""
        return [one for one in self.states if one.error is not None]


class Running(NamedTuple):
    """An evaluation that has begun and not ended; counts are of examples."""

    evaluation_id: str
    run: str | None
    step: int | None
    attempt: int
    examples: int | None
    scored: int
    failed: int
    started_at: str

    @property
    def recorded(self) -> int:
        """Examples in the log, measured or not."""
        return self.scored + self.failed


@dataclass(frozen=True)
class Here:
    """What a page is drawn from: the workspace, the moment, and the chosen run."""

    workspace: Workspace
    engine: Engine
    file: int | None
    views: tuple[View, ...]
    pulse: Pulse
    runs: tuple[str, ...]
    run: str | None

    def view(self, name: str) -> View:
        """A view by its name. Raises UsageError for one that does not exist."""
        return registry.find(name, self.views)

    def rows(self, name: str) -> list[Row]:
        """A view's rows for the chosen run."""
        return self._rows(name, self.run)

    def rows_of_all(self, name: str) -> list[Row]:
        """A view's rows for every run, and those that belong to none."""
        return self._rows(name, None)

    def _rows(self, name: str, run: str | None) -> list[Row]:
        url, view = str(self.engine.url), self.view(name)
        return _cached_rows(url, self.file, self.pulse, name, run, self.engine, view)

    def behind(self, now: Pulse | None = None) -> list[str]:
        """The names of derived views that lack events or follow other settings.

        `now` is a later look than the one that the page is drawn from.
        """
        pulse = now or self.pulse
        if pulse.position == 0:
            return []
        known = {state.name: state for state in pulse.states}
        wanted = stamps(registry.projections(self.workspace.settings))
        return [
            name
            for name, stamp in wanted.items()
            if name not in known
            or known[name].stamp != stamp
            or (known[name].position < pulse.milestone and known[name].error is None)
        ]


def file_number(url: str) -> int | None:
    """The inode of a SQLite file, which tells a new file of the same name from the old one."""
    file = database.sqlite_file(url)
    return file.stat().st_ino if file is not None and file.exists() else None


@st.cache_resource(max_entries=4, show_spinner=False, on_release=Engine.dispose)
def engine(url: str, file: int | None) -> Engine:  # noqa: ARG001 - part of the cache's key
    """The one engine on a database. Raises StoreError as `store.engine.connect` does."""
    return database.connect(url, read_only=True)


def pulse(engine: Engine) -> Pulse:
    """How far the database is now: two reads off indexes and one small table."""
    milestone = (
        select(EVENT.c.position)
        .where(EVENT.c.type != "PredictionsRecorded")
        .order_by(EVENT.c.position.desc())
        .limit(1)
    )
    with database.reading(engine) as connection:
        return Pulse(
            position=log.head(connection),
            milestone=connection.execute(milestone).scalar() or 0,
            states=tuple(states(connection).values()),
        )


def runs(engine: Engine) -> tuple[str, ...]:
    """The runs, the one with the newest arrival first."""
    query = "SELECT run FROM checkpoints GROUP BY run ORDER BY max(arrived_at) DESC, run"
    with database.reading(engine) as connection:
        return tuple(connection.scalars(text(query)))


def running(engine: Engine) -> list[Running]:
    """The evaluations under way, newest first."""
    query = f"""
        SELECT {", ".join(Running._fields)} FROM evaluations
        WHERE status = 'started' ORDER BY started_at DESC
    """
    with database.reading(engine) as connection:
        return [Running(*row) for row in connection.execute(text(query))]


def processes(engine: Engine) -> list[Heartbeat]:
    """The last sign of life of every Milepost process."""
    with database.reading(engine) as connection:
        return heartbeats(connection)


@st.cache_data(max_entries=64, show_spinner="Reading the log …")
def _cached_rows(
    url: str,  # noqa: ARG001 - the first five are the cache's key
    file: int | None,  # noqa: ARG001
    pulse: Pulse,  # noqa: ARG001
    name: str,  # noqa: ARG001
    run: str | None,
    _engine: Engine,
    _view: View,
) -> list[Row]:
    with database.reading(_engine) as connection:
        return _view.rows(connection, run=run)
