"""The composite score of a checkpoint, from its losses and accuracies by difficulty.

With L and A the loss (nats a token) and accuracy of each difficulty of the run's validation suites,
the score is the weighted mean of three parts, each between 0 and 1, higher being better:

- loss: exp(−mean L), the geometric mean of a target token's probability;
- balance: the harmonic mean of A, which a single weak difficulty pulls down (0 if one has 0);
- consistency: exp(−max L), how well the checkpoint holds up on its worst difficulty.

None of them falls when a loss falls or an accuracy rises, so getting better on anything never costs
a checkpoint its rank. Suites of one difficulty are averaged with their numbers of examples as
weights.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from settings import DIFFICULTIES, RankingSettings

Reals = NDArray[np.float64]


class Cell(NamedTuple):
    """A suite, by name, and a difficulty."""

    suite: str
    difficulty: str


class Measured(NamedTuple):
    """A result's loss or accuracy, None if not measured, and its number of examples."""

    cell: Cell
    value: float | None
    n: int


def measured_cells(found: Mapping[str, Sequence[Measured]]) -> frozenset[Cell]:
    """What some checkpoint of the run measured; bare text, say, never has an accuracy."""
    return frozenset(
        one.cell for several in found.values() for one in several if one.value is not None
    )


def by_difficulty(measured: Sequence[Measured], cells: Collection[Cell]) -> dict[str, float | None]:
    """One checkpoint's mean for each difficulty in `cells`, weighted by numbers of examples.

    None for a difficulty of which it has no suite, or one that was not measured.
    """
    means: dict[str, float | None] = {}
    for difficulty in sorted({cell.difficulty for cell in cells}, key=easy_first):
        here = [one for one in measured if one.cell in cells and one.cell.difficulty == difficulty]
        weighted = [one.value * one.n for one in here if one.value is not None]
        complete = bool(here) and len(weighted) == len(here)
        means[difficulty] = math.fsum(weighted) / sum(one.n for one in here) if complete else None
    return means


def easy_first(difficulty: str) -> tuple[int, str]:
    """Sorts easy, medium, hard, then anything else by name."""
    known = [str(one) for one in DIFFICULTIES]
    return (known.index(difficulty) if difficulty in known else len(known), difficulty)


def harmonic_mean(shares: Sequence[float]) -> float:
    """The harmonic mean of one or more shares; 0 if one of them is."""
    least = min(shares)
    if least == 0.0:
        return 0.0
    # Against the least, so that the inverse of a tiny share is no infinity.
    return least * len(shares) / math.fsum(least / share for share in shares)


def composite(
    loss: float | None,
    balance: float | None,
    consistency: float | None,
    settings: RankingSettings,
) -> float | None:
    """The score from the mean loss and the other two parts; None if one that counts is missing.

    Raises ValueError if every weight is 0.
    """
    parts = (
        (settings.loss_weight, None if loss is None else math.exp(-loss)),
        (settings.balance_weight, balance),
        (settings.consistency_weight, consistency),
    )
    counted = [(weight, part) for weight, part in parts if weight > 0.0]
    if not counted:
        raise ValueError("every weight is 0")
    scored = [weight * part for weight, part in counted if part is not None]
    if len(scored) < len(counted):
        return None
    return math.fsum(scored) / math.fsum(weight for weight, _ in counted)


def composites(losses: Reals, accuracies: Reals, settings: RankingSettings) -> Reals:
    """The scores of many at once, from losses and accuracies by difficulty in the last axis.

    An axis without a difficulty stands for what was not measured, whose weights must be 0.
    """
    weights = settings.loss_weight, settings.balance_weight, settings.consistency_weight
    scores = np.zeros(losses.shape[:-1])
    if weights[0] > 0.0:
        scores += weights[0] * np.exp(-losses.mean(axis=-1))
    if weights[1] > 0.0:
        least = accuracies.min(axis=-1, keepdims=True)
        parts = (least / np.where(accuracies > 0.0, accuracies, 1.0)).sum(axis=-1)
        balance = least[..., 0] * accuracies.shape[-1] / np.where(parts > 0.0, parts, 1.0)
        scores += weights[1] * balance
    if weights[2] > 0.0:
        scores += weights[2] * np.exp(-losses.max(axis=-1))
    return scores / sum(weights)
