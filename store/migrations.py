"""Makes a database and brings its schema up to this Milepost's, through alembic."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError, ProgrammingError

from errors import DatabaseMismatch, StoreError
from store import backup, postgresql
from store.backup import Progress
from store.engine import (
    APPLICATION_ID,
    SCHEMA_NUMBER,
    bare_engine,
    marks,
    name_of,
    reading,
    refuse_newer,
    sqlite_file,
)
from store.liveness import heartbeats

PROJECT_FILE = Path(__file__).resolve().parent.parent / "pyproject.toml"


def upgrade(url: str, revision: str = "head") -> None:
    """Creates the database behind `url`, or upgrades it; does nothing to one that is up to date.

    Raises DatabaseMismatch for one that is another program's, or a newer Milepost's, and
    StoreError where PostgreSQL does not let its user make tables.
    """
    file = sqlite_file(url)
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
    engine = bare_engine(url)
    try:
        refuse_foreign(engine)
        with engine.connect() as connection:
            command.upgrade(config(connection), revision)
    except ProgrammingError as error:
        if getattr(error.orig, "sqlstate", None) != "42501":
            raise
        raise StoreError(
            f"{name_of(engine)}: {str(error.orig).strip()}. Its user must own the database: "
            "ALTER DATABASE … OWNER TO …"
        ) from error
    finally:
        engine.dispose()


def downgrade(url: str, revision: str) -> None:
    """Takes the schema back to an older revision; the facts stay."""
    engine = bare_engine(url)
    try:
        with engine.connect() as connection:
            command.downgrade(config(connection), revision)
    finally:
        engine.dispose()


class Upgraded(NamedTuple):
    """The schema's number before (0: there was no database) and after, and the backup if any."""

    before: int
    after: int
    backup: Path | None

    @property
    def words(self) -> str:
        """What was done, in a line."""
        if self.before == 0:
            return f"Made a database with schema {self.after}."
        if self.before == self.after:
            return f"The database is up to date: it has schema {self.after}."
        kept = f" As it was before, it is kept in {self.backup}." if self.backup else ""
        return f"The database had schema {self.before} and has {self.after} now.{kept}"


def upgrade_safely(
    url: str, *, with_backup: bool = True, progress: Progress = lambda _word: None
) -> Upgraded:
    """`upgrade`, with a checked backup first; nothing of it where the database is up to date.

    The backup stands in the folder `backups` beside the database. Raises StoreError, before
    anything is changed, while Milepost's processes run on an older schema, and where there is no
    backup to be had; and where a migration fails, which leaves the database as it was.
    """
    before = schema_number(url)
    if before == SCHEMA_NUMBER:
        return Upgraded(before, before, None)
    kept = None
    if before != 0:
        _refuse_running(url)
        if with_backup:
            kept = _backup(url, before, progress)
    progress("upgrading")
    try:
        upgrade(url)
    except DBAPIError as error:
        raise StoreError(
            f"the upgrade failed: {str(error.orig).strip()}. The database is as it was, with "
            f"schema {before}."
        ) from error
    return Upgraded(before, SCHEMA_NUMBER, kept)


def schema_number(url: str) -> int:
    """The number of the schema of the database behind `url`; 0 where there is none yet.

    Raises DatabaseMismatch as `upgrade` does.
    """
    file = sqlite_file(url)
    if file is not None and not file.is_file():
        return 0
    engine = bare_engine(url)
    try:
        return refuse_foreign(engine)
    finally:
        engine.dispose()


def _refuse_running(url: str) -> None:
    """Raises StoreError while processes that know only the older schema have the database open."""
    engine = bare_engine(url)
    try:
        with reading(engine) as connection:
            running = [
                f"{beat.process} (process {beat.pid} on {beat.host})"
                for beat in heartbeats(connection)
                if beat.alive
            ]
    finally:
        engine.dispose()
    if running:
        raise StoreError(
            f"these run on the older schema: {', '.join(running)}. End them first, then upgrade."
        )


def _backup(url: str, number: int, progress: Progress) -> Path:
    file = sqlite_file(url)
    if file is None:
        raise StoreError(
            "Milepost makes no backup of a PostgreSQL database: take a pg_dump first, then pass "
            "--without-backup to `milepost db upgrade`."
        )
    folder = file.parent / "backups"
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise StoreError(f"{folder} cannot be made for the backup: {error.strerror}.") from error
    target = folder / f"{file.stem}-schema-{number:02}-{datetime.now(UTC):%Y%m%d-%H%M%S}.db"
    return backup.write(file, target, progress=progress).file


def config(connection: Connection | None = None) -> Config:
    """alembic's configuration, from pyproject.toml, to run on `connection`."""
    found = Config(toml_file=PROJECT_FILE)
    found.attributes["connection"] = connection
    return found


def refuse_foreign(engine: Engine) -> int:
    """The schema's number; raises DatabaseMismatch for a database that is not this Milepost's."""
    with reading(engine) as connection:
        application, number = marks(connection)
        if connection.dialect.name == "postgresql":
            postgresql.refuse_unfit(connection)
            tables = postgresql.tables(connection)
        else:
            tables = connection.execute(text("SELECT count(*) FROM sqlite_schema")).scalar_one()
    if tables and application != APPLICATION_ID:
        raise DatabaseMismatch(
            f"{name_of(engine)} belongs to another program. "
            "Name another database in [database] url."
        )
    refuse_newer(engine, number)
    return number
