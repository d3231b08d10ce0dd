"""Operations for migrations on what is replaced whole, never altered: SQL views and guards.

A guard makes a table append-only: the database itself refuses UPDATE, DELETE, TRUNCATE and REPLACE
from any client. On PostgreSQL the rights to them are taken away too, from the table's owner as
well; superusers pass by rights, but not by triggers. After alembic's cookbook, "Replaceable
Objects".
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection

WHY = "is append-only: facts are never changed. Append a new event instead."
# PostgreSQL fires triggers in the order of their names; SQLite fires the newest first.
FIRST = {"sqlite": "replace", "postgresql": "again"}
# A foreign key locks the row that it refers to, for which PostgreSQL wants the right to update one
# column of it. The trigger refuses the update itself.
REFERRED_TO = {"event": "position"}


def create_view(connection: Connection, name: str, select: str) -> None:
    """Creates the SQL view `name`, replacing one that is there."""
    connection.exec_driver_sql(f"DROP VIEW IF EXISTS {name}")
    connection.exec_driver_sql(f"CREATE VIEW {name} AS\n{select}")


def drop_view(connection: Connection, name: str) -> None:
    """Drops a SQL view."""
    connection.exec_driver_sql(f"DROP VIEW IF EXISTS {name}")


def guard(connection: Connection, table: str, keys: Sequence[Sequence[str]]) -> None:
    """Makes `table` append-only; `keys` are its primary and unique keys, column by column.

    INSERT OR REPLACE deletes without firing a delete trigger, and ON CONFLICT DO NOTHING says
    nothing, so another trigger refuses, before the insert, any row whose key is there already.
    """
    drop_guard(connection, table)
    for verb in _verbs(connection):
        _refuse(connection, table, verb.lower(), verb, "", f"{table} {WHY}")
    taken = " OR ".join(
        f"EXISTS (SELECT 1 FROM {table} WHERE "
        + " AND ".join(f"{column} = NEW.{column}" for column in key)
        + ")"
        for key in keys
    )
    refuse_insert(connection, table, FIRST[connection.dialect.name], taken, f"{table} {WHY}")
    if connection.dialect.name == "postgresql":
        rights = f"UPDATE, DELETE, TRUNCATE ON {table}"
        connection.exec_driver_sql(f"REVOKE {rights} FROM PUBLIC, CURRENT_USER")
        if column := REFERRED_TO.get(table):
            connection.exec_driver_sql(f"GRANT UPDATE ({column}) ON {table} TO CURRENT_USER")


def refuse_insert(
    connection: Connection, table: str, name: str, condition: str, message: str
) -> None:
    """Refuses, with `message`, each row of `table` for which `condition` on NEW holds."""
    _refuse(connection, table, name, "INSERT", condition, message)


def allow_insert(connection: Connection, table: str, name: str) -> None:
    """Takes back `refuse_insert`."""
    _allow(connection, table, name)


def drop_guard(connection: Connection, table: str) -> None:
    """Takes the guard off, for a migration that must rebuild the table."""
    for name in (*map(str.lower, _verbs(connection)), FIRST[connection.dialect.name]):
        _allow(connection, table, name)
    if connection.dialect.name == "postgresql":
        rights = f"UPDATE, DELETE, TRUNCATE ON {table}"
        connection.exec_driver_sql(f"GRANT {rights} TO CURRENT_USER")


def remember_end(connection: Connection) -> None:
    """Lets PostgreSQL remember the log's highest position, as AUTOINCREMENT does in SQLite.

    A sequence would not do: it stays ahead when the transaction that took its value is undone.
    """
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(
            "CREATE TABLE log_end AS SELECT coalesce(max(position), 0) AS position FROM event"
        )
        connection.exec_driver_sql(
            "CREATE FUNCTION event_moves_end() RETURNS trigger LANGUAGE plpgsql AS $$\n"
            "BEGIN UPDATE log_end SET position = NEW.position; RETURN NULL; END $$"
        )
        connection.exec_driver_sql(
            "CREATE TRIGGER event_moves_end AFTER INSERT ON event\n"
            "FOR EACH ROW EXECUTE FUNCTION event_moves_end()"
        )


def forget_end(connection: Connection) -> None:
    """Takes back `remember_end`."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("DROP FUNCTION event_moves_end() CASCADE")
        connection.exec_driver_sql("DROP TABLE log_end")


def _verbs(connection: Connection) -> tuple[str, ...]:
    changes = ("UPDATE", "DELETE")
    return (*changes, "TRUNCATE") if connection.dialect.name == "postgresql" else changes


def _refuse(
    connection: Connection, table: str, name: str, verb: str, condition: str, message: str
) -> None:
    trigger = f"{table}_refuses_{name}"
    if connection.dialect.name == "sqlite":
        when = f" WHEN {condition}" if condition else ""
        connection.exec_driver_sql(
            f"CREATE TRIGGER {trigger} BEFORE {verb} ON {table}{when}\n"
            f"BEGIN SELECT RAISE(ABORT, '{message}'); END"
        )
        return
    refusal = (
        f"RAISE EXCEPTION USING ERRCODE = 'integrity_constraint_violation', MESSAGE = '{message}';"
    )
    body = f"IF ({condition}) THEN {refusal} END IF; RETURN NEW;" if condition else refusal
    rows = "STATEMENT" if verb == "TRUNCATE" else "ROW"
    connection.exec_driver_sql(
        f"CREATE FUNCTION {trigger}() RETURNS trigger LANGUAGE plpgsql AS $$\nBEGIN {body} END $$"
    )
    connection.exec_driver_sql(
        f"CREATE TRIGGER {trigger} BEFORE {verb} ON {table}\n"
        f"FOR EACH {rows} EXECUTE FUNCTION {trigger}()"
    )


def _allow(connection: Connection, table: str, name: str) -> None:
    trigger = f"{table}_refuses_{name}"
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql(f"DROP TRIGGER IF EXISTS {trigger}")
    else:
        connection.exec_driver_sql(f"DROP FUNCTION IF EXISTS {trigger}() CASCADE")
