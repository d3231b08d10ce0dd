"""Advice: what the next steps of training should be made of, in shares of easy, medium and hard.

The rule looks at the frontier, the easiest difficulty that is not mastered yet. Each difficulty
keeps `min_share`; the strategy says where the rest goes:

| frontier                                  | strategy     | the rest goes            |
|-------------------------------------------|--------------|--------------------------|
| none: all are at `mastered_accuracy`      | mixed        | in equal parts to all    |
| hard                                      | hard-focused | to hard                  |
| its accuracy is below `learning_accuracy` | progressive  | to the frontier          |
| any other                                 | adaptive     | by learnability, p(1 - p) |

Learnability is the variance of a right answer: 0 where everything is known or nothing is, largest
at one half (Tzannetos et al., "Proximal Curriculum for Reinforcement Learning Agents", 2023).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Literal, NamedTuple

from settings import DIFFICULTIES, CurriculumSettings, Difficulty
from views.words import percent

Strategy = Literal["progressive", "mixed", "hard-focused", "adaptive"]


class Advice(NamedTuple):
    """Whole per cents by difficulty that sum to 100, and the sentence that says why."""

    strategy: Strategy
    shares: dict[Difficulty, int]
    reason: str


def advise(accuracy: Mapping[Difficulty, float], settings: CurriculumSettings) -> Advice:
    """What to train on, from the accuracy (0 to 1) of each of the three difficulties."""
    mastered, learning = percent(settings.mastered_accuracy), percent(settings.learning_accuracy)
    frontier = next(
        (one for one in DIFFICULTIES if accuracy[one] < settings.mastered_accuracy), None
    )
    strategy: Strategy
    weights = [float(one == frontier) for one in DIFFICULTIES]
    if frontier is None:
        strategy = "mixed"
        weights = [1.0 for _ in DIFFICULTIES]
        why = f"all are at {mastered} or above, so all stay in equal parts"
    elif frontier == "hard":
        strategy = "hard-focused"
        why = f"only hard is left below {mastered}, so it gets the most"
    elif accuracy[frontier] < settings.learning_accuracy:
        strategy = "progressive"
        why = f"{frontier} is below {learning}, so it comes before what is harder"
    else:
        strategy = "adaptive"
        weights = [learnability(accuracy[one]) for one in DIFFICULTIES]
        why = (
            f"{frontier} is being learned, between {learning} and {mastered}, so shares follow "
            "learnability, p(1 − p)"
        )
    least = settings.min_share
    above = apportion(weights, 100 - least * len(DIFFICULTIES))
    shares = {one: least + more for one, more in zip(DIFFICULTIES, above, strict=True)}
    right = ", ".join(f"{one} {percent(accuracy[one])}" for one in DIFFICULTIES)
    return Advice(strategy, shares, f"Right answers: {right}; {why}.")


def learnability(accuracy: float) -> float:
    """p(1 - p), rounded so that p and 1 - p tie."""
    return round(accuracy * (1 - accuracy), 12)


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
