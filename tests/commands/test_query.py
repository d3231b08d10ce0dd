"""`milepost sql` reads, says what it refuses and why, and keeps to its limits."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from commands.query import ask
from data.workspace import make
from errors import QueryTimeout, StoreError, UsageError
from store.engine import connect, reading
from store.schema import FACTS
from tests import logs

ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT {} FROM n"


@pytest.fixture
def reader(engine: Engine, database_url: str) -> Iterator[Engine]:
    """A reader's engine on a log with three arrivals."""
    for step in (100, 200, 300):
        logs.arrive(engine, step)
    opened = connect(database_url, read_only=True)
    yield opened
    opened.dispose()


def test_an_answer_has_its_columns_and_rows(reader: Engine) -> None:
    answer = ask(reader, "SELECT position, type FROM event WHERE position < 3 ORDER BY position")
    assert answer.columns == ("position", "type")
    assert answer.rows == [(1, "CheckpointArrived"), (2, "CheckpointArrived")]
    assert not answer.cut


@pytest.mark.parametrize(
    ("query", "rows"),
    [
        ("VALUES (1, 'a')", [(1, "a")]),
        ("WITH n AS (SELECT 2 AS i) SELECT i FROM n -- a comment", [(2,)]),
        ("SELECT value FROM json_each('[5, 7]');", [(5,), (7,)]),
        ("SELECT NULL, x'00ff', 9e999, -9e999", [(None, "00ff", "inf", "-inf")]),
        ("SELECT 9007199254740993, 5e-324", [(9007199254740993, 5e-324)]),
        ("SELECT '%s %(a)s ?'", [("%s %(a)s ?",)]),
        (ENDLESS.format("i") + " LIMIT 3", [(1,), (2,), (3,)]),
    ],
)
def test_whatever_reads_may_be_asked(
    reader: Engine, query: str, rows: list[tuple[object, ...]]
) -> None:
    assert ask(reader, query).rows == rows


def test_columns_of_one_name_stay_apart(reader: Engine) -> None:
    assert ask(reader, "SELECT 1 AS a, 2 AS a, 3 AS a_2, 4 AS a").columns == (
        "a",
        "a_2",
        "a_2_2",
        "a_3",
    )


WRITES = [
    ("INSERT INTO heartbeat VALUES ('a', 'b', 1, 'c', 'd')", "INSERT"),
    ("UPDATE event SET type = ''", "UPDATE"),
    ("DELETE FROM heartbeat", "DELETE"),
    ("WITH n AS (SELECT 1) DELETE FROM heartbeat RETURNING *", "DELETE"),
    ("REPLACE INTO heartbeat VALUES ('a', 'b', 1, 'c', 'd')", "INSERT"),
    ("CREATE TABLE t (a)", "CREATE"),
    ("CREATE TABLE t AS SELECT 1", "CREATE"),
    ("CREATE TEMP TABLE t (a)", "CREATE"),
    ("CREATE TEMP VIEW v AS SELECT 1", "CREATE"),
    ("CREATE VIRTUAL TABLE t USING fts5(a)", "CREATE"),
    ("CREATE INDEX i ON event (type, stream)", "CREATE"),
    ("CREATE TRIGGER t INSERT ON event BEGIN SELECT 1; END", "CREATE"),
    ("DROP TABLE event", "DROP"),
    ("DROP VIEW results", "DROP"),
    ("ALTER TABLE heartbeat RENAME TO pulse", "ALTER TABLE"),
    ("ALTER TABLE heartbeat ADD COLUMN a", "ALTER TABLE"),
    ("ATTACH 'other.db' AS other", "ATTACH"),
    ("DETACH main", "DETACH"),
    ("PRAGMA query_only = OFF", "PRAGMA query_only"),
    ("PRAGMA table_info(event)", "PRAGMA table_info"),
    ("SELECT * FROM pragma_table_info('event')", "PRAGMA table_info"),
    ("COMMIT", "TRANSACTION"),
    ("SAVEPOINT s", "SAVEPOINT"),
    ("REINDEX", "REINDEX"),
    ("ANALYZE", "CREATE"),
    ("SELECT load_extension('evil.so')", "load_extension()"),
]
# SQLite refuses these in its own words.
OTHER_WRITES = ["VACUUM INTO 'copy.db'", "VACUUM", "UPDATE sqlite_master SET sql = ''"]


