"""The schema that migrations make is the one that the code declares."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import Engine

from errors import DatabaseMismatch, StoreError
from settings import Settings
from store.engine import SCHEMA_NUMBER, bare_engine, connect
from store.migrations import config, upgrade
from store.schema import METADATA
from views import registry

ON_DISK_ONLY = {"alembic_version", "sqlite_sequence"}


def test_alembic_finds_no_drift(engine: Engine) -> None:
    configuration = config()
    with engine.connect() as connection:
        configuration.attributes["connection"] = connection
        command.check(configuration)


def test_the_declared_tables_are_the_ones_on_disk_and_all_strict(engine: Engine) -> None:
    registry.views(Settings())
    with engine.connect() as connection:
        rows = connection.exec_driver_sql("PRAGMA table_list").all()
    strict = {row[1]: row[5] for row in rows if row[2] == "table" and row[1][:7] != "sqlite_"}
    assert strict.keys() - ON_DISK_ONLY == set(METADATA.tables)
    assert {name for name, is_strict in strict.items() if not is_strict} <= ON_DISK_ONLY


def test_the_check_constraints_are_the_declared_ones(engine: Engine) -> None:
    with engine.connect() as connection:
        query = "SELECT name, sql FROM sqlite_schema WHERE type = 'table'"
        made = {row[0]: row[1] for row in connection.exec_driver_sql(query)}
    for table in METADATA.sorted_tables:
        for constraint in table.constraints:
            text = getattr(constraint, "sqltext", None)
            if text is not None:
                assert str(text) in made[table.name], constraint.name


def test_a_second_upgrade_changes_nothing(database_url: str, engine: Engine) -> None:
    def dump() -> list[str]:
        with sqlite3.connect(str(engine.url.database)) as client:
            return list(client.iterdump())

    before = dump()
    upgrade(database_url)
    assert dump() == before


def test_migrations_go_down_and_up_again(database_url: str) -> None:
    engine = bare_engine(database_url)
    configuration = config()
    with engine.connect() as connection:
        configuration.attributes["connection"] = connection
        command.downgrade(configuration, "base")
    with engine.connect() as connection:
        left = connection.exec_driver_sql("SELECT name FROM sqlite_schema").scalars().all()
    engine.dispose()
    assert {name for name in left if not name.startswith("sqlite_")} == {"alembic_version"}
    upgrade(database_url)
    connect(database_url).dispose()


def test_a_database_from_a_newer_milepost_is_refused(database_url: str, engine: Engine) -> None:
    with sqlite3.connect(str(engine.url.database)) as client:
        client.execute(f"PRAGMA user_version = {SCHEMA_NUMBER + 1}")
    for opening in (connect, upgrade):
        with pytest.raises(DatabaseMismatch, match="a newer Milepost made it"):
            opening(database_url)


def test_a_database_from_an_older_milepost_says_how_to_upgrade(
    database_url: str, engine: Engine
) -> None:
    with sqlite3.connect(str(engine.url.database)) as client:
        client.execute(f"PRAGMA user_version = {SCHEMA_NUMBER - 1}")
    with pytest.raises(DatabaseMismatch, match="milepost db upgrade"):
        connect(database_url)


def test_another_programs_database_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "other.db"
    with sqlite3.connect(file) as client:
        client.execute("CREATE TABLE photo (name TEXT)")
    with pytest.raises(DatabaseMismatch, match="belongs to another program"):
        upgrade(f"sqlite:///{file}")
    with pytest.raises(DatabaseMismatch, match="is not a Milepost database"):
        connect(f"sqlite:///{file}")


def test_a_missing_database_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="`milepost init` makes one"):
        connect(f"sqlite:///{tmp_path / 'none.db'}")
