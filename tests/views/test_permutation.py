"""Sign-flip tests: exact ones equal scipy's, the approximation stays close to the exact tail."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from views.permutation import ENUMERATED, _enumerated, _saddlepoint, sign_flip, sign_flip_of_counts
from views.statistics import mcnemar


def by_scipy(differences: list[float]) -> float:
    """Over all signs, as scipy enumerates them."""
    found: Any = stats.permutation_test(  # type: ignore[call-overload]
        (np.array(differences), np.zeros(len(differences))),
        lambda x, y, axis: np.sum(x - y, axis=axis),
        permutation_type="samples",
        n_resamples=np.inf,
        vectorized=True,
    )
    return float(found.pvalue)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(-40, 60).map(lambda x: x / 8), min_size=2, max_size=8))
def test_a_few_differences_are_exact(differences: list[float]) -> None:
    assert sign_flip(np.array(differences)) == pytest.approx(by_scipy(differences), rel=1e-9)


def test_by_hand() -> None:
    # Of the 8 sums of ±1 ±2 ±4, only 7 and −7 reach 7; 5, −5 and those reach 5.
    assert sign_flip(np.array([1.0, 2.0, 4.0])) == pytest.approx(2 / 8)
    assert sign_flip(np.array([-1.0, 2.0, 4.0])) == pytest.approx(4 / 8)
    assert sign_flip(np.zeros(5)) == sign_flip(np.zeros(0)) == 1.0


def test_zeros_say_nothing() -> None:
    some = np.array([0.5, 1.5, -0.25, 2.0])
    assert sign_flip(np.concatenate([some, np.zeros(100)])) == sign_flip(some)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("shift", [0.2, 0.6, 1.0])
def test_the_approximation_is_close_where_all_signs_can_still_be_counted(
    seed: int, shift: float
) -> None:
    sizes = np.abs(np.random.default_rng(seed).normal(shift, 1.0, 22))
    seen = float(sizes.sum() * (0.4 + 0.08 * seed))
    exact = _enumerated(sizes / sizes.max(), seen / sizes.max())
    approximate = 2 * _saddlepoint(sizes / sizes.max(), seen / sizes.max())
    assert approximate == pytest.approx(exact, rel=0.15)


def test_many_differences_are_what_a_million_random_signs_say() -> None:
    random = np.random.default_rng(7)
    differences = random.normal(0.4, 1.0, 120)
    beyond, of = 0, 0
    for _ in range(50):
        signs = random.integers(0, 2, (20_000, 120)) * 2 - 1
        beyond += int((np.abs(signs @ differences) >= abs(differences.sum())).sum())
        of += len(signs)
    assert 1e-4 < beyond / of < 0.05
    assert sign_flip(differences) == pytest.approx(beyond / of, rel=0.05)


def test_a_tail_that_no_random_signs_reach_has_a_number() -> None:
    # All of one size but a hair: the exact chance is 2 · P(Binomial(200, 1/2) ≥ 160).
    sizes = np.linspace(0.999, 1.001, 200)
    differences = np.where(np.arange(200) % 5 == 0, -sizes, sizes)
    exact = 2 * stats.binom.sf(159, 200, 0.5)
    assert sign_flip(differences) == pytest.approx(exact, rel=0.5)
    assert sign_flip(np.linspace(1.0, 2.0, 50)) == pytest.approx(2 * 0.5**50)


def test_the_order_and_the_sign_of_the_differences_do_not_matter() -> None:
    differences = np.random.default_rng(3).normal(0.1, 1.0, 400)
    p = sign_flip(differences)
    assert sign_flip(-differences) == pytest.approx(p, rel=1e-9)
    assert sign_flip(differences[::-1]) == pytest.approx(p, rel=1e-9)
    assert sign_flip(1e6 * differences) == pytest.approx(p, rel=1e-9)


@given(st.integers(0, 400), st.integers(0, 400))
def test_counts_of_one_are_mcnemars_test(to_wrong: int, to_right: int) -> None:
    differences = np.array([-1] * to_wrong + [1] * to_right + [0] * 3)
    assert sign_flip_of_counts(differences) == pytest.approx(mcnemar(to_wrong, to_right))


@settings(deadline=None)
@given(st.lists(st.integers(-5, 5), min_size=2, max_size=8))
def test_counts_of_any_size_are_exact(differences: list[int]) -> None:
    expected = by_scipy([float(one) for one in differences])
    assert sign_flip_of_counts(np.array(differences)) == pytest.approx(expected, rel=1e-9)


def test_many_counts_are_what_the_approximation_says() -> None:
    differences = np.random.default_rng(5).integers(-3, 5, 2500)
    assert len(differences) > ENUMERATED
    counted = sign_flip_of_counts(differences)
    assert 0 < counted < 1e-6
    assert sign_flip(differences.astype(float)) == pytest.approx(counted, rel=0.2)
