"""What a page reads: one read-only engine, and answers cached by the log's position.

A page asks through `Here` alone, for what it shows and no more. It is drawn from one `Pulse` of the
database, whose `mark` is what the live part compares: a page is drawn again when something is
decided and not for every batch of predictions.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple, Protocol, TypeVar, cast

import streamlit as st
from sqlalchemy import Connection, Engine, func, select, text

from errors import DerivedAnew
from settings import Workspace
from store import engine as database
from store import log
from store.events import TYPES, Event, PredictionsRecorded
from store.liveness import Heartbeat, heartbeats
from store.log import Recorded
from store.projections import Projection, State, stamps, states
from store.schema import EVENT
from views import registry
from views.view import Only, View

Row = dict[str, Any]
Answer = TypeVar("Answer", covariant=True)


class Question(Protocol[Answer]):
    """Something that a page wants to know. Its `repr` tells it from every other question."""

    def answer(self, connection: Connection) -> Answer:
        """Asks the database."""


@dataclass(frozen=True)
class Rows:
    """Which rows does a view have? Of one run, or of all."""

    name: str
    view: View = field(repr=False)
    run: str | None
    only: Only
    limit: int | None = None
    offset: int = 0
    until: str | None = None

    def answer(self, connection: Connection) -> list[Row]:
        """The rows, in the view's order."""
        return self.view.rows(
            connection,
            run=self.run,
            only=self.only,
            limit=self.limit,
            offset=self.offset,
            until=self.until,
        )


@dataclass(frozen=True)
class Counts:
    """How many rows of a view have the same values in the columns `by`?"""

    name: str
    view: View = field(repr=False)
    run: str | None
    by: tuple[str, ...]

    def answer(self, connection: Connection) -> list[Row]:
        """Each combination of values, with the number of its `rows`."""
        return self.view.counts(connection, self.by, run=self.run)


@dataclass(frozen=True)
class NewestEvents:
    """What are the last `limit` events of some types, or of all if none is named?"""

    types: tuple[type[Event], ...]
    limit: int

    def answer(self, connection: Connection) -> list[Recorded]:
        """Newest first. Raises UnknownEvent at one that this Milepost cannot read."""
        oldest = select(EVENT.c.position).order_by(EVENT.c.position.desc())
        if self.types:
            oldest = oldest.where(EVENT.c.type.in_([one.__name__ for one in self.types]))
        after = connection.execute(oldest.limit(1).offset(self.limit)).scalar() or 0
        return list(log.read(connection, after=after, types=self.types or None))[::-1]


class Lag(NamedTuple):
    """A projection that holds the events up to `position` and lacks later ones up to `newest`.

    One that is derived `anew` has old rows, or none, until it begins: nothing of it can be shown.
    """

    name: str
    position: int
    newest: int
    anew: bool


