"""Graders, on cases decided by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from errors import SettingsError
from views.grading import NOT_GRADED, Grade, grade, grade_choice, grading, resolve

GRADERS = (
    "exact@1",
    "numeric@1",
    "json@1",
    "contains@1",
    "regex@1",
    "set_f1@1",
    "first_line@1",
    "last_line@1",
)


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
def test_right_answers(grader: str, generated: str, target: str) -> None:
    found = grade(grader, generated, target)
    assert (found.correct, found.score, found.error_class) == (True, 1.0, None)


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
def test_wrong_answers(grader: str, generated: str, target: str, error_class: str) -> None:
    found = grade(grader, generated, target)
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


def test_the_likeliest_choice_is_the_answer() -> None:
    right = grade_choice(["red", "green", "blue"], [-3.0, -1.0, -2.0], "green")
    wrong = grade_choice(["red", "green", "blue"], [-0.5, -1.0, -2.0], "green")
    assert right == Grade(True, 1.0, "green", "green", None)
    assert wrong == Grade(False, 0.0, "red", "green", "wrong_answer")


def test_of_equal_choices_the_first_is_the_answer() -> None:
    assert grade_choice(["a", "b"], [-1.0, -1.0], "b").parsed == "a"


def test_a_plain_name_means_the_newest_version() -> None:
    assert [resolve(name.removesuffix("@1")) for name in GRADERS] == list(GRADERS)
    assert resolve("exact@1") == "exact@1"


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("exakt", " The nearest is 'exact'."),
        ("exact@2", " The nearest is 'exact@1'."),
        ("regexp", " The nearest is 'regex'."),
        ("", ""),
    ],
)
def test_an_unknown_grader_names_the_known_ones_and_the_nearest(name: str, nearest: str) -> None:
    with pytest.raises(SettingsError) as caught:
        grade(name, "a", "a")
    assert str(caught.value) == (
        f"there is no grader {name!r}. There are: contains@1, exact@1, first_line@1, json@1, "
        f"last_line@1, numeric@1, regex@1, set_f1@1.{nearest}"
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
