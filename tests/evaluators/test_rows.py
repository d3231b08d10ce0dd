"""Which rows are read, as what, and why the others are refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from errors import SuiteError
from evaluators.rows import PROMPT_FIELDS, TARGET_FIELDS, Content, parse_row


def parse(row: Any) -> Content:
    return parse_row(json.dumps(row))


def turn(role: str, content: Any) -> dict[str, Any]:
    return {"role": role, "content": content}


def test_a_row_with_only_messages_is_a_chat_whose_last_turn_is_the_target() -> None:
    row = parse(
        {"messages": [turn("system", "Be brief."), turn("user", "2+2?"), turn("assistant", "4")]}
    )
    assert row.kind == "chat"
    assert row.messages == (turn("system", "Be brief."), turn("user", "2+2?"))
    assert row.target == "4"
    assert row.choices is None


def test_earlier_turns_of_the_assistant_are_part_of_what_the_model_is_given() -> None:
    turns = [turn("user", "a"), turn("assistant", "b"), turn("user", "c"), turn("assistant", "d")]
    row = parse({"messages": turns})
    assert row.messages == tuple(turns[:3])
    assert row.target == "d"


def test_what_else_a_turn_holds_is_not_given_to_the_model() -> None:
    row = parse({"messages": [{**turn("user", "a"), "weight": 0}, turn("assistant", "b")]})
    assert row.messages == (turn("user", "a"),)


@pytest.mark.parametrize("prompt", PROMPT_FIELDS)
@pytest.mark.parametrize("target", TARGET_FIELDS)
def test_every_prompt_field_goes_with_every_target_field(prompt: str, target: str) -> None:
    row = parse({prompt: "2+2?", target: "4", "id": 7})
    assert row.kind == "completion"
    assert row.messages == (turn("user", "2+2?"),)
    assert row.target == "4"


@pytest.mark.parametrize("field", ["system", "system_prompt"])
def test_a_system_prompt_comes_before_the_prompt(field: str) -> None:
    row = parse({field: "Be brief.", "prompt": "2+2?", "answer": "4"})
    assert row.messages == (turn("system", "Be brief."), turn("user", "2+2?"))


def test_a_bare_text_is_its_own_target() -> None:
    row = parse({"text": "Once upon a time."})
    assert (row.kind, row.messages, row.target) == ("text", (), "Once upon a time.")


@pytest.mark.parametrize("answer", ["two", 1])
def test_the_right_choice_is_named_by_text_or_by_index(answer: str | int) -> None:
    row = parse({"question": "1+1?", "choices": ["one", "two", "three"], "answer": answer})
    assert row.kind == "choice"
    assert row.choices == ("one", "two", "three")
    assert row.target == "two"


def test_a_chat_may_have_choices() -> None:
    row = parse(
        {"messages": [turn("user", "a or b?"), turn("assistant", "b")], "choices": ["a", "b"]}
    )
    assert (row.kind, row.target, row.choices) == ("choice", "b", ("a", "b"))


def test_messages_go_before_the_other_fields() -> None:
    row = parse(
        {"messages": [turn("user", "a"), turn("assistant", "b")], "text": "x", "answer": "y"}
    )
    assert (row.kind, row.target) == ("chat", "b")


def test_null_fields_count_as_absent() -> None:
    row = parse({"messages": None, "prompt": "a", "answer": "b", "choices": None, "skill": None})
    assert (row.kind, row.skill) == ("completion", None)


def test_labels_come_from_the_top_or_from_the_metadata_and_the_top_goes_first() -> None:
    metadata = {"difficulty": "easy", "skill": "sums", "source": "hand"}
    row = parse({"prompt": "a", "answer": "b", "difficulty": "hard", "metadata": metadata})
    assert (row.difficulty, row.skill, row.metadata) == ("hard", "sums", metadata)


def test_two_names_for_the_same_thing_are_fine_while_they_agree() -> None:
    assert parse({"prompt": "a", "answer": "b", "expected": "b"}).target == "b"


REFUSED = [
    (
        {"foo": "a", "txt": "b"},
        ["has 'foo', 'txt'", "'messages'", "'prompt'", "'answer'", "'text'"],
    ),
    ({}, ["it has none"]),
    ({"prompt": "a", "output": "b"}, ["has 'prompt' but none of 'target'", "'prompt', 'output'"]),
    ({"answer": "a", "text": "b"}, ["has 'answer' but none of 'prompt'"]),
    ({"text": "a", "choices": ["a", "b"]}, ["no fields that are known"]),
    ({"prompt": "a", "response": "b", "expected": "c"}, ["'response', 'expected'", "differ"]),
    ({"prompt": "a", "question": "b", "answer": "c"}, ["'prompt', 'question'", "differ"]),
    ({"prompt": "a", "answer": ""}, ["target is empty"]),
    ({"prompt": "a", "answer": " \n"}, ["target is empty"]),
    ({"prompt": "a", "answer": 4}, ["target is a number, not text"]),
    ({"prompt": ["a"], "answer": "b"}, ["'prompt' is a list, not text"]),
    ({"prompt": " ", "answer": "b"}, ["'prompt' is empty"]),
    ({"text": ["a"]}, ["target is a list, not text"]),
    ({"text": ""}, ["target is empty"]),
    ({"messages": "a"}, ["'messages' is a text, not a list"]),
    ({"messages": []}, ["has 0 turns"]),
    ({"messages": [turn("assistant", "a")]}, ["has 1 turns"]),
    ({"messages": ["a", "b"]}, ["turn 1 of 'messages' is a text, not an object"]),
    (
        {"messages": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]},
        ["turn 1", "'from', 'value'", "'role' is null or missing"],
    ),
    (
        {"messages": [turn("user", [{"type": "text"}]), turn("assistant", "b")]},
        ["turn 1", "'content' is a list, not text"],
    ),
    ({"messages": [turn("user", "a"), turn("user", "b")]}, ["last turn", "'user'"]),
    (
        {"messages": [turn("user", "a"), {**turn("assistant", "b"), "tool_calls": [{"id": 1}]}]},
        ["turn 2", "calls tools"],
    ),
    ({"prompt": "a", "answer": "B", "choices": ["x", "y"]}, ["'B' is not one of its 2 choices"]),
    ({"prompt": "a", "answer": 2, "choices": ["x", "y"]}, ["2 is not one of its 2 choices"]),
    ({"prompt": "a", "answer": -1, "choices": ["x", "y"]}, ["-1 is not one of its 2 choices"]),
    ({"prompt": "a", "answer": True, "choices": ["x", "y"]}, ["True is not one of"]),
    ({"prompt": "a", "answer": "x", "choices": ["x", "x"]}, ["two or more texts that all differ"]),
    ({"prompt": "a", "answer": "x", "choices": ["x"]}, ["two or more texts that all differ"]),
    ({"prompt": "a", "answer": "x", "choices": ["x", 3]}, ["empty or not text"]),
    ({"prompt": "a", "answer": "x", "choices": "xy"}, ["'choices' is a text, not a list"]),
    ({"prompt": "a", "answer": "b", "metadata": [1]}, ["'metadata' is a list"]),
    ({"prompt": "a", "answer": "b", "difficulty": 3}, ["'difficulty' is a number"]),
    (["a"], ["it is a list, not an object"]),
    ("a", ["it is a text, not an object"]),
    (None, ["not an object"]),
]


@pytest.mark.parametrize(("row", "reasons"), REFUSED)
def test_a_row_that_does_not_fit_is_refused_by_name(row: Any, reasons: list[str]) -> None:
    with pytest.raises(SuiteError) as refusal:
        parse(row)
    for reason in reasons:
        assert reason in str(refusal.value)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"prompt": ', "not JSON: Expecting value at column 12"),
        ('{"prompt": "a", "answer": NaN}', "NaN is not a JSON value"),
        ('{"prompt": "a", "answer": "b", "metadata": {"x": [-1e999]}}', "-1e999 is too large"),
        ('{"prompt": "a", "answer": "\\ud800"}', "half of a surrogate pair"),
        ('{"prompt": "a\\u0000", "answer": "b"}', r"the character U\+0000"),
        ('{"prompt": "a", "answer": "b", "metadata": {"x": ["\\u0000"]}}', r"U\+0000"),
        ("[" * 200_000, "nested too deeply"),
    ],
)
def test_a_line_that_is_not_a_row_of_text_is_refused(text: str, reason: str) -> None:
    with pytest.raises(SuiteError, match=reason):
        parse_row(text)


def test_a_row_with_very_many_fields_is_refused_in_a_few_words() -> None:
    with pytest.raises(SuiteError, match="and 988 more"):
        parse({f"field{number}": number for number in range(1000)})
