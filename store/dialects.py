"""Conditions, expressions and orders that SQLite and PostgreSQL word differently, as SQL.

`dialect` is "sqlite" or "postgresql"; `column` is SQL too.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

LARGEST_REAL = "1.7976931348623157e308"


def is_json(dialect: str, column: str) -> str:
    """Whether a text is JSON."""
    return f"{column} IS JSON" if dialect == "postgresql" else f"json_valid({column})"


def all_or_none(dialect: str, columns: Sequence[str]) -> str:
    """Whether either all of the columns or none of them is NULL."""
    if dialect == "postgresql":
        return f"num_nulls({', '.join(columns)}) IN (0, {len(columns)})"
    nulls = " + ".join(f"({column} IS NULL)" for column in columns)
    return f"({nulls}) IN (0, {len(columns)})"


def differs(dialect: str, left: str, right: str) -> str:
    """Whether two values are not the same, NULL being a value like others."""
    return f"{left} {'IS DISTINCT FROM' if dialect == 'postgresql' else 'IS NOT'} {right}"


def last_position_given(dialect: str) -> str:
    """The highest position that the log ever gave, even when its event is gone.

    AUTOINCREMENT remembers it in SQLite, and the table log_end in PostgreSQL.
    """
    if dialect == "postgresql":
        return "coalesce((SELECT position FROM log_end), 0)"
    return "coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'event'), 0)"


def holds_other_than_numbers(dialect: str, column: str) -> str:
    """Whether a text that is not NULL is no JSON, or holds other than finite numbers."""
    if dialect == "postgresql":
        # The planner may cast before any CASE around the cast, so that must suit every text.
        value = f"(CASE WHEN {column} IS JSON THEN {column} ELSE '[null]' END)::json"
        strange = f"SELECT 1 FROM {{}}({value}) AS one WHERE {_no_number('one.value')}"
        return (
            f"{column} IS NOT NULL AND CASE json_typeof({value})\n"
            f"WHEN 'object' THEN EXISTS ({strange.format('json_each')})\n"
            f"WHEN 'array' THEN EXISTS ({strange.format('json_array_elements')})\n"
            f"ELSE {_no_number(value)} END"
        )
    return (
        f"{column} IS NOT NULL AND (NOT json_valid({column}) OR EXISTS ("
        f"SELECT 1 FROM json_each({column}) "
        f"WHERE type NOT IN ('integer', 'real') OR abs(value) > {LARGEST_REAL}))"
    )


def _no_number(value: str) -> str:
    return (
        f"CASE WHEN json_typeof({value}) = 'number' "
        f"THEN abs({value}::text::numeric) > {LARGEST_REAL} ELSE true END"
    )


def ordered(dialect: str, terms: str) -> str:
    """The terms of an ORDER BY with NULLs where SQLite has them: before everything else.

    Falling terms say DESC, and NULLs come last in them.
    """
    if dialect == "sqlite":
        return terms
    return ", ".join(
        f"{term} NULLS {'LAST' if term.upper().endswith(' DESC') else 'FIRST'}"
        for term in _split(terms)
    )


def _split(terms: str) -> list[str]:
    """SQL at its commas, but for those within parentheses or quotes."""
    pieces = re.findall(r"(?:'[^']*'|\((?:[^()']|'[^']*')*\)|[^,'()])+", terms)
    return [piece.strip() for piece in pieces]


def present(dialect: str) -> str:
    """The present, UTC, to the end of this second or better, to compare with times of the log."""
    if dialect == "postgresql":
        return """to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')"""
    # DuckDB, which runs SQLite's views, knows this word as well.
    return "replace(CAST(CURRENT_TIMESTAMP AS TEXT), ' ', 'T') || '.999Z'"


def last_user_message(dialect: str, messages: str) -> str:
    """The content of a conversation's last turn of the user, indented as a column of a view."""
    if dialect == "postgresql":
        return f"""(
        SELECT message.turn ->> 'content'
        FROM json_array_elements({messages}::json) WITH ORDINALITY AS message (turn, place)
        WHERE message.turn ->> 'role' = 'user'
        ORDER BY message.place DESC
        LIMIT 1
    )"""
    return f"""(
        SELECT json_extract(message.value, '$.content')
        FROM json_each({messages}) AS message
        WHERE json_extract(message.value, '$.role') = 'user'
        ORDER BY message.key DESC
        LIMIT 1
    )"""
