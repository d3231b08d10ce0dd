"""Fixtures that every package's tests share."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from sqlalchemy import Engine

from store.engine import connect
from store.migrations import upgrade
from tests.postgres import Server, server

os.environ["HF_HUB_OFFLINE"] = "1"

MIGRATED = "migrated"
MAIN = sys.modules["__main__"]


@pytest.fixture(autouse=True)
def _main_stays() -> None:
    """Streamlit leaves its script as __main__, which every process started later would run."""
    sys.modules["__main__"] = MAIN


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file with nothing in it; copy it, don't open it."""
    file = tmp_path_factory.mktemp("empty") / "milepost.db"
    upgrade(f"sqlite:///{file}")
    return file


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """A real server with a migrated database that has nothing in it."""
    with server() as running:
        running.run(f"CREATE DATABASE {MIGRATED}")
        upgrade(running.url(MIGRATED))
        yield running


@pytest.fixture
def sqlite_url(empty_database: Path, tmp_path: Path) -> str:
    file = tmp_path / "milepost.db"
    shutil.copy(empty_database, file)
    return f"sqlite:///{file}"


@pytest.fixture
def postgres_url(postgres: Server) -> Iterator[str]:
    with postgres.copy_of(MIGRATED) as name:
        yield postgres.url(name)


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    return sqlite_url


@pytest.fixture
def sqlite_engine(sqlite_url: str) -> Iterator[Engine]:
    """A writer's engine on SQLite, for what is SQLite's alone."""
    opened = connect(sqlite_url)
    yield opened
    opened.dispose()


@pytest.fixture
def postgres_engine(postgres_url: str) -> Iterator[Engine]:
    """A writer's engine on PostgreSQL, for what is PostgreSQL's alone."""
    opened = connect(postgres_url)
    yield opened
    opened.dispose()


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """A writer's engine on a fresh migrated database."""
    opened = connect(database_url)
    yield opened
    opened.dispose()


class Demo(NamedTuple):
    """A finished `milepost demo`: its workspace, exit code, and all that it printed."""

    workspace: Path
    code: int
    output: str


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """The demo, run once for all tests that need it: minutes."""
    workspace = tmp_path_factory.mktemp("demo") / "workspace"
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-m", "cli", "demo", "--workspace", str(workspace)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return Demo(workspace, ran.returncode, ran.stdout)
