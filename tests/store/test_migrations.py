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
from tests.store.clients import client, run
from views import registry

# What is there besides the tables' own indexes and row types.
LEFT = {
    "sqlite": "SELECT name FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%'",
    "postgresql": (
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace "
        "AND relkind <> 'i' UNION ALL "
        "SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace"
    ),
}

ON_DISK_ONLY = {"alembic_version", "sqlite_sequence"}


def test_alembic_finds_no_drift(engine: Engine) -> None:
    configuration = config()
    with engine.connect() as connection:
        configuration.attributes["connection"] = connection
        command.check(configuration)


def test_the_declared_tables_are_the_ones_on_disk_and_all_strict(
    sqlite_engine: Engine,
) -> None:
    registry.views(Settings())
    with sqlite_engine.connect() as connection:
        rows = connection.exec_driver_sql("PRAGMA table_list").all()
    strict = {row[1]: row[5] for row in rows if row[2] == "table" and row[1][:7] != "sqlite_"}
    assert strict.keys() - ON_DISK_ONLY == set(METADATA.tables)
    assert {name for name, is_strict in strict.items() if not is_strict} <= ON_DISK_ONLY


def test_the_check_constraints_are_the_declared_ones(sqlite_engine: Engine) -> None:
    with sqlite_engine.connect() as connection:
        query = "SELECT name, sql FROM sqlite_schema WHERE type = 'table'"
        made = {row[0]: row[1] for row in connection.exec_driver_sql(query)}
    for table in METADATA.sorted_tables:
        for constraint in table.constraints:
            text = getattr(constraint, "sqltext", None)
            if text is not None:
                assert str(text) in made[table.name], constraint.name


def test_a_second_upgrade_changes_nothing(sqlite_url: str, sqlite_engine: Engine) -> None:
    def dump() -> list[str]:
        with sqlite3.connect(str(sqlite_engine.url.database)) as client:
            return list(client.iterdump())

    before = dump()
    upgrade(sqlite_url)
    assert dump() == before


def test_migrations_go_down_and_up_again(database_url: str) -> None:
    engine = bare_engine(database_url)
    configuration = config()
    with engine.connect() as connection:
        configuration.attributes["connection"] = connection
        command.downgrade(configuration, "base")
    with engine.connect() as connection:
        left = connection.exec_driver_sql(LEFT[engine.dialect.name]).scalars().all()
    engine.dispose()
    assert left == ["alembic_version"]
    upgrade(database_url)
    connect(database_url).dispose()


def set_number(engine: Engine, number: int) -> None:
    with client(engine) as other:
        if engine.dialect.name == "sqlite":
            run(other, f"PRAGMA user_version = {number}")
        else:
            run(other, f"UPDATE alembic_version SET version_num = '{number:04}'")


def test_a_database_from_a_newer_milepost_is_refused(database_url: str, engine: Engine) -> None:
    set_number(engine, SCHEMA_NUMBER + 1)
    for opening in (connect, upgrade):
        with pytest.raises(DatabaseMismatch, match="a newer Milepost made it"):
            opening(database_url)


def test_a_database_from_an_older_milepost_says_how_to_upgrade(
    database_url: str, engine: Engine
) -> None:
    set_number(engine, SCHEMA_NUMBER - 1)
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
