"""The rule for a regression, on pairs decided by hand."""

from __future__ import annotations

import pytest
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar

from settings import RegressionSettings
from tests.views.rows import Row, table
from views.comparison import Pairs, alone, comparable, compare

SETTINGS = RegressionSettings(loss_increase=0.15, accuracy_drop=0.10, min_examples=20)


def seen(correct: bool | None, nll: float | None = 1.0, grader: str = "exact@1") -> Row:
    return Row(correct=correct, nll=nll, tokens=0 if nll is None else 2, grader=grader)


def pairs(now: list[Row], before: list[Row]) -> Pairs:
    return Pairs(table(now), table(before))


def graded(both: int, lost: int = 0, won: int = 0, neither: int = 0) -> Pairs:
    """Pairs with equal losses: right at both, only before, only now, at neither."""
    right, wrong = seen(True), seen(False)
    return pairs(
        now=[right] * both + [wrong] * lost + [right] * won + [wrong] * neither,
        before=[right] * both + [right] * lost + [wrong] * won + [wrong] * neither,
    )


def losses(before: list[float], now: list[float]) -> Pairs:
    return pairs([seen(None, one) for one in now], [seen(None, one) for one in before])


def test_a_large_and_evident_drop_is_a_regression() -> None:
    # 23 of 50 lost and none won: p = 2 · 0.5²³.
    found = compare(graded(both=20, lost=23, neither=7), SETTINGS)
    assert found.verdict == "REGRESSED"
    assert (found.n, found.accuracy_before, found.accuracy) == (50, 0.86, 0.40)
    assert found.accuracy_change == pytest.approx(-0.46)
    assert found.accuracy_p == pytest.approx(2 * 0.5**23)
    assert found.reason == (
        "loss 0.500 → 0.500 (+0.0 %, limit +15 %, p = 1.000); "
        "accuracy 86 % → 40 % (−46 points, limit −10, p < 0.001). "
        "Worse than the limit allows, and beyond chance."
    )


def test_a_large_drop_that_chance_can_do_is_suspect() -> None:
    # 5 lost, 1 won: p = 14 / 64.
    found = compare(graded(both=10, lost=5, won=1, neither=4), SETTINGS)
    assert found.verdict == "SUSPECT"
    assert found.accuracy_p == pytest.approx(14 / 64)
    assert "chance could do that on 20 examples" in found.reason


def test_a_small_drop_beyond_chance_is_suspect() -> None:
    found = compare(graded(both=191, lost=8, won=0, neither=1), SETTINGS)
    assert found.verdict == "SUSPECT"
    assert found.accuracy_p == pytest.approx(2 * 0.5**8)
    assert "Within the limits, but worse beyond chance." in found.reason


def test_getting_better_is_never_a_regression() -> None:
    found = compare(graded(both=10, won=30), SETTINGS)
    assert found.verdict == "OK"
    assert found.accuracy_change == pytest.approx(0.75)


def test_a_change_equal_to_the_limit_is_within_it() -> None:
    assert compare(graded(both=16, lost=2, neither=2), SETTINGS).verdict == "OK"
    assert compare(losses([1.0] * 20, [1.15] * 20), SETTINGS).verdict == "SUSPECT"


def test_the_evidence_for_a_loss_is_the_paired_t_test() -> None:
    before = [0.5 + 0.01 * k for k in range(24)]
    now = [one + (0.3 if k % 4 else -0.1) for k, one in enumerate(before)]
    found = compare(losses(before, now), SETTINGS)
    assert found.verdict == "REGRESSED"
    assert found.loss_before == pytest.approx(sum(before) / 48)
    assert found.loss_change == pytest.approx(sum(now) / sum(before) - 1)
    assert found.loss_p == pytest.approx(float(stats.ttest_rel(now, before).pvalue))
    assert (found.accuracy, found.accuracy_p) == (None, None)


def test_the_evidence_for_accuracy_is_mcnemars_test() -> None:
    found = compare(graded(both=40, lost=13, won=4, neither=3), SETTINGS)
    assert found.accuracy_p == pytest.approx(mcnemar([[40, 13], [4, 3]], exact=True).pvalue)


def test_a_large_but_noisy_rise_of_the_loss_is_suspect() -> None:
    now = [1.0] * 19 + [9.0]
    found = compare(losses([1.0] * 20, now), SETTINGS)
    assert found.loss_change == pytest.approx(0.4)
    assert found.verdict == "SUSPECT"
    assert "(+40 %, limit +15 %, p = 0.330)" in found.reason


def test_too_few_examples_are_inconclusive_but_shown() -> None:
    found = compare(graded(both=0, lost=19), SETTINGS)
    assert found.verdict == "INCONCLUSIVE"
    assert (found.n, found.accuracy, found.accuracy_before) == (19, 0.0, 1.0)
    assert "Too few examples to judge: 19, and at least 20 are needed." in found.reason


def test_grades_of_two_graders_are_not_compared() -> None:
    now, before = seen(False, grader="json@1"), seen(True, grader="exact@1")
    found = compare(pairs([now] * 30, [before] * 30), SETTINGS)
    assert (found.verdict, found.accuracy, found.accuracy_change) == ("OK", None, None)


def test_a_loss_of_zero_has_no_relative_change() -> None:
    found = compare(losses([0.0] * 20, [1.0] * 20), SETTINGS)
    assert (found.loss_change, found.verdict) == (None, "SUSPECT")
    assert "no relative change from 0" in found.reason


def test_nothing_to_compare_with_is_inconclusive_with_its_own_numbers() -> None:
    found = alone(table([seen(True, 3.0), seen(False, None)]), "the first")
    assert (found.verdict, found.reason, found.n) == ("INCONCLUSIVE", "the first", 2)
    assert (found.loss, found.accuracy) == (1.5, 0.5)
    assert (found.loss_before, found.accuracy_before, found.accuracy_change) == (None, None, None)


def test_a_pair_is_comparable_where_both_sides_have_a_loss_or_a_grade_of_one_grader() -> None:
    graded_only, scored_only, neither = seen(True, None), seen(None, 1.0), seen(None, None)
    other = seen(True, None, grader="json@1")
    now = [graded_only, scored_only, scored_only, graded_only, graded_only, neither]
    before = [graded_only, scored_only, graded_only, other, neither, neither]
    assert comparable(pairs(now, before)).tolist() == [True, True, False, False, False, False]
