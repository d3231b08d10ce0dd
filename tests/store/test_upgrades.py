"""Each migration keeps the facts, their guards and their positions, from wherever it starts.

The revisions are those in the folder, so that the next one is covered as it comes.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from alembic import command

from errors import StoreError
from settings import Settings
from store import log
from store.check import check
from store.engine import SCHEMA_NUMBER, bare_engine, connect
from store.events import PredictionsRecorded
from store.log import Rows
from store.migrations import config, downgrade, schema_number, upgrade, upgrade_safely
from store.projections import bring_up_to_date
from store.records import Prediction, TokenTrace
from tests.views.deriving import eventful
from views import registry

FACTS = ("event", "example", "prediction", "token_trace")
LATER = range(2, SCHEMA_NUMBER + 1)

Facts = dict[str, list[tuple[object, ...]]]


@pytest.fixture(scope="module")
def populated(empty_database: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database of this schema in which everything has happened and every view is derived."""
    file = tmp_path_factory.mktemp("populated") / "milepost.db"
    shutil.copy(empty_database, file)
    engine = connect(f"sqlite:///{file}")
    for _ in eventful(engine):
        pass
    event = PredictionsRecorded(evaluation_id="e", batch="1", scored=1, failed=1)
    rows = Rows(
        predictions=[
            Prediction("e", "Gruß", choice_logprobs=(-0.5, -1e-300), prompt_truncated=True),
            Prediction("e", "Gruß", 1, choice_logprobs=(-1.7976931348623157e308, -0.0)),
            Prediction("e", "z", error="line\nbreak, 'quotes' and \x00"),
        ],
        traces=[TokenTrace("e", "Gruß", 0, "target", ("j", "ä"), b"ab", b"\x00\xff", b"ef")],
    )
    log.append(engine, event, rows=rows)
    assert bring_up_to_date(engine, registry.projections(Settings())) == []
    engine.dispose()
    with closing(sqlite3.connect(file)) as client:
        client.execute("PRAGMA journal_mode = DELETE")
    return file


@contextmanager
def opened(file: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(file, isolation_level=None)) as client:
        client.execute("PRAGMA foreign_keys = ON")
        yield client


def columns(client: sqlite3.Connection, table: str, schema: str = "main") -> list[str]:
    query = f"SELECT name FROM pragma_table_info('{table}', '{schema}')"
    return [name for (name,) in client.execute(query)]


def tables(client: sqlite3.Connection, schema: str = "main") -> set[str]:
    query = (
        f"SELECT name FROM {schema}.sqlite_schema WHERE type = 'table' "
        "AND name NOT IN ('alembic_version', 'sqlite_sequence')"
    )
    return {name for (name,) in client.execute(query)}


def populate(file: Path, populated: Path, only: Sequence[str] | None = None) -> None:
    """Fills an older database with the rows of `populated`, event by event, as far as they fit.

    All tables are filled that both have, or `only` these.
    """
    with opened(file) as client:
        client.execute("ATTACH ? AS there", (str(populated),))

        def copy(table: str, where: str = "", verb: str = "INSERT") -> None:
            names = [
                one for one in columns(client, table) if one in columns(client, table, "there")
            ]
            listed = ", ".join(names)
            client.execute(
                f"{verb} INTO main.{table} ({listed}) SELECT {listed} FROM there.{table} {where}"
            )

        client.execute("BEGIN")
        for (position,) in client.execute("SELECT position FROM there.event ORDER BY 1").fetchall():
            for table in FACTS:
                copy(table, f"WHERE position = {position}")
        derived = tables(client) & tables(client, "there") if only is None else set(only)
        for table in sorted(derived - set(FACTS)):
            # Two rows of now may have had one key then.
            copy(table, verb="INSERT OR IGNORE")
        client.execute("COMMIT")


def facts(file: Path, only: Facts | None = None) -> Facts:
    """All rows of the facts, each table with its column names first; of `only`'s columns if given.

    Each value comes with its type in SQLite, so that 1 is not 1.0.
    """
    with opened(file) as client:
        found: Facts = {}
        for table in FACTS:
            names = only[table][0] if only else tuple(columns(client, table))
            selected = ", ".join(f"{name}, typeof({name})" for name in names)
            rows = client.execute(f"SELECT {selected} FROM {table} ORDER BY position, 1, 3, 5")
            found[table] = [names, *rows]
    return found


def assert_guarded(client: sqlite3.Connection) -> None:
    for table in FACTS:
        assert client.execute(f"SELECT count(*) FROM {table}").fetchone()[0] > 0
        for statement in (
            f"UPDATE {table} SET position = position",
            f"DELETE FROM {table}",
            f"INSERT OR REPLACE INTO {table} SELECT * FROM {table}",
        ):
            with pytest.raises(sqlite3.IntegrityError, match=f"{table} is append-only"):
                client.execute(statement)


