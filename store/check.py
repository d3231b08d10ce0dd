"""Looks through a whole database: the file, its guards, the digest chain, and every row's event.

Each finding is one line that names the place and the remedy. Facts cannot be mended, only restored
from a backup; what is derived can always be derived again.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import Connection, Engine, Select, Table, func, select
from sqlalchemy.exc import DBAPIError

from errors import DatabaseDamaged, StoreError, UnknownEvent
from store import chain, log
from store.engine import bare_engine, check_schema, reading
from store.events import PredictionsRecorded, load
from store.migrations import upgrade
from store.projections import states
from store.schema import EVENT, PREDICTION
from store.tuples import stream

RESTORE = "restore a backup (README, Keep it safe)"
# Litestream keeps two small tables in a database that it replicates.
OTHERS = ("sqlite_", "_litestream_")


class Finding(NamedTuple):
    """Something that is not as it must be.

    `position` is the event's, `name` that of a table, trigger, index, SQL view or projection.
    `sql` makes what is missing.
    """

    what: str
    remedy: str
    position: int | None = None
    name: str | None = None
    sql: str | None = None


class Checked(NamedTuple):
    """What was looked through, and what was found; all is well when nothing was."""

    events: int
    predictions: int
    findings: list[Finding]


Step = Callable[[Connection], Iterator[Finding]]


def check(engine: Engine, progress: Callable[[str], None] = lambda _word: None) -> Checked:
    """Looks through the database on one snapshot of it; `progress` is told each part.

    A writer never waits for it. Raises DatabaseMismatch for a file that is not a Milepost
    database of this schema.
    """
    try:
        check_schema(engine)
    except DatabaseDamaged as error:
        return Checked(0, 0, [Finding(f"the file is damaged: {error.__cause__}", RESTORE)])
    sqlite = engine.dialect.name == "sqlite"
    findings: list[Finding] = []
    with reading(engine) as connection:
        for name, step in {**(ON_SQLITE if sqlite else {}), **EVERYWHERE}.items():
            progress(name)
            findings += _taken(connection, name, step)
        try:
            events, predictions = (_count(connection, table) for table in (EVENT, PREDICTION))
        except (DBAPIError, StoreError):
            events = predictions = 0  # the findings say that they cannot be read
    return Checked(events, predictions, findings)


def _taken(connection: Connection, name: str, step: Step) -> list[Finding]:
    """A step's findings; that it cannot be taken is one too."""
    found: list[Finding] = []
    try:
        found.extend(step(connection))
    except (DBAPIError, StoreError) as error:
        words = error.orig if isinstance(error, DBAPIError) else error.__cause__ or error
        found.append(Finding(f"{name}: cannot be looked through: {words}", RESTORE))
    return found


def damages(connection: Connection) -> Iterator[Finding]:
    """What SQLite itself finds in the file's pages, indexes and CHECKs."""
    for words in connection.exec_driver_sql("PRAGMA integrity_check").scalars():
        if words != "ok":
            yield Finding(f"the file is damaged: {words}", RESTORE)


def orphans(connection: Connection) -> Iterator[Finding]:
    """Rows that name an event which is not there."""
    counts: dict[tuple[str, str], int] = {}
    for table, _, parent, _ in connection.exec_driver_sql("PRAGMA foreign_key_check"):
        counts[table, parent] = counts.get((table, parent), 0) + 1
    for (table, parent), n in counts.items():
        yield Finding(f"{table}: {n} rows belong to no {parent}", RESTORE, name=table)


def changed_schema(connection: Connection) -> Iterator[Finding]:
    """Tables, guards, indexes and SQL views that are not those of a new database."""
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{Path(folder) / 'new.db'}"
        upgrade(url)
        new = bare_engine(url, read_only=True)
        try:
            with reading(new) as other:
                wanted = _schema(other)
        finally:
            new.dispose()
    there = _schema(connection)
    for (kind, name), sql in wanted.items():
        if there.get((kind, name)) == sql:
            continue
        what = "was changed" if (kind, name) in there else "is missing"
        remedy = RESTORE
        if kind != "table":
            remedy += ", or make it again with the SQL that --format json gives"
        yield Finding(f"{kind} {name} {what}", remedy, name=name, sql=sql)
    for kind, name in there.keys() - wanted.keys():
        yield Finding(f"{kind} {name} is not Milepost's", f"DROP {kind.upper()} {name}", name=name)


def _schema(connection: Connection) -> dict[tuple[str, str], str]:
    """Each object's SQL, with plain spaces between its words, by its type and name."""
    query = "SELECT type, name, sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY rowid"
    return {
        (kind, name): " ".join(sql.split())
        for kind, name, sql in connection.exec_driver_sql(query)
        if not name.startswith(OTHERS)
    }


def broken_links(connection: Connection) -> Iterator[Finding]:
    """Where the digest chain does not hold."""
    for position, what in chain.breaks(connection):
        yield Finding(f"position {position}: {what}", RESTORE, position=position)


def misfits(connection: Connection) -> Iterator[Finding]:
    """Events that this Milepost cannot read, or whose predictions are not those that they count."""
    recorded = {row[0]: tuple(row[1:]) for row in stream(connection, _RECORDED)}
    for position, name, version, payload in stream(connection, _EVENTS):
        try:
            event = load(name, version, payload, position)
        except (UnknownEvent, ValueError) as error:
            remedy = "use the Milepost that wrote it; if that is this one, " + RESTORE
            yield Finding(f"position {position}: {error}", remedy, position=position)
            continue
        if isinstance(event, PredictionsRecorded):
            scored, failed = recorded.get(position, (0, 0))
            if (scored, failed) != (event.scored, event.failed):
                yield Finding(
                    f"position {position}: the event counts {event.scored} scored and "
                    f"{event.failed} failed predictions, the table holds {scored} and {failed}",
                    RESTORE,
                    position=position,
                    name=PREDICTION.name,
                )


_EVENTS: Select[tuple[int, str, int, str]] = select(
    EVENT.c.position, EVENT.c.type, EVENT.c.schema_version, EVENT.c.payload
).order_by(EVENT.c.position)
_RECORDED: Select[tuple[int, int, int]] = (
    select(
        PREDICTION.c.position,
        func.count() - func.count(PREDICTION.c.error),
        func.count(PREDICTION.c.error),
    )
    .where(PREDICTION.c.sample == 0)
    .group_by(PREDICTION.c.position)
)


def stopped_projections(connection: Connection) -> Iterator[Finding]:
    """Views that stand still, or claim to have seen more than the log holds."""
    end = log.head(connection)
    for state in states(connection).values():
        what = state.error and f"stands still: {state.error}"
        if state.position > end:
            what = f"is at position {state.position}, and the log ends at {end}"
        if what:
            yield Finding(
                f"view {state.name} {what}", f"`milepost replay {state.name}`", name=state.name
            )


def _count(connection: Connection, table: Table) -> int:
    return connection.execute(select(func.count()).select_from(table)).scalar_one()


ON_SQLITE: dict[str, Step] = {
    "the file": damages,
    "references": orphans,
    "guards": changed_schema,
}
EVERYWHERE: dict[str, Step] = {
    "the digest chain": broken_links,
    "events and their rows": misfits,
    "views": stopped_projections,
}
