"""Graders, on cases decided by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from errors import SettingsError
from views.grading import (
    CHOICE_NORM,
    NOT_GRADED,
    Grade,
    grade,
    grade_choice,
    grading,
    grading_by_name,
    resolve,
)

NAMES = (
    "exact",
    "numeric",
    "json",
    "contains",
    "regex",
    "set_f1",
    "first_line",
    "last_line",
)
GRADERS = tuple(f"{name}@{version}" for name in NAMES for version in (1, 2))


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize(
    ("grader", "generated", "target"),
    [
        ("exact", "Paris", "Paris"),
        ("exact", "  two\n words ", "two words"),
        ("exact", "cafe\u0301", "caf\u00e9"),
        ("exact", "", ""),
        ("numeric", "6 times 7 is 42.", "42"),
        ("numeric", "so x = -5", "-5"),
        ("numeric", "$1,234.50", "1234.5"),
        ("numeric", "3.0", "3"),
        ("numeric", "0.3333333", "0.33333333"),
        ("numeric", "1.5e3", "1500"),
        ("numeric", "−7", "-7"),
        ("numeric", "It is .5", "0.50"),
        ("numeric", "5-3", "3"),
        ("json", '{"b": [1, 2], "a": null}', '{"a":null,"b":[1,2]}'),
        ("json", '```json\n{"a": 1.0}\n```', '{"a": 1}'),
        ("contains", "The capital is PARIS, of course.", "Paris"),
        ("contains", "x = (a+b)", "(a+b)"),
        ("regex", "The answer is 42, I think.", r"\b4[12]\b"),
        ("regex", " 42\n", "^42$"),
        ("regex", "PARIS", "(?i)^paris$"),
        ("regex", "first\nsecond", "(?m)^second$"),
        ("set_f1", "blue; Red\nred", "red, blue"),
        ("set_f1", "1. red\n2. light  blue", "light blue, red"),
        ("set_f1", "- -5\n- 7", "7,-5"),
        ("first_line", "\n 42 \nbecause 6 * 7 is that", "42"),
        ("last_line", "6 * 7\n= 42\n\n  42  \n \n", "42\n"),
    ],
)
def test_right_answers(grader: str, generated: str, target: str, version: int) -> None:
    found = grade(f"{grader}@{version}", generated, target)
    assert (found.correct, found.score, found.error_class) == (True, 1.0, None)


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize(
    ("grader", "generated", "target", "error_class"),
    [
        ("exact", "", "Paris", "empty"),
        ("exact", " \n", "Paris", "empty"),
        ("exact", "no no no no", "Paris", "repetition"),
        ("exact", "lalalalalalalalalalalala", "Paris", "repetition"),
        ("exact", "paris.", "Paris", "format_only"),
        ("exact", "**Paris**", "Paris", "format_only"),
        ("exact", "New-York", "New York", "near_miss"),
        ("exact", "Pariss", "Paris", "near_miss"),
        ("exact", "London", "Paris", "wrong_answer"),
        ("exact", "-5", "5", "wrong_answer"),
        ("exact", "8", "7", "wrong_answer"),
        ("exact", "0 0 0 0", "0 0 0 1", "near_miss"),
        ("numeric", "forty-two", "42", "wrong_type"),
        ("numeric", "41", "42", "wrong_answer"),
        ("numeric", "123457", "123456", "near_miss"),
        ("numeric", "1234567", "1234568", "near_miss"),
        ("numeric", "42, or rather 43", "42", "wrong_answer"),
        ("json", "the answer is 3", '{"a": 3}', "not_json"),
        ("json", '{"a": NaN}', '{"a": 3}', "not_json"),
        ("json", '{"a": "\\ud800"}', '{"a": 3}', "not_json"),
        ("json", "[3]", '{"a": 3}', "wrong_type"),
        ("json", "true", "1", "wrong_type"),
        ("json", '{"a": 1, "b": 2}', '{"a": 3, "b": 5, "c": 7}', "wrong_answer"),
        ("contains", "112", "12", "wrong_answer"),
        ("regex", "The answer is 42.", "^42$", "wrong_answer"),
        ("regex", "colour", "^color$", "wrong_answer"),
        ("regex", " ", "^42$", "empty"),
        ("regex", "no no no no no", "^yes$", "repetition"),
        ("set_f1", "red, green", "red, blue", "wrong_answer"),
        ("set_f1", "red, blue.", "red, blue", "format_only"),
        ("set_f1", "red, bluee", "blue, red", "near_miss"),
        ("set_f1", " , ;", "blue, red", "wrong_answer"),
        ("set_f1", "", "blue, red", "empty"),
        ("first_line", "because\n42", "42", "wrong_answer"),
        ("first_line", "**Paris**\nof course", "Paris", "format_only"),
        ("first_line", "\n\n", "Paris", "empty"),
        ("last_line", "42\nas I said", "42", "wrong_answer"),
        ("last_line", "The capital is\nParris", "Paris", "near_miss"),
        ("last_line", "I said\nno no no no", "Paris", "repetition"),
    ],
)
def test_wrong_answers(
    grader: str, generated: str, target: str, error_class: str, version: int
) -> None:
    found = grade(f"{grader}@{version}", generated, target)
    assert found.correct is False
    assert found.error_class == error_class


def test_a_truncated_answer_is_called_so_unless_it_is_right_or_loops() -> None:
    assert grade("exact", "Par", "Paris", truncated=True).error_class == "truncated"
    assert grade("exact", "Paris", "Paris", truncated=True).error_class is None
    assert grade("exact", "no no no no", "Paris", truncated=True).error_class == "repetition"


def test_a_line_that_another_one_follows_is_not_truncated() -> None:
    assert grade("first_line", "London\nis the", "Paris", truncated=True).error_class == (
        "wrong_answer"
    )
    assert grade("first_line", "London is", "Paris", truncated=True).error_class == "truncated"
    assert grade("last_line", "so\nLondon", "Paris", truncated=True).error_class == "truncated"
    assert grade("regex", "I think th", "42", truncated=True).error_class == "truncated"
    assert grade("set_f1", "red, gr", "red, blue", truncated=True).error_class == "truncated"


@pytest.mark.parametrize(
    ("generated", "score"),
    [
        ("red, green, blue", 1.0),
        ("red, green", 4 / 5),  # precision 1, recall 2/3
        ("red, yellow", 2 / 5),  # precision 1/2, recall 1/3
        ("blue, green, red, yellow", 6 / 7),  # precision 3/4, recall 1
        ("yellow", 0.0),
        ("red and green and blue", 0.0),
        (",", 0.0),
    ],
)
def test_sets_give_credit_by_their_f1(generated: str, score: float) -> None:
    found = grade("set_f1", generated, "red, green, blue")
    assert found.score == pytest.approx(score)
    assert found.correct is (score == 1.0)


@pytest.mark.parametrize(
    ("generated", "score"),
    [
        ('{"a": 1, "b": 2}', 1.0),
        ('{"a": 1, "b": 3}', 0.5),
        ('{"a": 1}', 0.5),
        ('{"a": 1, "b": 2, "c": 3}', 2 / 3),
        ('{"a": true, "b": "2"}', 0.0),
        ("[1, 2]", 0.0),
    ],
)
def test_json_gives_credit_by_fields(generated: str, score: float) -> None:
    found = grade("json", generated, '{"a": 1, "b": 2}')
    assert found.score == pytest.approx(score)
    assert found.correct is (score == 1.0)


def test_json_gives_credit_inside_a_field() -> None:
    assert grade("json", '{"a": [1, 2, 9]}', '{"a": [1, 2, 3, 4]}').score == pytest.approx(0.5)


def test_what_was_compared_is_told() -> None:
    assert grade("numeric", "1,000 or so", "999") == Grade(
        False, 0.0, "1000", "999", "wrong_answer"
    )
    assert grade("json", ' {"b": 1, "a": 2}', "{}").parsed == '{"a": 2, "b": 1}'
    assert grade("regex", " so 41\n", "42") == Grade(False, 0.0, "so 41", "42", "wrong_answer")
    assert grade("set_f1", "Red; blue;", "green,blue") == Grade(
        False, 0.5, "blue, red", "blue, green", "wrong_answer"
    )
    assert grade("last_line", "so\n  it is 8", "7") == Grade(
        False, 0.0, "it is 8", "7", "wrong_answer"
    )


def test_json_nested_more_than_200_deep_is_not_read() -> None:
    deep, deeper = ("[" * depth + "1" + "]" * depth for depth in (200, 201))
    assert grade("json", deep, deep).correct is True
    assert grade("json", deep.replace("1", "2"), deep).correct is False
    assert grade("json", deeper, deep).parsed is None
    assert grade("json", deeper, deeper) == NOT_GRADED


def test_json_nested_beyond_all_bounds_is_not_read() -> None:
    assert grade("json", "[" * 50_000 + "]" * 50_000, "[]").parsed is None


@pytest.mark.parametrize(
    ("grader", "target"),
    [
        ("numeric", "no number"),
        ("json", "{not json"),
        ("contains", " "),
        ("regex", "(7"),
        ("regex", ""),
        ("set_f1", " , ;"),
        ("first_line", " \n"),
        ("last_line", "7\n8"),
    ],
)
def test_a_target_that_the_grader_cannot_read_grades_nothing(grader: str, target: str) -> None:
    assert grade(grader, "7", target) == NOT_GRADED


def test_the_second_versions_read_what_follows_the_thinking() -> None:
    text = "<think>\nIs it 41? No.\n</think>\n\n42"
    assert [name for name in NAMES if grade(name, text, "42").correct] == list(NAMES)
    first = [name for name in NAMES if grade(f"{name}@1", text, "42").correct]
    # These look for a part of the text, which stands in it all the same.
    assert first == ["numeric", "contains", "regex", "last_line"]


@pytest.mark.parametrize(
    ("generated", "correct"),
    [
        ("I guess </think>Paris", True),  # the template began the thinking, in the prompt
        ("<think>a</think>Rome<think>b</think>Paris", True),
        ("<think>Paris</think>Rome", False),
        ("<think>Paris</think>", False),
        ("Paris<think>or is it Rome", True),
    ],
)
def test_the_answer_follows_the_last_thinking(generated: str, correct: bool) -> None:
    assert grade("exact", generated, "Paris").correct is correct
    assert grade("contains", generated, "Paris").correct is correct


def test_the_thinking_of_a_target_is_no_part_of_it() -> None:
    assert grade("exact", "Paris", "<think>the capital</think>\nParis").correct is True


@pytest.mark.parametrize(
    ("generated", "truncated", "error_class"),
    [
        ("<think>Is it Rome", True, "truncated"),
        ("<think>Is it Rome", False, "empty"),
        ("<think>Is it Rome</think>", False, "empty"),
        ("<think>Is it Rome</think>", True, "truncated"),
        ("<think>Rome</think>Rome\n<think>or", True, "truncated"),
        ("<think>no no no no no", True, "repetition"),
        ("<think>Rome?</think>paris", False, "format_only"),
    ],
)
def test_thinking_that_does_not_end_gives_no_answer(
    generated: str, truncated: bool, error_class: str
) -> None:
    for grader in ("exact", "first_line", "contains"):
        found = grade(grader, generated, "Paris", truncated=truncated)
        if (grader, error_class) != ("contains", "format_only"):
            assert (found.correct, found.error_class) == (False, error_class)


@pytest.mark.parametrize(
    ("generated", "target", "correct"),
    [
        (r"so \boxed{42}, as 6 * 7 = 42 and not 43", "42", True),
        (r"\boxed{7} no: \boxed{ 1{,}000 + 2 }", "2", True),
        (r"\boxed{\text{about }12} km, give or take 3", "12", True),
        (r"\boxed{no number} but 42", "42", False),
        ("6 * 7\n#### 42\n\nQuestion: and 8 * 8?\n#### 64", "42", True),
        ("#### 2. Multiply\n6 * 7 = 42", "42", True),
        ("#### $1,234.50", "1234.5", True),
        ("#### 50 %", "50%", True),
        (r"\frac{3}{4}", "0.75", True),
        (r"it is \dfrac{-1}{3}", "-0.33333333", True),
        ("3/4", "0.75", True),
        ("on 11/24/2026", "2026", True),
        ("1/0", "0", True),
        ("50%", "50", True),
        ("50 percent", "0.5", True),
        ("0.5", "50%", True),
        ("0.5%", "50%", False),
        ("5000%", "50", True),  # 5000 % is 50
        ("€ 12", "12 €", True),
        ("£1,000 each", "$1000", True),
        ("-5", "−5", True),
    ],
)
def test_a_number_that_is_marked_as_the_answer_comes_first(
    generated: str, target: str, correct: bool
) -> None:
    assert grade("numeric@2", generated, target).correct is correct


def test_the_first_version_takes_the_last_number_whatever_is_marked() -> None:
    assert grade("numeric@1", r"\boxed{42} and not 43", "42").correct is False
    assert grade("numeric@1", "3/4", "0.75").correct is False


def test_the_likeliest_choice_is_the_answer() -> None:
    right = grade_choice(["red", "green", "blue"], [-3.0, -1.0, -2.0], "green")
    wrong = grade_choice(["red", "green", "blue"], [-0.5, -1.0, -2.0], "green")
    assert right == Grade(True, 1.0, "green", "green", None)
    assert wrong == Grade(False, 0.0, "red", "green", "wrong_answer")


def test_of_equal_choices_the_first_is_the_answer() -> None:
    assert grade_choice(["a", "b"], [-1.0, -1.0], "b").parsed == "a"


@pytest.mark.parametrize(
    ("logprobs", "likeliest", "by_the_byte"),
    [
        # lm-evaluation-harness, acc and acc_bytes: argmax of the sums, and of the sums by bytes.
        # "no" has 2 bytes, "certainly" 9, "où" 3.
        ([-3.0, -9.0, -3.9], "no", "certainly"),  # by the byte -1.5, -1, -1.3
        ([-3.0, -18.0, -3.9], "no", "où"),  # -1.5, -2, -1.3
        ([-2.0, -18.0, -3.0], "no", "no"),  # -1, -2, -1: the first of two that are equal
    ],
)
def test_choices_are_compared_by_their_sums_or_by_the_byte(
    logprobs: list[float], likeliest: str, by_the_byte: str
) -> None:
    choices = ["no", "certainly", "où"]
    assert grade_choice(choices, logprobs, "no").parsed == likeliest
    assert grade_choice(choices, logprobs, "no", CHOICE_NORM).parsed == by_the_byte


def test_a_choice_without_bytes_is_not_compared_by_them() -> None:
    assert grade_choice(["", "a"], [-1.0, -2.0], "a", CHOICE_NORM) == NOT_GRADED


@pytest.mark.parametrize(
    ("generated", "answer"),
    [
        ("dark red", "dark red"),
        ("Dark Red.", "dark red"),
        ("It is red, I think.", "red"),
        ("It is dark red, I think.", "dark red"),
        ("B", "red"),
        (" (b) ", "red"),
        ("B. red", "red"),
        ("C) green as grass", "green"),
        ("**C.** green", "green"),
        ("C\nbecause grass is", "green"),
        ("(A) of course", "dark red"),
        ("The answer is (C).", "green"),
        ("Answer: C", "green"),
        ("<think>red? B?</think>C", "green"),
        # None, or several.
        ("blue", None),
        ("E", None),
        ("red or green", None),
        ("B. green", None),
        ("the answer is a colour", None),
        ("A colour", None),
        ("infrared", None),
    ],
)
def test_a_text_names_a_choice_by_its_words_or_its_letter(
    generated: str, answer: str | None
) -> None:
    choices = ["dark red", "red", "green", "5"]
    found = grading_by_name(choices, "green")(generated, False)
    assert found.parsed == answer
    assert found.correct is (answer == "green")
    if answer is None:
        assert found.error_class == "wrong_type"


def test_choices_that_are_letters_or_numbers_are_named_as_such() -> None:
    assert grading_by_name(["B", "A"], "A")("The answer is A.", False).correct is True
    assert grading_by_name(["15", "5"], "5")("I say 5.", False).correct is True
    assert grading_by_name(["15", "5"], "5")("I say 15.", False).correct is False


def test_a_choice_that_is_cut_off_is_truncated() -> None:
    found = grading_by_name(["red", "green"], "green")("I am thinking of", True)
    assert found.error_class == "truncated"


def test_what_grades_choices_grades_no_other_row() -> None:
    for grader in ("choice", "choice_norm", "choice_text"):
        assert grade(grader, "7", "7") == NOT_GRADED


def test_a_plain_name_means_the_newest_version() -> None:
    assert [resolve(name) for name in NAMES] == [f"{name}@2" for name in NAMES]
    assert resolve("exact@1") == "exact@1"


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("exakt", " The nearest is 'exact'."),
        ("exact@7", " The nearest is 'exact@2'."),
        ("regexp", " The nearest is 'regex'."),
        ("", ""),
    ],
)
def test_an_unknown_grader_names_the_known_ones_and_the_nearest(name: str, nearest: str) -> None:
    with pytest.raises(SettingsError) as caught:
        grade(name, "a", "a")
    assert str(caught.value) == (
        f"there is no grader {name!r}. There are: choice, choice_norm, choice_text, contains, "
        "exact, first_line, json, last_line, numeric, regex, set_f1, and python:MODULE:FUNCTION "
        f"for your own.{nearest}"
    )


@given(st.sampled_from(GRADERS), st.text(max_size=30), st.text(max_size=30))
def test_every_grade_is_whole(grader: str, generated: str, target: str) -> None:
    found = grade(grader, generated, target)
    if found == NOT_GRADED:
        return
    assert found.score is not None
    assert 0.0 <= found.score <= 1.0
    assert found.correct is (found.score == 1.0)
    assert (found.error_class is None) is found.correct


answers = st.sampled_from(
    ["7", "7 ", "7.0", "seven", '{"a": 7}', '{"a": 8}', "", "7 7 7 7 7", "Seven", "7\n8", "8,7"]
)


@given(st.sampled_from(GRADERS), answers, st.lists(st.tuples(answers, st.booleans())))
def test_a_target_read_once_grades_all_its_answers_alike(
    grader: str, target: str, given_answers: list[tuple[str, bool]]
) -> None:
    grade_one = grading(grader, target)
    for generated, truncated in given_answers:
        alone = grade(grader, generated, target, truncated=truncated)
        assert grade_one(generated, truncated) == alone
