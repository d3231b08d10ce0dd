"""Two shares of different things, side by side: an interval of their difference, and a test."""

from __future__ import annotations

import numpy as np

from views.statistics import Interval, wilson

# What is equally likely but for rounding counts as equally likely, as in R's fisher.test.
EQUALLY = 1 + 1e-7


def newcombe(successes: int, n: int, other_successes: int, other_n: int) -> Interval:
    """The 95 % interval of a share minus another, each of 1 or more trials.

    Newcombe (1998), Interval Estimation for the Difference Between Independent Proportions,
    method 10: from the two Wilson intervals.
    """
    one, other = successes / n, other_successes / other_n
    low, high = wilson(successes, n)
    other_low, other_high = wilson(other_successes, other_n)
    difference = one - other
    return Interval(
        difference - float(np.hypot(one - low, other_high - other)),
        difference + float(np.hypot(high - one, other - other_low)),
    )


def fisher(successes: int, n: int, other_successes: int, other_n: int) -> float:
    """The two-sided p-value of Fisher's exact test (Fisher 1935).

    The chance, were all successes dealt out at random, of a split as unlikely as this one or less.
    """
    from scipy import special

    all_successes = successes + other_successes
    first = np.arange(max(0, all_successes - other_n), min(n, all_successes) + 1)

    def log_choose(total: int, chosen: np.ndarray) -> np.ndarray:
        parts = special.gammaln(chosen + 1.0) + special.gammaln(total - chosen + 1.0)
        return np.asarray(special.gammaln(total + 1.0) - parts)

    logs = log_choose(n, first) + log_choose(other_n, all_successes - first)
    chances = np.exp(logs - logs.max())
    observed = chances[successes - first[0]]
    return float(min(1.0, chances[chances <= observed * EQUALLY].sum() / chances.sum()))