@pytest.mark.parametrize(("query", "word"), WRITES)
def test_whatever_does_more_is_refused_by_name(engine: Engine, query: str, word: str) -> None:
    """On a writer's engine: nothing but the authorizer stands in the way."""
    with pytest.raises(UsageError) as caught:
        ask(engine, query)
    assert str(caught.value).startswith(f"`milepost sql` only reads: {word} is refused")


@pytest.mark.parametrize("query", [query for query, _ in WRITES] + OTHER_WRITES)
def test_nothing_is_left_of_what_was_refused(
    engine: Engine, query: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    logs.arrive(engine, 100)
    before = list(_dump(tmp_path / "milepost.db"))
    with pytest.raises(UsageError):
        ask(engine, query)
    assert list(_dump(tmp_path / "milepost.db")) == before
    assert [one.name for one in tmp_path.glob("*.db")] == ["milepost.db"]


def _dump(file: Path) -> Iterator[str]:
    connection = sqlite3.connect(file)
    yield from connection.iterdump()
    connection.close()


def test_the_engine_writes_again_after_a_question(engine: Engine) -> None:
    ask(engine, "SELECT 1")
    with pytest.raises(UsageError):
        ask(engine, "DELETE FROM heartbeat")
    logs.arrive(engine, 100)
    assert ask(engine, "SELECT count(*) FROM event").rows == [(1,)]


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("SELECT 1; SELECT 2", "one statement"),
        ("SELECT 1; DROP TABLE heartbeat", "one statement"),
        ("", "no query"),
        ("-- nothing", "no query"),
        ("SELEC 1", 'near "SELEC": syntax error'),
        ("SELECT '\0'", "null character"),
        ("SELECT '\udcff'", "not UTF-8"),
        ("SELECT ?", "bindings"),
        ("SELECT zeroblob(500000000)", "too big"),
        ("SELECT json_extract('{', '$')", "malformed JSON"),
    ],
)
def test_a_query_that_cannot_run_says_why(reader: Engine, query: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        ask(reader, query)


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("SELECT acuracy FROM results", "no such column: acuracy\nNear it: accuracy"),
        ("SELECT r.los FROM results AS r", "no such column: r.los\nNear it: loss"),
        ("SELECT * FROM result_s", "no such table: result_s\nNear it: results"),
        ("SELECT * FROM xyzzy", "no such table: xyzzy\nThe views: alerts, calibration, "),
    ],
)
def test_a_wrong_name_gets_the_names_near_it(reader: Engine, query: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        ask(reader, query)
    assert said in str(caught.value)


def test_the_limit_cuts_an_endless_answer_and_says_so(reader: Engine) -> None:
    answer = ask(reader, ENDLESS.format("i"), limit=5)
    assert answer.rows == [(1,), (2,), (3,), (4,), (5,)]
    assert answer.cut


def test_an_answer_as_long_as_the_limit_is_whole(reader: Engine) -> None:
    answer = ask(reader, "SELECT position FROM event", limit=3)
    assert (len(answer.rows), answer.cut) == (3, False)


def test_a_query_that_never_ends_is_stopped(reader: Engine) -> None:
    with pytest.raises(QueryTimeout, match=r"stopped after 0\.05 s.*--timeout SECONDS"):
        ask(reader, ENDLESS.format("sum(i)"), seconds=0.05)
    assert ask(reader, "SELECT 1").rows == [(1,)]


def test_a_broken_file_is_no_fault_of_the_query(reader: Engine, tmp_path: Path) -> None:
    with reading(reader) as connection:
        size = connection.exec_driver_sql("PRAGMA page_size").scalar_one()
        connection.exec_driver_sql("SELECT 1 FROM event").all()
    reader.dispose()
    file = tmp_path / "milepost.db"
    sqlite3.connect(file).execute("PRAGMA wal_checkpoint(TRUNCATE)").connection.close()
    content = file.read_bytes()
    file.write_bytes(content[:size] + b"\xff" * (len(content) - size))
    with pytest.raises(StoreError, match="malformed"):
        ask(reader, f"SELECT * FROM {FACTS[0].name}")


POSTGRESQL_REFUSES = [
    "DELETE FROM heartbeat",
    "WITH n AS (DELETE FROM heartbeat RETURNING *) SELECT * FROM n",
    "CREATE TEMP TABLE t (a int)",
    "COPY event TO STDOUT",
    "COPY event TO PROGRAM 'touch /tmp/evil'",
    "DO $$ BEGIN END $$",
    "SET statement_timeout = 0",
    "COMMIT",
    "SELECT 1; SELECT 2",
    "SELECT 1; COMMIT; DROP TABLE event CASCADE",
    "SELECT lo_create(0)",
    "SELECT set_config('transaction_read_only', 'off', false)",
    "",
    "SELECT 1 / 0",
]


@pytest.mark.parametrize("query", POSTGRESQL_REFUSES)
def test_postgresql_takes_one_select_and_nothing_else(postgres_engine: Engine, query: str) -> None:
    with pytest.raises(UsageError) as caught:
        ask(postgres_engine, query)
    assert 'DECLARE "milepost' not in str(caught.value)
    logs.arrive(postgres_engine, 100)
    assert ask(postgres_engine, "SELECT count(*) FROM event").rows == [(1,)]


def test_postgresql_answers_in_the_same_types(postgres_engine: Engine) -> None:
    query = (
        "SELECT sum(i), avg(i), 1e3::numeric, 'NaN'::float8, '\\x00ff'::bytea, '2026-11-24'::date, "
        "9007199254740993, '%s' FROM (VALUES (1::bigint), (2)) AS n (i)"
    )
    (row,) = ask(postgres_engine, query).rows
    assert row == (3, 1.5, 1000, "nan", "00ff", "2026-11-24", 9007199254740993, "%s")
    assert [type(value) for value in row[:3]] == [int, float, int]


def test_postgresql_keeps_to_the_limits(postgres_engine: Engine) -> None:
    answer = ask(postgres_engine, "SELECT generate_series(1, 1000000000)", limit=3)
    assert (answer.rows, answer.cut) == ([(1,), (2,), (3,)], True)
    with pytest.raises(QueryTimeout):
        ask(postgres_engine, "SELECT pg_sleep(60)", seconds=0.05)


def test_postgresql_gives_the_names_near_a_wrong_one(postgres_engine: Engine) -> None:
    with pytest.raises(UsageError, match=r"r\.los does not exist\nNear it: loss"):
        ask(postgres_engine, "SELECT r.los FROM results AS r")
    with pytest.raises(UsageError, match=r'"xyzzy" does not exist\nThe views: alerts'):
        ask(postgres_engine, "SELECT * FROM xyzzy")


def test_a_script_gets_clean_output_and_the_cut_on_standard_error(tmp_path: Path) -> None:
    root = make(tmp_path / "workspace").root
    engine = connect(f"sqlite:///{root / 'milepost.db'}")
    for step in (1, 2, 3):
        logs.arrive(engine, step)
    engine.dispose()

    def milepost(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "cli", "sql", *arguments, "--workspace", str(root)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    cut = milepost("SELECT step FROM checkpoints ORDER BY step", "--limit", "2", "--format", "json")
    assert (cut.returncode, json.loads(cut.stdout)) == (0, [{"step": 1}, {"step": 2}])
    assert cut.stderr == "the first 2 rows; --limit N shows more.\n"
    slow = milepost(ENDLESS.format("sum(i)"), "--timeout", "0.05")
    assert (slow.returncode, slow.stdout) == (3, "")
    assert "--timeout SECONDS" in slow.stderr
    refused = milepost("ATTACH 'x' AS y")
    assert refused.returncode == 2
    assert "only reads: ATTACH is refused" in refused.stderr
    nulls = milepost("SELECT NULL AS void")
    assert nulls.stdout.split()[0] == "void"
