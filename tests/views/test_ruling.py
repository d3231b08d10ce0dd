"""The rule for a regression, and its sentences, on pairs decided by hand."""

from __future__ import annotations

import pytest

from settings import RegressionSettings
from tests.views.rows import table
from tests.views.test_comparison import graded, losses, pairs, seen
from views.comparison import Pairs, compare
from views.ruling import Change, Corrected, alone, rule, run_level

SETTINGS = RegressionSettings(loss_increase=0.15, accuracy_drop=0.10, min_examples=20)


def ruled(found: Pairs, tests: int = 1) -> Change:
    """The verdict on one of `tests` groups, the others of which are far from significant."""
    compared = compare(found)
    loss, accuracy = (
        None
        if one is None or one.pairs < SETTINGS.min_examples
        else Corrected(min(1.0, tests * one.p), tests)
        for one in (compared.loss, compared.accuracy)
    )
    return rule(compared, loss, accuracy, SETTINGS)


def test_the_level_of_a_run_is_shared_by_its_checkpoints_and_families() -> None:
    # 5 % over 50 checkpoints and 8 families, twice since only one of two sides is worse.
    assert run_level(SETTINGS) == pytest.approx(0.00025)


def test_a_large_drop_that_holds_for_a_run_is_a_regression() -> None:
    # 23 of 50 lost and none won: p = 2 · 0.5²³.
    found = ruled(graded(both=20, lost=23, neither=7), tests=3)
    assert found.verdict == "REGRESSED"
    assert found.accuracy_p == pytest.approx(2 * 0.5**23)
    assert found.accuracy_p_holm == pytest.approx(6 * 0.5**23)
    assert (found.to_wrong, found.to_right) == (23, 0)
    assert found.reason == (
        "Accuracy is worse than the limit allows, and beyond what chance does in a run of 50 "
        "checkpoints. Loss 0.500 to 0.500 nats, +0.0 % (limit +15 %), 95 % interval +0.0 to "
        "+0.0 %, p = 1 after Holm. Accuracy 86 % to 40 %, −46 points (limit −10), 95 % interval "
        "−61 to −31, p < 0.0001 after Holm: of 50 answers 23 flipped to wrong, 0 to right."
    )


def test_a_large_drop_that_holds_for_one_comparison_alone_is_suspect() -> None:
    # 8 of 30 lost: p = 2 · 0.5⁸ = 0.0078.
    found = ruled(graded(both=20, lost=8, neither=2))
    assert found.verdict == "SUSPECT"
    assert found.reason.startswith(
        "Accuracy is worse than the limit allows, beyond chance for one comparison and not for a "
        "run of 50 checkpoints (p < 0.00025)."
    )
    assert "p = 0.0078: of 30 answers 8 flipped to wrong, 0 to right." in found.reason


def test_a_large_drop_that_chance_can_do_is_suspect() -> None:
    # 5 lost, 1 won: p = 14 / 64.
    found = ruled(graded(both=10, lost=5, won=1, neither=4))
    assert found.verdict == "SUSPECT"
    assert found.accuracy_p == pytest.approx(14 / 64)
    assert found.reason.startswith(
        "Accuracy is worse than the limit allows, but chance could do that on 20 examples."
    )


def test_a_small_drop_beyond_chance_is_suspect() -> None:
    found = ruled(graded(both=191, lost=8, neither=1))
    assert found.verdict == "SUSPECT"
    assert found.reason.startswith("Accuracy is worse beyond chance, but within the limit.")


def test_what_one_group_shows_is_less_among_many() -> None:
    assert ruled(graded(both=191, lost=8, neither=1), tests=7).verdict == "OK"


def test_getting_better_is_never_a_regression() -> None:
    found = ruled(graded(both=10, won=30))
    assert found.verdict == "OK"
    assert found.reason.startswith("Within the limits; the intervals exclude anything beyond them.")


def test_a_change_equal_to_the_limit_is_within_it() -> None:
    assert ruled(graded(both=180, lost=20)).verdict == "SUSPECT"
    assert "within the limit" in ruled(graded(both=180, lost=20)).reason
    assert "within the limit" in ruled(losses([1.0] * 20, [1.15] * 20, None)).reason


def test_a_change_that_is_not_excluded_is_inconclusive_and_says_what_would_do() -> None:
    # 5 lost, 4 won of 50: −2 points, and 14 below that is not excluded.
    found = ruled(graded(both=30, lost=5, won=4, neither=11))
    assert found.verdict == "INCONCLUSIVE"
    assert found.accuracy_low == pytest.approx(-0.1481, abs=0.0001)
    assert found.reason.startswith(
        "Too few examples to tell: a drop of more than 10 points is not excluded. About 83 such "
        "examples would do, were there no change."
    )
    assert found.accuracy_detectable == pytest.approx(2.8016 * 0.06376, rel=0.001)
    assert "Likely to show (80 % power): loss from +0.0 %, accuracy from −18 points." in (
        found.reason
    )


def test_a_noisy_rise_of_the_loss_is_suspect() -> None:
    found = ruled(losses([1.0] * 20, [1.0] * 19 + [9.0], None))
    assert found.verdict == "SUSPECT"
    assert found.loss_change == pytest.approx(0.4)
    assert "Loss is worse than the limit allows, but chance could do that" in found.reason
    assert found.loss_p == 1.0


def test_both_measures_are_named() -> None:
    right, wrong = seen(True, 1.0), seen(False, 2.0)
    found = ruled(pairs([wrong] * 40, [right] * 40))
    assert found.reason.startswith("Loss and accuracy are worse than the limit allows")


def test_too_few_examples_are_inconclusive_but_shown() -> None:
    found = ruled(graded(both=0, lost=19))
    assert found.verdict == "INCONCLUSIVE"
    assert (found.n, found.accuracy, found.accuracy_before) == (19, 0.0, 1.0)
    assert found.accuracy_p_holm is None
    assert found.reason.startswith(
        "Too few examples to judge: 19, and at least 20 are needed. Loss 0.500 to 0.500 nats"
    )


def test_a_single_source_cannot_tell() -> None:
    found = ruled(losses([1.0] * 30, [1.1] * 30, [1] * 30))
    assert found.verdict == "INCONCLUSIVE"
    assert found.reason.startswith(
        "Too few examples to tell: a rise of the loss by more than 15 % is not excluded. Loss "
        "0.500 to 0.550 nats, +10 % (limit +15 %), p = 1."
    )


def test_a_loss_from_zero_is_judged_by_its_evidence() -> None:
    found = ruled(losses([0.0] * 20, [1.0] * 20, None))
    assert (found.loss_change, found.verdict) == (None, "SUSPECT")
    assert "no relative change from 0" in found.reason
    assert ruled(losses([0.0] * 20, [0.0] * 20, None)).verdict == "OK"


def test_nothing_to_compare_with_is_inconclusive_with_its_own_numbers() -> None:
    found = alone(table([seen(True, 3.0), seen(False, None)]), "the first")
    assert (found.verdict, found.reason, found.n) == ("INCONCLUSIVE", "the first", 2)
    assert (found.loss, found.accuracy) == (1.5, 0.5)
    assert (found.loss_before, found.accuracy_before, found.accuracy_change) == (None, None, None)
