"""Intervals, standard errors, tests and corrections: pure functions on numbers and arrays.

Sums are exact before they are rounded (Shewchuk 1997), so no number depends on the order of the
rows or on how a processor adds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

# The 97.5 % point of the standard normal distribution, for two-sided 95 % intervals.
Z_95 = 1.959963984540054
# Its 80 % point.
Z_80 = 0.8416212335729143


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


def t_interval(estimate: float, se: float, clusters: int) -> Interval:
    """The 95 % interval of an estimate from two or more clusters, by Student's t.

    With clusters − 1 degrees of freedom, as for a cluster-robust standard error (Cameron and
    Miller 2015, A Practitioner's Guide to Cluster-Robust Inference, section VI).
    """
    from scipy import special

    half = float(special.stdtrit(clusters - 1, 0.975)) * se
    return Interval(estimate - half, estimate + half)


def detectable(se: float) -> float:
    """The smallest change that a test at 5 %, two-sided, finds in 80 % of cases.

    (z₀.₉₇₅ + z₀.₈)·se, the minimum detectable effect of Bloom (1995); Miller (2024), Adding Error
    Bars to Evals, section 5, has it for evaluations.
    """
    return (Z_95 + Z_80) * se


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values adjusted for their number (Holm 1979), in the order given.

    If those below α are believed, the chance that any of them is there by chance is at most α,
    however the tests depend on each other.
    """
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    adjusted = [1.0] * len(p_values)
    least = 0.0
    for place, index in enumerate(order):
        least = max(least, min(1.0, (len(order) - place) * p_values[index]))
        adjusted[index] = least
    return adjusted
