"""How well confidences fit what happened: bins, ECE, the Brier score in its parts, the log score.

- ECE = Σ n_b / n · |accuracy_b − confidence_b| over bins (Naeini et al. 2015).
- Brier score = mean of (confidence − correct)² (Brier 1950), which is
  reliability − resolution + uncertainty + within_bins: how far the bins' accuracies are from their
  confidences, and how far from the overall accuracy; what that accuracy leaves open (Murphy 1973);
  and what confidences differ within a bin, less what of it foretells who is right (Stephenson,
  Coelho and Jolliffe 2008, Two Extra Components in the Brier Score Decomposition).
- Log score = mean of −ln of the probability given to what happened (Good 1952), in nats.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from views.answers import Answers
from views.statistics import total, wilson


@dataclass(frozen=True)
class Sure:
    """Answers: how sure the checkpoint was of each (0 to 1), and whether it is right."""

    confidence: NDArray[np.float64]
    correct: NDArray[np.bool_]

    @classmethod
    def of(cls, answers: Answers) -> Sure:
        """Those answers that have a grade and a confidence."""
        usable = answers.graded & ~np.isnan(answers.confidence)
        return cls(answers.confidence[usable], answers.right[usable])

    @cached_property
    def n(self) -> int:
        """How many answers there are."""
        return len(self.confidence)

    @cached_property
    def n_right(self) -> int:
        """How many of them are right."""
        return int(self.correct.sum())

    @property
    def accuracy(self) -> float:
        """The share that is right, of at least one answer."""
        return self.n_right / self.n

    @cached_property
    def mean_confidence(self) -> float:
        """Of at least one answer."""
        return total(self.confidence) / self.n


@dataclass(frozen=True)
class Bin:
    """The answers of which a checkpoint was about equally sure; None where there are none."""

    bin_low: float
    bin_high: float
    n: int
    confidence: float | None = None
    accuracy: float | None = None
    accuracy_low: float | None = None
    accuracy_high: float | None = None


def split(answers: Sure, edges: Sequence[float]) -> list[Sure]:
    """The answers of each bin, empty ones too; `edges` rise from 0 to 1."""
    last = len(edges) - 2
    bins = np.minimum(np.searchsorted(edges, answers.confidence, side="right") - 1, last)
    order = np.argsort(bins, kind="stable")
    ends = np.searchsorted(bins[order], range(1, last + 1))
    return [Sure(answers.confidence[rows], answers.correct[rows]) for rows in np.split(order, ends)]


def bins_of(groups: Sequence[Sure], edges: Sequence[float]) -> list[Bin]:
    """What is told of the answers of each bin, between each two edges."""
    return [_bin(*ends, group) for ends, group in zip(pairwise(edges), groups, strict=True)]


def _bin(low: float, high: float, answers: Sure) -> Bin:
    if answers.n == 0:
        return Bin(low, high, 0)
    interval = wilson(answers.n_right, answers.n)
    return Bin(low, high, answers.n, answers.mean_confidence, answers.accuracy, *interval)


def ece(groups: Sequence[Sure]) -> float:
    """The expected calibration error, 0 to 1, of bins that hold at least one answer together."""
    gaps = [abs(total(one.confidence - one.correct)) for one in groups]
    return sum(gaps) / sum(one.n for one in groups)


def brier(answers: Sure) -> float:
    """The Brier score, 0 to 1, of at least one answer."""
    return total(np.square(answers.confidence - answers.correct)) / answers.n


class BrierParts(NamedTuple):
    """The Brier score is reliability − resolution + uncertainty + within_bins."""

    reliability: float
    resolution: float
    uncertainty: float
    within_bins: float


def brier_parts(groups: Sequence[Sure]) -> BrierParts:
    """The parts of the Brier score of bins that hold at least one answer together."""
    filled = [one for one in groups if one.n]
    n = sum(one.n for one in filled)
    base = sum(one.n_right for one in filled) / n
    reliability = [one.n * (one.mean_confidence - one.accuracy) ** 2 for one in filled]
    resolution = [one.n * (one.accuracy - base) ** 2 for one in filled]
    within = []
    for one in filled:
        above = one.confidence - one.mean_confidence
        within.append(total(above * (above - 2 * (one.correct - one.accuracy))))
    return BrierParts(
        total(np.array(reliability)) / n,
        total(np.array(resolution)) / n,
        base * (1 - base),
        total(np.array(within)) / n,
    )


def log_score(answers: Sure) -> float | None:
    """Of at least one answer, in nats; None if what happened was given no chance at all."""
    given = np.where(answers.correct, answers.confidence, 1.0 - answers.confidence)
    return total(-np.log(given)) / answers.n if (given > 0.0).all() else None