def assert_strict(client: sqlite3.Connection) -> None:
    rows = client.execute("SELECT name, strict FROM pragma_table_list WHERE schema = 'main'")
    strict = dict(rows.fetchall())
    assert all(strict[table] for table in tables(client))


def assert_positions_go_on(client: sqlite3.Connection) -> None:
    """AUTOINCREMENT is there: the table remembers the last position given."""
    last = client.execute("SELECT max(position) FROM event").fetchone()[0]
    remembered = "SELECT seq FROM sqlite_sequence WHERE name = 'event'"
    assert client.execute(remembered).fetchone() == (last,)
    names = [one for one in columns(client, "event") if one not in ("position", "event_id")]
    names.remove("version")
    client.execute("BEGIN")
    client.execute(
        f"INSERT INTO event (position, event_id, version, {', '.join(names)}) "
        f"SELECT {last + 1}, 'next', version + 1, {', '.join(names)} FROM event AS old "
        f"WHERE position = {last}"
    )
    assert client.execute(remembered).fetchone() == (last + 1,)
    client.execute("ROLLBACK")


def assert_sound(file: Path) -> None:
    with opened(file) as client:
        assert client.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert client.execute("PRAGMA foreign_key_check").fetchall() == []
        assert_guarded(client)
        assert_strict(client)
        assert_positions_go_on(client)


def assert_as_new(file: Path) -> None:
    """The schema is the declared one, word for word a new database's, and the chain holds."""
    engine = bare_engine(f"sqlite:///{file}")
    with engine.connect() as connection:
        command.check(config(connection))
    assert check(engine).findings == []
    engine.dispose()


@pytest.mark.parametrize("number", LATER)
def test_each_migration_keeps_the_facts(number: int, populated: Path, tmp_path: Path) -> None:
    file = tmp_path / "milepost.db"
    url = f"sqlite:///{file}"
    upgrade(url, f"{number - 1:04}")
    populate(file, populated)
    before = facts(file)
    assert_sound(file)
    upgrade(url, f"{number:04}")
    assert facts(file, before) == before
    assert_sound(file)
    upgrade(url)
    assert facts(file, before) == before
    assert_sound(file)
    assert_as_new(file)


@pytest.mark.parametrize("number", LATER)
def test_each_migration_goes_down_and_up_again_with_the_facts(
    number: int, populated: Path, tmp_path: Path
) -> None:
    file = tmp_path / "milepost.db"
    shutil.copy(populated, file)
    before = facts(file)
    downgrade(f"sqlite:///{file}", f"{number - 1:04}")
    assert_sound(file)
    upgrade(f"sqlite:///{file}")
    assert facts(file) == before
    assert_sound(file)
    assert_as_new(file)


def test_a_log_from_the_first_schema_gives_the_views_that_one_from_the_present_gives(
    populated: Path, tmp_path: Path
) -> None:
    file = tmp_path / "milepost.db"
    upgrade(f"sqlite:///{file}", "0001")
    populate(file, populated, FACTS)
    upgrade(f"sqlite:///{file}")
    engine = connect(f"sqlite:///{file}")
    assert bring_up_to_date(engine, registry.projections(Settings())) == []
    engine.dispose()
    with opened(file) as client:
        client.execute("ATTACH ? AS there", (str(populated),))
        for table in sorted(tables(client) - set(FACTS)):
            here, there = (
                Counter(client.execute(f"SELECT * FROM {schema}.{table}").fetchall())
                for schema in ("main", "there")
            )
            assert here == there, table
        assert client.execute("SELECT count(*) FROM regression").fetchone()[0] > 0


def test_an_upgrade_that_fails_leaves_the_database_as_it_was(
    populated: Path, tmp_path: Path
) -> None:
    file = tmp_path / "milepost.db"
    upgrade(f"sqlite:///{file}", "0010")
    populate(file, populated)
    with opened(file) as client:
        client.execute("CREATE TABLE alert (in_the_way TEXT)")
        before = list(client.iterdump())
    with pytest.raises(
        StoreError, match=r"failed: table alert already exists\. The database is as"
    ):
        upgrade_safely(f"sqlite:///{file}")
    with opened(file) as client:
        assert list(client.iterdump()) == before
    assert schema_number(f"sqlite:///{file}") == 10
    (backup,) = (tmp_path / "backups").iterdir()
    assert facts(backup) == facts(file)


def test_postgresql_is_upgraded_once_there_is_a_dump(postgres_url: str) -> None:
    downgrade(postgres_url, f"{SCHEMA_NUMBER - 1:04}")
    with pytest.raises(StoreError, match="take a pg_dump first, then pass --without-backup"):
        upgrade_safely(postgres_url)
    assert schema_number(postgres_url) == SCHEMA_NUMBER - 1
    done = upgrade_safely(postgres_url, with_backup=False)
    assert done == (SCHEMA_NUMBER - 1, SCHEMA_NUMBER, None)
    assert upgrade_safely(postgres_url) == (SCHEMA_NUMBER, SCHEMA_NUMBER, None)
