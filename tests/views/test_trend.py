"""Trends: scipy finds the same slope, and drawing single examples the same spread."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from views.answers import NOT_GRADED
from views.bootstrap import percentiles
from views.trend import accuracies, resampled, theil_sen

Reals = NDArray[np.float64] | NDArray[np.int64]

points = st.lists(
    st.tuples(st.integers(0, 10_000), st.floats(0.0, 1.0)), min_size=2, max_size=9
).filter(lambda some: len({step for step, _ in some}) > 1)


def oracle(steps: Reals, values: Reals) -> float:
    # Its interval, which is not asked for, is a root of less than nothing where many values tie.
    with np.errstate(invalid="ignore"):
        return float(stats.theilslopes(values, steps).slope)


@given(points)
def test_the_slope_is_that_of_scipy(some: Sequence[tuple[int, float]]) -> None:
    steps, values = np.array([step for step, _ in some]), np.array([value for _, value in some])
    order = np.argsort(steps, kind="stable")
    assert theil_sen(steps[order], values[order]) == pytest.approx(oracle(steps, values), abs=1e-12)


def test_one_bad_checkpoint_does_not_turn_the_slope() -> None:
    steps = np.array([100, 200, 300, 400, 500])
    # 0.1 in each 100 steps, but for the fourth.
    slope = theil_sen(steps, np.array([0.1, 0.2, 0.3, 0.0, 0.5]))
    assert slope == pytest.approx(0.001)


def test_slopes_of_many_are_those_of_each() -> None:
    steps, many = np.array([10, 20, 20, 70]), np.random.default_rng(1).random((50, 4))
    each = [oracle(steps, one) for one in many]
    assert theil_sen(steps, many) == pytest.approx(np.array(each))


def outcomes(n: int) -> NDArray[np.int8]:
    """Examples that go together from one checkpoint to the next; some are not graded at one."""
    random = np.random.default_rng(3)
    ability = random.random((n, 1))
    answers = (random.random((n, 3)) * 0.4 + ability * 0.6 > [[0.7, 0.5, 0.4]]).astype(np.int8)
    answers[: n // 8, 1] = NOT_GRADED
    return answers


def test_accuracies_leave_out_what_was_not_graded() -> None:
    assert accuracies(np.array([[1, -1], [0, 1], [1, 0], [1, -1]], np.int8)).tolist() == [0.75, 0.5]


def test_drawing_by_sequence_spreads_as_drawing_examples_does() -> None:
    answers = outcomes(400)
    random = np.random.default_rng(5)
    drawn = resampled(answers, 4000, random)
    rows = random.integers(0, 400, (4000, 400))
    by_example = np.array([accuracies(answers[one]) for one in rows])
    assert drawn.mean(axis=0) == pytest.approx(by_example.mean(axis=0), abs=0.003)
    assert drawn.std(axis=0) == pytest.approx(by_example.std(axis=0), rel=0.05)
    # What makes a slope certain: the same examples go up and down together.
    spread = (drawn[:, 2] - drawn[:, 0]).std(), (by_example[:, 2] - by_example[:, 0]).std()
    assert spread[0] == pytest.approx(spread[1], rel=0.06)


def test_nothing_right_in_a_few_examples_is_no_certainty() -> None:
    drawn = resampled(np.zeros((20, 2), np.int8), 2000, np.random.default_rng(9))
    assert drawn.min() == 0.0
    # Half an example is always right and half one right at the end, of 22: 1 in 22.
    assert drawn[:, 1].mean() == pytest.approx(1 / 22, abs=0.005)
    assert 0.0 < (drawn[:, 1] > drawn[:, 0]).mean() < 1.0


def test_the_same_seed_draws_the_same() -> None:
    first, second = (resampled(outcomes(50), 10, np.random.default_rng(2)) for _ in range(2))
    assert first.tobytes() == second.tobytes()


@pytest.mark.parametrize(("n", "drift"), [(20, 0.0), (50, 0.0), (50, 0.5)])
def test_intervals_hold_the_true_slope(n: int, drift: float) -> None:
    """Examples of different difficulty, right by chance, of a model that gets better by `drift`."""
    random, steps = np.random.default_rng(11), np.array([100, 200, 300, 400, 500])
    levels = -2 + drift * np.arange(5)

    def chances(examples: int) -> NDArray[np.float64]:
        ability = random.normal(0, 1.5, (examples, 1))
        return np.asarray(1 / (1 + np.exp(-ability - levels)), np.float64)

    true = theil_sen(steps, chances(200_000).mean(axis=0))
    held = 0
    for _ in range(200):
        chance = chances(n)
        answers = (random.random(chance.shape) < chance).astype(np.int8)
        low, high = percentiles(theil_sen(steps, resampled(answers, 500, random)))
        held += int(low <= true <= high)
    # At a true coverage of 95 % fewer than 180 come in one of 1,000 tries.
    assert held >= 180
