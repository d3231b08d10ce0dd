"""What the disk or a lock refuses has a name, a file and a remedy, and harms nothing."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event

from errors import DatabaseBusy, DatabaseDamaged, DiskFull, StoreError
from store import chain, faults, log
from store.engine import connect, reading
from store.events import PredictionsRecorded
from store.liveness import Pulse
from store.log import Rows
from store.records import Prediction
from tests import logs

PATIENCE_MS = 20


def append(engine: Engine, number: int) -> None:
    rows = [Prediction("e", f"{number} {k}", error="x" * 1000) for k in range(20)]
    recorded = PredictionsRecorded(evaluation_id="e", batch=str(number), scored=0, failed=20)
    log.append(engine, recorded, rows=Rows(predictions=rows))


def held(engine: Engine) -> tuple[int, int]:
    """The numbers of events and predictions, in a log that is as it was appended."""
    with reading(engine) as connection:
        assert connection.exec_driver_sql("PRAGMA integrity_check").scalars().all() == ["ok"]
        assert list(chain.breaks(connection)) == []
        query = "SELECT (SELECT count(*) FROM event), (SELECT count(*) FROM prediction)"
        events, predictions = connection.exec_driver_sql(query).one()
        return events, predictions


@pytest.fixture
def small(sqlite_url: str) -> Iterator[tuple[Engine, list[int]]]:
    """An engine whose database may have so many pages, and the list to change that in."""
    opened = connect(sqlite_url)
    with opened.connect() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
    limit = [pages + 40]

    @event.listens_for(opened, "begin")
    def _limit(connection: Any) -> None:
        connection.exec_driver_sql(f"PRAGMA max_page_count = {limit[0]}")

    yield opened, limit
    opened.dispose()


def test_a_full_disk_is_said_and_what_was_acknowledged_stays(
    small: tuple[Engine, list[int]],
) -> None:
    engine, limit = small
    acknowledged = 0

    def fill() -> None:
        nonlocal acknowledged
        while acknowledged < 1000:
            append(engine, acknowledged)
            acknowledged += 1

    with pytest.raises(DiskFull, match=r"milepost\.db cannot grow; [\d,]+ MB are free\. Make "):
        fill()
    assert acknowledged > 0
    assert held(engine) == (acknowledged, 20 * acknowledged)
    limit[0] = 100_000
    append(engine, acknowledged)
    assert held(engine) == (acknowledged + 1, 20 * (acknowledged + 1))


def test_a_lock_that_stays_names_who_may_hold_it(sqlite_engine: Engine) -> None:
    @event.listens_for(sqlite_engine, "connect")
    def _hurry(connection: sqlite3.Connection, _record: Any) -> None:
        connection.execute(f"PRAGMA busy_timeout = {PATIENCE_MS}")

    sqlite_engine.dispose()
    other = sqlite3.connect(str(sqlite_engine.url.database), isolation_level=None)
    with Pulse(sqlite_engine, "sync"):
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(DatabaseBusy, match=r"milepost\.db stayed locked.*sync \(process \d+"):
            logs.arrive(sqlite_engine, 1)
        other.execute("ROLLBACK")
    other.close()
    logs.arrive(sqlite_engine, 1)
    assert held(sqlite_engine) == (1, 0)


def test_a_damaged_file_is_named_when_it_is_opened(sqlite_url: str) -> None:
    file = Path(sqlite_url.removeprefix("sqlite:///"))
    file.write_bytes(b"no database at all, but long enough to have a header " * 100)
    with pytest.raises(DatabaseDamaged, match=r"milepost\.db is damaged: file is not a database"):
        connect(sqlite_url)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("SQLITE_FULL", DiskFull),
        ("SQLITE_BUSY_RECOVERY", DatabaseBusy),
        ("SQLITE_IOERR_WRITE", StoreError),
        ("SQLITE_CORRUPT_INDEX", DatabaseDamaged),
        ("SQLITE_CANTOPEN", StoreError),
    ],
)
def test_each_fault_of_the_file_has_its_error(
    tmp_path: Path, name: str, kind: type[StoreError]
) -> None:
    fault = faults.named(name, "what SQLite says", tmp_path / "milepost.db")
    assert type(fault) is kind
    assert str(tmp_path / "milepost.db") in str(fault)


@pytest.mark.parametrize("name", ["SQLITE_CONSTRAINT_TRIGGER", "SQLITE_ERROR", "unknown"])
def test_a_fault_of_the_statement_is_left_as_it_is(tmp_path: Path, name: str) -> None:
    assert faults.named(name, "what SQLite says", tmp_path / "milepost.db") is None
