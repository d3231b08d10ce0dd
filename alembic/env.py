"""Runs the migrations, in one transaction, on the connection handed over by store.migrations.

`alembic` on the command line works too: it takes the database of the nearest workspace.
"""

from __future__ import annotations

from typing import Any

from alembic import context
from sqlalchemy import Connection

from settings import Settings, find_workspace
from store.engine import APPLICATION_ID, bare_engine, lock_log
from store.schema import METADATA
from views import registry

# Naming the views makes their modules' tables part of METADATA.
registry.views(Settings())


def mark(ctx: Any, step: Any, **_: Any) -> None:
    """Writes the schema number into the file, where any reader finds it before the tables."""
    if ctx.dialect.name == "sqlite":
        reached = step.up_revision_ids if step.is_upgrade else step.down_revision_ids
        ctx.connection.exec_driver_sql(f"PRAGMA application_id = {APPLICATION_ID}")
        ctx.connection.exec_driver_sql(f"PRAGMA user_version = {int(max(reached, default='0'))}")


def is_declared(name: str | None, kind: str, _parents: Any) -> bool:
    """Whether alembic compares it with the declared tables; log_end is there for triggers alone."""
    return (kind, name) != ("table", "log_end")


def run(connection: Connection) -> None:
    """Brings the database behind `connection` to the revision asked for."""
    context.configure(
        connection=connection,
        target_metadata=METADATA,
        transactional_ddl=True,
        on_version_apply=mark,
        compare_type=True,
        include_name=is_declared,
    )
    with context.begin_transaction():
        lock_log(connection)
        context.run_migrations()


given = context.config.attributes.get("connection")
if given is not None:
    run(given)
else:
    with bare_engine(find_workspace().database_url).connect() as opened:
        run(opened)
