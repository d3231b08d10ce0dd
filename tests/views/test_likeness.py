"""Loops, near misses and formats, on cases decided by hand and a plain Levenshtein distance."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from views.likeness import is_loop, is_near_miss, is_same_but_for_format, tidy


def levenshtein(one: str, other: str) -> int:
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, start=1):
        above, row = row, [i]
        for j, b in enumerate(other, start=1):
            row.append(min(above[j] + 1, row[-1] + 1, above[j - 1] + (a != b)))
    return row[-1]


@given(st.text("abc", max_size=12), st.text("abc", max_size=12))
def test_a_near_miss_is_a_small_levenshtein_distance(one: str, other: str) -> None:
    allowed = min(2, max(len(one), len(other)) // 4)
    assert is_near_miss(one, other) is (levenshtein(one, other) <= allowed)


@pytest.mark.parametrize(
    ("one", "other", "near"),
    [("seven", "sevn", True), ("abcdefgh", "abXdefgY", True), ("7", "8", False), ("ab", "", False)],
)
def test_near_misses_by_hand(one: str, other: str, near: bool) -> None:
    assert is_near_miss(one, other) is near


@pytest.mark.parametrize(
    ("text", "loop"),
    [
        ("yes yes yes yes", True),
        ("I see. the cat sat the cat sat the cat sat the cat sat", True),
        ("abababababababababababab", True),
        ("================================", True),
        ("yes yes yes", False),
        ("1111", False),
        ("a plain sentence without any loop in it", False),
        ("", False),
    ],
)
def test_loops(text: str, loop: bool) -> None:
    assert is_loop(text) is loop


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Paris!", "paris", True),
        ('"New  York".', "new york", True),
        ("-5", "5", False),
        ("1.5", "15", False),
        ("...", "!!!", False),
    ],
)
def test_format(one: str, other: str, same: bool) -> None:
    assert is_same_but_for_format(one, other) is same


def test_tidy_trims_and_collapses() -> None:
    assert tidy("\ta  b\n\nc ") == "a b c"
