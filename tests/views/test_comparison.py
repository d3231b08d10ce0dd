"""How much two checkpoints differ, on pairs counted by hand and by statsmodels."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from scipy import stats
from statsmodels.regression.linear_model import OLS, WLS
from statsmodels.stats.contingency_tables import mcnemar

from tests.views.rows import Row, table
from views.comparison import Measured, Pairs, comparable, compare


def seen(correct: bool | None, nll: float | None = 1.0, grader: str = "exact@1") -> Row:
    return Row(correct=correct, nll=nll, tokens=0 if nll is None else 2, grader=grader)


def pairs(now: list[Row], before: list[Row], cluster: Sequence[int] | None = None) -> Pairs:
    numbers = np.arange(len(now)) if cluster is None else np.array(cluster)
    return Pairs(table(now), table(before), numbers)


def graded(both: int, lost: int = 0, won: int = 0, neither: int = 0) -> Pairs:
    """Pairs with equal losses: right at both, only before, only now, at neither."""
    right, wrong = seen(True), seen(False)
    return pairs(
        now=[right] * both + [wrong] * lost + [right] * won + [wrong] * neither,
        before=[right] * both + [right] * lost + [wrong] * won + [wrong] * neither,
    )


def losses(before: Sequence[float], now: Sequence[float], cluster: Sequence[int] | None) -> Pairs:
    return pairs([seen(None, one) for one in now], [seen(None, one) for one in before], cluster)


def the_loss(found: Pairs) -> Measured:
    loss = compare(found).loss
    assert loss is not None
    return loss


def the_accuracy(found: Pairs) -> Measured:
    accuracy = compare(found).accuracy
    assert accuracy is not None
    return accuracy


def test_right_and_wrong_are_compared_by_mcnemars_test() -> None:
    found = compare(graded(both=40, lost=13, won=4, neither=3))
    assert (found.n, found.clusters, found.to_wrong, found.to_right) == (60, 60, 13, 4)
    assert found.accuracy is not None
    assert found.accuracy.p == pytest.approx(mcnemar([[40, 13], [4, 3]], exact=True).pvalue)
    assert found.accuracy.change == pytest.approx(-9 / 60)


def test_the_interval_of_the_accuracy_by_hand() -> None:
    # 13 of −1, 4 of +1, 43 of 0: mean −0.15, sum of squares 17.
    accuracy = the_accuracy(graded(both=40, lost=13, won=4, neither=3))
    variance = (17 - 60 * 0.15**2) / 59
    half = stats.t.ppf(0.975, 59) * math.sqrt(variance / 60 + 1 / 60**2)
    assert accuracy.interval == pytest.approx((-0.15 - half, -0.15 + half))


def test_no_flip_at_all_leaves_room_for_a_change() -> None:
    accuracy = the_accuracy(graded(both=20))
    assert accuracy.interval is not None
    assert accuracy.interval.high == pytest.approx(stats.t.ppf(0.975, 19) / 20)
    assert accuracy.p == 1.0


def test_an_interval_ends_where_shares_end() -> None:
    interval = the_accuracy(graded(both=0, lost=20)).interval
    assert interval is not None
    assert interval.low == -1.0


def test_the_loss_is_a_ratio_with_a_robust_interval() -> None:
    random = np.random.default_rng(1)
    before = random.uniform(0.5, 3.0, 40)
    now = before * random.normal(1.2, 0.2, 40)
    loss = the_loss(losses(before.tolist(), now.tolist(), None))
    assert loss.before == pytest.approx(before.sum() / 80)
    assert loss.change == pytest.approx(now.sum() / before.sum() - 1)
    fitted = WLS(now, before, weights=1 / before).fit(
        cov_type="cluster", cov_kwds={"groups": np.arange(40)}, use_t=True
    )
    assert loss.interval == pytest.approx(fitted.conf_int()[0] - 1)
    assert loss.detectable == pytest.approx(2.8016 * fitted.bse[0], rel=1e-4)


def test_examples_of_one_source_are_one() -> None:
    random = np.random.default_rng(4)
    cluster = np.repeat(np.arange(15), 4)
    before = random.uniform(0.5, 3.0, 60)
    now = before * np.exp(random.normal(0.1, 0.3, 15))[cluster]
    alone, together = (
        the_loss(losses(before.tolist(), now.tolist(), numbers))
        for numbers in (None, cluster.tolist())
    )
    assert (together.pairs, together.clusters) == (60, 15)
    assert together.change == alone.change
    assert alone.interval is not None
    fitted = WLS(now, before, weights=1 / before).fit(
        cov_type="cluster", cov_kwds={"groups": cluster}, use_t=True
    )
    assert together.interval == pytest.approx(fitted.conf_int()[0] - 1)
    assert fitted.conf_int()[0][0] - 1 < alone.interval.low
    assert together.p > alone.p


def test_flips_of_one_source_are_one() -> None:
    # Four sources of five answers each, all lost together: 2 · 0.5⁴ and not 2 · 0.5²⁰.
    found = graded(both=0, lost=20)._replace(cluster=np.repeat(np.arange(4), 5))
    assert the_accuracy(found).p == pytest.approx(2 * 0.5**4)


def test_the_interval_of_clustered_flips_is_that_of_least_squares() -> None:
    random = np.random.default_rng(6)
    cluster = random.integers(0, 20, 120)
    right, was = random.random(120) < 0.5, random.random(120) < 0.6
    found = pairs([seen(bool(k)) for k in right], [seen(bool(k)) for k in was], cluster.tolist())
    accuracy = the_accuracy(found)
    flips = right.astype(int) - was.astype(int)
    fitted = OLS(flips, np.ones(120)).fit(cov_type="cluster", cov_kwds={"groups": cluster})
    half = stats.t.ppf(0.975, 19) * math.hypot(float(fitted.bse[0]), 1 / 120)
    assert accuracy.interval is not None
    assert accuracy.interval.high - accuracy.interval.low == pytest.approx(2 * half)


def test_a_single_source_has_no_interval() -> None:
    loss = the_loss(losses([1.0] * 30, [2.0] * 30, [7] * 30))
    assert (loss.clusters, loss.interval, loss.detectable, loss.p) == (1, None, None, 1.0)


def test_a_loss_of_zero_has_no_relative_change() -> None:
    loss = the_loss(losses([0.0] * 20, [1.0] * 20, None))
    assert (loss.change, loss.interval, loss.detectable) == (None, None, None)
    assert loss.p == pytest.approx(2 * 0.5**20)


def test_another_tokenizer_changes_the_loss_of_a_token() -> None:
    before = [Row(nll=2.0 + k / 10, tokens=4) for k in range(20)]
    now = [Row(nll=2.0 + k / 10, tokens=2) for k in range(20)]
    loss = the_loss(pairs(now, before))
    assert loss.change == pytest.approx(1.0)
    assert loss.interval == pytest.approx((1.0, 1.0))
    assert loss.p == 1.0


def test_grades_of_two_graders_are_not_compared() -> None:
    now, before = seen(False, grader="json@1"), seen(True, grader="exact@1")
    found = compare(pairs([now] * 30, [before] * 30))
    assert (found.accuracy, found.to_wrong, found.to_right) == (None, None, None)
    assert found.loss is not None


def test_a_pair_is_comparable_where_both_sides_have_a_loss_or_a_grade_of_one_grader() -> None:
    graded_only, scored_only, neither = seen(True, None), seen(None, 1.0), seen(None, None)
    other = seen(True, None, grader="json@1")
    now = [graded_only, scored_only, scored_only, graded_only, graded_only, neither]
    before = [graded_only, scored_only, graded_only, other, neither, neither]
    assert comparable(pairs(now, before)).tolist() == [True, True, False, False, False, False]
