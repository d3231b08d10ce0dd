"""The pages of measured numbers are the ones that were made from what was recorded."""

from __future__ import annotations

import pytest

from benchmarks import publish

ON = {
    "date": "2026-11-24",
    "processor": "a processor, 2 cores",
    "load": "2.0",
    "python": "3.11.7",
    "torch": "2.13.0",
    "transformers": "5.23.0",
    "lm_eval": "0.4.13",
}
MEASURED = {
    "short answers": {"measured": ON, "numbers": {"short: rows": 32, "short: scores, ratio": 2.75}},
    "long answers": {"measured": ON, "numbers": {"long: with text, peak, share": 0.345}},
    "log and views": {"measured": ON, "numbers": {"log and views, share": 0.0137}},
    "parity": {
        "measured": ON,
        "numbers": {"Gemma": {"rows": 204, "mean_difference": 1.5e-6}},
    },
}


def test_the_readme_holds_the_table_that_was_made() -> None:
    text = publish.README.read_text(encoding="utf-8")
    assert publish.section(publish.read()) in text


def test_the_page_is_the_one_that_was_made() -> None:
    assert publish.PAGE.read_text(encoding="utf-8") == publish.page(publish.read())


def test_a_row_of_the_table_says_what_was_measured_and_the_bar() -> None:
    lines = publish.section(MEASURED).splitlines()
    assert "| scores alone, answers of 1 to 5 tokens | 2.8 × | 2.5 × |" in lines
    assert "| peak memory, long answers | 34% of it | half |" in lines


def test_it_says_how_many_rows_there_were() -> None:
    assert "Rows: 32 short. Each side" in publish.section(MEASURED)


def test_what_was_not_measured_has_no_row() -> None:
    assert "later checkpoint" not in publish.section(MEASURED)


def test_the_page_has_a_column_for_each_checkpoint() -> None:
    lines = publish.page(MEASURED).splitlines()
    assert "| measure | Gemma |" in lines
    assert "| mean difference | 1.5e-06 |" in lines
    assert "| rows | 204 |" in lines


def test_only_what_is_between_the_markers_is_replaced() -> None:
    text = f"before\n{publish.BEGIN}\nold\n{publish.END}\nafter\n"
    made = f"{publish.BEGIN}\nnew\n{publish.END}"
    assert publish.with_section(text, made) == f"before\n{made}\nafter\n"


def test_a_readme_without_markers_is_an_error() -> None:
    with pytest.raises(ValueError, match="must hold the lines"):
        publish.with_section("no table here\n", "new")
