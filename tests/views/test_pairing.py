"""Predictions are paired by suite name, example and sample, whatever else stands between them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.views.rows import Row, table
from views.answers import Answers
from views.pairing import NOWHERE, partners

Key = tuple[str, str, int]

keys = st.lists(
    st.tuples(st.sampled_from(["easy", "hard"]), st.sampled_from("abcd"), st.integers(0, 1)),
    unique=True,
).map(sorted)


def answers(chosen: list[Key]) -> Answers:
    return table([Row(example_id, suite=suite, sample=k) for suite, example_id, k in chosen])


@given(keys, keys)
def test_each_row_is_paired_with_the_row_of_the_same_key(now: list[Key], before: list[Key]) -> None:
    expected = [before.index(key) if key in before else NOWHERE for key in now]
    assert partners(answers(now), answers(before)).tolist() == expected


@given(keys)
def test_the_same_answers_are_paired_one_by_one(both: list[Key]) -> None:
    assert partners(answers(both), answers(both)).tolist() == list(range(len(both)))


def test_nothing_is_paired_with_nothing() -> None:
    assert partners(answers([("easy", "a", 0)]), Answers.none()).tolist() == [NOWHERE]
    assert partners(Answers.none(), answers([("easy", "a", 0)])).tolist() == []
