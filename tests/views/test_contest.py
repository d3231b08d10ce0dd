"""Contests between checkpoints, on answers made up by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from settings import RankingSettings
from tests.views.rows import Row, table
from views import contest
from views.answers import Answers
from views.composite import composite, composites, harmonic_mean
from views.contest import Contest

SETTINGS = RankingSettings(min_examples=4)
DIFFICULTIES = ("easy", "hard")
losses = st.lists(st.floats(0, 20), min_size=3, max_size=3)
shares = st.lists(st.floats(0, 1), min_size=3, max_size=3)


def answers(nlls: Sequence[float], right: Sequence[bool], suite: str = "suite") -> Answers:
    """Half of the examples easy, half hard, of two tokens each."""
    half = len(nlls) // 2
    rows = [
        Row(f"{k:03}", ok, nll, tokens=2, suite=suite, difficulty=DIFFICULTIES[k >= half])
        for k, (nll, ok) in enumerate(zip(nlls, right, strict=True))
    ]
    return table(rows)


def made(n: int, level: float, right: float, seed: int) -> Answers:
    random = np.random.default_rng(seed)
    nlls = np.abs(random.normal(level, 0.1, n))
    return answers(nlls.tolist(), (random.random(n) < right).tolist())


def held(several: Sequence[Answers], settings: RankingSettings = SETTINGS) -> Contest:
    found = contest.hold(several, settings, "run")
    assert isinstance(found, Contest)
    return found


@given(losses, shares, st.tuples(*[st.floats(0.1, 5)] * 3))
def test_many_scores_at_once_are_each_one_alone(
    loss: list[float], accuracy: list[float], weights: tuple[float, float, float]
) -> None:
    settings = RankingSettings(
        loss_weight=weights[0], balance_weight=weights[1], consistency_weight=weights[2]
    )
    one = composite(sum(loss) / 3, harmonic_mean(accuracy), math.exp(-max(loss)), settings)
    many = composites(np.array([[loss, loss]]), np.array([[accuracy, accuracy]]), settings)
    assert many == pytest.approx(np.full((1, 2), one))


def test_one_that_is_better_on_every_example_is_best_in_every_resample() -> None:
    good, bad = made(40, 0.2, 0.9, 1), made(40, 2.0, 0.1, 2)
    found = held([bad, good])
    assert (found.examples, found.resamples) == (40, 1000)
    assert [one.p_best for one in found.standings] == [0.0, 1.0]
    assert [one.tie for one in found.standings] == [False, True]
    assert [(one.rank_low, one.rank_high) for one in found.standings] == [(2, 2), (1, 1)]


def test_ones_that_answer_alike_share_everything() -> None:
    twin = made(40, 0.5, 0.5, 1)
    found = held([twin, twin, made(40, 2.0, 0.1, 2)])
    first, second, third = found.standings
    assert first == second == contest.Standing(1, 1, 0.5, tie=True)
    assert third == contest.Standing(3, 3, 0.0, tie=False)


def test_what_is_no_further_apart_than_examples_scatter_cannot_be_told_apart() -> None:
    found = held([made(30, 0.5, 0.5, 1), made(30, 0.5, 0.5, 2)])
    assert [one.tie for one in found.standings] == [True, True]
    assert [(one.rank_low, one.rank_high) for one in found.standings] == [(1, 2), (1, 2)]
    assert sum(one.p_best for one in found.standings) == pytest.approx(1.0)


def test_pairing_finds_a_small_difference_among_examples_that_differ_much() -> None:
    random = np.random.default_rng(5)
    hardness = random.exponential(3.0, 60)
    right = [bool(k % 2) for k in range(60)]
    before, after = answers(hardness.tolist(), right), answers((hardness * 0.97).tolist(), right)
    assert [one.tie for one in held([before, after]).standings] == [False, True]


def test_the_shares_of_first_places_are_those_of_a_plain_loop() -> None:
    several = [made(24, 0.50, 0.5, 1), made(24, 0.52, 0.55, 2), made(24, 0.6, 0.5, 3)]
    found = held(several, RankingSettings(resamples=4000))
    random = np.random.default_rng(0)
    first = np.zeros(3)
    for _ in range(4000):
        rows = np.concatenate([random.integers(0, 12, 12), random.integers(12, 24, 12)])
        scores = []
        for one in several:
            nll, right = -one.target_logprob[rows], one.right[rows]
            loss = [nll[:12].sum() / 24, nll[12:].sum() / 24]
            balance = harmonic_mean([float(right[:12].mean()), float(right[12:].mean())])
            scores.append(composite(sum(loss) / 2, balance, math.exp(-max(loss)), SETTINGS))
        first[int(np.argmax([one or 0.0 for one in scores]))] += 1 / 4000
    assert [one.p_best for one in found.standings] == pytest.approx(first.tolist(), abs=0.04)


def test_the_order_of_checkpoints_does_not_matter() -> None:
    several = [made(30, 0.5, 0.5, seed) for seed in range(4)]
    forward, backward = held(several), held(several[::-1])
    assert backward.standings == forward.standings[::-1]


def test_only_shared_examples_that_all_measured_alike_are_resampled() -> None:
    one, other = made(20, 0.5, 0.5, 1), made(24, 0.5, 0.5, 2)
    failed = replace(one, target_logprob=np.where(np.arange(20) == 3, np.nan, one.target_logprob))
    found = contest.hold([failed, other], RankingSettings(min_examples=20), "run")
    # The other has 12 easy ones, of which the first has 10, and one of those no loss there.
    assert found == "too few examples to resample: the checkpoints share 17, and 20 are needed"


def test_without_a_shared_example_of_a_suite_there_is_no_contest() -> None:
    one, other = made(20, 0.5, 0.5, 1), made(20, 0.5, 0.5, 2)
    more = Answers.joined([other, answers([0.1] * 4, [True] * 4, "zoo")])
    assert contest.hold([one, more], SETTINGS, "run") == (
        "the checkpoints share no example of zoo easy that has a loss"
    )


def test_examples_that_count_elsewhere_and_mining_ones_are_left_out() -> None:
    rows = [Row(f"{k:03}", True, 1.0, tokens=2) for k in range(6)]
    elsewhere = [one._replace(suite="other", counts=False) for one in rows]
    mining = [one._replace(suite="pool", role="mining") for one in rows]
    both = table([*rows, *elsewhere, *mining])
    assert held([both, both]).examples == 6


def test_bare_text_counts_for_the_loss_alone() -> None:
    rows = [Row(f"{k:03}", k < 3, 1.0 + k, tokens=2) for k in range(6)]
    prose = [Row(f"p{k}", None, 9.0 + k, tokens=30, suite="prose") for k in range(6)]
    found = held([table([*rows, *prose]), table(rows + prose[::-1])])
    assert found.examples == 12


def test_many_examples_are_resampled_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contest, "DRAWS", 400 * 30)
    assert held([made(30, 0.5, 0.5, 1)] * 2).resamples == 400
    monkeypatch.setattr(contest, "DRAWS", 30)
    assert held([made(30, 0.5, 0.5, 1)] * 2).resamples == contest.FEWEST_RESAMPLES
