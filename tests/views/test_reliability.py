"""Measures of calibration against scikit-learn, torchmetrics and relplot, and by hand."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import relplot
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import brier_score_loss, log_loss
from torchmetrics.functional.classification import binary_calibration_error

from settings import CalibrationSettings
from views.bootstrap import generator
from views.reliability import Sure, brier, brier_parts, ece, log_score, split
from views.smooth_ece import Smooth, smooth, smooth_ece

Reals = NDArray[np.float64]
EDGES = CalibrationSettings().edges
samples = st.lists(st.tuples(st.floats(0.0, 1.0), st.booleans()), min_size=1, max_size=60)


def sure(sample: list[tuple[float, bool]]) -> Sure:
    confidence, correct = zip(*sample, strict=True)
    return Sure(np.array(confidence), np.array(correct))


def drawn(n: int, seed: int, chance: Callable[[Reals], Reals] = np.asarray) -> Sure:
    """Confidences between 0.3 and 0.95, right with a chance that may differ."""
    random = np.random.default_rng(seed)
    confidence = random.uniform(0.3, 0.95, n)
    return Sure(confidence, random.random(n) < np.clip(chance(confidence), 0.0, 1.0))


def smoothed(answers: Sure) -> Smooth:
    return smooth(answers, generator([b"test"]))


@given(samples)
def test_the_brier_score_is_the_sum_of_its_parts(sample: list[tuple[float, bool]]) -> None:
    answers = sure(sample)
    parts = brier_parts(split(answers, EDGES))
    whole = parts.reliability - parts.resolution + parts.uncertainty + parts.within_bins
    assert whole == pytest.approx(brier(answers), abs=1e-12)
    assert brier(answers) == pytest.approx(
        brier_score_loss(answers.correct, answers.confidence, pos_label=True)
    )


def test_the_parts_of_the_brier_score_by_hand() -> None:
    # One bin at 0.9, of which half is right, and one at 0.1, of which none is.
    four = sure([(0.9, True), (0.9, False), (0.1, False), (0.1, False)])
    parts = brier_parts(split(four, (0.0, 0.5, 1.0)))
    assert parts.reliability == pytest.approx((0.4**2 + 0.1**2) / 2)
    assert parts.resolution == pytest.approx((0.25**2 + 0.25**2) / 2)
    assert parts.uncertainty == pytest.approx(0.25 * 0.75)
    assert parts.within_bins == pytest.approx(0.0)


@given(st.lists(st.tuples(st.floats(0.01, 0.99), st.booleans()), min_size=1, max_size=60))
def test_the_log_score_is_scikit_learns(sample: list[tuple[float, bool]]) -> None:
    answers = sure(sample)
    theirs = log_loss(answers.correct, answers.confidence, labels=[False, True])
    assert log_score(answers) == pytest.approx(theirs)


def test_what_had_no_chance_and_happened_has_no_log_score() -> None:
    assert log_score(sure([(1.0, False), (0.5, True)])) is None
    assert log_score(sure([(0.0, True)])) is None
    assert log_score(sure([(1.0, True), (0.0, False)])) == 0.0


@pytest.mark.parametrize("bins", [5, 10, 15])
def test_the_ece_of_bins_of_equal_width_is_torchmetrics(bins: int) -> None:
    answers = drawn(500, 1, lambda confidence: confidence - 0.1)
    theirs = binary_calibration_error(
        torch.tensor(answers.confidence), torch.tensor(answers.correct), n_bins=bins, norm="l1"
    )
    edges = np.linspace(0.0, 1.0, bins + 1).tolist()
    assert ece(split(answers, edges)) == pytest.approx(float(theirs), abs=1e-6)


@pytest.mark.parametrize("n", [20, 150, 2000])
@pytest.mark.parametrize("gap", [0.0, 0.1, 0.3, -0.2])
def test_the_smooth_ece_is_relplots(n: int, gap: float) -> None:
    answers = drawn(n, n, lambda confidence: confidence - gap)
    theirs = relplot.smECE(answers.confidence, answers.correct.astype(float))
    assert smooth_ece(answers) == pytest.approx(theirs, abs=0.001)


def test_the_smooth_ece_of_one_confidence_is_its_gap() -> None:
    assert smooth_ece(sure([(0.5, True)] * 9 + [(0.5, False)])) == pytest.approx(0.4, abs=0.01)
    assert smooth_ece(sure([(1.0, True)] * 10)) == pytest.approx(0.0, abs=0.001)


@pytest.mark.parametrize("gap", [0.0, 0.1, 0.25])
def test_the_interval_holds_the_true_error_in_95_percent_of_cases(gap: float) -> None:
    trials = 60
    held = 0
    for seed in range(trials):
        interval = smoothed(drawn(100, seed, lambda confidence: confidence - gap)).interval
        held += interval.low <= gap <= interval.high
    assert held / trials >= 0.95 - 3 * math.sqrt(0.95 * 0.05 / trials)


def test_a_calibrated_sample_stays_below_what_chance_gives_in_95_percent_of_cases() -> None:
    trials = 60
    below = 0
    for seed in range(trials):
        found = smoothed(drawn(100, seed))
        below += found.ece <= found.chance
    assert below / trials >= 0.95 - 3 * math.sqrt(0.95 * 0.05 / trials)


def test_the_curve_is_accuracy_by_confidence_with_a_band_around_it() -> None:
    curve = smoothed(drawn(4000, 3, lambda confidence: confidence**2)).curve
    # Away from the ends, where smoothing reaches beyond the confidences that there are.
    inner = [one for one in curve if 0.45 < one.confidence < 0.8]
    assert len(inner) > 10
    for point in inner:
        assert point.low < point.accuracy < point.high
        assert point.accuracy == pytest.approx(point.confidence**2, abs=0.05)


def test_the_curve_has_no_point_where_few_answers_are() -> None:
    curve = smoothed(sure([(0.2, False)] * 40 + [(0.21, True)] * 10 + [(0.9, True)])).curve
    assert curve
    assert all(one.confidence < 0.4 for one in curve)


def test_the_order_of_answers_does_not_matter() -> None:
    answers = drawn(200, 5)
    backward = Sure(answers.confidence[::-1], answers.correct[::-1])
    assert smoothed(backward).interval == pytest.approx(smoothed(answers).interval)
    assert smoothed(backward).ece == pytest.approx(smoothed(answers).ece)
