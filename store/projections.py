"""Derived tables: one runner brings every projection up to the newest event that it listens to.

A projection's rows and its position change in one transaction, so a crash leaves either both or
neither. A projection that fails keeps its old rows and its error; those that read from it wait,
and the others go on. Its stamp covers its version, its settings and the stamps of what it reads:
when any of them changes, it is emptied and derived again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import Connection, Engine, Table, delete, insert, select, update

from store import log
from store.engine import reading
from store.events import Event
from store.log import Recorded
from store.schema import PROJECTION

Derive = Callable[[Connection, Sequence[Recorded]], None]


@dataclass(frozen=True)
class Projection:
    """Tables that follow from the log.

    `derive` gets the new events of the types in `listens`, in order, and brings `tables` up to
    date in the caller's transaction. It reads facts and the tables of the projections in `reads`,
    nothing else: no clock, no file. `settings` is the text of what it depends on in milepost.toml.
    """

    name: str
    version: int
    tables: tuple[Table, ...]
    listens: frozenset[type[Event]]
    derive: Derive
    reads: tuple[str, ...] = ()
    settings: str = ""


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


def bring_up_to_date(engine: Engine, projections: Sequence[Projection]) -> list[State]:
    """Derives what the log has gained. Returns the projections that stand still, with why.

    Cheap when there is nothing to do: a few reads, no write.
    """
    wanted = stamps(projections)
    with reading(engine) as connection:
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
            failure = _advance(engine, one, wanted[one.name], end)
            if failure is not None:
                stopped[one.name] = failure
        elif state is not None and state.error is not None:
            stopped[one.name] = state
    return list(stopped.values())


def replay(
    engine: Engine,
    projections: Sequence[Projection],
    names: Sequence[str] = (),
    progress: Callable[[str], None] = lambda _name: None,
) -> list[State]:
    """Empties the named projections (all when none is named) and derives them from the log.

    Whatever reads from a named one is derived again too. `progress` is told each name as it
    begins. Returns the projections that stand still.
    """
    chosen = set(names or (one.name for one in projections))
    stopped: list[State] = []
    for one in projections:
        if one.name in chosen or chosen.intersection(one.reads):
            chosen.add(one.name)
            progress(one.name)
            with engine.begin() as connection:
                _reset(connection, one)
        stopped = bring_up_to_date(engine, projections[: projections.index(one) + 1])
    return stopped


def _reset(connection: Connection, projection: Projection) -> None:
    for table in reversed(projection.tables):
        connection.execute(delete(table))
    connection.execute(delete(PROJECTION).where(PROJECTION.c.name == projection.name))


def _advance(engine: Engine, projection: Projection, stamp: str, end: int) -> State | None:
    """One projection to position `end`, in one transaction. Returns its state if it stands still.

    Another process may have been here since the caller looked: then there is nothing to do.
    """
    position = 0
    try:
        with engine.begin() as connection:
            state = states(connection).get(projection.name)
            if state is None or state.stamp != stamp:
                _reset(connection, projection)
            elif state.error is not None:
                return state
            else:
                position = state.position
            listens = projection.listens
            events = list(log.read(connection, after=position, until=end, types=listens))
            if events:
                projection.derive(connection, events)
                position = events[-1].position
            _save(connection, State(projection.name, projection.version, stamp, position, None))
    except Exception as error:  # noqa: BLE001 - whatever a view raises stops that view alone
        reason = f"{type(error).__name__}: {error}"
        failed = State(projection.name, projection.version, stamp, position, reason)
        with engine.begin() as connection:
            _save(connection, failed)
        return failed
    return None


def _save(connection: Connection, state: State) -> None:
    values = state._asdict()
    where = PROJECTION.c.name == state.name
    if connection.execute(update(PROJECTION).where(where).values(**values)).rowcount == 0:
        connection.execute(insert(PROJECTION).values(**values))
