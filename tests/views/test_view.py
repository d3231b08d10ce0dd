"""Which of a view's rows are asked for, and how many there are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, create_engine, text

from views.view import Column, View

VIEW = View(
    name="fruits",
    title="Fruits",
    question="Which fruits?",
    sql_view="fruits",
    columns=(
        Column("run", "Run", "text", ""),
        Column("rank", "Rank", "number", ""),
        Column("type", "Type", "text", ""),
        Column("ripe", "Ripe", "flag", ""),
    ),
    order="run, rank",
)
ROWS = [
    ("first", 1, "apple", 1),
    ("first", 2, "pear", 0),
    ("first", 3, None, None),
    ("first", 4, "apple", 0),
    ("second", 1, "plum", 1),
]


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[Connection]:
    engine = create_engine(f"sqlite:///{tmp_path}/fruits.db")
    with engine.connect() as opened:
        opened.execute(text("CREATE TABLE fruits (run, rank, type, ripe)"))
        for row in reversed(ROWS):
            opened.exec_driver_sql("INSERT INTO fruits VALUES (?, ?, ?, ?)", row)
        yield opened
    engine.dispose()


def ranks(connection: Connection, **wanted: object) -> list[int]:
    rows = VIEW.rows(connection, run="first", **wanted)  # type: ignore[arg-type]
    return [row["rank"] for row in rows]


def test_all_rows_come_in_the_views_order(connection: Connection) -> None:
    found = [(row["run"], row["rank"]) for row in VIEW.rows(connection)]
    assert found == [row[:2] for row in ROWS]


def test_flags_are_bool_and_what_was_not_measured_is_none(connection: Connection) -> None:
    found = [row["ripe"] for row in VIEW.rows(connection, run="first")]
    assert found == [True, False, None, False]


def test_a_stretch_of_the_rows_begins_after_the_offset(connection: Connection) -> None:
    assert ranks(connection, limit=2, offset=1) == [2, 3]


def test_a_limit_beyond_the_end_is_no_error(connection: Connection) -> None:
    assert ranks(connection, limit=9, offset=3) == [4]


def test_only_rows_with_one_of_the_values(connection: Connection) -> None:
    assert ranks(connection, only={"type": ("apple", "plum")}) == [1, 4]
    assert ranks(connection, only={"type": ("apple",), "ripe": (0,)}) == [4]


def test_none_among_the_values_is_what_was_not_measured(connection: Connection) -> None:
    assert ranks(connection, only={"type": (None,)}) == [3]
    assert ranks(connection, only={"type": ("pear", None)}) == [2, 3]


def test_no_value_at_all_leaves_no_row(connection: Connection) -> None:
    assert ranks(connection, only={"type": ()}) == []


def test_rows_are_counted_by_what_they_have_in_common(connection: Connection) -> None:
    counts = VIEW.counts(connection, ["run", "type"])
    assert {(one["run"], one["type"]): one["rows"] for one in counts} == {
        ("first", "apple"): 2,
        ("first", "pear"): 1,
        ("first", None): 1,
        ("second", "plum"): 1,
    }


def test_counts_are_of_the_run_and_of_the_rows_asked_for(connection: Connection) -> None:
    counts = VIEW.counts(connection, ["type"], run="first", only={"ripe": (0,)})
    assert {one["type"]: one["rows"] for one in counts} == {"apple": 1, "pear": 1}
