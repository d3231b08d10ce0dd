"""Calibration: the measures against numpy, statsmodels and scipy, and the view from logs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom
from sqlalchemy import Engine
from statsmodels.stats.proportion import proportion_confint

from settings import CalibrationSettings, Settings
from tests import logs
from tests.logs import Seen
from tests.views.deriving import shown
from views import calibration, reliability
from views.calibration import Calibration
from views.reliability import Bin, Sure, brier, ece, split

EDGES = CalibrationSettings().edges
VIEW = calibration.view(Settings())

Answer = tuple[float, bool]
answers = st.lists(st.tuples(st.floats(0.0, 1.0), st.booleans()), min_size=1, max_size=60)


def sure(confidence: float, right: int, wrong: int) -> list[Answer]:
    return [(confidence, True)] * right + [(confidence, False)] * wrong


def columns(sample: Sequence[Answer]) -> Sure:
    confidence, correct = zip(*sample, strict=True)
    return Sure(np.array(confidence), np.array(correct))


def judge(answers: Sure, settings: CalibrationSettings) -> Calibration:
    return calibration.judge(answers, split(answers, settings.edges), settings)


def bins_of(answers: Sure, edges: Sequence[float]) -> list[Bin]:
    return reliability.bins_of(split(answers, edges), edges)


def test_ece_and_brier_of_four_answers_worked_out_by_hand() -> None:
    four = columns([(0.3, False), (0.9, True), (0.9, False), (0.5, True)])
    # Below 0.5: confidence 0.3, accuracy 0. Above: confidence 2.3 / 3, accuracy 2 / 3.
    assert ece(split(four, (0.0, 0.5, 1.0))) == pytest.approx((1 * 0.3 + 3 * 0.1) / 4)
    assert brier(four) == pytest.approx((0.09 + 0.01 + 0.81 + 0.25) / 4)


@given(answers)
def test_ece_and_brier_equal_numpys(sample: list[Answer]) -> None:
    ours = columns(sample)
    confidence, correct = ours.confidence, ours.correct.astype(float)
    # np.histogram closes the last bin on the right, as the view does.
    n, _ = np.histogram(confidence, EDGES)
    sure_of, _ = np.histogram(confidence, EDGES, weights=confidence)
    right, _ = np.histogram(confidence, EDGES, weights=correct)
    filled = n > 0
    gaps = np.abs(right[filled] / n[filled] - sure_of[filled] / n[filled])
    assert ece(split(ours, EDGES)) == pytest.approx(np.average(gaps, weights=n[filled]))
    assert brier(ours) == pytest.approx(np.mean((confidence - correct) ** 2))
    assert [one.n for one in bins_of(ours, EDGES)] == n.tolist()


def test_a_bin_holds_its_lower_edge_and_the_last_one_its_upper_edge_too() -> None:
    sample = columns([(one, True) for one in (0.0, 0.2, math.nextafter(0.2, 0), 0.95, 1.0)])
    assert [one.n for one in bins_of(sample, EDGES)] == [2, 1, 0, 0, 0, 2]


def test_a_bin_has_the_mean_confidence_and_wilsons_interval() -> None:
    (one,) = bins_of(columns([*sure(0.9, 5, 1), *sure(0.6, 2, 4)]), (0.0, 1.0))
    low, high = proportion_confint(7, 12, alpha=0.05, method="wilson")
    assert (one.n, one.accuracy) == (12, 7 / 12)
    assert one.confidence == pytest.approx(0.75)
    assert one.accuracy_low == pytest.approx(low)
    assert one.accuracy_high == pytest.approx(high)


def test_an_empty_bin_has_no_numbers() -> None:
    first, second = bins_of(columns(sure(0.9, 3, 0)), (0.0, 0.5, 1.0))
    assert (first.n, first.confidence, first.accuracy, first.accuracy_low) == (0, None, None, None)
    assert second.accuracy == 1.0


@pytest.mark.parametrize(
    ("sample", "verdict"),
    [
        (sure(0.9, 45, 5), "calibrated"),
        (sure(0.9, 30, 20), "over-confident"),
        (sure(0.5, 45, 5), "under-confident"),
        (sure(1.0, 49, 1), "over-confident"),
        (sure(1.0, 50, 0), "calibrated"),
        (sure(0.0, 0, 50), "calibrated"),
    ],
)
def test_the_verdict_says_which_way_confidence_is_off(sample: list[Answer], verdict: str) -> None:
    assert judge(columns(sample), CalibrationSettings()).verdict == verdict


def test_errors_that_cancel_in_the_whole_are_found_in_the_bins() -> None:
    # Mean confidence and accuracy are both 0.5, and yet neither bin is as right as it is sure.
    sample = [*sure(0.9, 30, 30), *sure(0.1, 20, 20)]
    found = judge(columns(sample), CalibrationSettings())
    assert found.verdict == "over-confident"
    assert found.reason == "mean confidence between 0.8 and 0.95 is 90 %, and 50 % of 60 are right"
    assert found.ece == pytest.approx(0.4)


@given(st.integers(20, 60), st.floats(0.01, 0.99), st.data())
def test_the_verdict_is_that_of_the_exact_binomial_test(
    n: int, confidence: float, data: st.DataObject
) -> None:
    right = data.draw(st.integers(0, n))
    found = judge(
        columns(sure(confidence, right, n - right)), CalibrationSettings(edges=(0.0, 1.0))
    )
    at_most, at_least = binom.cdf(right, n, confidence), binom.sf(right - 1, n, confidence)
    # Two comparisons, the whole and its one bin, share a level of 5 %.
    if 2 * at_most < 0.025 * (1 - 1e-9):
        assert found.verdict == "over-confident"
    elif 2 * at_least < 0.025 * (1 - 1e-9):
        assert found.verdict == "under-confident"
    elif 2 * min(at_most, at_least) > 0.025 * (1 + 1e-9):
        assert found.verdict == "calibrated"


def test_too_few_answers_give_no_number() -> None:
    assert judge(columns(sure(0.9, 7, 0)), CalibrationSettings()) == calibration.Calibration(
        7, None, None, "too few to tell", "too few to tell: 7 examples, 20 needed"
    )


def test_the_view_has_a_row_a_difficulty_and_bin(engine: Engine) -> None:
    easy, hard = logs.questions("easy", 20, "easy"), logs.questions("hard", 4, "hard")
    logs.register_suite(engine, easy, suite_id="easy", difficulty="easy")
    logs.register_suite(engine, hard, suite_id="hard", difficulty="hard")
    checkpoint = logs.arrive(engine, 100)
    half = math.log(0.5)
    seen = [(one, Seen(one.target if k < 10 else "no", half)) for k, one in enumerate(easy)]
    seen += [(one, Seen("no", math.log(0.1))) for one in hard]
    logs.evaluate(engine, checkpoint, ["easy", "hard"], seen)
    rows = shown(engine, VIEW)
    assert [(row["difficulty"], row["bin_low"]) for row in rows] == [
        (difficulty, low) for difficulty in ("all", "easy", "hard") for low in EDGES[:-1]
    ]
    assert {(row["run"], row["step"], row["checkpoint_id"]) for row in rows} == {
        ("run", 100, checkpoint)
    }
    by_bin = {(row["difficulty"], row["bin_low"]): row for row in rows}
    low, high = proportion_confint(10, 20, alpha=0.05, method="wilson")
    expected = {
        "n": 20,
        "bin_high": 0.6,
        "confidence": pytest.approx(0.5),
        "accuracy": 0.5,
        "accuracy_low": pytest.approx(low),
        "accuracy_high": pytest.approx(high),
        "n_total": 20,
        "ece": pytest.approx(0.0, abs=1e-12),
        "brier": pytest.approx(0.25),
        "verdict": "calibrated",
    }
    found = by_bin["easy", 0.4]
    assert {name: found[name] for name in expected} == expected
    of_all = by_bin["all", 0.0]
    assert (of_all["n"], of_all["n_total"]) == (4, 24)
    assert of_all["ece"] == pytest.approx(4 * 0.1 / 24)
    assert of_all["brier"] == pytest.approx((20 * 0.25 + 4 * 0.01) / 24)
    few = by_bin["hard", 0.0]
    assert (few["n"], few["accuracy"], few["ece"], few["brier"]) == (4, 0.0, None, None)
    assert few["reason"] == "too few to tell: 4 examples, 20 needed"
    empty = by_bin["hard", 0.6]
    assert (empty["n"], empty["confidence"], empty["accuracy"]) == (0, None, None)


def test_mining_suites_and_doubles_are_not_counted(engine: Engine) -> None:
    easy = logs.questions("easy", 3, "easy")
    logs.register_suite(engine, easy, suite_id="easy", difficulty="easy")
    doubles = [replace(one, suite_id="mining") for one in easy[:2]]
    logs.register_suite(engine, doubles, suite_id="mining", role="mining")
    again = [logs.example("again", "easy question 0", "answer 0")]
    logs.register_suite(engine, again, suite_id="again", difficulty="easy")
    pool = logs.questions("pool", 5, "easy")
    logs.register_suite(engine, pool, suite_id="pool", role="mining")
    checkpoint = logs.arrive(engine, 100)
    seen = [(one, Seen(one.target)) for one in [*easy, *pool]]
    logs.evaluate(engine, checkpoint, ["easy", "again", "mining", "pool"], seen)
    rows = shown(engine, VIEW)
    assert {(row["difficulty"], row["n_total"]) for row in rows} == {("all", 3), ("easy", 3)}


def test_the_current_evaluation_is_the_one_shown(engine: Engine) -> None:
    examples = logs.questions("easy", 2)
    logs.register_suite(engine, examples, suite_id="easy")
    checkpoint = logs.arrive(engine, 100)
    for wording in ("first", "second"):
        seen = [
            (one, Seen(wording, math.log(0.5 if wording == "first" else 0.7))) for one in examples
        ]
        logs.evaluate(engine, checkpoint, ["easy"], seen, settings={"wording": wording})
    rows = [row for row in shown(engine, VIEW) if row["difficulty"] == "all" and row["n"]]
    assert [(row["bin_low"], row["n"]) for row in rows] == [(0.6, 2)]


def test_a_failed_evaluation_shows_its_reason_and_no_number(engine: Engine) -> None:
    logs.register_suite(engine, logs.questions("easy", 2), suite_id="easy")
    checkpoint = logs.arrive(engine, 100)
    evaluation = logs.start(engine, checkpoint, ["easy"], examples=2)
    logs.fail(
        engine, evaluation, checkpoint, ["easy"], error="ModelLoadFault", message="no weights"
    )
    (row,) = shown(engine, VIEW)
    assert row.pop("reason") == "ModelLoadFault: no weights"
    known = {"run": "run", "checkpoint_id": checkpoint, "step": 100, "difficulty": "all"}
    assert {name: value for name, value in row.items() if value is not None} == {
        **known,
        "n": 0,
        "n_total": 0,
    }
