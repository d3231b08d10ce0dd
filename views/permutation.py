"""Sign-flip tests: the paired permutation test, exact or by its saddlepoint. No random numbers.

Under the hypothesis that two checkpoints are exchangeable, each difference between them is as
likely to have the other sign. Over all 2ᵐ signs the sum of m differences then has a known
distribution, and the p-value is the share of it that lies at least as far from 0 as what was seen
(Fisher 1935; Good 2005, Permutation, Parametric, and Bootstrap Tests, section 3). Ten thousand
random signs could not tell p = 0.0001 from p = 10⁻⁹, and a correction for many tests needs that.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from views.statistics import mcnemar, total

# Up to so many differences other than 0 all 2ᵐ signs are looked at, in about two milliseconds.
ENUMERATED = 18
# Sums this close, as a share of the largest, are equal: the same numbers were added in other order.
TIED = 1e-10


def sign_flip(differences: NDArray[np.float64]) -> float:
    """The two-sided p-value of the sum of independent differences.

    Exact for differences of one size, and for up to ENUMERATED of them that are not 0. For more it
    is the saddlepoint approximation of Lugannani and Rice (1980) for the permutation distribution
    (Robinson 1982), whose relative error is small in the tails as well.
    """
    sizes = np.abs(differences[differences != 0.0])
    if not len(sizes):
        return 1.0
    scale = float(sizes.max())
    sizes = sizes[sizes > TIED * scale] / scale
    seen = abs(total(differences)) / scale
    if float(sizes.min()) > 1.0 - TIED:
        return _of_equal_sizes(len(sizes), round(seen))
    if len(sizes) <= ENUMERATED:
        return _enumerated(sizes, seen)
    return min(1.0, 2 * _saddlepoint(sizes, seen))


def sign_flip_of_counts(differences: NDArray[np.int64]) -> float:
    """The same for whole numbers: exact, however many there are.

    Differences of one size v give a sum of v·(2·X − k), where X is binomial; the distribution of
    the whole is the convolution of those. With sizes of 1 alone it is McNemar's exact test.
    """
    sizes, counts = np.unique(np.abs(differences[differences != 0]), return_counts=True)
    seen = abs(int(differences.sum()))
    if len(sizes) == 1:
        return _of_equal_sizes(int(counts[0]), seen // int(sizes[0]))
    chances = np.ones(1)
    for size, k in zip(sizes.tolist(), counts.tolist(), strict=True):
        spread = np.zeros(2 * size * k + 1)
        spread[:: 2 * size] = _binomial_chances(k)
        chances = np.convolve(chances, spread)
    return min(1.0, 2 * total(chances[len(chances) // 2 + seen :]))


def _of_equal_sizes(k: int, seen: int) -> float:
    """The chance that `k` signs sum to ±`seen` or beyond, which is McNemar's."""
    return mcnemar((k + seen) // 2, (k - seen) // 2)


def _binomial_chances(k: int) -> NDArray[np.float64]:
    """The chances of 0 to `k` heads of a fair coin."""
    from scipy import special

    heads = np.arange(k + 1)
    logs = special.gammaln(k + 1) - special.gammaln(heads + 1) - special.gammaln(k - heads + 1)
    return np.asarray(np.exp(logs - k * math.log(2)))


def _enumerated(sizes: NDArray[np.float64], seen: float) -> float:
    """By all sums that signs can make; the first sign is left at +, since sums come in ± pairs."""
    sums = sizes[:1]
    for size in sizes[1:]:
        sums = np.concatenate([sums + size, sums - size])
    return float(np.mean(np.abs(sums) >= seen - TIED * len(sizes)))


def _saddlepoint(sizes: NDArray[np.float64], seen: float) -> float:
    """The chance of a sum of `seen` or more. The largest size is 1."""
    most = total(sizes)
    if seen >= most - TIED * len(sizes):
        return math.exp(-len(sizes) * math.log(2))
    tilt = _tilt(sizes, seen)
    scaled = tilt * sizes
    # log cosh x, without overflow.
    cumulant = float(np.sum(scaled + np.log1p(np.exp(-2 * scaled)) - math.log(2)))
    spread = float(np.dot(sizes**2, 1 - np.tanh(scaled) ** 2))
    root = math.sqrt(max(0.0, 2 * (tilt * seen - cumulant)))
    slope = tilt * math.sqrt(spread)
    if root < 1e-3 or slope < 1e-3:
        return _upper(root)
    density = math.exp(-(root**2) / 2) / math.sqrt(2 * math.pi)
    return max(0.0, _upper(root) + density * (1 / slope - 1 / root))


def _upper(z: float) -> float:
    """The chance of a standard normal above `z`."""
    return math.erfc(z / math.sqrt(2)) / 2


def _tilt(sizes: NDArray[np.float64], seen: float) -> float:
    """Where the tilted signs sum to `seen` on average, which is less than all sizes together."""
    from scipy import optimize

    def beyond(tilt: float) -> float:
        return float(np.dot(sizes, np.tanh(tilt * sizes))) - seen

    high = 1.0
    while beyond(high) < 0.0:
        high *= 2.0
    return float(optimize.brentq(beyond, 0.0, high, xtol=1e-12, rtol=1e-12))
