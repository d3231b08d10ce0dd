"""Intervals, standard errors and paired tests: pure functions on numbers and arrays.

Sums are exact before they are rounded (Shewchuk 1997), so no number depends on the order of the
rows or on how a processor adds.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

# The 97.5 % point of the standard normal distribution, for two-sided 95 % intervals.
Z_95 = 1.959963984540054


def total(numbers: NDArray[Any]) -> float:
    """The sum, rounded once."""
    return math.fsum(numbers.tolist())


class Interval(NamedTuple):
    """A 95 % confidence interval."""

    low: float
    high: float


def wilson(successes: int, n: int) -> Interval:
    """The Wilson score interval of a share (Wilson 1927), for `n` ≥ 1 trials.

    Unlike the Wald interval it stays within 0 to 1 and has a width at 0 and at `n` successes.
    """
    share = successes / n
    squared = Z_95**2
    middle = (share + squared / (2 * n)) / (1 + squared / n)
    half = Z_95 * math.sqrt(share * (1 - share) / n + squared / (4 * n**2)) / (1 + squared / n)
    low = 0.0 if successes == 0 else max(0.0, middle - half)
    high = 1.0 if successes == n else min(1.0, middle + half)
    return Interval(low, high)


def share_se(successes: int, n: int) -> float:
    """The binomial standard error of a share, for `n` ≥ 1 trials."""
    share = successes / n
    return math.sqrt(share * (1 - share) / n)


def ratio_se(numerators: NDArray[Any], denominators: NDArray[Any]) -> float | None:
    """The cluster-robust standard error of sum(numerators) / sum(denominators), one pair a cluster.

    The delta method on the ratio estimator R = Σy / Σt over m clusters:
    se² = m / (m − 1) · Σ (y − R·t)² / (Σt)². It is what least squares on a constant gives for the
    single tokens with cluster-robust covariance. None for fewer than two clusters.
    """
    clusters = len(numerators)
    if clusters < 2:
        return None
    whole = total(denominators)
    residuals = numerators - total(numerators) / whole * denominators
    return math.sqrt(clusters / (clusters - 1) * total(np.square(residuals))) / whole


def mcnemar(only_before: int, only_after: int) -> float:
    """The two-sided p-value of McNemar's exact test (McNemar 1947).

    It takes the pairs that changed: those right only before, and those right only after. Were both
    kinds equally likely, their split would be binomial with p = 1/2.
    """
    return binomial(only_before, only_before + only_after, 0.5)


def binomial(successes: int, n: int, share: float) -> float:
    """The exact p-value of `successes` in `n` trials that each succeed with the chance `share`.

    Two-sided: twice the smaller tail.
    """
    # scipy takes half a second to import, and a command that derives nothing needs none of it.
    from scipy import special

    at_most = float(special.bdtr(successes, n, share))
    at_least = float(special.bdtrc(successes - 1, n, share)) if successes else 1.0
    return min(1.0, 2 * min(at_most, at_least))


def paired_t(differences: NDArray[np.float64]) -> float:
    """The two-sided p-value of Student's paired t-test, from two or more differences.

    Differences without any spread are the test's limit: 1 when all are zero, else 0.
    """
    from scipy import special

    n = len(differences)
    mean = total(differences) / n
    variance = total(np.square(differences - mean)) / (n - 1)
    if variance == 0.0:
        return 1.0 if mean == 0.0 else 0.0
    statistic = mean / math.sqrt(variance / n)
    return 2 * float(special.stdtr(n - 1, -abs(statistic)))
