"""`check` finds what is not as it must be, and names the place and the remedy."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Engine

from errors import DatabaseMismatch
from settings import Settings
from store.check import Finding, check
from store.engine import SCHEMA_NUMBER, bare_engine
from store.projections import bring_up_to_date
from tests import logs
from tests.views.deriving import eventful
from views import registry


@pytest.fixture
def file(sqlite_engine: Engine) -> Path:
    """A log in which everything has happened, with every view derived."""
    for _ in eventful(sqlite_engine):
        pass
    assert bring_up_to_date(sqlite_engine, registry.projections(Settings())) == []
    sqlite_engine.dispose()
    return Path(str(sqlite_engine.url.database))


@pytest.fixture
def client(file: Path) -> Iterator[sqlite3.Connection]:
    """Someone who goes around Milepost, without its guards and references."""
    with closing(sqlite3.connect(file, isolation_level=None)) as opened:
        yield opened


def findings(file: Path) -> list[Finding]:
    engine = bare_engine(f"sqlite:///{file}", read_only=True)
    try:
        return check(engine).findings
    finally:
        engine.dispose()


def unguard(client: sqlite3.Connection) -> dict[str, str]:
    """Drops every trigger; returns the SQL that makes each."""
    query = "SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'"
    triggers = dict(client.execute(query).fetchall())
    for name in triggers:
        client.execute(f"DROP TRIGGER {name}")
    return triggers


def behind_the_guards(client: sqlite3.Connection, statement: str) -> None:
    """Runs one statement, and leaves the guards as they were."""
    triggers = unguard(client)
    client.execute("PRAGMA ignore_check_constraints = ON")
    assert client.execute(statement).rowcount > 0
    for sql in triggers.values():
        client.execute(sql)


def test_a_database_as_milepost_left_it_has_no_finding(file: Path) -> None:
    told: list[str] = []
    engine = bare_engine(f"sqlite:///{file}", read_only=True)
    found = check(engine, told.append)
    engine.dispose()
    with sqlite3.connect(file) as client:
        assert found == (
            *client.execute("SELECT count(*) FROM event").fetchone(),
            *client.execute("SELECT count(*) FROM prediction").fetchone(),
            [],
        )
    assert told == [
        "the file",
        "references",
        "guards",
        "the digest chain",
        "events and their rows",
        "views",
    ]


def test_an_empty_database_has_no_finding(sqlite_engine: Engine) -> None:
    assert check(sqlite_engine) == (0, 0, [])


def test_postgresql_is_checked_as_far_as_it_goes(postgres_engine: Engine) -> None:
    for _ in eventful(postgres_engine):
        pass
    told: list[str] = []
    found = check(postgres_engine, told.append)
    assert found.findings == []
    assert found.events > 0
    assert told == ["the digest chain", "events and their rows", "views"]


def test_a_guard_that_is_gone_is_named_with_the_sql_that_brings_it_back(
    file: Path, client: sqlite3.Connection
) -> None:
    client.execute("DROP TRIGGER prediction_refuses_delete")
    (found,) = findings(file)
    assert found.what == "trigger prediction_refuses_delete is missing"
    assert found.name == "prediction_refuses_delete"
    assert found.sql is not None
    client.execute(found.sql)
    assert findings(file) == []


def test_a_guard_that_was_weakened_is_named(file: Path, client: sqlite3.Connection) -> None:
    client.execute("DROP TRIGGER event_refuses_update")
    client.execute("CREATE TRIGGER event_refuses_update BEFORE UPDATE ON event BEGIN SELECT 1; END")
    (found,) = findings(file)
    assert found.what == "trigger event_refuses_update was changed"


def test_a_table_an_index_or_a_view_of_someone_elses_is_named(
    file: Path, client: sqlite3.Connection
) -> None:
    client.execute("CREATE TABLE note (words TEXT)")
    client.execute("CREATE INDEX mine ON result (suite_id)")
    client.execute("DROP VIEW alerts")
    client.execute("ALTER TABLE alert ADD COLUMN mood TEXT")
    found = findings(file)
    assert {(one.what, one.remedy.split(" (")[0]) for one in found} == {
        ("table alert was changed", "restore a backup"),
        ("view alerts is missing", "restore a backup"),
        ("table note is not Milepost's", "DROP TABLE note"),
        ("index mine is not Milepost's", "DROP INDEX mine"),
    }


def test_what_litestream_and_analyze_add_is_no_finding(
    file: Path, client: sqlite3.Connection
) -> None:
    client.execute("CREATE TABLE _litestream_seq (id INTEGER PRIMARY KEY, seq INTEGER)")
    client.execute("CREATE TABLE _litestream_lock (id INTEGER)")
    client.execute("ANALYZE")
    assert findings(file) == []


CHANGES = {
    "UPDATE event SET payload = replace(payload, '100', '101') WHERE type = 'CheckpointArrived'": (
        "CheckpointArrived (checkpoint/"
    ),
    "UPDATE prediction SET target_logprob = -0.5": "PredictionsRecorded (evaluation/",
    "UPDATE example SET target = 'no'": "SuiteRegistered (suite/",
    "DELETE FROM event WHERE position = 5": "the events from 5 to 5 are missing",
}


@pytest.mark.parametrize("statement", CHANGES)
def test_a_change_behind_the_guards_is_located(
    file: Path, client: sqlite3.Connection, statement: str
) -> None:
    behind_the_guards(client, statement)
    found = [one for one in findings(file) if CHANGES[statement] in one.what]
    assert found
    assert all(f"position {one.position}: " in one.what for one in found)
    assert all(one.remedy.startswith("restore a backup") for one in found)


def test_an_event_whose_predictions_are_not_all_there_says_how_many(
    file: Path, client: sqlite3.Connection
) -> None:
    query = "SELECT position, count(*) FROM prediction GROUP BY position ORDER BY 1 LIMIT 1"
    position, n = client.execute(query).fetchone()
    behind_the_guards(
        client,
        f"DELETE FROM prediction WHERE position = {position} AND example_id = "
        f"(SELECT min(example_id) FROM prediction WHERE position = {position})",
    )
    (counted,) = [one for one in findings(file) if one.name == "prediction"]
    assert counted.position == position
    assert f"counts {n} scored and 0 failed predictions" in counted.what
    assert counted.what.endswith(f"the table holds {n - 1} and 0")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("type = 'FromTomorrow'", "unknown type 'FromTomorrow'"),
        ("schema_version = 99", "unknown version 99"),
        ("payload = '{}'", "does not fit"),
        ("payload = '{'", "Expecting property name"),
    ],
)
def test_an_event_that_cannot_be_read_is_located(
    file: Path, client: sqlite3.Connection, change: str, words: str
) -> None:
    behind_the_guards(client, f"UPDATE event SET {change} WHERE position = 7")
    found = [one for one in findings(file) if words in one.what]
    assert [one.position for one in found] == [7]


def test_rows_of_an_event_that_is_not_there_are_named(
    file: Path, client: sqlite3.Connection
) -> None:
    behind_the_guards(
        client,
        "INSERT INTO prediction (evaluation_id, example_id, sample, position, error) "
        "VALUES ('e', 'x', 0, 9999, 'slipped in')",
    )
    found = findings(file)
    assert "prediction: 1 rows belong to no event" in [one.what for one in found]
    assert [one.position for one in found if one.position is not None] == [9999]


def test_a_view_that_stands_still_is_named_with_its_remedy(
    file: Path, client: sqlite3.Connection
) -> None:
    client.execute("UPDATE projection SET error = 'KeyError: 7' WHERE name = 'regression'")
    client.execute("UPDATE projection SET position = 10000 WHERE name = 'ranking'")
    found = findings(file)
    assert [(one.name, one.remedy) for one in found] == [
        ("ranking", "`milepost replay ranking`"),
        ("regression", "`milepost replay regression`"),
    ]
    assert "is at position 10000, and the log ends at" in found[0].what
    assert found[1].what == "view regression stands still: KeyError: 7"


def test_a_torn_page_is_a_finding_and_not_a_crash(file: Path, client: sqlite3.Connection) -> None:
    client.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    query = "SELECT rootpage FROM sqlite_schema WHERE name IN ('prediction', 'event')"
    pages = [page for (page,) in client.execute(query)]
    (size,) = client.execute("PRAGMA page_size").fetchone()
    client.close()
    with file.open("r+b") as opened:
        for page in pages:
            opened.seek((page - 1) * size)
            opened.write(b"\xff" * size)
    found = findings(file)
    assert {one.what for one in found} == {
        f"{part}: cannot be looked through: database disk image is malformed"
        for part in (
            "the file",
            "references",
            "the digest chain",
            "events and their rows",
            "views",
        )
    }
    assert all(one.remedy.startswith("restore a backup") for one in found)


def test_a_file_that_is_no_database_is_a_finding(tmp_path: Path) -> None:
    file = tmp_path / "milepost.db"
    file.write_bytes(b"spilled over by something else " * 500)
    (found,) = findings(file)
    assert found.what == "the file is damaged: file is not a database"


def test_an_older_schema_is_refused(file: Path, client: sqlite3.Connection) -> None:
    client.execute(f"PRAGMA user_version = {SCHEMA_NUMBER - 1}")
    with pytest.raises(DatabaseMismatch, match="milepost db upgrade"):
        findings(file)


def test_a_check_does_not_keep_a_writer_waiting(sqlite_engine: Engine) -> None:
    appended: list[str] = []

    def append(part: str) -> None:
        appended.append(logs.arrive(sqlite_engine, len(appended), run=part))

    reader = bare_engine(str(sqlite_engine.url), read_only=True)
    found = check(reader, append)
    reader.dispose()
    assert len(appended) == 6
    # The snapshot was taken before the first of them, or right after it.
    assert found.events <= 1
    assert found.findings == []
