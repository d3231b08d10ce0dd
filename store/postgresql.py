"""PostgreSQL: how its engines are made, what a database says of itself, and its faults in words."""

from __future__ import annotations

from sqlalchemy import URL, Connection, Engine, ExceptionContext, create_engine, event, text
from sqlalchemy.exc import NoSuchModuleError

from errors import DiskFull, StoreError

DRIVER = "postgresql+psycopg"
# The first one with IS JSON.
OLDEST_SERVER = 16
CONNECT_TIMEOUT_SECONDS = 10


def engine(url: URL, *, read_only: bool) -> Engine:
    """An engine; of a read-only one every transaction is one snapshot and refuses to write.

    Raises StoreError for a database or a driver that Milepost does not speak.
    """
    if url.drivername not in (DRIVER, "postgresql"):
        raise StoreError(
            f"{named(url)}: Milepost keeps its log in SQLite (sqlite:///FILE) or PostgreSQL "
            f"({DRIVER}://USER@HOST/NAME)."
        )
    try:
        made = create_engine(
            url.set(drivername=DRIVER),
            connect_args={"connect_timeout": CONNECT_TIMEOUT_SECONDS},
            # A dashboard outlives a restart of the server.
            pool_pre_ping=True,
        )
    except (ModuleNotFoundError, NoSuchModuleError) as error:
        raise StoreError(
            f'{named(url)} needs a driver: pip install "psycopg[binary]". ({error})'
        ) from error
    event.listen(made, "handle_error", translate)
    return snapshots(made) if read_only else made


def snapshots(made: Engine) -> Engine:
    """The same engine, for reads alone: each transaction sees the database of one moment."""
    return made.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)


def named(url: URL) -> str:
    """The URL for a message, without the password."""
    return url.render_as_string(hide_password=True)


def schema_number(connection: Connection) -> int | None:
    """The number of the newest migration; None for a database that is not Milepost's."""
    ours = "to_regclass('alembic_version') IS NOT NULL AND to_regclass('token_trace') IS NOT NULL"
    if not connection.execute(text(f"SELECT {ours}")).scalar_one():
        return None
    return int(
        connection.execute(text("SELECT max(version_num) FROM alembic_version")).scalar_one()
    )


def tables(connection: Connection) -> int:
    """How many tables stand where Milepost's would; alembic's own stays when all are taken away."""
    query = (
        "SELECT count(*) FROM pg_tables "
        "WHERE schemaname = current_schema() AND tablename <> 'alembic_version'"
    )
    return int(connection.execute(text(query)).scalar_one())


def refuse_unfit(connection: Connection) -> None:
    """Raises StoreError for a server that is too old, or a database that is not UTF-8."""
    at = named(connection.engine.url)
    version = int(connection.execute(text("SHOW server_version_num")).scalar_one()) // 10_000
    if version < OLDEST_SERVER:
        raise StoreError(f"{at} is PostgreSQL {version}: Milepost needs {OLDEST_SERVER} or newer.")
    encoding = connection.execute(text("SHOW server_encoding")).scalar_one()
    if encoding != "UTF8":
        raise StoreError(
            f"{at} has the encoding {encoding}: make it by CREATE DATABASE … ENCODING 'UTF8'."
        )


def translate(context: ExceptionContext) -> None:
    """Raises a StoreError in place of an error that is none of the statement's.

    For SQLAlchemy's event `handle_error`; other errors go on as they are.
    """
    if context.engine is None:
        return
    error, url = context.original_exception, context.engine.url
    at, words = named(url), " ".join(str(error).split()).rstrip(".")
    if url.password:
        words = words.replace(str(url.password), "***")
    if context.is_disconnect:
        raise StoreError(
            f"the connection to {at} was lost ({words}). Nothing that was acknowledged is lost: "
            "start again when the server runs."
        ) from error
    if context.connection is None:
        raise StoreError(
            f"no connection to {at}: {words}. See that the server runs and the database is there, "
            "and correct [database] url in milepost.toml, or MILEPOST_DATABASE__URL."
        ) from error
    if getattr(error, "sqlstate", None) == "53100":
        raise DiskFull(
            f"the disk of {at} is full ({words}). Make space, then start again. "
            "Nothing that was acknowledged is lost."
        ) from error
