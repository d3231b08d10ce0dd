"""Trends: how fast a share of right answers moves over checkpoints, and how surely.

Pure functions. The slope is the median of the slopes between all pairs of checkpoints (Theil 1950,
Sen 1968), which one bad checkpoint among five cannot move far. Its uncertainty is that of other
examples: the same examples are asked at every checkpoint, so whole rows of outcomes are drawn.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from views.answers import NOT_GRADED, RIGHT

Reals = NDArray[np.float64]
Outcomes = NDArray[np.int8]


def theil_sen(steps: NDArray[np.int64], values: Reals) -> Reals:
    """The slope a step of `values` (..., checkpoints) over `steps`, of which at least two differ.

    Pairs of checkpoints at the same step have no slope and are left out.
    """
    first, second = np.triu_indices(len(steps), 1)
    apart = steps[second] - steps[first]
    first, second, apart = first[apart != 0], second[apart != 0], apart[apart != 0]
    slopes = (values[..., second] - values[..., first]) / apart
    return np.asarray(np.median(slopes, axis=-1), np.float64)


def accuracies(outcomes: Outcomes) -> Reals:
    """The share of right answers in each column of `outcomes` (examples, checkpoints).

    Each column has RIGHT or WRONG in at least one row; NOT_GRADED rows do not count.
    """
    right, graded = (outcomes == RIGHT).sum(axis=0), (outcomes != NOT_GRADED).sum(axis=0)
    return np.asarray(right / graded, np.float64)


def resampled(outcomes: Outcomes, replicates: int, random: np.random.Generator) -> Reals:
    """The accuracies (replicates, checkpoints) had other examples of the same kind been asked.

    A bootstrap of the rows of `outcomes` (examples, checkpoints; Efron 1979), drawn by how often
    each sequence of outcomes occurs: its cost does not grow with the examples. Half an example each
    is added that is always wrong, always right, and turns right or wrong halfway, as Agresti and
    Min (2005) do for pairs: that nothing was right or moved in so many examples is no certainty.
    """
    n, checkpoints = outcomes.shape
    powers = 3 ** np.arange(checkpoints)
    codes = (outcomes.astype(np.int64) - NOT_GRADED) @ powers
    late = powers[checkpoints // 2 :].sum()
    early = powers.sum() - late
    made = np.array([early + late, 2 * early + 2 * late, early + 2 * late, 2 * early + late])
    sequences, which = np.unique(np.concatenate([codes, made]), return_inverse=True)
    times = np.bincount(which, np.concatenate([np.ones(n), np.full(4, 0.5)]))
    drawn = random.multinomial(n, times / times.sum(), size=replicates)
    states = sequences[:, None] // powers % 3 + NOT_GRADED
    right, graded = drawn @ (states == RIGHT), drawn @ (states != NOT_GRADED)
    # A resample in which a checkpoint graded nothing says nothing of it.
    return np.where(graded > 0, right / np.maximum(graded, 1), accuracies(outcomes))
