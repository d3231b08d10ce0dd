"""Error patterns: counted by hand, and the view from logs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Engine

from settings import Settings
from store import log
from store.events import PredictionsRecorded
from store.log import Rows
from store.records import Example, Prediction, example_id_of
from tests import logs
from tests.logs import Seen
from tests.views.deriving import shown
from tests.views.rows import Row, table
from views import corrections
from views.corrections import Pattern, patterns

VIEW = corrections.view(Settings())


def answer(
    example_id: str,
    error_class: str | None,
    *,
    skill: str | None = "sum",
    difficulty: str = "easy",
    role: str = "validation",
) -> Row:
    """A right answer without an error class, an error for not_scored, else a wrong answer."""
    error = "too long" if error_class == "not_scored" else None
    graded = error is None and error_class != "not_graded"
    return Row(
        example_id=example_id,
        suite=f"{role}-suite",
        role=role,
        difficulty=difficulty,
        skill=skill,
        correct=error_class is None if graded else None,
        error_class=error_class,
        error=error,
    )


def patterns_of(rows: list[Row]) -> list[Pattern]:
    return patterns(table(rows))


def told(pattern: Pattern) -> tuple[Any, ...]:
    one = pattern
    return (one.role, one.difficulty, one.skill, one.error_class, one.n, one.share, one.of_examples)


def test_patterns_count_an_error_class_within_role_difficulty_and_skill() -> None:
    found = patterns_of(
        [
            answer("a", None),
            answer("c", "near_miss"),
            answer("b", "near_miss"),
            answer("d", "empty"),
            answer("e", "near_miss", skill=None),
            answer("f", "near_miss", difficulty="hard"),
            answer("g", "not_graded"),
            answer("h", "near_miss", role="mining"),
            answer("i", None, role="mining"),
        ]
    )
    assert [told(one) for one in found] == [
        ("validation", "easy", "sum", "near_miss", 2, 2 / 5, 4),
        ("validation", "easy", None, "near_miss", 1, 1 / 5, 1),
        ("validation", "easy", "sum", "empty", 1, 1 / 5, 4),
        ("validation", "hard", "sum", "near_miss", 1, 1 / 5, 1),
        ("mining", "easy", "sum", "near_miss", 1, 1.0, 2),
    ]
    assert [one.rank for one in found] == [1, 2, 3, 4, 5]
    assert (found[0].example_id, found[0].suite_id) == ("b", "validation-suite")


def test_what_was_not_scored_has_no_share_of_the_mistakes() -> None:
    found = patterns_of(
        [answer("a", "not_scored"), answer("b", "empty"), answer("c", "not_scored")]
    )
    assert [told(one)[3:] for one in found] == [("not_scored", 2, None, 3), ("empty", 1, 1.0, 3)]
    assert [one.reason for one in found] == ["too long", None]


def test_right_answers_have_no_pattern() -> None:
    assert patterns_of([answer("a", None), answer("b", None)]) == []


def test_the_view_shows_a_sample_of_each_pattern(engine: Engine) -> None:
    examples = [
        logs.example("easy", f"question {k}", "Paris", k + 1, "easy", "geography") for k in range(4)
    ]
    logs.register_suite(engine, examples, suite_id="easy")
    checkpoint = logs.arrive(engine, 100)
    words = ["Paris", "paris", "Rome", "Oslo"]
    seen = [(one, Seen(word)) for one, word in zip(examples, words, strict=True)]
    logs.evaluate(engine, checkpoint, ["easy"], seen)
    rows = shown(engine, VIEW)
    first = min(examples[2:], key=lambda one: one.example_id)
    assert rows[0] == {
        "run": "run",
        "checkpoint_id": checkpoint,
        "step": 100,
        "rank": 1,
        "role": "validation",
        "difficulty": "easy",
        "skill": "geography",
        "error_class": "wrong_answer",
        "n": 2,
        "share": pytest.approx(2 / 3),
        "of_examples": 4,
        "example_id": first.example_id,
        "prompt": first.messages[0]["content"],
        "target": "Paris",
        "generated_text": words[examples.index(first)],
        "reason": None,
    }
    assert [(row["error_class"], row["n"], row["generated_text"]) for row in rows[1:]] == [
        ("format_only", 1, "paris")
    ]


def test_the_answer_to_a_choice_is_the_option_chosen(engine: Engine) -> None:
    messages = ({"role": "user", "content": "2 + 2"},)
    choices = ("3", "4")
    example = Example(
        suite_id="choice",
        example_id=example_id_of("choice", messages, "4", choices),
        line=1,
        kind="choice",
        messages=messages,
        target="4",
        choices=choices,
    )
    logs.register_suite(engine, [example], suite_id="choice")
    checkpoint = logs.arrive(engine, 100)
    evaluation = logs.start(engine, checkpoint, ["choice"], examples=1)
    made = Prediction(evaluation, example.example_id, choice_logprobs=(-1.0, -2.0))
    log.append(
        engine,
        PredictionsRecorded(evaluation_id=evaluation, batch="1", scored=1, failed=0),
        rows=Rows(predictions=[made]),
    )
    logs.complete(engine, evaluation, checkpoint, scored=1)
    (row,) = shown(engine, VIEW)
    assert (row["prompt"], row["target"], row["generated_text"]) == ("2 + 2", "4", "3")


def test_patterns_are_of_the_current_evaluation(engine: Engine) -> None:
    (example,) = examples = logs.questions("easy", 1)
    logs.register_suite(engine, examples, suite_id="easy")
    checkpoint = logs.arrive(engine, 100)
    logs.evaluate(engine, checkpoint, ["easy"], [(example, Seen("no"))])
    assert [row["error_class"] for row in shown(engine, VIEW)] == ["wrong_answer"]
    logs.evaluate(engine, checkpoint, ["easy"], [(example, Seen(""))], settings={"k": 1})
    assert [row["error_class"] for row in shown(engine, VIEW)] == ["empty"]


def test_a_checkpoint_of_bare_text_says_that_nothing_was_graded(engine: Engine) -> None:
    text = replace(logs.example("text", "", "some text"), kind="text", messages=())
    logs.register_suite(engine, [text], suite_id="text")
    logs.evaluate(engine, logs.arrive(engine, 100), ["text"], [(text, Seen("some text"))])
    (row,) = shown(engine, VIEW)
    assert (row["n"], row["reason"]) == (None, "No answer of this checkpoint could be graded.")


def test_a_failed_evaluation_shows_its_reason_and_no_number(engine: Engine) -> None:
    (example,) = examples = logs.questions("easy", 1)
    logs.register_suite(engine, examples, suite_id="easy")
    checkpoint = logs.arrive(engine, 100)
    evaluation = logs.start(engine, checkpoint, ["easy"], examples=1)
    logs.record(engine, evaluation, [(example, Seen("no"))])
    logs.fail(
        engine, evaluation, checkpoint, ["easy"], error="ModelLoadFault", message="no weights"
    )
    (row,) = shown(engine, VIEW)
    assert {name: value for name, value in row.items() if value is not None} == {
        "run": "run",
        "checkpoint_id": checkpoint,
        "step": 100,
        "rank": 1,
        "reason": "ModelLoadFault: no weights",
    }
