"""Derived tables: one runner brings every projection up to the newest event that it listens to.

A projection's rows and its position change in one transaction, so a crash leaves either both or
neither, and the next run goes on from there. A projection that fails keeps its old rows and its
error; those that read from it wait, and the others go on. Its stamp covers its version, its
settings and the stamps of what it reads: when any of them changes, it is emptied and derived again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

from sqlalchemy import Connection, Engine, Table, delete, insert, select, update

from errors import StoreError, UnknownEvent
from store import log
from store.engine import lock_derivations, reading
from store.events import Event
from store.log import Recorded
from store.schema import PROJECTION
from store.vocabulary import refuse_unknown

Derive = Callable[[Connection, Sequence[Recorded]], None]
# Told a projection's name, the position that it has reached, and the one that it goes to.
Progress = Callable[[str, int, int], None]


def silent(_name: str, _position: int, _end: int) -> None:
    """Tells nobody."""


@dataclass(frozen=True)
class Projection:
    """Tables that follow from the log.

    `derive` gets the new events of the types in `listens`, in order, and brings `tables` up to
    date in the caller's transaction. It reads facts and the tables of the projections in `reads`,
    nothing else: no clock, no file. `settings` is the text of what it depends on in milepost.toml.
    `stride` is how many events go into one transaction (None: all), so that deriving a long log
    does not lock out whoever appends to it.
    """

    name: str
    version: int
    tables: tuple[Table, ...]
    listens: frozenset[type[Event]]
    derive: Derive
    reads: tuple[str, ...] = ()
    settings: str = ""
    stride: int | None = None


class State(NamedTuple):
    """The last event that a projection has derived; `error` is why it stands still, or None."""

    name: str
    version: int
    stamp: str
    position: int
    error: str | None


def stamps(projections: Sequence[Projection]) -> dict[str, str]:
    """Each projection's stamp. Raises ValueError if one reads from a later or unknown one."""
    found: dict[str, str] = {}
    for one in projections:
        missing = [name for name in one.reads if name not in found]
        if missing:
            raise ValueError(f"projection {one.name!r} reads {missing[0]!r}, which comes later")
        parts = [str(one.version), one.settings, *(found[name] for name in one.reads)]
        found[one.name] = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
    return found


def states(connection: Connection) -> dict[str, State]:
    """What the database says of each projection."""
    rows = connection.execute(select(PROJECTION).order_by(PROJECTION.c.name))
    return {row.name: State(*row) for row in rows}


def due(connection: Connection, projection: Projection, state: State | None, stamp: str) -> bool:
    """Whether a projection has to be derived: it is new, changed, or listens to a newer event."""
    if state is None or state.stamp != stamp:
        return True
    return state.error is None and log.newest(connection, projection.listens) > state.position


def bring_up_to_date(
    engine: Engine, projections: Sequence[Projection], progress: Progress = silent
) -> list[State]:
    """Derives what the log has gained. Returns the projections that stand still, with why.

    Cheap when there is nothing to do: a few reads, no write. Raises UnknownEvent at a log that
    holds an event of a type or version that this Milepost does not know.
    """
    wanted = stamps(projections)
    with reading(engine) as connection:
        refuse_unknown(connection)
        end = log.head(connection)
        known = states(connection)
        waiting = {
            one.name
            for one in projections
            if due(connection, one, known.get(one.name), wanted[one.name])
        }
    stopped: dict[str, State] = {}
    for one in projections:
        state = known.get(one.name)
        held_by = [name for name in one.reads if name in stopped]
        if held_by:
            position = state.position if state else 0
            stopped[one.name] = State(
                one.name, one.version, wanted[one.name], position, f"waits for {held_by[0]}"
            )
        elif one.name in waiting:
            failure = _advance(engine, one, wanted[one.name], end, progress)
            if failure is not None:
                stopped[one.name] = failure
        elif state is not None and state.error is not None:
            stopped[one.name] = state
    return list(stopped.values())


def replay(
    engine: Engine,
    projections: Sequence[Projection],
    names: Sequence[str] = (),
    progress: Progress = silent,
) -> list[State]:
    """Derives the named projections (all when none is named) anew from the whole log.

    Whatever reads from a named one is derived again too. All of them are marked first, at once:
    should this process die, the next one that derives anything goes on where it stopped. Returns
    the projections that stand still.
    """
    chosen = set(names or (one.name for one in projections))
    for one in projections:
        if chosen.intersection(one.reads):
            chosen.add(one.name)
    with engine.begin() as connection:
        lock_derivations(connection)
        connection.execute(delete(PROJECTION).where(PROJECTION.c.name.in_(chosen)))
    return bring_up_to_date(engine, projections, progress)


def _advance(
    engine: Engine, projection: Projection, stamp: str, end: int, progress: Progress
) -> State | None:
    """One projection to position `end`, a stride at a time. Returns its state if it stands still.

    Another process may have been here since the caller looked: then there is nothing to do.
    """
    position = 0
    try:
        while True:
            progress(projection.name, position, end)
            with engine.begin() as connection:
                lock_derivations(connection)
                state = states(connection).get(projection.name)
                if state is None or state.stamp != stamp:
                    _empty(connection, projection)
                    position = 0
                elif state.error is not None:
                    return state
                else:
                    position = state.position
                events = _next_events(connection, projection, position, end)
                if events:
                    projection.derive(connection, events)
                    position = events[-1].position
                _save(connection, State(projection.name, projection.version, stamp, position, None))
            if projection.stride is None or len(events) < projection.stride:
                return None
    except Exception as error:
        if isinstance(error, StoreError) and not isinstance(error, UnknownEvent):
            raise  # the disk is full, say: no fault of the view
        reason = f"{type(error).__name__}: {error}"
        failed = State(projection.name, projection.version, stamp, position, reason)
        with engine.begin() as connection:
            lock_derivations(connection)
            _save(connection, failed)
        return failed


def _next_events(
    connection: Connection, projection: Projection, position: int, end: int
) -> list[Recorded]:
    events = log.read(connection, after=position, until=end, types=projection.listens)
    return list(islice(events, projection.stride))


def _empty(connection: Connection, projection: Projection) -> None:
    for table in reversed(projection.tables):
        connection.execute(delete(table))


def _save(connection: Connection, state: State) -> None:
    values = state._asdict()
    where = PROJECTION.c.name == state.name
    if connection.execute(update(PROJECTION).where(where).values(**values)).rowcount == 0:
        connection.execute(insert(PROJECTION).values(**values))
