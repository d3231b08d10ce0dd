"""Kills writers at random points, and looks for anything lost, doubled or half written.

`python -m tests.store.crash --kills 200` by hand; a test does a few. After each SIGKILL the log
must hold what was acknowledged, whole, at most one more event that was in flight, whole as well,
and nothing else; the views must catch up to what a replay of a copy gives. A replay and a backup
are killed in turn with the writers: the next one must end well.

A kill takes the process and leaves the operating system: what a power cut does is up to
synchronous=FULL and the disk.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import signal
import sqlite3
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from random import Random

from sqlalchemy import Engine, select

from settings import Settings
from store import backup, chain, log, tuples
from store.engine import bare_engine, connect, reading
from store.migrations import upgrade
from store.projections import bring_up_to_date, replay
from tests.store.seeded import fact
from tests.views.deriving import stored
from views import registry

PROJECTIONS = registry.projections(Settings())
READY = -1
# A small log is compared as a whole after each kill, a larger one after every tenth.
SMALL = 150
# A log of this many events is put aside for a new one.
LARGE = 700
# A writer is killed so long after it has acknowledged so many events, at most; another process so
# long after its start. The shortest times fall within one append.
AFTER_EVENTS = (0, 1, 4, 16)
DELAYS_SECONDS = (0.0005, 0.003, 0.02, 0.2)
LATE_SECONDS = 0.6


@dataclass
class Seen:
    """What the kills met."""

    seed: int
    kills: Counter[str] = field(default_factory=Counter)
    acknowledged: int = 0
    in_flight_kept: int = 0
    predictions: int = 0
    whole_comparisons: int = 0
    logs: int = 0
    backups_cleared: int = 0

    def __str__(self) -> str:
        kinds = ", ".join(f"{n} {kind}" for kind, n in sorted(self.kills.items()))
        return (
            f"seed {self.seed}: {self.kills.total()} kills ({kinds}), {self.logs} logs; "
            f"{self.acknowledged} events acknowledged and there, {self.predictions} predictions; "
            f"{self.in_flight_kept} times the event in flight was there too, whole; "
            f"{self.whole_comparisons} whole comparisons with a replay; "
            f"{self.backups_cleared} half backups cleared"
        )


def write(file: Path, seed: int, acknowledge: Pipe) -> None:
    """Appends the log of `seed` from where it stands, for ever, and derives now and then."""
    engine = connect(f"sqlite:///{file}")
    with reading(engine) as connection:
        number = log.head(connection)
    random = Random(f"{seed} {number}")
    acknowledge.send(READY)
    while True:
        event, rows = fact(seed, number)
        log.append(engine, event, rows=rows)
        acknowledge.send(number)
        number += 1
        if random.random() < 0.1:
            bring_up_to_date(engine, PROJECTIONS)


def derive_anew(file: Path, _seed: int, acknowledge: Pipe) -> None:
    """Replays every view, for ever."""
    engine = connect(f"sqlite:///{file}")
    acknowledge.send(READY)
    while True:
        replay(engine, PROJECTIONS)


def back_up(file: Path, _seed: int, acknowledge: Pipe) -> None:
    """Backs the database up to the same file beside it, for ever."""
    acknowledge.send(READY)
    while True:
        backup.write(file, copy_of(file), replace=True)


KINDS: tuple[tuple[str, Callable[[Path, int, Pipe], None]], ...] = (
    ("while appending", write),
    ("while appending", write),
    ("while replaying", derive_anew),
    ("while appending", write),
    ("while backing up", back_up),
)


def copy_of(file: Path) -> Path:
    """Where the backups of a log go."""
    return file.with_suffix(".backup")


def run(kills: int, seed: int, folder: Path, say: Callable[[str], None] = print) -> Seen:
    """Kills so many processes one after the other. Raises AssertionError for what is not right."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    random = Random(seed)
    seen = Seen(seed)
    file, acknowledged = folder / "none", LARGE
    for kill in range(kills):
        if acknowledged >= LARGE:
            seen.logs += 1
            file, acknowledged = folder / f"log-{seen.logs}.db", 0
            upgrade(f"sqlite:///{file}")
        kind, target = KINDS[kill % len(KINDS)]
        delay = random.uniform(0.0, random.choice(DELAYS_SECONDS))
        after = random.choice(AFTER_EVENTS)
        if target is not write:
            after, delay = 0, delay + random.choice((0.0, random.uniform(0.0, LATE_SECONDS)))
        before = acknowledged
        for number in acknowledged_by(context, target, file, seed + seen.logs, after, delay):
            assert number == acknowledged, f"{number} was acknowledged after {acknowledged - 1}"
            acknowledged += 1
        seen.kills[kind] += 1
        seen.acknowledged += acknowledged - before
        whole = acknowledged <= SMALL or kill % 10 == 9
        found = verify(file, seed + seen.logs, acknowledged, whole=whole)
        seen.in_flight_kept += found - acknowledged
        seen.whole_comparisons += whole
        acknowledged = found
        if target is back_up:
            seen.backups_cleared += verify_backup(file, found)
        say(
            f"kill {kill + 1} {kind}, {1000 * delay:.1f} ms after {after} events: "
            f"{found} events, all well"
        )
    seen.predictions = sum(
        predictions_in(folder / f"log-{number + 1}.db") for number in range(seen.logs)
    )
    return seen


