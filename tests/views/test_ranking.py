"""Ranks, on results made up by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine

from settings import RankingSettings, Settings
from store.lifecycle import LIFECYCLE
from store.projections import bring_up_to_date
from tests import logs
from tests.logs import Seen
from views import calibration, ranking
from views.composite import harmonic_mean
from views.ranking import Standing, rank, with_pareto
from views.results import RESULTS
from views.scope import Ended, Result
from views.words import percent

SETTINGS = RankingSettings()
DIFFICULTIES = ("easy", "medium", "hard")


def ended(name: str, step: int, reason: str | None = None) -> Ended:
    return Ended(name, step, f"e-{name}", completed=reason is None, reason=reason)


def result(
    name: str,
    difficulty: str,
    loss: float | None,
    accuracy: float | None,
    suite: str | None = None,
    n: int = 50,
) -> Result:
    return Result(
        checkpoint_id=name,
        step=0,
        evaluation_id=f"e-{name}",
        completed=True,
        suite_id=suite or difficulty,
        suite=suite or difficulty,
        role="validation",
        grader="exact@1",
        difficulty=difficulty,
        n=0 if loss is None and accuracy is None else n,
        n_failed=0,
        n_graded=0 if accuracy is None else n,
        loss=loss,
        perplexity=None,
        bits_per_byte=None,
        token_accuracy=None,
        accuracy=accuracy,
        accuracy_low=None,
        accuracy_high=None,
        score=None,
        loss_se=None,
        accuracy_se=None,
        n_elsewhere=0,
        once_n=0 if loss is None and accuracy is None else n,
        once_n_graded=0 if accuracy is None else n,
        once_loss=loss,
        once_accuracy=accuracy,
        reason=None,
    )


def three(name: str, losses: list[float], accuracies: list[float]) -> list[Result]:
    return [
        result(name, difficulty, loss, accuracy)
        for difficulty, loss, accuracy in zip(DIFFICULTIES, losses, accuracies, strict=True)
    ]


def test_the_score_by_hand() -> None:
    (standing,) = rank([ended("a", 1)], three("a", [0.1, 0.2, 0.6], [1.0, 0.5, 0.25]), SETTINGS)
    assert standing.loss == pytest.approx(0.3)
    assert standing.accuracy == pytest.approx(1.75 / 3)
    assert standing.balance == pytest.approx(3 / (1 + 2 + 4))
    assert standing.consistency == pytest.approx(math.exp(-0.6))
    assert standing.score == pytest.approx(
        0.5 * math.exp(-0.3) + 0.25 * 3 / 7 + 0.25 * math.exp(-0.6)
    )
    assert (standing.rank, standing.reason) == (1, None)


def test_weights_are_scaled_to_sum_to_1() -> None:
    results = three("a", [0.1, 0.2, 0.6], [1.0, 0.5, 0.25])
    heavy = RankingSettings(loss_weight=4, balance_weight=2, consistency_weight=2)
    one, other = (rank([ended("a", 1)], results, chosen)[0] for chosen in (SETTINGS, heavy))
    assert other.score == pytest.approx(one.score)


def test_equal_scores_share_a_rank_and_the_next_one_is_left_out() -> None:
    good, bad = [[0.1] * 3, [0.9] * 3], [[0.5] * 3, [0.5] * 3]
    results = [*three("a", *good), *three("b", *good), *three("c", *bad)]
    standings = rank([ended("a", 1), ended("b", 2), ended("c", 3)], results, SETTINGS)
    assert [one.rank for one in standings] == [1, 1, 3]


def test_a_failed_checkpoint_has_no_rank_and_holds_no_place() -> None:
    standings = rank(
        [ended("a", 1, "ModelLoadFault: no weights"), ended("b", 2)],
        three("b", [0.1] * 3, [0.5] * 3),
        SETTINGS,
    )
    assert standings[0] == Standing("a", 1, reason="ModelLoadFault: no weights")
    assert standings[1].rank == 1


def test_a_difficulty_that_was_not_measured_costs_the_rank() -> None:
    results = [*three("a", [0.1] * 3, [0.5] * 3), *three("b", [0.1] * 3, [0.5] * 3)[:2]]
    whole, part = rank([ended("a", 1), ended("b", 2)], results, SETTINGS)
    assert whole.rank == 1
    assert part == Standing(
        "b",
        2,
        reason="It cannot be ranked: its loss was not measured on hard and its accuracy was not "
        "measured on hard.",
        tier="full",
    )


def test_bare_text_counts_for_the_loss_alone() -> None:
    results = [
        *three("a", [0.2] * 3, [0.5] * 3),
        result("a", "easy", 0.4, None, suite="prose", n=50),
    ]
    (standing,) = rank([ended("a", 1)], results, SETTINGS)
    assert standing.loss == pytest.approx((0.3 + 0.2 + 0.2) / 3)
    assert standing.balance == pytest.approx(0.5)
    assert standing.rank == 1


def test_suites_of_a_difficulty_weigh_by_their_examples() -> None:
    results = [
        result("a", "easy", 0.1, 1.0, suite="large", n=90),
        result("a", "easy", 1.1, 0.0, suite="small", n=10),
    ]
    (standing,) = rank([ended("a", 1)], results, SETTINGS)
    assert standing.loss == pytest.approx(0.2)
    assert standing.accuracy == pytest.approx(0.9)


def test_examples_that_count_in_another_suite_do_not_weigh_twice() -> None:
    large = result("a", "easy", 0.1, 1.0, suite="large", n=90)
    part = result("a", "easy", 9.9, 0.5, suite="part", n=50)
    part = replace(part, n_elsewhere=40, once_n=10, once_n_graded=10)
    part = replace(part, once_loss=1.1, once_accuracy=0.0)
    within = result("a", "easy", 9.9, 0.5, suite="within", n=50)
    within = replace(within, n_elsewhere=50, once_n=0, once_n_graded=0)
    within = replace(within, once_loss=None, once_accuracy=None)
    (standing,) = rank([ended("a", 1)], [large, part, within], SETTINGS)
    assert standing.loss == pytest.approx(0.2)
    assert standing.accuracy == pytest.approx(0.9)
    assert standing.rank == 1


def test_without_accuracies_one_can_rank_by_loss() -> None:
    results = [result("a", "easy", 0.1, None), result("b", "easy", 0.2, None)]
    checkpoints = [ended("a", 1), ended("b", 2)]
    assert [one.reason for one in rank(checkpoints, results, SETTINGS)] == [
        "It cannot be ranked: no validation suite of the run has a measured accuracy."
    ] * 2
    by_loss = RankingSettings(balance_weight=0)
    assert [one.rank for one in rank(checkpoints, results, by_loss)] == [1, 2]


def test_weights_of_zero_rank_nothing() -> None:
    nothing = RankingSettings(loss_weight=0, balance_weight=0, consistency_weight=0)
    (standing,) = rank([ended("a", 1)], three("a", [0.1] * 3, [0.5] * 3), nothing)
    assert (standing.rank, standing.score) == (None, None)
    assert "Every weight in [ranking] is 0" in str(standing.reason)


@given(
    st.lists(st.floats(0, 20), min_size=3, max_size=3),
    st.lists(st.floats(0, 1), min_size=3, max_size=3),
    st.integers(0, 2),
    st.floats(0, 1),
)
def test_the_score_is_a_share_and_getting_better_never_lowers_it(
    losses: list[float], accuracies: list[float], where: int, factor: float
) -> None:
    before = rank([ended("a", 1)], three("a", losses, accuracies), SETTINGS)[0].score
    losses[where] *= factor
    accuracies[where] += (1 - accuracies[where]) * factor
    after = rank([ended("a", 1)], three("a", losses, accuracies), SETTINGS)[0].score
    assert before is not None
    assert after is not None
    assert 0.0 <= before <= 1.0 + 1e-12
    assert after >= before - 1e-12


def test_a_share_of_0_makes_the_harmonic_mean_0() -> None:
    assert harmonic_mean([1.0, 0.0]) == 0.0
    assert harmonic_mean([0.5, 1.0]) == pytest.approx(2 / 3)


def test_ranks_are_within_a_run_and_failed_ones_come_last(engine: Engine) -> None:
    examples = logs.questions("easy", 4, "easy")
    logs.register_suite(engine, examples, suite_id="easy")
    for run, step, right in (("a", 100, 4), ("a", 200, 2), ("b", 100, 1), ("a", 50, 3)):
        seen = [
            (one, Seen(one.target if k < right else "no", target_logprob=-1.0))
            for k, one in enumerate(examples)
        ]
        logs.evaluate(engine, logs.arrive(engine, step, run=run), ["easy"], seen)
    broken = logs.arrive(engine, 10, run="a")
    logs.fail(engine, logs.start(engine, broken, ["easy"], examples=4), broken, ["easy"])
    rows = shown(engine)
    assert [(row["run"], row["rank"], row["step"]) for row in rows] == [
        ("a", 1, 100),
        ("a", 2, 50),
        ("a", 3, 200),
        ("a", None, 10),
        ("b", 1, 100),
    ]
    assert rows[3]["reason"] == "NothingScored: not one example gave a number"
    assert rows[3]["score"] is None


def shown(engine: Engine, settings: Settings | None = None) -> list[dict[str, Any]]:
    settings = settings or Settings()
    view = ranking.view(settings)
    reads = [LIFECYCLE, RESULTS, *calibration.view(settings).projections]
    assert bring_up_to_date(engine, [*reads, *view.projections]) == []
    with engine.connect() as connection:
        return view.rows(connection)


def test_mining_results_do_not_count(engine: Engine) -> None:
    logs.register_suite(engine, logs.questions("pool", 2), suite_id="pool", role="mining")
    seen = [(one, Seen(one.target)) for one in logs.questions("pool", 2)]
    logs.evaluate(engine, logs.arrive(engine, 100), ["pool"], seen)
    (row,) = shown(engine)
    assert (row["rank"], row["loss"]) == (None, None)


def test_the_answer_names_what_cannot_be_told_from_the_best(engine: Engine) -> None:
    examples = logs.questions("easy", 40, "easy")
    logs.register_suite(engine, examples, suite_id="easy")
    for step, right, nll in ((100, 10, 3.0), (200, 30, 1.0), (300, 31, 0.99), (400, 30, 1.0)):
        seen = [
            (
                one,
                Seen(one.target if (k + step) % 40 < right else "no", target_logprob=-nll - k % 7),
            )
            for k, one in enumerate(examples)
        ]
        logs.evaluate(engine, logs.arrive(engine, step), ["easy"], seen)
    first, *others, last = shown(engine)
    assert (first["step"], first["rank"], first["tie"], first["examples"]) == (300, 1, True, 40)
    assert [one["pareto"] for one in (first, *others, last)][0::3] == [True, False]
    assert first["evidence"] == (
        f"Keep step 300: best in {percent(first['p_best'])} of 1,000 resamples of 40 examples; "
        "steps 200 and 400 cannot be told from it."
    )
    assert {one["evidence"] for one in others} == {
        "It may be the best: it cannot be told from step 300."
    }
    assert (last["rank_low"], last["rank_high"], last["p_best"], last["tie"]) == (4, 4, 0.0, False)
    assert last["evidence"] == "Another checkpoint is better, beyond chance."
    assert sum(one["p_best"] for one in (first, *others, last)) == pytest.approx(1.0)


def test_only_the_highest_scores_are_resampled(engine: Engine) -> None:
    examples = logs.questions("easy", 24, "easy")
    logs.register_suite(engine, examples, suite_id="easy")
    for step in (100, 200, 300):
        seen = [
            (one, Seen(one.target if k * 100 < 8 * step else "no", target_logprob=-2.0 - k % 5))
            for k, one in enumerate(examples)
        ]
        logs.evaluate(engine, logs.arrive(engine, step), ["easy"], seen)
    rows = shown(engine, Settings(ranking=RankingSettings(contenders=2)))
    assert [(row["rank"], row["rank_low"] is None) for row in rows] == [
        (1, False),
        (2, False),
        (3, True),
    ]
    assert rows[2]["evidence"] == "Not resampled: only the 2 highest scores are."
    assert (rows[2]["tie"], rows[2]["p_best"]) == (None, None)


def test_too_few_examples_are_said_to_be_too_few(engine: Engine) -> None:
    examples = logs.questions("easy", 4, "easy")
    logs.register_suite(engine, examples, suite_id="easy")
    logs.evaluate(engine, logs.arrive(engine, 100), ["easy"], [(one, Seen("")) for one in examples])
    (row,) = shown(engine)
    assert (row["rank"], row["rank_low"], row["p_best"], row["tie"]) == (1, None, None, None)
    assert row["evidence"] == (
        "Keep step 100: it has the highest score. No more is known: too few examples to resample: "
        "the checkpoints share 4, and 20 are needed."
    )


def test_the_pareto_front_by_hand() -> None:
    def at(name: str, loss: float, accuracy: float, ece: float | None) -> Standing:
        return Standing(name, 1, rank=1, loss=loss, accuracy=accuracy, ece=ece)

    four = [at("a", 1, 0.9, 0.2), at("b", 2, 0.8, 0.1), at("c", 2, 0.8, 0.2), at("d", 1, 0.9, 0.2)]
    assert [one.pareto for one in with_pareto(four)] == [True, True, False, True]
    # Without every ECE, loss and accuracy alone decide.
    less = [replace(four[0], ece=None), *four[1:]]
    assert [one.pareto for one in with_pareto(less)] == [True, False, False, True]
    assert with_pareto([Standing("e", 1, reason="failed")])[0].pareto is None


@given(st.lists(st.tuples(*[st.integers(0, 4)] * 3), min_size=1, max_size=8))
def test_the_pareto_front_is_that_of_a_plain_search(points: list[tuple[int, int, int]]) -> None:
    standings = [
        Standing(str(k), k, rank=1, loss=loss, accuracy=accuracy / 4, ece=error / 4)
        for k, (loss, accuracy, error) in enumerate(points)
    ]

    def beaten(k: int) -> bool:
        mine = points[k]
        return any(
            its != mine and its[0] <= mine[0] and its[1] >= mine[1] and its[2] <= mine[2]
            for its in points
        )

    found = [one.pareto for one in with_pareto(standings)]
    assert found == [not beaten(k) for k in range(len(points))]
