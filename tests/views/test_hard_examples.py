"""Hard examples: their types by hand-written histories, and the view from logs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Engine

from settings import HardExampleSettings, Settings
from store.records import Example
from tests import logs
from tests.logs import Seen
from tests.views.deriving import shown
from tests.views.rows import Row, table
from tests.views.test_history import lived
from views import hard_examples
from views.hard_examples import NOT_HARD, TYPES, Type, types_of

VIEW = hard_examples.view(Settings())

SURE, UNSURE = 0.9, 0.3


def type_of(answer: Row, outcomes: str) -> Type | None:
    (kind,) = types_of(table([answer]), lived(outcomes), HardExampleSettings())
    return None if kind == NOT_HARD else TYPES[kind]


@pytest.mark.parametrize(
    ("outcomes", "confidence", "expected"),
    [
        ("R", SURE, None),
        ("WR", SURE, None),
        ("WWR", SURE, None),
        ("R", UNSURE, "low_confidence"),
        ("WR", UNSURE, "low_confidence"),
        ("RWR", SURE, "unstable"),
        ("WRWR", UNSURE, "unstable"),
        ("W", UNSURE, "incorrect"),
        ("WW", UNSURE, "incorrect"),
        ("WWW", UNSURE, "never_learned"),
        ("W", SURE, "confidently_wrong"),
        ("WWW", SURE, "confidently_wrong"),
        ("RW", UNSURE, "forgotten"),
        ("RW", SURE, "forgotten"),
        ("WWRRW", UNSURE, "forgotten"),
        ("RWRW", UNSURE, "forgotten"),
        ("R", 0.6, None),
        ("W", 0.6, "confidently_wrong"),
        ("W", None, "incorrect"),
    ],
)
def test_the_type_follows_from_the_history(
    outcomes: str, confidence: float | None, expected: Type | None
) -> None:
    newest = Row(correct=outcomes[-1] == "R", confidence=confidence)
    assert type_of(newest, outcomes) == expected


def test_an_error_is_neither_right_nor_wrong() -> None:
    assert type_of(Row(error="too long"), "RR") == "not_scored"


def test_what_cannot_be_graded_is_not_hard() -> None:
    assert type_of(Row(confidence=0.1), "") is None


def evaluate(
    engine: Engine, step: int, examples: Sequence[Example], words: Sequence[Seen], run: str = "run"
) -> str:
    checkpoint = logs.arrive(engine, step, run=run)
    suites = sorted({one.suite_id for one in examples})
    logs.evaluate(engine, checkpoint, suites, list(zip(examples, words, strict=True)))
    return checkpoint


def register(engine: Engine, n: int) -> list[Example]:
    examples = logs.questions("easy", n, "easy")
    logs.register_suite(engine, examples, suite_id="easy", difficulty="easy")
    return examples


def only(row: dict[str, Any], *names: str) -> tuple[Any, ...]:
    return tuple(row[name] for name in names)


def test_the_view_shows_what_is_hard_at_the_newest_checkpoint(engine: Engine) -> None:
    examples = register(engine, 4)
    right, wrong = Seen("answer 0", math.log(0.9)), Seen("no", math.log(0.2))
    fine, known = Seen("answer 1", math.log(0.9)), Seen("answer 2", math.log(0.5))
    evaluate(engine, 100, examples, [right, fine, wrong, wrong])
    newest = evaluate(
        engine,
        200,
        examples,
        [Seen("anser 0", math.log(0.2), -20.0), fine, known, Seen("", error="too long")],
    )
    rows = shown(engine, VIEW)
    assert [only(row, "rank", "type", "prompt") for row in rows] == [
        (1, "not_scored", "easy question 3"),
        (2, "forgotten", "easy question 0"),
        (3, "low_confidence", "easy question 2"),
    ]
    assert {only(row, "run", "step", "checkpoint_id", "suite", "role") for row in rows} == {
        ("run", 200, newest, "easy", "validation")
    }
    broken, forgotten, unsure = rows
    assert only(broken, "correct", "confidence", "loss", "generated_text") == (None,) * 4
    assert only(broken, "reason", "error_class", "times_seen") == ("too long", "not_scored", 1)
    assert forgotten == {
        "run": "run",
        "checkpoint_id": newest,
        "step": 200,
        "rank": 2,
        "example_id": examples[0].example_id,
        "suite": "easy",
        "role": "validation",
        "difficulty": "easy",
        "skill": "recall",
        "type": "forgotten",
        "prompt": "easy question 0",
        "target": "answer 0",
        "generated_text": "anser 0",
        "correct": False,
        "confidence": pytest.approx(0.2),
        "loss": pytest.approx(20 / 9),
        "error_class": "near_miss",
        "times_right": 1,
        "times_seen": 2,
        "first_right_step": 100,
        "last_right_step": 100,
        "reason": None,
    }
    assert only(unsure, "correct", "first_right_step", "times_right") == (True, 200, 1)


def test_an_example_in_a_validation_and_a_mining_suite_is_a_validation_one(engine: Engine) -> None:
    examples = register(engine, 1)
    pool = [replace(examples[0], suite_id="a-pool"), logs.example("a-pool", "mined", "gold", 2)]
    logs.register_suite(engine, pool, suite_id="a-pool", role="mining")
    both = [examples[0], pool[1]]
    checkpoint = logs.arrive(engine, 100)
    seen = [(one, Seen("no", math.log(0.1))) for one in both]
    logs.evaluate(engine, checkpoint, ["a-pool", "easy"], seen)
    rows = shown(engine, VIEW)
    assert sorted(only(row, "prompt", "suite", "role", "times_seen") for row in rows) == [
        ("easy question 0", "easy", "validation", 1),
        ("mined", "a-pool", "mining", 1),
    ]


def test_runs_have_histories_of_their_own(engine: Engine) -> None:
    examples = register(engine, 1)
    evaluate(engine, 100, examples, [Seen("answer 0")])
    evaluate(engine, 200, examples, [Seen("no", math.log(0.1))], run="other")
    (row,) = shown(engine, VIEW)
    assert only(row, "run", "type", "times_seen") == ("other", "incorrect", 1)


def test_a_failed_newest_checkpoint_stands_below_the_examples_of_the_one_before(
    engine: Engine,
) -> None:
    examples = register(engine, 1)
    evaluate(engine, 100, examples, [Seen("no", math.log(0.1))])
    failed = logs.arrive(engine, 200)
    logs.fail(engine, "failed", failed, ["easy"], error="ModelLoadFault", message="no weights")
    logs.fail(engine, "failed too", logs.arrive(engine, 300), ["easy"])
    hard, reason, last = shown(engine, VIEW)
    assert only(last, "step", "rank") == (300, 3)
    assert only(hard, "step", "type") == (100, "incorrect")
    assert {name: value for name, value in reason.items() if value is not None} == {
        "run": "run",
        "checkpoint_id": failed,
        "step": 200,
        "rank": 2,
        "reason": "ModelLoadFault: no weights",
    }


def test_a_checkpoint_of_bare_text_says_that_nothing_was_graded(engine: Engine) -> None:
    text = replace(logs.example("text", "", "some text"), kind="text", messages=())
    logs.register_suite(engine, [text], suite_id="text")
    evaluate(engine, 100, [text], [Seen("some text")])
    (row,) = shown(engine, VIEW)
    assert only(row, "type", "step", "reason") == (
        None,
        100,
        "No answer of this checkpoint could be graded.",
    )


def test_a_run_without_hard_examples_has_no_rows(engine: Engine) -> None:
    evaluate(engine, 100, register(engine, 1), [Seen("answer 0", math.log(0.9))])
    assert shown(engine, VIEW) == []


def test_what_counts_as_low_confidence_is_a_setting(engine: Engine) -> None:
    evaluate(engine, 100, register(engine, 1), [Seen("answer 0", math.log(0.9))])
    strict = Settings.model_validate({"hard_examples": {"low_confidence": 0.95}})
    assert shown(engine, VIEW) == []
    (row,) = shown(engine, hard_examples.view(strict))
    assert row["type"] == "low_confidence"
