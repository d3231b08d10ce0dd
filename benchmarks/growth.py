"""What a log of a given size costs: to derive, to follow, to look at, to keep.

One log grows from size to size, so that the measurements at both come from one run. Beside them
stands an anchor that no code of Milepost is in: reading all predictions with the bare sqlite3
module and inserting as many rows as `grade` had at first. Compare machines by the ratio to it.
"""

from __future__ import annotations

import sqlite3
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import Engine

from benchmarks import biglog, pages
from benchmarks.biglog import Question
from benchmarks.report import say
from errors import StoreError
from settings import DIFFICULTIES, load_workspace
from store.engine import connect
from store.migrations import upgrade
from store.projections import Projection, State, bring_up_to_date, replay
from views import registry

FOLLOWED = 3  # checkpoints that arrive one by one, after the replay
TOML = "".join(
    f'[[suite]]\nname = "{one}"\npath = "{one}.jsonl"\ndifficulty = "{one}"\n'
    "pass_threshold = 0.6\n\n"
    for one in DIFFICULTIES
)


class Costs(NamedTuple):
    """The measurements at one size. Rates are predictions a second; pages are p95 in ms."""

    predictions: int
    append_rate: float
    build_rate: float
    replay_rate: float
    replay_seconds: dict[str, float]
    follow_seconds: float
    pages: dict[str, float]
    bytes: int
    bytes_by_table: dict[str, int]
    read_seconds: float
    insert_seconds: float


def measure(root: Path, sizes: Sequence[int], examples: int) -> Iterator[Costs]:
    """The costs at each of `sizes`, which count checkpoints and rise."""
    (root / "milepost.toml").write_text(TOML, encoding="utf-8")
    workspace = load_workspace(root)
    upgrade(workspace.database_url)
    projections = registry.projections(workspace.settings)
    asked = biglog.questions(examples)
    engine = connect(workspace.database_url)
    biglog.register(engine, asked)
    done = 0
    for size in sizes:
        yield _costs(root, engine, projections, asked, range(done + 1, size + 1), sizes[-1])
        done = size
    engine.dispose()


def _costs(
    root: Path,
    engine: Engine,
    projections: Sequence[Projection],
    asked: Sequence[Question],
    numbers: range,
    of: int,
) -> Costs:
    file = root / "milepost.db"
    built = []
    for number in numbers[:-FOLLOWED]:
        say(f"building checkpoint {number} of {numbers[-1]}, {len(asked):,} examples each")
        built.append(biglog.evaluate(engine, asked, number, of))
    seconds = _replay(engine, projections)
    replayed = numbers[-FOLLOWED - 1] * len(asked)
    follow_seconds = 0.0
    for number in numbers[-FOLLOWED:]:
        built.append(biglog.evaluate(engine, asked, number, of))
        say(f"following checkpoint {number}")
        began = time.perf_counter()
        _whole(bring_up_to_date(engine, projections))
        follow_seconds = max(follow_seconds, time.perf_counter() - began)
    say("asking what the pages ask")
    slowest = pages.slowest(root)
    say("reading and inserting with the bare sqlite3 module")
    read_seconds = _read_all(file)
    return Costs(
        predictions=numbers[-1] * len(asked),
        append_rate=sum(one.predictions for one in built) / sum(one.seconds for one in built),
        build_rate=sum(one.predictions for one in built) / sum(one.total_seconds for one in built),
        replay_rate=replayed / sum(seconds.values()),
        replay_seconds=seconds,
        follow_seconds=follow_seconds,
        pages=slowest,
        bytes=_size(file),
        bytes_by_table=_size_by_table(file),
        read_seconds=read_seconds,
        insert_seconds=_insert_grades(file, root / "anchor.db"),
    )


def _replay(engine: Engine, projections: Sequence[Projection]) -> dict[str, float]:
    """Derives everything from the log; returns the seconds of each projection."""
    seconds: dict[str, float] = defaultdict(float)
    running, began = "", time.perf_counter()

    def note(name: str, position: int, end: int) -> None:
        nonlocal running, began
        now = time.perf_counter()
        if running:
            seconds[running] += now - began
        running, began = name, now
        say(f"replaying {name}: {position:,} of {end:,} events")

    _whole(replay(engine, projections, progress=note))
    note("", 0, 0)
    return dict(seconds)


def _whole(stopped: Sequence[State]) -> None:
    if stopped:
        raise StoreError(f"{stopped[0].name} stands still: {stopped[0].error}")


def _read_all(file: Path) -> float:
    """Seconds to fetch every column of every prediction."""
    client = sqlite3.connect(f"file:{file}?mode=ro", uri=True)
    began = time.perf_counter()
    rows = client.execute("SELECT * FROM prediction")
    while rows.fetchmany(10_000):
        pass
    seconds = time.perf_counter() - began
    client.close()
    return seconds


def _insert_grades(file: Path, target: Path) -> float:
    """Seconds to insert a row like a grade for every prediction, in one transaction."""
    target.unlink(missing_ok=True)
    reader = sqlite3.connect(f"file:{file}?mode=ro", uri=True)
    keys = reader.execute("SELECT evaluation_id, example_id, sample FROM prediction").fetchall()
    reader.close()
    writer = sqlite3.connect(target, isolation_level=None)
    writer.execute("PRAGMA journal_mode = WAL")
    writer.execute("PRAGMA synchronous = FULL")
    writer.execute(
        "CREATE TABLE grade (evaluation_id TEXT, suite_id TEXT, example_id TEXT, sample INTEGER, "
        "grader TEXT, correct INTEGER, score REAL, parsed TEXT, expected TEXT, error_class TEXT, "
        "confidence REAL, PRIMARY KEY (evaluation_id, suite_id, example_id, sample)) STRICT"
    )
    rows = (
        (evaluation_id, "easy", example_id, sample, "exact@1", 0, 0.0, "amber birch cedar",
         "amber birch delta", "wrong_answer", 0.5)
        for evaluation_id, example_id, sample in keys
    )  # fmt: skip
    began = time.perf_counter()
    writer.execute("BEGIN")
    writer.executemany(f"INSERT INTO grade VALUES ({', '.join('?' * 11)})", rows)
    writer.execute("COMMIT")
    seconds = time.perf_counter() - began
    writer.close()
    target.unlink()
    return seconds


def _size(file: Path) -> int:
    """The database's bytes, after what stands in its write-ahead log went into it."""
    client = sqlite3.connect(file)
    client.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    client.close()
    return file.stat().st_size


def _size_by_table(file: Path) -> dict[str, int]:
    """Bytes of each table with its indexes, largest first; empty if this SQLite can not tell."""
    client = sqlite3.connect(f"file:{file}?mode=ro", uri=True)
    try:
        rows = client.execute(
            "SELECT tbl_name, sum(pgsize) FROM dbstat JOIN sqlite_schema USING (name) "
            "WHERE aggregate = TRUE GROUP BY tbl_name ORDER BY 2 DESC"
        ).fetchall()
    except sqlite3.OperationalError:  # a build without the virtual table dbstat
        rows = []
    finally:
        client.close()
    return dict(rows)
