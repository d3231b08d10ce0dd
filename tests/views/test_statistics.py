"""Our intervals and tests give what statsmodels and scipy give."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.regression.linear_model import OLS
from statsmodels.stats.contingency_tables import mcnemar as statsmodels_mcnemar
from statsmodels.stats.proportion import proportion_confint

from views.statistics import mcnemar, paired_t, ratio_se, share_se, wilson


@given(st.integers(1, 2000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_is_that_of_statsmodels(counts: tuple[int, int]) -> None:
    successes, n = counts
    low, high = proportion_confint(successes, n, alpha=0.05, method="wilson")
    assert wilson(successes, n) == pytest.approx((low, high), rel=1e-12, abs=1e-12)


def test_wilson_by_hand() -> None:
    # With z² = 3.8415: (0.5 + 0.1921) / 1.3841 = 0.5, half = 1.96 · sqrt(0.025 + 0.0096) / 1.3841.
    assert wilson(5, 10) == pytest.approx((0.2366, 0.7634), abs=1e-4)
    assert wilson(0, 4).low == 0.0
    assert wilson(4, 4).high == 1.0


def test_the_standard_error_of_a_share_by_hand() -> None:
    assert share_se(20, 100) == pytest.approx(0.04)


def test_the_ratios_standard_error_is_that_of_clustered_least_squares() -> None:
    random = np.random.default_rng(7)
    tokens = random.integers(1, 9, size=25)
    losses = [random.exponential(size=n) + random.normal() ** 2 for n in tokens]
    model = OLS(np.concatenate(losses), np.ones(tokens.sum())).fit(
        cov_type="cluster", cov_kwds={"groups": np.repeat(np.arange(25), tokens)}
    )
    ours = ratio_se(np.array([one.sum() for one in losses]), tokens)
    assert ours == pytest.approx(model.bse[0], rel=1e-12)


def test_one_example_has_no_standard_error() -> None:
    assert ratio_se(np.array([2.0]), np.array([4.0])) is None


@given(st.integers(0, 300), st.integers(0, 300))
def test_mcnemar_is_that_of_statsmodels(only_before: int, only_after: int) -> None:
    table = [[11, only_before], [only_after, 5]]
    assert mcnemar(only_before, only_after) == pytest.approx(
        statsmodels_mcnemar(table, exact=True).pvalue, rel=1e-9
    )


def test_mcnemar_by_hand() -> None:
    # Of 6 that changed, 1 got better: 2 · (1 + 6) / 2⁶.
    assert mcnemar(5, 1) == pytest.approx(14 / 64)
    assert mcnemar(0, 0) == 1.0


@settings(deadline=None)
@given(st.lists(st.floats(-50, 50).map(lambda x: round(x, 3)), min_size=3, max_size=40))
def test_paired_t_is_that_of_scipy(differences: list[float]) -> None:
    if np.ptp(differences) < 0.01:
        differences = [*differences, differences[0] + 1.0]
    expected = stats.ttest_1samp(differences, 0.0).pvalue
    assert paired_t(np.array(differences)) == pytest.approx(float(expected), rel=1e-9, abs=1e-300)


def test_differences_without_spread_are_certain() -> None:
    assert paired_t(np.zeros(3)) == 1.0
    assert paired_t(np.full(3, 0.5)) == 0.0


def test_paired_t_by_hand() -> None:
    # Mean 2, variance 2/3, n = 4: t = 2 / sqrt(2/3 / 4) with 3 degrees of freedom.
    differences = [1.0, 2.0, 3.0, 2.0]
    spread = math.sqrt(2 / 3)
    t = 2 / (spread / 2)
    assert paired_t(np.array(differences)) == pytest.approx(2 * stats.t.sf(t, df=3))
