"""Makes a database and brings its schema up to this Milepost's, through alembic."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Engine, text

from errors import DatabaseMismatch
from store.engine import (
    APPLICATION_ID,
    bare_engine,
    marks,
    reading,
    refuse_newer,
    sqlite_file,
)

PROJECT_FILE = Path(__file__).resolve().parent.parent / "pyproject.toml"


def upgrade(url: str, revision: str = "head") -> None:
    """Creates the database behind `url`, or upgrades it; does nothing to one that is up to date.

    Raises DatabaseMismatch for a file that is another program's, or a newer Milepost's.
    """
    file = sqlite_file(url)
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
    engine = bare_engine(url)
    try:
        if file is not None:
            _refuse_foreign(engine)
        with engine.connect() as connection:
            configuration = config()
            configuration.attributes["connection"] = connection
            command.upgrade(configuration, revision)
    finally:
        engine.dispose()


def config() -> Config:
    """alembic's configuration, from pyproject.toml."""
    return Config(toml_file=PROJECT_FILE)


def _refuse_foreign(engine: Engine) -> None:
    """Raises DatabaseMismatch for a file that is not this Milepost's to upgrade."""
    with reading(engine) as connection:
        application, number = marks(connection)
        tables = connection.execute(text("SELECT count(*) FROM sqlite_schema")).scalar_one()
    if tables and application != APPLICATION_ID:
        raise DatabaseMismatch(
            f"{engine.url.database} belongs to another program. "
            "Name another file in [database] url."
        )
    refuse_newer(engine, number)
