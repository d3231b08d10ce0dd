"""What to train on: the shares, worked out by hand, and what holds for all of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from settings import DIFFICULTIES, CurriculumSettings, Difficulty
from views.advice import advise, apportion, learnability

share = st.floats(0.0, 1.0)


def accuracy(easy: float, medium: float, hard: float) -> dict[Difficulty, float]:
    return {"easy": easy, "medium": medium, "hard": hard}


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


@given(share, share, share, share, share, st.integers(0, 33))
def test_shares_always_sum_to_100_and_keep_the_least(
    easy: float, medium: float, hard: float, mastered: float, learning: float, least: int
) -> None:
    settings = CurriculumSettings(
        mastered_accuracy=mastered, learning_accuracy=learning, min_share=least
    )
    shares = advise(accuracy(easy, medium, hard), settings).shares
    assert list(shares) == list(DIFFICULTIES)
    assert sum(shares.values()) == 100
    assert min(shares.values()) >= least


@pytest.mark.parametrize(
    ("measured", "strategy", "shares"),
    [
        (accuracy(0.0, 0.0, 0.0), "progressive", (80, 10, 10)),
        (accuracy(0.29, 0.5, 0.5), "progressive", (80, 10, 10)),
        (accuracy(0.9, 0.1, 0.0), "progressive", (10, 80, 10)),
        # 0.25 : 0.16 : 0 of 70 is 42.7 : 27.3 : 0.
        (accuracy(0.5, 0.2, 0.0), "adaptive", (53, 27 + 10, 10)),
        # 0.09 : 0.25 : 0.09 of 70 is 14.65 : 40.70 : 14.65; the middle one, then easy.
        (accuracy(0.9, 0.5, 0.1), "adaptive", (25, 51, 24)),
        (accuracy(0.3, 0.3, 0.3), "adaptive", (34, 33, 33)),
        (accuracy(0.8, 0.8, 0.1), "hard-focused", (10, 10, 80)),
        (accuracy(1.0, 0.9, 0.79), "hard-focused", (10, 10, 80)),
        (accuracy(0.8, 0.9, 1.0), "mixed", (34, 33, 33)),
    ],
)
def test_the_strategy_follows_the_easiest_that_is_not_mastered(
    measured: dict[Difficulty, float], strategy: str, shares: tuple[int, ...]
) -> None:
    advice = advise(measured, CurriculumSettings())
    assert (advice.strategy, tuple(advice.shares.values())) == (strategy, shares)


def test_the_reason_is_one_sentence_with_the_numbers() -> None:
    assert advise(accuracy(0.5, 0.2, 0.0), CurriculumSettings()).reason == (
        "Right answers: easy 50 %, medium 20 %, hard 0 %; easy is being learned, between 30 % "
        "and 80 %, so shares follow learnability, p(1 − p)."
    )


def test_what_is_known_and_what_is_not_are_equally_learnable() -> None:
    assert learnability(0.9) == learnability(0.1) == 0.09
    assert learnability(0.5) == 0.25
    assert learnability(0.0) == learnability(1.0) == 0.0
