"""Grades and results, from logs to SQL views."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Engine, event, text

from settings import Settings
from store import log
from store.events import EvaluationAbandoned, PredictionsRecorded
from store.lifecycle import LIFECYCLE
from store.log import Rows
from store.projections import bring_up_to_date
from store.records import Example, Prediction, example_id_of
from tests import logs
from tests.logs import Seen
from views import results

PROJECTIONS = [LIFECYCLE, results.RESULTS]


def shown(engine: Engine) -> list[dict[str, Any]]:
    assert bring_up_to_date(engine, PROJECTIONS) == []
    with engine.connect() as connection:
        return results.view(Settings()).rows(connection)


def predictions(engine: Engine, columns: str) -> list[tuple[Any, ...]]:
    bring_up_to_date(engine, PROJECTIONS)
    query = f"SELECT {columns} FROM predictions ORDER BY suite, line, sample"
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(query))]


def test_a_checkpoint_has_a_row_a_suite_and_difficulty(engine: Engine) -> None:
    mixed = [
        logs.example("mixed", "1 + 1", "2", 1),
        logs.example("mixed", "2 + 2", "4", 2, difficulty="hard"),
        logs.example("mixed", "3 + 3", "6", 3, difficulty="expert"),
    ]
    plain = logs.questions("plain", 2)
    logs.register_suite(engine, mixed, suite_id="mixed", difficulty="easy")
    logs.register_suite(engine, plain, suite_id="plain")
    checkpoint = logs.arrive(engine, 100)
    seen = [(one, Seen(one.target, target_logprob=-2.0)) for one in [*mixed, *plain]]
    logs.evaluate(engine, checkpoint, ["mixed", "plain"], seen)
    rows = shown(engine)
    assert [(row["suite"], row["difficulty"], row["n"]) for row in rows] == [
        ("mixed", "easy", 1),
        ("mixed", "hard", 1),
        ("mixed", "expert", 1),
        ("plain", "unspecified", 2),
    ]
    assert {(row["run"], row["step"], row["status"]) for row in rows} == {("run", 100, "evaluated")}
    assert rows[0]["loss"] == pytest.approx(2.0 / 2)  # the target "2" and its end of text
    assert rows[3]["loss"] == pytest.approx(4.0 / 18)
    assert rows[3]["accuracy"] == 1.0
    assert rows[3]["grader"] == "exact@2"


def test_a_failed_evaluation_shows_no_number(engine: Engine) -> None:
    examples = logs.questions("easy", 4, "easy") + logs.questions("easy2", 2, "hard")
    examples = [
        logs.example("easy", one.messages[0]["content"], one.target, line, one.difficulty)
        for line, one in enumerate(examples, start=1)
    ]
    logs.register_suite(engine, examples, suite_id="easy")
    logs.register_suite(engine, [], suite_id="empty", difficulty="medium")
    checkpoint = logs.arrive(engine, 100)
    suites = ["easy", "empty"]
    evaluation = logs.start(engine, checkpoint, suites, examples=6)
    logs.record(engine, evaluation, [(examples[0], Seen("answer 0"))])
    logs.fail(engine, evaluation, checkpoint, suites, error="ModelLoadFault", message="no weights")
    rows = shown(engine)
    assert [(row["suite"], row["difficulty"], row["n"], row["status"]) for row in rows] == [
        ("easy", "easy", 1, "failed"),
        ("easy", "hard", 0, "failed"),
        ("empty", "medium", 0, "failed"),
    ]
    for row in rows:
        assert row["reason"] == "ModelLoadFault: no weights"
        assert all(row[name] is None for name in ("loss", "perplexity", "accuracy", "score"))
    assert predictions(engine, "generated_text, correct, error_class") == [("answer 0", None, None)]


def test_a_second_attempt_takes_the_failure_back(engine: Engine) -> None:
    examples = logs.questions("easy", 2, "easy")
    logs.register_suite(engine, examples, suite_id="easy")
    checkpoint = logs.arrive(engine, 100)
    evaluation = logs.start(engine, checkpoint, ["easy"], examples=2)
    logs.fail(engine, evaluation, checkpoint, ["easy"])
    assert [row["status"] for row in shown(engine)] == ["failed"]
    logs.start(engine, checkpoint, ["easy"], examples=2, attempt=2)
    assert shown(engine) == []
    logs.record(engine, evaluation, [(one, Seen(one.target)) for one in examples])
    logs.complete(engine, evaluation, checkpoint, scored=2)
    assert [(row["status"], row["accuracy"]) for row in shown(engine)] == [("evaluated", 1.0)]


def test_an_abandoned_evaluation_says_why(engine: Engine) -> None:
    logs.register_suite(engine, logs.questions("easy", 2, "easy"), suite_id="easy")
    checkpoint = logs.arrive(engine, 100)
    evaluation = logs.start(engine, checkpoint, ["easy"], examples=2)
    log.append(
        engine,
        EvaluationAbandoned(
            evaluation_id=evaluation,
            checkpoint_id=checkpoint,
            suites=("easy",),
            reason="the folder is gone",
        ),
    )
    rows = shown(engine)
    assert [(row["status"], row["reason"]) for row in rows] == [
        ("failed", "Abandoned: the folder is gone")
    ]


def test_results_are_of_the_current_evaluation(engine: Engine) -> None:
    examples = logs.questions("easy", 2, "easy")
    logs.register_suite(engine, examples, suite_id="easy")
    checkpoint = logs.arrive(engine, 100)
    wrong = [(one, Seen("wrong")) for one in examples]
    right = [(one, Seen(one.target)) for one in examples]
    logs.evaluate(engine, checkpoint, ["easy"], wrong)
    newer = logs.evaluate(engine, checkpoint, ["easy"], right, settings={"max_new_tokens": 9})
    rows = shown(engine)
    assert [(row["evaluation_id"], row["accuracy"]) for row in rows] == [(newer, 1.0)]
    assert predictions(engine, "evaluation_id, correct") == [(newer, 1), (newer, 1)]


def test_a_new_grader_regrades_without_the_model(engine: Engine) -> None:
    examples = [logs.example("sums", "6 * 7", "42"), logs.example("sums", "2 * 2", "4", 2)]
    logs.register_suite(engine, examples, suite_id="sums")
    checkpoint = logs.arrive(engine, 100)
    answers = [(examples[0], Seen("It is 42.")), (examples[1], Seen("It is 5."))]
    logs.evaluate(engine, checkpoint, ["sums"], answers)
    assert [(row["grader"], row["accuracy"]) for row in shown(engine)] == [("exact@2", 0.0)]
    logs.register_suite(engine, examples, suite_id="sums", grader="numeric", revision=2)
    assert [(row["grader"], row["accuracy"]) for row in shown(engine)] == [("numeric@2", 0.5)]
    assert predictions(engine, "parsed, expected, error_class") == [
        ("42", "42", None),
        ("5", "4", "wrong_answer"),
    ]


def test_an_unknown_grader_is_told_and_stops_nothing_else(engine: Engine) -> None:
    examples = logs.questions("easy", 2, "easy")
    logs.register_suite(engine, examples, suite_id="easy", grader="exakt")
    checkpoint = logs.arrive(engine, 100)
    logs.evaluate(engine, checkpoint, ["easy"], [(one, Seen("x")) for one in examples])
    (row,) = shown(engine)
    assert (row["accuracy"], row["grader"]) == (None, None)
    assert row["loss"] is not None
    assert "there is no grader 'exakt'. There are: choice" in row["reason"]


def test_an_example_in_two_suites_is_graded_in_both(engine: Engine) -> None:
    shared = [logs.example(name, "6 * 7", "42") for name in ("exact", "loose")]
    logs.register_suite(engine, [shared[0]], suite_id="exact")
    logs.register_suite(engine, [shared[1]], suite_id="loose", grader="contains")
    checkpoint = logs.arrive(engine, 100)
    logs.evaluate(engine, checkpoint, ["exact", "loose"], [(shared[0], Seen("It is 42."))])
    assert [(row["suite"], row["accuracy"]) for row in shown(engine)] == [
        ("exact", 0.0),
        ("loose", 1.0),
    ]


def test_a_pattern_that_cannot_be_read_grades_no_answer(engine: Engine) -> None:
    rows = [
        logs.example("quiz", f"row {line}", target, line)
        for line, target in enumerate(["^yes$", "(yes", r"(y)es\1", "^no$"], start=1)
    ]
    logs.register_suite(engine, rows, suite_id="quiz", grader="regex")
    logs.evaluate(engine, logs.arrive(engine, 100), ["quiz"], [(one, Seen("yes")) for one in rows])
    (row,) = shown(engine)
    assert (row["grader"], row["n"], row["n_graded"], row["accuracy"]) == ("regex@2", 4, 2, 0.5)
    assert row["reason"] == "Accuracies are of the 2 of 4 that could be graded."
    assert predictions(engine, "correct, score, error_class") == [
        (1, 1.0, None),
        (None, None, "not_graded"),
        (None, None, "not_graded"),
        (0, 0.0, "wrong_answer"),
    ]


def quiz(engine: Engine, grader: str, text: str | None) -> tuple[dict[str, Any], float | None]:
    """The result of one row with choices, and the confidence in its answer.

    By their sums "red" is the likeliest, three times as likely as "dark green"; by the byte it is
    "dark green".
    """
    choices = ("red", "dark green")
    messages = ({"role": "user", "content": "Which colour is grass?"},)
    row = Example(
        suite_id="quiz",
        example_id=example_id_of("choice", messages, "dark green", choices),
        line=1,
        kind="choice",
        messages=messages,
        target="dark green",
        choices=choices,
    )
    logs.register_suite(engine, [row], suite_id="quiz", grader=grader)
    checkpoint = logs.arrive(engine, 100)
    evaluation = logs.start(engine, checkpoint, ["quiz"], examples=1)
    seen = Prediction(evaluation, row.example_id, choice_logprobs=(-3.0 + math.log(3), -3.0))
    if text is not None:
        seen = replace(
            seen,
            prompt_tokens=10,
            prompt_truncated=False,
            generated_text=text,
            finish_reason="eos",
            generated_tokens=5,
            generated_logprob=math.log(0.5),
            generated_min_logprob=-0.5,
            generated_entropy=0.5,
        )
    log.append(
        engine,
        PredictionsRecorded(evaluation_id=evaluation, batch="1", scored=1, failed=0),
        rows=Rows(predictions=[seen]),
    )
    logs.complete(engine, evaluation, checkpoint, scored=1)
    (result,) = shown(engine)
    ((confidence,),) = predictions(engine, "confidence")
    return result, confidence


@pytest.mark.parametrize(
    ("grader", "graded_by", "accuracy", "confidence"),
    [
        ("exact", "choice@1", 0.0, 0.75),  # e^log 3 = 3, so 3 in 4
        ("choice", "choice@1", 0.0, 0.75),
        ("choice_norm", "choice_norm@1", 1.0, 0.25),  # -1.90 / 3 bytes and -3 / 10 bytes
        ("choice_text", "choice_text@1", 1.0, 0.5),
    ],
)
def test_the_suites_grader_says_how_choices_are_graded(
    engine: Engine, grader: str, graded_by: str, accuracy: float, confidence: float
) -> None:
    row, found = quiz(engine, grader, "It is dark green.")
    assert (row["grader"], row["accuracy"], row["n_graded"]) == (graded_by, accuracy, 1)
    assert found == pytest.approx(confidence)
    assert "No loss" in row["reason"]


def test_choices_without_a_text_are_not_graded_by_it(engine: Engine) -> None:
    row, confidence = quiz(engine, "choice_text", None)
    assert (row["accuracy"], row["n_graded"], confidence) == (None, 0, None)
    assert "nothing that the grader takes was recorded" in row["reason"]


def test_predictions_say_what_was_asked_and_answered(engine: Engine) -> None:
    turns = (
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "first"},
        {"role": "assistant", "content": "ok"},
        {"role": "user", "content": "last"},
    )
    chat = Example("chat", example_id_of("chat", turns, "done"), 1, "chat", turns, "done")
    broken = logs.example("chat", "too long", "x", 2)
    logs.register_suite(engine, [chat, broken], suite_id="chat", difficulty="hard")
    checkpoint = logs.arrive(engine, 100)
    answers = [
        (chat, Seen("Done", logprob=-0.5, target_logprob=-2.0)),
        (broken, Seen("", error="the prompt does not fit")),
    ]
    logs.evaluate(engine, checkpoint, ["chat"], answers)
    columns = "prompt, generated_text, difficulty, correct, error_class, loss, error"
    assert predictions(engine, columns) == [
        ("last", "Done", "hard", 0, "format_only", pytest.approx(0.4), None),
        ("too long", None, "hard", None, "not_scored", None, "the prompt does not fit"),
    ]
    ((confidence,), _) = predictions(engine, "confidence")
    assert confidence == pytest.approx(0.60653, abs=1e-5)


@pytest.mark.parametrize("stride", [1, 2, 3, None])
def test_a_replay_grades_each_evaluation_once_however_it_is_cut(
    engine: Engine, stride: int | None
) -> None:
    examples = logs.questions("easy", 2)
    logs.register_suite(engine, examples, suite_id="easy")
    for step in (100, 200, 300):
        seen = [(one, Seen(one.target)) for one in examples]
        logs.evaluate(engine, logs.arrive(engine, step), ["easy"], seen)
    inserted: list[str] = []

    @event.listens_for(engine, "before_cursor_execute")
    def _note(_c: object, _k: object, statement: str, *_: object) -> None:
        if statement.startswith("INSERT INTO grade"):
            inserted.append(statement)

    assert bring_up_to_date(engine, [LIFECYCLE, replace(results.RESULTS, stride=stride)]) == []
    assert len(inserted) == 3


@pytest.mark.parametrize("column", ["evaluation_id", "checkpoint_id", "run"])
def test_predictions_of_one_subject_are_found_by_index(engine: Engine, column: str) -> None:
    query = f"EXPLAIN QUERY PLAN SELECT * FROM predictions WHERE {column} = 'x'"
    with engine.connect() as connection:
        steps = [row.detail for row in connection.execute(text(query))]
    scans = [step for step in steps if step.startswith("SCAN") and "message" not in step]
    assert scans == []
    assert any("prediction USING" in step and "evaluation_id=?" in step for step in steps)
