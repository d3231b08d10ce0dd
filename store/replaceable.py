"""Operations for migrations on what is replaced whole, never altered: SQL views and guards.

A guard makes a table append-only: SQLite itself refuses UPDATE, DELETE and REPLACE from any
client. After alembic's cookbook, "Replaceable Objects".
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection

WHY = "is append-only: facts are never changed. Append a new event instead."


def create_view(connection: Connection, name: str, select: str) -> None:
    """Creates the SQL view `name`, replacing one that is there."""
    connection.exec_driver_sql(f"DROP VIEW IF EXISTS {name}")
    connection.exec_driver_sql(f"CREATE VIEW {name} AS\n{select}")


def drop_view(connection: Connection, name: str) -> None:
    """Drops a SQL view."""
    connection.exec_driver_sql(f"DROP VIEW IF EXISTS {name}")


def guard(connection: Connection, table: str, keys: Sequence[Sequence[str]]) -> None:
    """Makes `table` append-only; `keys` are its primary and unique keys, column by column.

    INSERT OR REPLACE deletes without firing a delete trigger, so a third trigger refuses, before
    the insert, any row whose key is there already.
    """
    drop_guard(connection, table)
    for verb in ("UPDATE", "DELETE"):
        connection.exec_driver_sql(
            f"CREATE TRIGGER {table}_refuses_{verb.lower()} BEFORE {verb} ON {table}\n"
            f"BEGIN SELECT RAISE(ABORT, '{table} {WHY}'); END"
        )
    taken = " OR ".join(
        f"EXISTS (SELECT 1 FROM {table} WHERE "
        + " AND ".join(f"{column} = NEW.{column}" for column in key)
        + ")"
        for key in keys
    )
    connection.exec_driver_sql(
        f"CREATE TRIGGER {table}_refuses_replace BEFORE INSERT ON {table} WHEN {taken}\n"
        f"BEGIN SELECT RAISE(ABORT, '{table} {WHY}'); END"
    )


def refuse_insert(
    connection: Connection, table: str, name: str, condition: str, message: str
) -> None:
    """Refuses, with `message`, each row of `table` for which `condition` on NEW holds."""
    connection.exec_driver_sql(
        f"CREATE TRIGGER {table}_refuses_{name} BEFORE INSERT ON {table} WHEN {condition}\n"
        f"BEGIN SELECT RAISE(ABORT, '{message}'); END"
    )


def allow_insert(connection: Connection, table: str, name: str) -> None:
    """Takes back `refuse_insert`."""
    connection.exec_driver_sql(f"DROP TRIGGER IF EXISTS {table}_refuses_{name}")


def drop_guard(connection: Connection, table: str) -> None:
    """Takes the guard off, for a migration that must rebuild the table."""
    for verb in ("update", "delete", "replace"):
        connection.exec_driver_sql(f"DROP TRIGGER IF EXISTS {table}_refuses_{verb}")
