"""What to train on: the shares, worked out by hand, and what holds for all of them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from settings import DIFFICULTIES, CurriculumSettings
from views.advice import Advice, Prospects, Strategy, advise, apportion, learnability

Three = tuple[float, float, float]

share = st.floats(0.0, 1.0)


def advised(
    accuracy: Three,
    settings: CurriculumSettings | None = None,
    *,
    moved: Three = (0.0, 0.0, 0.0),
) -> Advice:
    """What is advised on accuracies that are known for sure."""
    known = np.array(accuracy), np.array(moved)
    return advise(
        Prospects(*known),
        Prospects(*(one[None] for one in known)),
        settings or CurriculumSettings(),
    )


@pytest.mark.parametrize(
    ("weights", "total", "parts"),
    [
        ([1, 1, 1], 100, [34, 33, 33]),
        # 47 : 16 : 16 : 12 : 6 : 3 in ten seats, the textbook's example of Hamilton's method.
        ([47_000, 16_000, 15_900, 12_000, 6_000, 3_100], 10, [5, 2, 1, 1, 1, 0]),
        ([1, 2, 3], 10, [2, 3, 5]),  # quotas 1.67, 3.33, 5
        ([0, 0, 1], 70, [0, 0, 70]),
        ([0, 0, 0], 10, [4, 3, 3]),
        ([0.1, 0.2, 0.7], 0, [0, 0, 0]),
    ],
)
def test_largest_remainders_are_served_first(
    weights: list[float], total: int, parts: list[int]
) -> None:
    assert apportion(weights, total) == parts


@given(st.lists(st.floats(0.0, 1e6), min_size=1, max_size=6), st.integers(0, 1000))
def test_parts_sum_to_the_total_and_stay_within_one_of_their_quota(
    weights: list[float], total: int
) -> None:
    parts = apportion(weights, total)
    assert sum(parts) == total
    whole = sum(weights)
    if whole > 1e-6:
        for part, weight in zip(parts, weights, strict=True):
            assert abs(part - total * weight / whole) < 1 + 1e-6


@given(share, share, share, share, share, st.integers(0, 33), share)
def test_shares_of_every_strategy_sum_to_100_and_keep_the_least(
    easy: float,
    medium: float,
    hard: float,
    mastered: float,
    learning: float,
    least: int,
    moved: float,
) -> None:
    settings = CurriculumSettings(
        mastered_accuracy=mastered, learning_accuracy=learning, min_share=least
    )
    advice = advised((easy, medium, hard), settings, moved=(moved, 0.0, 0.0))
    assert advice.plans[advice.strategy].score == max(one.score for one in advice.plans.values())
    for plan in advice.plans.values():
        assert list(plan.shares) == list(DIFFICULTIES)
        assert sum(plan.shares.values()) == 100
        assert min(plan.shares.values()) >= least


@pytest.mark.parametrize(
    ("measured", "gain", "strategy", "shares"),
    [
        # Nothing but easy can be built on; 0.8 is left of it.
        ((0.0, 0.0, 0.0), (0.8, 0.0, 0.0), "progressive", (80, 10, 10)),
        ((0.9, 0.1, 0.0), (0.0, 0.7, 0.0), "progressive", (10, 80, 10)),
        # Medium: the larger of p = 0.2 and (0.5 − 0.3) / (0.8 − 0.3) = 0.4, times 0.8 − 0.2.
        # 0.3 : 0.24 of 70 is 38.9 : 31.1.
        ((0.5, 0.2, 0.0), (0.3, 0.24, 0.0), "adaptive", (49, 41, 10)),
        # Hard: 0.4 · 0.7. 0.3 : 0.28 of 70 is 36.2 : 33.8.
        ((0.9, 0.5, 0.1), (0.0, 0.3, 0.28), "adaptive", (10, 46, 44)),
        # Own accuracy 0.3 is what readiness there is: 0.3 · 0.5.
        ((0.3, 0.3, 0.3), (0.5, 0.15, 0.15), "progressive", (80, 10, 10)),
        ((0.8, 0.8, 0.1), (0.0, 0.0, 0.7), "hard-focused", (10, 10, 80)),
        ((1.0, 0.9, 0.79), (0.0, 0.0, 0.01), "hard-focused", (10, 10, 80)),
        ((0.8, 0.9, 1.0), (0.0, 0.0, 0.0), "mixed", (34, 33, 33)),
    ],
)
def test_the_strategy_follows_what_there_is_to_gain(
    measured: Three, gain: Three, strategy: str, shares: tuple[int, int, int]
) -> None:
    advice = advised(measured)
    assert tuple(advice.gains.values()) == pytest.approx(gain, abs=1e-9)
    assert (advice.strategy, tuple(advice.shares.values())) == (strategy, shares)


def test_a_score_sums_gains_times_the_root_of_their_shares() -> None:
    plans = advised((0.5, 0.2, 0.0)).plans
    gains = (0.3, 0.24, 0.0)
    exact: dict[Strategy, Three] = {
        "progressive": (0.8, 0.1, 0.1),
        "mixed": (1 / 3, 1 / 3, 1 / 3),
        "hard-focused": (0.1, 0.1, 0.8),
        "adaptive": (0.1 + 0.7 * 0.3 / 0.54, 0.1 + 0.7 * 0.24 / 0.54, 0.1),
    }
    for name, shares in exact.items():
        by_hand = sum(gain * math.sqrt(one) for gain, one in zip(gains, shares, strict=True))
        assert plans[name].score == pytest.approx(by_hand)


def test_what_is_mastered_and_moves_asks_for_practice() -> None:
    assert advised((0.85, 0.85, 0.85)).strategy == "mixed"
    falling = advised((0.85, 0.85, 0.85), moved=(0.1, 0.0, 0.0))
    assert (falling.strategy, tuple(falling.shares.values())) == ("adaptive", (80, 10, 10))
    # No more can be gained than is left to 100 %.
    assert advised((0.85, 0.85, 0.85), moved=(0.4, 0.0, 0.0)).gains["easy"] == pytest.approx(0.15)


def test_where_all_can_be_mastered_the_gain_is_learnability() -> None:
    settings = CurriculumSettings(mastered_accuracy=1.0, learning_accuracy=1.0)
    gains = advised((0.9, 0.5, 0.2), settings).gains
    assert gains["medium"] == learnability(0.5) == 0.25
    assert gains["hard"] == learnability(0.2) == 0.16


def test_uncertainty_is_that_of_the_resamples() -> None:
    measured, still = np.array([0.5, 0.2, 0.0]), np.zeros(3)
    # In 60 of 100 the same is measured, in 40 hard alone is left to learn.
    drawn = np.array([[0.5, 0.2, 0.0]] * 60 + [[0.9, 0.9, 0.0]] * 40)
    advice = advise(
        Prospects(measured, still), Prospects(drawn, np.zeros_like(drawn)), CurriculumSettings()
    )
    assert (advice.strategy, advice.support) == ("adaptive", 0.6)
    # 48.9, 41.1 and 10 per cent in the 60, rounded outwards, and 10, 10 and 80 in the 40.
    assert advice.bounds == {"easy": (10, 49), "medium": (10, 42), "hard": (10, 80)}


@pytest.mark.parametrize(
    ("measured", "reason"),
    [
        (
            (0.5, 0.2, 0.0),
            "Right answers: easy 50 %, medium 20 %, hard 0 %; training on each may gain 30, 24 and "
            "0 points, so shares follow these gains.",
        ),
        (
            (0.9, 0.1, 0.0),
            "Right answers: easy 90 %, medium 10 %, hard 0 %; training on each may gain 0, 70 and "
            "0 points, so medium, the easiest below 80 %, gets the most.",
        ),
        (
            (0.9, 0.8, 0.1),
            "Right answers: easy 90 %, medium 80 %, hard 10 %; training on each may gain 0, 0 and "
            "70 points, so hard gets the most.",
        ),
        (
            (0.9, 0.8, 1.0),
            "Right answers: easy 90 %, medium 80 %, hard 100 %; all are at 80 % or above, so all "
            "stay in equal parts.",
        ),
    ],
)
def test_the_reason_is_one_sentence_with_the_numbers(measured: Three, reason: str) -> None:
    assert advised(measured).reason == reason


def test_what_is_known_and_what_is_not_are_equally_learnable() -> None:
    assert learnability(0.9) == learnability(0.1) == 0.09
    assert learnability(0.5) == 0.25
    assert learnability(0.0) == learnability(1.0) == 0.0
