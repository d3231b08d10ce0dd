"""Two checkpoints over the same examples: how much did loss and accuracy change, and how surely?

Pure functions over the answers of two checkpoints, paired row by row. Examples that share a source
rise and fall together, so all that is said of chance rests on clusters: intervals are Student's
with a cluster-robust standard error, and p-values come from flipping the signs of whole clusters.
With one example a cluster, that is McNemar's exact test for right and wrong, and the paired
permutation test for the summed negative log-likelihood, whose mean difference is the change of the
token-weighted loss.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from views.answers import Answers
from views.permutation import sign_flip, sign_flip_of_counts
from views.statistics import Interval, detectable, ratio_se, t_interval, total

# A loss this small is 0, and has no relative change.
ROUNDING = 1e-9


class Pairs(NamedTuple):
    """The same predictions at two checkpoints, row by row; `cluster` numbers what stands together.

    Rows with the same number are of one example or of one source.
    """

    now: Answers
    before: Answers
    cluster: NDArray[np.int64]

    def where(self, rows: NDArray[np.bool_]) -> Pairs:
        """Some of the pairs, picked by a mask."""
        return Pairs(self.now[rows], self.before[rows], self.cluster[rows])


class Measured(NamedTuple):
    """One measure over `pairs`, which are of so many `clusters`.

    `change` and its 95 % `interval` are relative to `before` for the loss (None where that is 0),
    and in shares for the accuracy; `detectable` is the smallest change, without its sign, that so
    many examples show in 80 % of cases. `p` is two-sided. None is what could not be measured.
    """

    pairs: int
    clusters: int
    now: float
    before: float
    change: float | None
    interval: Interval | None
    detectable: float | None
    p: float


class Compared(NamedTuple):
    """Both measures over `n` comparable pairs, and how many answers flipped."""

    n: int
    clusters: int
    loss: Measured | None
    accuracy: Measured | None
    to_wrong: int | None
    to_right: int | None


def compare(pairs: Pairs) -> Compared:
    """The change over pairs that are comparable, each of them."""
    graded = _some(pairs, _both_graded(pairs))
    right, was_right = graded.now.right, graded.before.right
    there = len(right) > 0
    return Compared(
        n=len(pairs.now),
        clusters=_places(pairs.cluster).n,
        loss=_loss_change(_some(pairs, _both_scored(pairs))),
        accuracy=_accuracy_change(graded) if there else None,
        to_wrong=int((was_right & ~right).sum()) if there else None,
        to_right=int((right & ~was_right).sum()) if there else None,
    )


def measured(answers: Answers) -> NDArray[np.bool_]:
    """Which rows have a loss or a grade."""
    return answers.has_target | answers.graded


def comparable(pairs: Pairs) -> NDArray[np.bool_]:
    """Which pairs have a loss on both sides, or a grade."""
    return _both_scored(pairs) | _both_graded(pairs)


def loss_of(answers: Answers) -> float | None:
    """Nats a token; None without a scored token."""
    tokens = int(answers.target_tokens.sum())
    return total(-answers.target_logprob[answers.has_target]) / tokens if tokens else None


def accuracy_of(answers: Answers) -> float | None:
    """The share of graded answers that is right; None without one."""
    graded = int(answers.graded.sum())
    return int(answers.right.sum()) / graded if graded else None


def _loss_change(pairs: Pairs) -> Measured | None:
    """By the ratio of the two sums over all tokens."""
    now, before = loss_of(pairs.now), loss_of(pairs.before)
    if now is None or before is None:
        return None
    nll, nll_before = -pairs.now.target_logprob, -pairs.before.target_logprob
    clusters = _places(pairs.cluster)
    differences = clusters.sums(nll - nll_before)
    change, interval, least = None, None, None
    if before > ROUNDING:
        ratio = now / before
        change = ratio - 1.0
        se = ratio_se(clusters.sums(nll), clusters.sums(nll_before))
        if se is not None:
            # Another tokenizer makes other tokens of a target, and the ratio is that of the means.
            se *= ratio * total(nll_before) / total(nll) if total(nll) > 0.0 else 1.0
            interval, least = t_interval(change, se, clusters.n), detectable(se)
    return Measured(
        len(nll), clusters.n, now, before, change, interval, least, sign_flip(differences)
    )


def _accuracy_change(pairs: Pairs) -> Measured:
    """By the mean difference of right and wrong.

    To the squared standard error that of one more flipped answer is added, as Agresti and Min do
    (2005, Simple improved confidence intervals for comparing matched proportions): without a flip
    among 20 answers a change is unlikely, and not impossible.
    """
    now, before = pairs.now.right, pairs.before.right
    n = len(now)
    flips = now.astype(np.int64) - before.astype(np.int64)
    clusters = _places(pairs.cluster)
    differences, sizes = clusters.sums(flips), clusters.sums(np.ones(n))
    change = int(flips.sum()) / n
    interval, least = None, None
    se = ratio_se(differences, sizes)
    if se is not None:
        se = math.hypot(se, 1 / n)
        low, high = t_interval(change, se, clusters.n)
        interval, least = Interval(max(-1.0, low), min(1.0, high)), detectable(se)
    return Measured(
        n,
        clusters.n,
        int(now.sum()) / n,
        int(before.sum()) / n,
        change,
        interval,
        least,
        sign_flip_of_counts(np.rint(differences).astype(np.int64)),
    )


class _Places(NamedTuple):
    """Which of `n` clusters each row is in, by their numbers from 0."""

    n: int
    of: NDArray[np.intp]

    def sums(self, numbers: NDArray[np.float64] | NDArray[np.int64]) -> NDArray[np.float64]:
        """The sum of each cluster, in the order of their numbers."""
        return np.asarray(np.bincount(self.of, weights=numbers), np.float64)


def _places(cluster: NDArray[np.int64]) -> _Places:
    known, places = np.unique(cluster, return_inverse=True)
    return _Places(len(known), places)


def _some(pairs: Pairs, rows: NDArray[np.bool_]) -> Pairs:
    return pairs if rows.all() else pairs.where(rows)


def _both_scored(pairs: Pairs) -> NDArray[np.bool_]:
    """A target without a token has no loss."""
    tokens = np.minimum(pairs.now.target_tokens, pairs.before.target_tokens)
    return pairs.now.has_target & pairs.before.has_target & (tokens > 0)


def _both_graded(pairs: Pairs) -> NDArray[np.bool_]:
    """Right and wrong by two graders are not the same question."""
    now, before = pairs.now, pairs.before
    return now.graded & before.graded & now.grader.equal(before.grader)
