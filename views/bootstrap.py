"""The bootstrap: what else might have come out, had other examples been asked? (Efron 1979)

Resamples are drawn with replacement within strata, from a seed that is made of names: the same log
gives the same resamples on every database.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from views.statistics import Interval

Reals = NDArray[np.float64]

# So many draws fit a processor's memory at a time; they do not change what is drawn.
BLOCK = 2**21
# Differences this small are rounding: the same numbers were added in another order.
DECIMALS = 12


def generator(names: Iterable[bytes]) -> np.random.Generator:
    """A generator of random numbers, the same for the same names in the same order."""
    digest = hashlib.sha256()
    for name in names:
        digest.update(len(name).to_bytes(8, "little"))
        digest.update(name)
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest.digest(), "little")))


def resampled_sums(columns: Reals, replicates: int, random: np.random.Generator) -> Reals:
    """Sums (replicates, columns) of rows (n, columns) drawn n times with replacement.

    How often each row is drawn is a matrix (replicates, rows), and all sums are one product of it.
    """
    n = len(columns)
    sums = np.empty((replicates, columns.shape[1]))
    step = max(1, BLOCK // max(1, n))
    for first in range(0, replicates, step):
        size = min(step, replicates - first)
        drawn = random.integers(0, n, size=(size, n), dtype=np.int32).astype(np.intp)
        drawn += n * np.arange(size)[:, None]
        times = np.bincount(drawn.ravel(), minlength=size * n).reshape(size, n)
        sums[first : first + size] = times.astype(np.float64) @ columns
    return sums


def percentiles(resampled: Reals) -> Interval:
    """The 95 % percentile interval of a statistic, from its value in each resample."""
    low, high = np.quantile(resampled, (0.025, 0.975), method="inverted_cdf")
    return Interval(float(low), float(high))


def places(scores: Reals) -> NDArray[np.int64]:
    """The place of each score among those of its resample (resamples, n): 1 is the highest.

    Equal ones share the better place.
    """
    falling = -np.round(scores, DECIMALS)
    ordered = np.sort(falling, axis=1)
    found = [np.searchsorted(row, own) for row, own in zip(ordered, falling, strict=True)]
    return np.array(found, np.int64).reshape(scores.shape) + 1


def chances_of_being_first(ranks: NDArray[np.int64]) -> list[float]:
    """In what share of the resamples (resamples, n) each is first; they sum to 1.

    Those that share the first place have equal parts of it.
    """
    first = ranks == 1
    parts = first / first.sum(axis=1, keepdims=True)
    return [math.fsum(column) / len(ranks) for column in parts.T.tolist()]


def may_be_best(scores: Sequence[float], resampled: Reals) -> list[bool]:
    """Which scores are not below the highest one beyond chance: a 95 % confidence set for the best.

    Multiple comparisons with the best (Hsu 1984), by the bootstrap in place of a normal
    distribution: b is left out if max over l of (score_l − score_b) / se is larger than the 95 %
    point of the same maximum in the resamples, centred on what was seen. However many there are,
    the one that is truly best is left out in 5 % of cases.
    """
    seen = np.array(scores)
    return [_may_be_best(place, seen, resampled) for place in range(len(seen))]


def _may_be_best(place: int, seen: Reals, resampled: Reals) -> bool:
    behind = np.round(seen - seen[place], DECIMALS)
    drawn = np.round(resampled - resampled[:, [place]], DECIMALS)
    spread = drawn.std(axis=0, ddof=1)
    if bool(((spread == 0.0) & (behind > 0.0)).any()):
        return False
    varies = spread > 0.0
    if not varies.any():
        return True
    largest = float((behind[varies] / spread[varies]).max())
    by_chance = ((drawn[:, varies] - behind[varies]) / spread[varies]).max(axis=1)
    return largest <= float(np.quantile(by_chance, 0.95))
