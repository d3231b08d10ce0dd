"""Fixtures that every package's tests share."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from store.engine import connect
from store.migrations import upgrade

os.environ["HF_HUB_OFFLINE"] = "1"


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file with nothing in it; copy it, don't open it."""
    file = tmp_path_factory.mktemp("empty") / "milepost.db"
    upgrade(f"sqlite:///{file}")
    return file


@pytest.fixture
def database_url(empty_database: Path, tmp_path: Path) -> str:
    file = tmp_path / "milepost.db"
    shutil.copy(empty_database, file)
    return f"sqlite:///{file}"


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """A writer's engine on a fresh migrated database."""
    opened = connect(database_url)
    yield opened
    opened.dispose()
