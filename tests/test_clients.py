"""Other programs read the database as docs/sql.md says: Datasette, DuckDB, sqlite3 and pandas.

Each has a writer beside it, so part of what it must find is still in the write-ahead log.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import duckdb
import duckdb_extension_sqlite_scanner
import pandas
import pytest

from store.engine import connect
from store.projections import bring_up_to_date
from tests.views.deriving import eventful, settings_with_tests
from views import registry

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "sql.md").read_text(encoding="utf-8")
VIEWS = [view.sql_view for view in registry.views(settings_with_tests())] + [
    "predictions",
    "evaluations",
]
# The page says how to read these in DuckDB.
FOR_SQLITE_ALONE = {
    "predictions", "flips", "data_map", "hard_examples", "corrections", "failed_examples",
}  # fmt: skip
EXTENSION = next(
    Path(duckdb_extension_sqlite_scanner.__path__[0]).rglob("sqlite_scanner.duckdb_extension")
)


def shown(heading: str, language: str) -> list[str]:
    """The blocks of code under a heading of the page."""
    (section,) = re.findall(rf"\n## {heading}\n(.*?)(?=\n## |\Z)", PAGE, flags=re.DOTALL)
    return re.findall(rf"```{language}\n(.*?)```", section, flags=re.DOTALL)


@pytest.fixture(scope="module")
def file(empty_database: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A database that a writer has open, with its derived views."""
    copy = tmp_path_factory.mktemp("clients") / "milepost.db"
    shutil.copy(empty_database, copy)
    writer = connect(f"sqlite:///{copy}")
    with writer.connect():
        for _ in eventful(writer):
            pass
        projections = registry.projections(settings_with_tests())
        assert bring_up_to_date(writer, projections) == []
        assert copy.with_name("milepost.db-wal").stat().st_size > 0
        yield copy
    writer.dispose()


@pytest.fixture(autouse=True)
def _beside_the_database(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(file.parent)


def asked(query: str) -> list[tuple[Any, ...]]:
    """What SQLite's own driver answers."""
    connection = sqlite3.connect("milepost.db")
    rows = connection.execute(query).fetchall()
    connection.close()
    return rows


@pytest.fixture
def duck() -> Iterator[duckdb.DuckDBPyConnection]:
    """DuckDB with the database attached as on the page, but for the download."""
    connection = duckdb.connect()
    opening = shown("In DuckDB", "sql")[0].partition("SELECT")[0]
    assert opening.split(";")[:2] == ["INSTALL sqlite", "\nLOAD sqlite"]
    connection.execute(f"LOAD '{EXTENSION}'")
    connection.execute(opening.split(";")[2])
    yield connection
    connection.close()


def test_duckdb_answers_the_queries_on_the_page(duck: duckdb.DuckDBPyConnection) -> None:
    first, second = shown("In DuckDB", "sql")
    found = duck.execute("SELECT " + first.partition("SELECT ")[2]).fetchall()
    assert found == [
        (run, step, pytest.approx(loss))
        for run, step, loss in asked(
            "SELECT run, step, avg(loss) FROM results GROUP BY run, step ORDER BY run, step"
        )
    ]
    assert duck.execute(second).fetchall() == [
        (difficulty, n, pytest.approx(loss))
        for difficulty, n, loss in asked(
            "SELECT difficulty, count(*), avg(loss) FROM predictions GROUP BY 1 ORDER BY 1"
        )
    ]


@pytest.mark.parametrize("view", VIEWS)
def test_duckdb_reads_views_or_hands_them_to_sqlite(
    duck: duckdb.DuckDBPyConnection, view: str
) -> None:
    number = asked(f"SELECT count(*) FROM {view}")
    through_sqlite = f"SELECT count(*) FROM sqlite_query('milepost', 'SELECT * FROM {view}')"
    assert duck.execute(through_sqlite).fetchall() == number
    directly = f"SELECT * FROM milepost.{view}"
    if view in FOR_SQLITE_ALONE:
        with pytest.raises(duckdb.Error):
            duck.execute(directly).fetchall()
    else:
        assert len(duck.execute(directly).fetchall()) == number[0][0]


def test_duckdb_sums_a_fact_table_as_sqlite_does(duck: duckdb.DuckDBPyConnection) -> None:
    query = "SELECT count(example_id), count(error), sum(target_logprob) FROM {}prediction"
    (found,) = duck.execute(query.format("milepost.")).fetchall()
    ((n, errors, total),) = asked(query.format(""))
    assert found == (n, errors, pytest.approx(total))
    assert n > 0


def test_duckdb_cannot_write(duck: duckdb.DuckDBPyConnection) -> None:
    with pytest.raises(duckdb.Error, match="read-only"):
        duck.execute("DELETE FROM milepost.heartbeat")


@pytest.fixture(scope="module")
def datasette(file: Path) -> Iterator[str]:
    """The address of a Datasette that serves the database on a free port."""
    server = subprocess.Popen(
        [sys.executable, "-m", "datasette", str(file), "--port", "0"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert server.stderr is not None
    said = (re.search(r"running on (http://\S+)", line) for line in server.stderr)
    yield next(found[1] for found in said if found)
    server.terminate()
    server.communicate()


@pytest.mark.parametrize("view", [*VIEWS, "event"])
def test_datasette_serves_every_view_as_json(datasette: str, view: str) -> None:
    with urlopen(f"{datasette}/milepost/{view}.json?_shape=array&_size=max") as answer:
        found = json.load(answer)
    connection = sqlite3.connect("milepost.db")
    connection.row_factory = sqlite3.Row
    rows = [dict(row) for row in connection.execute(f"SELECT * FROM {view}")]
    connection.close()
    assert sorted(map(json.dumps, found)) == sorted(map(json.dumps, rows))
    assert rows


@pytest.mark.skipif(
    shutil.which("sqlite3") is None and os.environ.get("CI") != "true",
    reason="the sqlite3 shell is missing: apt-get install sqlite3",
)
def test_the_sqlite_shell_runs_the_command_on_the_page() -> None:
    (command,) = shown("With sqlite3", "sh")
    ran = subprocess.run(command, shell=True, capture_output=True, text=True, check=True)
    header, _line, *rows = ran.stdout.splitlines()
    assert header.split() == ["run", "step", "score"]
    assert len(rows) == asked("SELECT count(*) FROM rankings")[0][0]


def test_pandas_runs_the_lines_on_the_page() -> None:
    (code,) = shown("With pandas", "python")
    names: dict[str, Any] = {}
    exec(code, names)
    losses = names["losses"]
    names["connection"].close()
    assert isinstance(losses, pandas.DataFrame)
    ((expected,),) = asked("SELECT avg(loss) FROM results WHERE step = 200 AND suite = 'easy'")
    assert losses.loc[200, "easy"] == pytest.approx(expected)
