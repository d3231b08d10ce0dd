"""A backup is one snapshot, whole and checked, and there is never half of one."""

from __future__ import annotations

import errno
import multiprocessing
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest
from sqlalchemy import Engine

from errors import DatabaseDamaged, DiskFull, StoreError
from store import backup, chain
from store.engine import bare_engine, connect, reading
from store.migrations import downgrade
from tests import logs
from tests.logs import Seen

PER_BATCH = 20


@pytest.fixture
def source(sqlite_engine: Engine) -> Path:
    """A log of 3 events and 2 predictions."""
    examples = logs.questions("easy", 2)
    evaluation = logs.start(sqlite_engine, logs.arrive(sqlite_engine, 1), ["easy"], examples=2)
    logs.record(sqlite_engine, evaluation, [(one, Seen(one.target)) for one in examples])
    return Path(str(sqlite_engine.url.database))


@pytest.fixture
def target(tmp_path: Path) -> Path:
    folder = tmp_path / "a folder with spaces, 100 % 'odd' #1"
    folder.mkdir()
    return folder / "copy.db"


def facts(file: Path) -> list[object]:
    with sqlite3.connect(file) as client:
        return [
            client.execute(f"SELECT * FROM {table}").fetchall()
            for table in ("event", "example", "prediction", "token_trace")
        ]


def test_a_backup_holds_what_the_database_holds(source: Path, target: Path) -> None:
    told: list[str] = []
    made = backup.write(source, target, progress=told.append)
    assert (made.file, made.events, made.predictions) == (target, 3, 2)
    assert made.bytes == target.stat().st_size
    assert told == ["copying", "checking the copy", "writing it through to the disk"]
    assert [one.name for one in target.parent.iterdir()] == ["copy.db"]
    assert facts(target) == facts(source)


def test_an_empty_log_can_be_backed_up(sqlite_engine: Engine, target: Path) -> None:
    made = backup.write(Path(str(sqlite_engine.url.database)), target)
    assert (made.events, made.predictions) == (0, 0)


def _write_on(url: str, begun: Event, stop: Event) -> None:
    engine = connect(url)
    examples = logs.questions("busy", PER_BATCH)
    batch = 0
    while not stop.is_set():
        seen = [(one, Seen(one.target)) for one in examples]
        logs.record(engine, f"evaluation {batch}", seen)
        batch += 1
        if batch == 5:
            begun.set()
    engine.dispose()


@pytest.fixture
def busy(sqlite_url: str) -> Iterator[str]:
    """A database that another process appends to without a pause."""
    context = multiprocessing.get_context("spawn")
    begun, stop = context.Event(), context.Event()
    process = context.Process(target=_write_on, args=(sqlite_url, begun, stop))
    process.start()
    assert begun.wait(60)
    yield sqlite_url
    stop.set()
    process.join(60)
    assert process.exitcode == 0


def test_backups_beside_a_writer_are_each_one_snapshot(busy: str, target: Path) -> None:
    source = Path(busy.removeprefix("sqlite:///"))
    sizes = []
    for _ in range(5):
        made = backup.write(source, target, replace=True)
        copy = bare_engine(f"sqlite:///{target}")
        with reading(copy) as connection:
            assert list(chain.breaks(connection)) == []
            query = "SELECT (SELECT count(*) FROM event), (SELECT count(*) FROM prediction)"
            held = connection.exec_driver_sql(query).one()
        copy.dispose()
        assert tuple(held) == (made.events, made.predictions)
        assert made.predictions == PER_BATCH * made.events
        sizes.append(made.events)
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[-1], "the writer stood still"


def test_a_file_that_is_there_is_kept_unless_told_otherwise(source: Path, target: Path) -> None:
    target.write_text("precious")
    with pytest.raises(StoreError, match="is there already"):
        backup.write(source, target)
    assert target.read_text() == "precious"
    assert backup.write(source, target, replace=True).events == 3


def test_the_database_itself_is_never_the_target(source: Path, target: Path) -> None:
    target.symlink_to(source)
    before = facts(source)
    for file in (source, target):
        with pytest.raises(StoreError, match="is the database itself"):
            backup.write(source, file, replace=True)
    assert facts(source) == before


def test_a_folder_or_a_missing_folder_is_refused(source: Path, target: Path) -> None:
    with pytest.raises(StoreError, match="is a folder"):
        backup.write(source, target.parent)
    with pytest.raises(StoreError, match="there is no folder"):
        backup.write(source, target.parent / "absent" / "copy.db")


def test_a_folder_that_takes_no_file_is_named(
    source: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> int:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(StoreError, match=r"copy\.db cannot be written: Permission denied\."):
        backup.write(source, target)


def test_no_space_leaves_no_half_file(
    source: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_file = sqlite3.connect

    def small(file: object, **options: object) -> sqlite3.Connection:
        client: sqlite3.Connection = open_file(file, **options)  # type: ignore[call-overload]
        if str(file).endswith(".part"):
            client.execute("PRAGMA max_page_count = 5")
        return client

    monkeypatch.setattr(sqlite3, "connect", small)
    with pytest.raises(DiskFull, match=r"/copy\.db cannot grow; .* MB are free"):
        backup.write(source, target)
    assert list(target.parent.iterdir()) == []


def test_a_database_that_was_changed_is_not_backed_up_as_sound(source: Path, target: Path) -> None:
    with sqlite3.connect(source) as client:
        client.execute("DROP TRIGGER event_refuses_update")
        client.execute("UPDATE event SET recorded_at = '2020-01-01' WHERE position = 2")
    with pytest.raises(DatabaseDamaged, match=r"is damaged: position 2: .*`milepost db check`"):
        backup.write(source, target)
    assert list(target.parent.iterdir()) == []


def test_a_database_with_a_torn_page_is_not_backed_up_as_sound(source: Path, target: Path) -> None:
    with sqlite3.connect(source) as client:
        client.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        query = "SELECT rootpage FROM sqlite_schema WHERE name = 'prediction'"
        ((page,),) = client.execute(query).fetchall()
        ((size,),) = client.execute("PRAGMA page_size").fetchall()
    with source.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * size)
    with pytest.raises(DatabaseDamaged, match="is damaged"):
        backup.write(source, target)
    assert list(target.parent.iterdir()) == []


def test_a_database_from_before_the_chain_can_be_backed_up(
    source: Path, target: Path, sqlite_engine: Engine
) -> None:
    sqlite_engine.dispose()
    downgrade(f"sqlite:///{source}", "0011")
    made = backup.write(source, target)
    assert (made.events, made.predictions) == (3, 2)
    assert facts(target) == facts(source)


def test_what_a_killed_backup_left_is_cleared_by_the_next(source: Path, target: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    left = target.with_name(f".copy.db.{ended.pid}.part")
    others = [target.with_name(f".copy.db.{os.getppid()}.part"), target.with_name(".copy.db.part")]
    for file in (left, *others):
        file.write_text("half")
    backup.write(source, target)
    assert set(target.parent.iterdir()) == {target, *others}
