"""Wrong answers are named by how they differ from their targets, and put together by it."""

from __future__ import annotations

import random

import pytest

from views.error_texts import Wrong, clusters, edits, label


def wrong(target: str, answer: str, prompt: str = "What?", name: str = "1") -> Wrong:
    return Wrong(name, prompt, target, answer)


@pytest.mark.parametrize(
    ("target", "answer", "said", "edited"),
    [
        ("12", "", "says nothing", "nothing"),
        ("12", " What? ", "repeats the question", "question"),
        ("Paris", "paris", "the same but for upper and lower case or spaces", None),
        ("12", "13", "a number off by 1", "replace-digit-digit-end"),
        ("12", "22", "a number off by 10", None),
        ("-5", "-8", "another number of as many digits", "replace-digit-digit-end"),
        ("12", "120", "a number of more or fewer digits", "insert-none-digit-end"),
        ("abcd", "abc", "begins well and ends too early", "delete-letter-none-end"),
        ("abc", "abc, and", "right, and then goes on", "insert-none-mixeds-end"),
        ("abc", "bca", "the same signs in another order", None),
        ("abc", "abx", "one sign is another", "replace-letter-letter-end"),
        ("abc", "xbx", "as long, with several other signs", None),
        ("abcd", "xy", "shorter, with other signs", "replace-letters-letters-start"),
        ("ab", "xyz", "longer, with other signs", "replace-letters-letters-start"),
        ("a b", "a  b", "the same but for upper and lower case or spaces", "spaces"),
    ],
)
def test_how_an_answer_differs(target: str, answer: str, said: str, edited: str | None) -> None:
    assert label(wrong(target, answer)) == said
    if edited is not None:
        assert edits(wrong(target, answer)) == edited


def many() -> list[Wrong]:
    numbers = [wrong(str(k), str(k + 1), name=f"n{k}") for k in range(20, 28)]
    empty = [wrong(f"answer {k}", "", name=f"e{k}") for k in range(5)]
    longer = [wrong("yes", f"yes of course {k}", name=f"l{k}") for k in range(3)]
    return [*numbers, *empty, *longer, wrong("abc", "zzzzzz", name="odd")]


def test_what_is_wrong_in_the_same_way_comes_together() -> None:
    found = clusters(many())
    assert [(one.label, one.labelled, len(one.members)) for one in found] == [
        ("a number off by 1", 8, 8),
        ("says nothing", 5, 5),
        ("right, and then goes on", 3, 3),
    ]


def test_the_order_does_not_matter() -> None:
    answers = many()
    expected = clusters(answers)
    random.Random(5).shuffle(answers)
    assert clusters(answers) == expected


def test_few_answers_are_no_cluster() -> None:
    assert clusters([]) == []
    assert clusters(many()[:2]) == []
