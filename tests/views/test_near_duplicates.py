"""Near-duplicates: against all pairs compared one by one, and by hand."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from views.near_duplicates import Index, Likeness, jaccard, shingles, without_template, words

TEXTS = st.lists(st.text("ab 1.", max_size=14), min_size=1, max_size=12)


@given(TEXTS, st.sampled_from([0.2, 0.5, 0.8, 1.0]))
def test_no_pair_is_missed_and_none_is_made_up(texts: list[str], threshold: float) -> None:
    sets = [shingles(text) for text in texts]
    for place, one in enumerate(sets):
        index = Index(sets, threshold)
        others = [other for other in range(len(sets)) if other != place]
        for other in others:
            index.add(other, sets[other])
        alike = [Likeness(other, jaccard(one, sets[other])) for other in others]
        best = max(alike, key=lambda two: (two.jaccard, -two.place), default=None)
        found = best is not None and best.jaccard >= threshold
        assert index.nearest(one) == (best if found else None)


def test_the_jaccard_index_is_that_of_the_multisets() -> None:
    # (a b c) (b c d) against (a b c) (b c e): one of three.
    assert jaccard(shingles("a b c d"), shingles("a b c e")) == 1 / 3
    # One run of three against two equal ones: one of two.
    assert jaccard(shingles("1 1 1"), shingles("1 1 1 1")) == 1 / 2


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("What is 2+2?", "what is  2 + 2"),
        ("“Name it!”", "name it"),
        ("\ufb01ne \uff11\uff12", "FINE 12"),
        ("...", "..."),
    ],
)
def test_case_spaces_and_marks_do_not_matter(left: str, right: str) -> None:
    assert words(left) == words(right)
    assert jaccard(shingles(left), shingles(right)) == 1.0


@pytest.mark.parametrize(
    ("left", "right"),
    [("What is 12 + 35?", "What is 12 + 36?"), ("2 + 2", "2 - 2"), ("3.5", "35"), ("?", "!")],
)
def test_another_number_or_sign_is_another_question(left: str, right: str) -> None:
    assert jaccard(shingles(left), shingles(right)) < 0.8


def test_a_word_more_in_a_long_text_is_the_same_text() -> None:
    long = " ".join(f"word{letter}{other}" for letter, other in product("abcdefgh", "abcdefgh"))
    assert jaccard(shingles(long), shingles(long + " more")) > 0.95


def test_what_many_texts_share_does_not_make_them_alike() -> None:
    template = "Answer the question below with a single word and nothing else, please. "
    questions = [f"{template}Who is {name}?" for name in "abcdefghijklmnopqrst"]
    sets = [shingles(one) for one in questions]
    assert jaccard(sets[0], sets[1]) > 0.5
    plain = without_template(sets)
    assert jaccard(plain[0], plain[1]) == 0.0
    # Too few to say what a template is, or nothing but template: as they are.
    assert without_template(sets[:19]) == sets[:19]
    assert without_template([sets[0]] * 20) == [sets[0]] * 20
