"""Temperatures, on logits whose best temperature is known."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import optimize, special
from sqlalchemy import Engine

from settings import CalibrationSettings, Settings
from store import log
from store.events import PredictionsRecorded
from store.log import Rows
from store.records import Example, example_id_of
from tests import logs
from tests.logs import Seen
from tests.views.deriving import shown
from tests.views.rows import Row, table
from views import temperature
from views.tempering import Choices, Targets, halves, of_choices, of_targets

SETTINGS = CalibrationSettings()
GRID = (0.5, 0.75, 1.0, 1.5, 2.0)
VIEW = temperature.view(Settings())


def ids(n: int) -> list[bytes]:
    return [f"{k:04}".encode() for k in range(n)]


def logits(n: int, options: int, scale: float, seed: int = 0) -> tuple[Any, Any]:
    """Logits that are `scale` times too large, and what happens by the true ones."""
    random = np.random.default_rng(seed)
    true = random.normal(0.0, 1.5, (n, options))
    shares = special.softmax(true, axis=1)
    happens = [random.choice(options, p=row) for row in shares]
    return true * scale, np.array(happens)


def choices(n: int, scale: float, seed: int = 0) -> Choices:
    logprobs, happens = logits(n, 4, scale, seed)
    chosen = logprobs.argmax(axis=1)
    return Choices(special.log_softmax(logprobs, axis=1), chosen, chosen == happens)


def targets(n: int, scale: float, grid: tuple[float, ...] = GRID) -> tuple[Targets, Any, Any]:
    """One token a target, of a vocabulary of 30."""
    raw, happens = logits(n, 30, scale)
    known = sorted(grid, reverse=True)
    rows = np.arange(n)
    nll = [-special.log_softmax(raw / one, axis=1)[rows, happens] for one in known]
    return Targets(tuple(known), np.array(nll).T, np.ones(n)), raw, happens


def test_halves_are_decided_by_the_ids_and_not_by_their_order() -> None:
    names = ids(41)
    fit, test = halves(names)
    assert (len(fit), len(test)) == (21, 20)
    assert sorted([*fit.tolist(), *test.tolist()]) == list(range(41))
    backward = halves(names[::-1])
    assert {names[::-1][row] for row in backward.fit} == {names[row] for row in fit}


@pytest.mark.parametrize("scale", [0.5, 2.0, 3.0])
def test_choices_find_the_temperature_that_was_put_in(scale: float) -> None:
    found = of_choices(choices(4000, scale), ids(4000), SETTINGS)
    assert found.temperature == pytest.approx(scale, rel=0.15)
    assert found.verdict == "helps"
    assert (found.n_fit, found.n_test) == (2000, 2000)
    assert found.ece_before is not None
    assert found.ece_after is not None
    assert found.ece_after < found.ece_before
    assert found.ece_after < 0.05
    assert found.reason.startswith(f"T = {found.temperature:.2f}, fitted on 2000 choices, takes")
    assert "better beyond chance" in found.reason


def test_log_scores_of_choices_by_hand() -> None:
    two = Choices(
        np.log([[0.8, 0.2, 0.0 + 1e-300], [0.6, 0.4, 1e-300]]),
        np.array([0, 0]),
        np.array([True, False]),
    )
    assert two.log_scores(1.0) == pytest.approx([-math.log(0.8), -math.log(0.4)])
    # At T = 2 shares are as the roots of these.
    roots = math.sqrt(0.6), math.sqrt(0.4)
    assert two.log_scores(2.0)[1] == pytest.approx(-math.log(roots[1] / sum(roots)))


def test_a_temperature_of_1_makes_no_difference() -> None:
    found = of_choices(choices(1000, 1.0), ids(1000), SETTINGS)
    assert found.temperature == pytest.approx(1.0, rel=0.2)
    assert found.verdict == "no difference"


def test_always_right_has_no_best_temperature() -> None:
    all_right = replace(choices(100, 1.0), right=np.ones(100, np.bool_))
    found = of_choices(all_right, ids(100), SETTINGS)
    assert (found.temperature, found.verdict) == (None, "not found")
    assert found.reason == "No temperature between 0.05 and 20 is the best on one half."


def test_few_examples_are_too_few_to_tell() -> None:
    found = of_choices(choices(39, 2.0), ids(39), SETTINGS)
    assert (found.temperature, found.verdict) == (None, "too few to tell")
    assert found.reason == "too few to tell: halves of 20 and 19 choices, 20 needed in each"


@pytest.mark.parametrize("scale", [0.7, 1.25, 1.6])
def test_targets_are_close_to_the_exact_optimum_between_the_temperatures(scale: float) -> None:
    made, raw, happens = targets(4000, scale)
    found = of_targets(made, ids(4000), SETTINGS)
    fit, test = halves(ids(4000))

    def exact(rows: Any, at: float) -> float:
        return -float(
            special.log_softmax(raw[rows] / at, axis=1)[np.arange(len(rows)), happens[rows]].mean()
        )

    best = optimize.minimize_scalar(lambda at: exact(fit, at), bounds=(0.5, 2.0), method="bounded")
    assert found.temperature == pytest.approx(best.x, rel=0.05)
    assert found.nll_before == pytest.approx(exact(test, 1.0))
    assert found.nll_after == pytest.approx(exact(test, found.temperature or 0.0), abs=0.01)
    assert found.verdict == "helps"
    assert (found.ece_before, found.ece_after) == (None, None)


def test_at_the_edge_of_what_was_measured_no_temperature_is_told() -> None:
    found = of_targets(targets(200, 5.0)[0], ids(200), SETTINGS)
    assert (found.temperature, found.verdict) == (None, "not found")
    assert found.reason.startswith("On one half T = 2 is the best of those measured")


def test_the_chosen_option_is_the_one_with_the_answers_confidence() -> None:
    answers = table([Row(correct=True, confidence=0.25), Row(correct=False, confidence=0.9)])
    made = Choices.of([[math.log(0.75), math.log(0.25)], [math.log(0.9), -5.0, -5.5]], answers)
    assert made.chosen.tolist() == [1, 0]
    assert made.logprobs[0, 2] == -math.inf


def choice(k: int) -> Example:
    messages = ({"role": "user", "content": f"question {k}"},)
    options = ("yes", "no")
    return Example(
        suite_id="quiz",
        example_id=example_id_of("choice", messages, "yes", options),
        line=k + 1,
        kind="choice",
        messages=messages,
        target="yes",
        choices=options,
    )


def test_the_view_tells_of_choices_and_of_targets(engine: Engine) -> None:
    quiz = [choice(k) for k in range(200)]
    logs.register_suite(engine, quiz, suite_id="quiz")
    checkpoint = logs.arrive(engine, 100)
    evaluation = logs.start(engine, checkpoint, ["quiz"], examples=200)
    random = np.random.default_rng(7)
    rows = []
    for one in quiz:
        # It is twice as sure, in logits, as it should be.
        logit = random.normal(0.0, 1.5)
        yes = random.random() < 1 / (1 + math.exp(-logit))
        sides = np.log(special.softmax([2 * logit, 0.0]))
        first, second = sides if yes else sides[::-1]
        at = {str(t): -3.0 - (1 / t - 0.8) ** 2 for t in GRID}
        made = logs.prediction(evaluation, one, Seen("", target_logprob=at["1.0"]))
        made = replace(made, generated_text=None, finish_reason=None, generated_tokens=None)
        made = replace(made, generated_logprob=None, generated_min_logprob=None)
        made = replace(made, generated_entropy=None, logprob_at_temperature=at)
        rows.append(replace(made, choice_logprobs=(float(first), float(second))))
    log.append(
        engine,
        PredictionsRecorded(evaluation_id=evaluation, batch="1", scored=200, failed=0),
        rows=Rows(predictions=rows),
    )
    logs.complete(engine, evaluation, checkpoint, scored=200)
    first, second = shown(engine, VIEW)
    assert (first["what"], second["what"]) == ("choices", "targets")
    assert first["temperature"] == pytest.approx(2.0, rel=0.4)
    assert first["nll_after"] < first["nll_before"]
    assert 0.0 < first["ece_after"] < 1.0
    # The parabola in 1/T is exact where the likelihood is one.
    assert second["temperature"] == pytest.approx(1 / 0.8)
    assert second["nll_change"] == pytest.approx(-(0.2**2) / 4)
    assert (first["n_fit"], first["n_test"], second["n_test"]) == (100, 100, 100)


def test_a_failed_evaluation_has_its_reason_and_no_number(engine: Engine) -> None:
    logs.register_suite(engine, logs.questions("easy", 2), suite_id="easy")
    checkpoint = logs.arrive(engine, 100)
    evaluation = logs.start(engine, checkpoint, ["easy"], examples=2)
    logs.fail(engine, evaluation, checkpoint, ["easy"], error="OSError", message="lost")
    for row in shown(engine, VIEW):
        assert (row["reason"], row["temperature"], row["verdict"]) == ("OSError: lost", None, None)
