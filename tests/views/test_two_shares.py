"""Differences of shares: against scipy and statsmodels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.proportion import confint_proportions_2indep

from views.two_shares import fisher, newcombe


def n_and_part(draw: st.DrawFn) -> tuple[int, int]:
    n = draw(st.integers(1, 80))
    return draw(st.integers(0, n)), n


SHARES = st.composite(n_and_part)()


@given(SHARES, SHARES)
def test_fisher_is_that_of_scipy(one: tuple[int, int], other: tuple[int, int]) -> None:
    rows = np.array([[hit, n - hit] for hit, n in (one, other)])
    assert fisher(*one, *other) == pytest.approx(stats.fisher_exact(rows).pvalue, rel=1e-9)


@given(SHARES, SHARES)
def test_newcombe_is_that_of_statsmodels(one: tuple[int, int], other: tuple[int, int]) -> None:
    expected = confint_proportions_2indep(
        *one, *other, compare="diff", method="newcomb", correction=False
    )
    assert newcombe(*one, *other) == pytest.approx(expected, abs=1e-9)


def test_fisher_of_many_is_still_finite() -> None:
    assert fisher(50_000, 100_000, 50_000, 100_000) == pytest.approx(1.0)
    assert 0.0 <= fisher(90_000, 100_000, 10_000, 100_000) < 1e-300
