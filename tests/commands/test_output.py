"""What commands print is strict where scripts read it, and plain where people do."""

from __future__ import annotations

import csv
import io
import json

import pytest
from rich.console import Console

from commands.output import as_csv, as_json, as_table

COLUMNS = ["step", "loss", "passed", "patterns", "text"]
ROWS: list[dict[str, object]] = [
    {"step": 10, "loss": 0.123456, "passed": True, "patterns": [1, None], "text": 'a "b", [red]c'},
    {"step": 20, "loss": None, "passed": None, "patterns": None, "text": "zwei\nZeilen"},
]


def test_json_reads_back_equal_with_null_for_what_was_not_measured() -> None:
    assert json.loads(as_json(ROWS)) == ROWS


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_json_refuses_what_is_not_a_number(value: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        as_json([{"loss": value}])


def test_csv_reads_back_with_a_header_and_empty_fields() -> None:
    rows = list(csv.DictReader(io.StringIO(as_csv(ROWS, COLUMNS))))
    assert rows[0] == {
        "step": "10",
        "loss": "0.123456",
        "passed": "True",
        "patterns": "[1, null]",
        "text": 'a "b", [red]c',
    }
    assert (rows[1]["loss"], rows[1]["passed"], rows[1]["text"]) == ("", "", "zwei\nZeilen")


def printed(rows: list[dict[str, object]], columns: list[str]) -> str:
    console = Console(width=100, file=io.StringIO())
    console.print(as_table(rows, columns))
    file = console.file
    assert isinstance(file, io.StringIO)
    return file.getvalue()


def test_a_table_shows_a_dash_for_null_and_text_as_it_is() -> None:
    lines = printed(ROWS, COLUMNS).splitlines()
    assert lines[0].split() == COLUMNS
    assert lines[2].split()[:3] == ["10", "0.1235", "yes"]
    assert 'a "b", [red]c' in lines[2]
    assert lines[3].split()[:3] == ["20", "–", "–"]


def test_a_table_leaves_out_columns_that_hold_nothing() -> None:
    assert "loss" not in printed([{"step": 1, "loss": None}], ["step", "loss"])
