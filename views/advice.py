"""Advice: what the next steps of training should be made of, in shares of easy, medium and hard.

What training on a difficulty may gain, in shares of right answers:

    gain = max(ready · room, moved)

- room: what is left to learn, `mastered_accuracy` − p, and 0 beyond that.
- ready: the chance that an example teaches something. An example that is sometimes answered right
  does: p, so that the gain is p(1 − p) where everything can be mastered (learnability: Tzannetos
  et al. 2023, "Proximal Curriculum for Reinforcement Learning Agents"). So does one whose easier
  kind is known: from 0 where that is at `learning_accuracy` to 1 where it is at
  `mastered_accuracy`. The larger of the two counts, and easy has nothing before it: 1.
- moved: by how much p rose or fell over the last checkpoints, if that is beyond chance: without its
  sign, and at most 1 − p (learning progress: Matiisen et al. 2017, "Teacher-Student Curriculum
  Learning"). What is being forgotten asks for practice as much as what is being learned.

A strategy gives each difficulty `min_share` and says where the rest goes:

| strategy     | the rest goes                                                 |
|--------------|---------------------------------------------------------------|
| progressive  | to the easiest that is not mastered; to all alike if all are  |
| mixed        | in equal parts to all                                         |
| hard-focused | to hard                                                       |
| adaptive     | in proportion to the gains                                    |

Its score is what it is expected to gain, Σ gain · √share: the root says that twice the data bring
less than twice as much. The highest score wins; of equal ones, the first in STRATEGIES.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from settings import DIFFICULTIES, CurriculumSettings, Difficulty
from views.bootstrap import percentiles
from views.words import percent

Reals = NDArray[np.float64]
Strategy = Literal["mixed", "hard-focused", "progressive", "adaptive"]

STRATEGIES: tuple[Strategy, ...] = get_args(Strategy)
# Differences this small are rounding: equal scores tie, and equal gains get equal shares.
DECIMALS = 12


class Prospects(NamedTuple):
    """What is known of easy, medium and hard: arrays whose last axis is the difficulties.

    `accuracy` is now, `moved` over the last checkpoints; both are shares.
    """

    accuracy: Reals
    moved: Reals


class Plan(NamedTuple):
    """What a strategy would do: whole per cents that sum to 100; `score` in shares of answers."""

    score: float
    shares: dict[Difficulty, int]


class Bounds(NamedTuple):
    """The ends of a share's 95 % interval, in whole per cents."""

    low: int
    high: int


class Advice(NamedTuple):
    """The chosen strategy's plan beside all of them, and the sentence that says why.

    `support` is the share of resamples in which the same strategy is chosen, `bounds` the intervals
    of the shares over them.
    """

    strategy: Strategy
    support: float
    bounds: dict[Difficulty, Bounds]
    plans: dict[Strategy, Plan]
    gains: dict[Difficulty, float]
    reason: str

    @property
    def shares(self) -> dict[Difficulty, int]:
        """What is recommended."""
        return self.plans[self.strategy].shares


def advise(measured: Prospects, resampled: Prospects, settings: CurriculumSettings) -> Advice:
    """What to train on, from what was `measured` (3), and in resamples of it (resamples, 3)."""
    gain = gains(measured, settings)
    weights = rest(measured.accuracy, gain, settings)
    expected = scores(gain, mixes(weights, settings))
    chosen = choice(expected)
    plans = {
        name: Plan(float(expected[row]), _whole(weights[row].tolist(), settings))
        for row, name in enumerate(STRATEGIES)
    }
    strategy = STRATEGIES[int(chosen)]
    drawn = gains(resampled, settings)
    drawn_mixes = mixes(rest(resampled.accuracy, drawn, settings), settings)
    drawn_choice = choice(scores(drawn, drawn_mixes))
    drawn_shares = 100 * drawn_mixes[np.arange(len(drawn_choice)), drawn_choice]
    bounds = {
        name: _bounds(drawn_shares[:, row], plans[strategy].shares[name])
        for row, name in enumerate(DIFFICULTIES)
    }
    return Advice(
        strategy=strategy,
        support=int((drawn_choice == chosen).sum()) / len(drawn_choice),
        bounds=bounds,
        plans=plans,
        gains=dict(zip(DIFFICULTIES, gain.tolist(), strict=True)),
        reason=_reason(strategy, measured, gain, settings),
    )


