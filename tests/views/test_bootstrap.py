"""The bootstrap against scipy's, against formulas, and in simulations with a known truth."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from views.bootstrap import (
    chances_of_being_first,
    generator,
    may_be_best,
    percentiles,
    places,
    resampled_sums,
)

MANY = 4000


def test_the_same_names_give_the_same_numbers_and_others_others() -> None:
    first, again = (generator([b"run", b"a", b"b"]).integers(0, 2**40, 8) for _ in range(2))
    assert first.tolist() == again.tolist()
    for others in ([b"run", b"ab"], [b"runa", b"b"], [b"run", b"b", b"a"]):
        assert generator(others).integers(0, 2**40, 8).tolist() != first.tolist()


def test_every_resample_has_as_many_rows_as_there_are() -> None:
    sums = resampled_sums(np.ones((37, 1)), 50, generator([b"x"]))
    assert (sums == 37).all()


def test_resampling_in_blocks_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    columns = np.arange(60.0).reshape(30, 2)
    whole = resampled_sums(columns, 40, generator([b"x"]))
    monkeypatch.setattr("views.bootstrap.BLOCK", 64)
    assert (resampled_sums(columns, 40, generator([b"x"])) == whole).all()


def test_the_interval_of_a_mean_is_scipys() -> None:
    sample = np.random.default_rng(1).normal(5.0, 2.0, 80)
    means = resampled_sums(sample[:, None], MANY, generator([b"x"]))[:, 0] / 80
    scipys = stats.bootstrap(
        (sample,), np.mean, n_resamples=MANY, method="percentile", rng=np.random.default_rng(2)
    )
    ours = percentiles(means)
    assert ours.low == pytest.approx(scipys.confidence_interval.low, abs=0.04)
    assert ours.high == pytest.approx(scipys.confidence_interval.high, abs=0.04)
    assert means.std() == pytest.approx(scipys.standard_error, rel=0.05)


def test_equal_scores_share_the_better_place() -> None:
    scores = np.array([[0.3, 0.5, 0.5, 0.1], [0.1, 0.2, 0.2 + 1e-15, 0.4]])
    assert places(scores).tolist() == [[3, 1, 1, 4], [4, 2, 2, 1]]


def test_those_that_share_the_first_place_have_equal_parts_of_it() -> None:
    ranks = np.array([[1, 1, 3], [1, 2, 3], [2, 1, 3], [1, 1, 1]])
    chances = chances_of_being_first(ranks)
    assert chances == pytest.approx([(0.5 + 1 + 1 / 3) / 4, (0.5 + 1 + 1 / 3) / 4, 1 / 12])


def test_scores_that_are_equal_always_may_all_be_best() -> None:
    assert may_be_best([0.5, 0.5], np.full((50, 2), 0.5)) == [True, True]
    assert may_be_best([0.5, 0.4], np.tile([0.5, 0.4], (50, 1))) == [True, False]
    assert may_be_best([0.5], np.full((50, 1), 0.5)) == [True]


def test_of_two_it_is_the_one_sided_test_of_their_difference() -> None:
    # With two, the maximum is over one difference: its 95 % point is 1.645 standard errors.
    noise = np.random.default_rng(3).normal(0.0, 1.0, (20_000, 1))
    for gap, kept in ((1.6, True), (1.7, False)):
        resampled = np.hstack([np.zeros_like(noise), noise - gap])
        assert may_be_best([0.0, -gap], resampled) == [True, kept]


@pytest.mark.parametrize("lead", [0.0, 0.6])
def test_the_truly_best_is_left_out_in_at_most_5_percent_of_cases(lead: float) -> None:
    random = np.random.default_rng(4)
    trials, k, n = 300, 8, 40
    kept = 0
    for _ in range(trials):
        # The first is best, by `lead` standard errors; all share what the examples have in common.
        sample = random.normal(0.0, 1.0, (n, k)) + random.normal(0.0, 2.0, (n, 1))
        sample[:, 0] += lead / np.sqrt(n)
        sums = resampled_sums(sample, 200, random)
        kept += may_be_best((sample.mean(axis=0)).tolist(), sums / n)[0]
    # The bound of a 95 % chance, less three standard errors of the simulation.
    assert kept / trials >= 0.95 - 3 * np.sqrt(0.95 * 0.05 / trials)
