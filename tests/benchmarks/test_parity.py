"""Two sides' numbers compared, on numbers worked out by hand."""

from __future__ import annotations

import pytest

from benchmarks.parity import compare, correct, with_choices
from benchmarks.rows import completion
from benchmarks.sides import Request, Took

ASKED = [
    Request("a", (1, 2), ((3, 4),), 0, generates=True),
    Request("b", (1,), ((5,), (6, 7)), 1, generates=False),
]


def took(scores: dict[str, tuple[float, ...]], text: str) -> Took:
    return Took(1.0, 2.0, 4.0, 0, scores, {"a": text})


def test_differences_are_of_each_targets_sum() -> None:
    mine = took({"a": (-1.0,), "b": (-3.0, -2.0)}, "yes")
    theirs = took({"a": (-1.5,), "b": (-3.0, -2.25)}, "yes")
    found = compare(mine, theirs, ASKED)
    assert (found.rows, found.targets) == (2, 3)
    assert found.largest_difference == 0.5
    assert found.mean_difference == 0.25
    assert (found.texts, found.equal_texts) == (1, 1)
    assert (found.choices, found.our_correct, found.their_correct) == (1, 1, 1)
    assert not found.holds


def test_a_text_that_differs_misses_the_bar() -> None:
    scores = {"a": (-1.0,), "b": (-3.0, -2.0)}
    assert compare(took(scores, "yes"), took(scores, "yes"), ASKED).holds
    found = compare(took(scores, "yes"), took(scores, "no"), ASKED)
    assert found.equal_texts == 0
    assert not found.holds


def test_a_row_that_one_side_lacks_is_an_error() -> None:
    scores = {"a": (-1.0,), "b": (-3.0, -2.0)}
    with pytest.raises(KeyError):
        compare(took(scores, "yes"), took({"a": (-1.0,)}, "yes"), ASKED)


def test_the_likeliest_choice_is_the_one_made() -> None:
    assert correct(ASKED[1:], {"b": (-1.0, -2.0)}) == 0
    assert correct(ASKED[1:], {"b": (-2.0, -1.0)}) == 1


def test_a_row_gets_other_rows_answers_to_choose_from() -> None:
    rows = [completion(f"ask {answer}", answer) for answer in ("a", "b", "b", "c", "d")]
    choices = [row.choices for row in with_choices(rows)]
    assert choices[0] == ("a", "b", "c", "d")
    assert choices[1] == ("c", "b", "d", "a")
    assert [row.target for row in with_choices(rows)] == ["a", "b", "b", "c", "d"]