class Pulse(NamedTuple):
    """How far the database is.

    `position` is the newest event's, and `newest` that of each type which the log holds; `states`
    says how far each derived view has come.
    """

    position: int
    newest: tuple[tuple[str, int], ...]
    states: tuple[State, ...]

    @property
    def milestone(self) -> int:
        """The position of the newest event that is more than a batch of predictions."""
        return self.newest_of(TYPES.values())

    def newest_of(self, types: Iterable[type[Event]]) -> int:
        """The position of the newest event of some types; batches of predictions do not count."""
        wanted = {one.__name__ for one in types} - {PredictionsRecorded.__name__}
        return max((position for name, position in self.newest if name in wanted), default=0)

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

    def waiting(self, projections: Sequence[Projection]) -> dict[str, str]:
        """The projections that can not go on, each with the failed one that it waits for."""
        found: dict[str, str] = {}
        for state in self.standing_still():
            held = {state.name}
            for one in projections:
                if held.intersection(one.reads):
                    held.add(one.name)
                    found.setdefault(one.name, state.name)
        return found

    def lags(self, projections: Sequence[Projection]) -> list[Lag]:
        """The projections that lack events, without those that stand still or wait for one."""
        known = {state.name: state for state in self.states}
        wanted = stamps(projections)
        held = self.waiting(projections)
        found = []
        for one in projections:
            state, newest = known.get(one.name), self.newest_of(one.listens)
            if one.name in held or newest == 0:
                continue
            if state is None or state.stamp != wanted[one.name]:
                found.append(Lag(one.name, 0, newest, anew=True))
            elif state.error is None and state.position < newest:
                found.append(Lag(one.name, state.position, newest, anew=False))
        return found


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

    def rows(
        self, name: str, *, only: Only | None = None, limit: int | None = None, offset: int = 0
    ) -> list[Row]:
        """A view's rows for the chosen run. Raises DerivedAnew while they are not whole."""
        return self.ask(Rows(name, self._whole(name), self.run, only or {}, limit, offset))

    def rows_of_all(self, name: str) -> list[Row]:
        """A view's rows for every run, and those that belong to none. Raises as `rows` does."""
        view = self._whole(name)
        # What the clock decides is asked again every minute.
        until = None if view.clock is None else f"{log.now()[:16]}:59.999Z"
        return self.ask(Rows(name, view, None, {}, until=until))

    def counts(self, name: str, *by: str) -> list[Row]:
        """How many rows of a view there are for the chosen run, by some of its columns."""
        return self.ask(Counts(name, self._whole(name), self.run, by))

    def ask(self, question: Question[Answer]) -> Answer:
        """The answer to a question, from the cache if it was asked at this moment before."""
        url = str(self.engine.url)
        answer = _answer(url, self.file, self.pulse, repr(question), self.engine, question)
        return cast(Answer, answer)

    @cached_property
    def projections(self) -> tuple[Projection, ...]:
        """What is derived by the workspace's settings."""
        return tuple(registry.projections(self.workspace.settings))

    @cached_property
    def lags(self) -> list[Lag]:
        """What lacks events at this moment."""
        return self.pulse.lags(self.projections)

    def _whole(self, name: str) -> View:
        """A view, unless something that it is made of is being derived anew."""
        view = self.view(name)
        made_of = {one.name for one in registry.needed_by(view, self.projections)}
        anew = [lag.name for lag in self.lags if lag.anew and lag.name in made_of]
        if anew:
            raise DerivedAnew(f"{view.title} waits for {', '.join(anew)}.")
        return view


def file_number(url: str) -> int | None:
    """The inode of a SQLite file, which tells a new file of the same name from the old one."""
    file = database.sqlite_file(url)
    return file.stat().st_ino if file is not None and file.exists() else None


@st.cache_resource(max_entries=4, show_spinner=False, on_release=Engine.dispose)
def engine(url: str, file: int | None) -> Engine:  # noqa: ARG001 - part of the cache's key
    """The one engine on a database. Raises StoreError as `store.engine.connect` does."""
    return database.connect(url, read_only=True)


def pulse(engine: Engine) -> Pulse:
    """How far the database is now: reads off indexes, and one small table."""
    newest = [
        select(func.max(EVENT.c.position)).where(EVENT.c.type == name).scalar_subquery()
        for name in TYPES
    ]
    with database.reading(engine) as connection:
        positions = connection.execute(select(*newest)).one()
        return Pulse(
            position=log.head(connection),
            newest=tuple(
                (name, position)
                for name, position in zip(TYPES, positions, strict=True)
                if position is not None
            ),
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
def _answer(
    url: str,  # noqa: ARG001 - the first four are the cache's key
    file: int | None,  # noqa: ARG001
    pulse: Pulse,  # noqa: ARG001
    said: str,  # noqa: ARG001
    _engine: Engine,
    _question: Question[Any],
) -> Any:
    with database.reading(_engine) as connection:
        return _question.answer(connection)
