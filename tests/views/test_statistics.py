"""Our intervals and tests give what statsmodels and scipy give."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.regression.linear_model import OLS
from statsmodels.stats.contingency_tables import mcnemar as statsmodels_mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from views.statistics import (
    detectable,
    holm,
    mcnemar,
    ratio_se,
    share_se,
    t_interval,
    wilson,
)


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


@given(st.lists(st.floats(0, 1), max_size=20))
def test_holm_is_that_of_statsmodels(p_values: list[float]) -> None:
    expected = multipletests(p_values, method="holm")[1].tolist() if p_values else []
    assert holm(p_values) == pytest.approx(expected)


def test_holm_by_hand() -> None:
    # 3 · 0.01; then 2 · 0.04; then 0.05, which may not be less than the one before.
    assert holm([0.04, 0.01, 0.05]) == pytest.approx([0.08, 0.03, 0.08])


def test_the_interval_is_that_of_least_squares_with_clusters() -> None:
    random = np.random.default_rng(2)
    cluster = random.integers(0, 12, 80)
    numbers = random.normal(0.3, 1.0, 80) + random.normal(0.0, 1.0, 12)[cluster]
    _, places = np.unique(cluster, return_inverse=True)
    sums, sizes = np.bincount(places, numbers), np.bincount(places)
    se = ratio_se(sums, sizes)
    assert se is not None
    fitted = OLS(numbers, np.ones(80)).fit(
        cov_type="cluster",
        cov_kwds={"groups": cluster, "df_correction": True},
        use_t=True,
    )
    # statsmodels corrects by (n − 1) / (n − 1) as well, which is 1 for a constant alone.
    assert t_interval(numbers.mean(), se, len(sizes)) == pytest.approx(fitted.conf_int()[0])


def test_the_detectable_change_is_found_in_four_of_five_cases() -> None:
    se = 0.04
    power = stats.norm.sf(stats.norm.isf(0.025) - detectable(se) / se)
    assert power == pytest.approx(0.8)