def gains(known: Prospects, settings: CurriculumSettings) -> Reals:
    """What training on each difficulty may gain (..., 3)."""
    accuracy, mastered = known.accuracy, settings.mastered_accuracy
    room = np.maximum(mastered - accuracy, 0.0)
    easier = np.concatenate([np.ones_like(accuracy[..., :1]), accuracy[..., :-1]], axis=-1)
    span = mastered - settings.learning_accuracy
    founded = (easier - settings.learning_accuracy) / span if span > 0 else easier >= mastered
    ready = np.maximum(accuracy, np.clip(founded, 0.0, 1.0))
    moved = np.minimum(known.moved, 1 - accuracy)
    return np.asarray(np.round(np.maximum(ready * room, moved), DECIMALS))


def rest(accuracy: Reals, gain: Reals, settings: CurriculumSettings) -> Reals:
    """How each strategy divides what `min_share` leaves: (..., strategies, 3), in proportions."""
    alike = np.ones_like(accuracy)
    open_ = accuracy < settings.mastered_accuracy
    frontier = open_ & (np.cumsum(open_, axis=-1) == 1)
    hard = np.zeros_like(accuracy)
    hard[..., -1] = 1.0
    weights: dict[Strategy, Reals] = {
        "mixed": alike,
        "hard-focused": hard,
        "progressive": np.where(open_.any(axis=-1, keepdims=True), frontier, alike),
        "adaptive": np.where((gain > 0).any(axis=-1, keepdims=True), gain, alike),
    }
    return np.stack([weights[name] for name in STRATEGIES], axis=-2)


def mixes(weights: Reals, settings: CurriculumSettings) -> Reals:
    """The shares of each strategy, from 0 to 1, before they are rounded to whole per cents."""
    least = settings.min_share / 100
    above = 1 - least * len(DIFFICULTIES)
    return np.asarray(least + above * weights / weights.sum(axis=-1, keepdims=True))


def scores(gain: Reals, shares: Reals) -> Reals:
    """What each strategy is expected to gain: (..., strategies)."""
    return np.asarray(np.round((gain[..., None, :] * np.sqrt(shares)).sum(axis=-1), DECIMALS))


def choice(expected: Reals) -> NDArray[np.intp]:
    """The strategy with the highest score, as its place in STRATEGIES."""
    return np.asarray(np.argmax(expected, axis=-1))


def learnability(accuracy: float) -> float:
    """p(1 - p), rounded so that p and 1 - p tie."""
    return round(accuracy * (1 - accuracy), DECIMALS)


def apportion(weights: Sequence[float], total: int) -> list[int]:
    """`total` in whole parts that follow `weights`, by the method of largest remainder (Hamilton).

    Weights are finite and not negative. All 0 counts as all equal; of equal remainders the first
    is served first. Exact: computed in fractions.
    """
    exact = [Fraction(weight) for weight in weights]
    if not any(exact):
        exact = [Fraction(1) for _ in weights]
    quotas = [total * weight / sum(exact) for weight in exact]
    parts = [quota.numerator // quota.denominator for quota in quotas]
    by_remainder = sorted(range(len(parts)), key=lambda index: parts[index] - quotas[index])
    for index in by_remainder[: total - sum(parts)]:
        parts[index] += 1
    return parts


def _whole(weights: Sequence[float], settings: CurriculumSettings) -> dict[Difficulty, int]:
    least = settings.min_share
    above = apportion(weights, 100 - least * len(DIFFICULTIES))
    return {one: least + more for one, more in zip(DIFFICULTIES, above, strict=True)}


def _bounds(drawn: Reals, share: int) -> Bounds:
    """Rounded outwards, and never without the recommended share itself."""
    low, high = percentiles(np.round(drawn, DECIMALS - 2))
    return Bounds(min(share, int(np.floor(low))), max(share, int(np.ceil(high))))


def _reason(
    strategy: Strategy, measured: Prospects, gain: Reals, settings: CurriculumSettings
) -> str:
    mastered = percent(settings.mastered_accuracy)
    right = ", ".join(f"{name} {percent(p)}" for name, p in _by_name(measured.accuracy))
    said = f"Right answers: {right};"
    if not gain.any():
        return f"{said} all are at {mastered} or above, so all stay in equal parts."
    easy, medium, hard = (f"{100 * one:.0f}" for one in gain.tolist())
    open_ = [name for name, p in _by_name(measured.accuracy) if p < settings.mastered_accuracy]
    why: Mapping[Strategy, str] = {
        "mixed": "so all get equal parts",
        "hard-focused": "so hard gets the most",
        "progressive": f"so {open_[0]}, the easiest below {mastered}, gets the most"
        if open_
        else "so all get equal parts",
        "adaptive": "so shares follow these gains",
    }
    return f"{said} training on each may gain {easy}, {medium} and {hard} points, {why[strategy]}."


def _by_name(values: Reals) -> list[tuple[Difficulty, float]]:
    return list(zip(DIFFICULTIES, values.tolist(), strict=True))