def acknowledged_by(
    context: multiprocessing.context.ForkServerContext,
    target: Callable[[Path, int, Pipe], None],
    file: Path,
    seed: int,
    after: int,
    delay: float,
) -> Iterator[int]:
    """Runs `target` in a process, and kills it. Yields the events that it had acknowledged.

    The kill comes `delay` seconds after as many of these as `after` says.
    """
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=target, args=(file, seed, sender))
    process.start()
    sender.close()
    assert receiver.recv() == READY
    early = [receiver.recv() for _ in range(after)]
    threading.Event().wait(delay)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert process.exitcode == -signal.SIGKILL, "it ended by itself before it was killed"
    yield from early
    with receiver:
        while True:
            try:
                yield receiver.recv()
            except EOFError:
                return


def verify(file: Path, seed: int, acknowledged: int, *, whole: bool) -> int:
    """Asserts that the log is as it must be after a kill. Returns the number of its events.

    `whole` compares every event and row with what the seed gives, and the views with a replay of
    a copy; without it, only what came last is compared, and the digests vouch for the rest.
    """
    engine = connect(f"sqlite:///{file}")
    try:
        with reading(engine) as connection:
            assert connection.exec_driver_sql("PRAGMA integrity_check").scalars().all() == ["ok"]
            assert list(chain.breaks(connection)) == []
            recorded = list(log.read(connection))
            assert [one.position for one in recorded] == list(range(1, len(recorded) + 1))
            assert acknowledged <= len(recorded) <= acknowledged + 1
            for table in chain.ROWS:
                rows: dict[int, list[tuples.Tuple]] = {}
                query = select(*table.columns).order_by(*table.primary_key.columns)
                at = [column.name for column in table.columns].index("position")
                for row in tuples.stream(connection, query):
                    rows.setdefault(row[at], []).append(row)
                first = 0 if whole else max(0, len(recorded) - 50)
                for number in range(first, len(recorded)):
                    expected = fact(seed, number)
                    assert recorded[number].event == expected.event
                    wanted = expected.rows.by_table(number + 1)[table]
                    assert rows.get(number + 1, []) == wanted
                assert rows.keys() <= set(range(1, len(recorded) + 1))
        if whole:
            with copied(file) as copy:
                assert replay(copy, PROJECTIONS) == []
                expected_views = stored(copy, PROJECTIONS)
            assert bring_up_to_date(engine, PROJECTIONS) == []
            assert stored(engine, PROJECTIONS) == expected_views
        return len(recorded)
    finally:
        engine.dispose()


def verify_backup(file: Path, events: int) -> bool:
    """Asserts that a killed backup left a whole one or none, and that the next one ends well.

    Returns whether it had left half a file, which the next one cleared.
    """
    target = copy_of(file)
    if target.exists():
        engine = bare_engine(f"sqlite:///{target}")
        with reading(engine) as connection:
            assert list(chain.breaks(connection)) == []
        engine.dispose()
    half = list(file.parent.glob(f".{target.name}.*.part"))
    assert backup.write(file, target, replace=True).events == events
    assert not list(file.parent.glob(f".{target.name}.*.part"))
    return bool(half)


@contextmanager
def copied(file: Path) -> Iterator[Engine]:
    """A copy of a database in a folder of its own, made without Milepost."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "copy.db"
        with closing(sqlite3.connect(file)) as source, closing(sqlite3.connect(target)) as copy:
            source.backup(copy)
        engine = connect(f"sqlite:///{target}")
        try:
            yield engine
        finally:
            engine.dispose()


def predictions_in(file: Path) -> int:
    """How many predictions a log holds at the end."""
    with closing(sqlite3.connect(file)) as client:
        (count,) = client.execute("SELECT count(*) FROM prediction").fetchone()
        return int(count)


def main() -> None:
    """Kills, and prints what was met."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 10**9)
    chosen = parser.parse_args()
    print(f"seed {chosen.seed}", flush=True)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        seen = run(chosen.kills, chosen.seed, Path(folder))
    print(f"{seen}; {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
