"""Each kind of confidence, from what was recorded of an answer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Engine

from settings import CalibrationSettings, Settings
from store import log
from store.events import PredictionsRecorded
from store.log import Rows
from store.records import TokenTrace
from tests import logs
from tests.logs import Seen
from tests.views.deriving import shown
from tests.views.rows import Row, table
from views import confidences
from views.bootstrap import generator
from views.confidences import Written, groups_of, measure, tokens_of

SETTINGS = CalibrationSettings()
VIEW = confidences.view(Settings())
NOTHING = Written(None, None, None, None, None, None)


def traced(logprobs: Sequence[float]) -> bytes:
    return np.array(logprobs).astype("<f2").tobytes()


def written(logprobs: Sequence[float], first_miss: int | None, target_tokens: int) -> Written:
    return Written(
        sum(logprobs), min(logprobs), len(logprobs), first_miss, target_tokens, traced(logprobs)
    )


def test_each_kind_by_hand() -> None:
    answers = table(
        [
            Row("a", True, confidence=math.exp(-3.0)),
            Row("b", False, confidence=math.exp(-1.0)),
            Row("c", True, confidence=0.7, grader="choice@1"),
            Row("d", None),
        ]
    )
    of_text = [written([-2.0, -0.5, -0.5], None, 3), written([-1.0], 0, 2)]
    found = {one.kind: one for one in groups_of(answers, [*of_text, NOTHING, NOTHING])}
    assert found["sequence"].sure.confidence == pytest.approx([math.exp(-3), math.exp(-1), 0.7])
    assert found["mean_token"].sure.confidence == pytest.approx([math.exp(-1), math.exp(-1)])
    assert found["least_token"].sure.confidence == pytest.approx([math.exp(-2), math.exp(-1)])
    assert found["least_token"].sure.correct.tolist() == [True, False]
    assert [found[kind].examples for kind in confidences.KINDS] == [3, 2, 2, 2]


def test_tokens_are_taken_up_to_the_first_that_is_not_the_targets() -> None:
    found = tokens_of(
        [
            written([-0.5, -1.0, -2.0, -4.0], 2, 6),  # two right, then one wrong
            written([-0.25, -0.5], None, 2),  # all of the target
            written([-0.125], 3, 6),  # cut before it could miss
            written([-1.5, -1.5, -1.5], None, 1),  # it writes on after the target
            NOTHING,
        ]
    )
    wanted = [-0.5, -1.0, -2.0, -0.25, -0.5, -0.125, -1.5]
    assert np.log(found.sure.confidence) == pytest.approx(wanted)
    assert found.sure.correct.tolist() == [True, True, False, True, True, True, True]
    assert (found.examples, found.missing) == (4, None)


def test_without_traces_or_written_answers_the_reason_stands_in_place_of_numbers() -> None:
    answers = table([Row(f"{k}", True, confidence=0.9, grader="choice@1") for k in range(30)])
    found = [
        measure(one, SETTINGS, generator([b"x"])) for one in groups_of(answers, [NOTHING] * 30)
    ]
    assert [one.verdict for one in found] == ["calibrated", None, None, None]
    assert [one.reason for one in found][1:] == [
        confidences.NOT_WRITTEN,
        confidences.NOT_WRITTEN,
        confidences.NO_TRACES,
    ]
    assert all(one.ece is None for one in found[1:])


def test_many_tokens_of_few_examples_are_too_few() -> None:
    group = tokens_of([written([-0.5] * 30, None, 30)] * 19)
    found = measure(group, SETTINGS, generator([b"x"]))
    assert (found.n, found.examples, found.ece) == (570, 19, None)
    assert found.reason == "too few to tell: 19 examples, 20 needed"


def test_a_log_score_that_is_infinite_is_none_and_said_to_be() -> None:
    answers = table([Row(f"{k}", k > 0, confidence=1.0) for k in range(30)])
    group = groups_of(answers, [NOTHING._replace(logprob=0.0, min_logprob=0.0, tokens=1)] * 30)[0]
    found = measure(group, SETTINGS, generator([b"x"]))
    assert found.log_score is None
    assert found.reason.endswith(confidences.NO_LOG_SCORE)
    assert found.brier == pytest.approx(1 / 30)


def test_the_view_has_a_row_a_difficulty_and_kind(engine: Engine) -> None:
    rows = evaluated(engine)
    assert [(row["difficulty"], row["kind"]) for row in rows] == [
        (difficulty, kind) for difficulty in ("all", "easy", "hard") for kind in confidences.KINDS
    ]
    easy = {row["kind"]: row for row in rows if row["difficulty"] == "easy"}
    assert easy["sequence"]["confidence"] == pytest.approx(math.exp(-0.6))
    assert easy["mean_token"]["confidence"] == pytest.approx(math.exp(-0.2))
    assert easy["least_token"]["confidence"] == pytest.approx(math.exp(-0.3))
    # Of 24 answers 12 are right in all three tokens, the others wrong in the first.
    assert (easy["token"]["n"], easy["token"]["examples"]) == (12 * 3 + 12, 24)
    assert easy["token"]["accuracy"] == pytest.approx(36 / 48)
    found = easy["sequence"]
    assert (found["n"], found["accuracy"]) == (24, 0.5)
    assert found["smooth_ece_low"] <= found["smooth_ece"] <= found["smooth_ece_high"]
    assert found["smooth_ece"] == pytest.approx(found["ece"], abs=0.02)
    assert len(found["curve"][0]) == 4
    whole = found["reliability"] - found["resolution"] + found["uncertainty"]
    assert whole + found["within_bins"] == pytest.approx(found["brier"])
    few = {row["kind"]: row for row in rows if row["difficulty"] == "hard"}
    assert (few["sequence"]["ece"], few["sequence"]["curve"]) == (None, None)
    assert few["sequence"]["reason"] == "too few to tell: 4 examples, 20 needed"


def evaluated(engine: Engine) -> list[dict[str, Any]]:
    """24 easy questions, half of them answered right, and 4 hard ones."""
    easy, hard = logs.questions("easy", 24, "easy"), logs.questions("hard", 4, "hard")
    logs.register_suite(engine, easy, suite_id="easy", difficulty="easy")
    logs.register_suite(engine, hard, suite_id="hard", difficulty="hard")
    checkpoint = logs.arrive(engine, 100)
    evaluation = logs.start(engine, checkpoint, ["easy", "hard"], examples=28)
    predictions, traces = [], []
    for k, one in enumerate([*easy, *hard]):
        right = k < 12
        made = logs.prediction(evaluation, one, Seen(one.target if right else "no", -0.6))
        made = replace(made, generated_tokens=3, generated_min_logprob=-0.3, target_tokens=3)
        predictions.append(replace(made, target_first_miss=None if right else 0))
        numbers = traced([-0.1, -0.3, -0.2])
        trace = TokenTrace(
            evaluation, one.example_id, 0, "generated", ("a", "b", "c"), numbers, numbers, numbers
        )
        traces += [trace, replace(trace, kind="target")]
    log.append(
        engine,
        PredictionsRecorded(evaluation_id=evaluation, batch="1", scored=28, failed=0),
        rows=Rows(predictions=predictions, traces=traces),
    )
    logs.complete(engine, evaluation, checkpoint, scored=28)
    return shown(engine, VIEW)


def test_a_failed_evaluation_has_its_reason_and_no_number(engine: Engine) -> None:
    logs.register_suite(engine, logs.questions("easy", 2), suite_id="easy")
    checkpoint = logs.arrive(engine, 100)
    evaluation = logs.start(engine, checkpoint, ["easy"], examples=2)
    logs.fail(engine, evaluation, checkpoint, ["easy"], error="OSError", message="lost")
    rows = shown(engine, VIEW)
    assert len(rows) == len(confidences.KINDS)
    assert {(row["reason"], row["ece"], row["verdict"]) for row in rows} == {
        ("OSError: lost", None, None)
    }
