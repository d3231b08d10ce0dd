"""A quick tier is shown as what it is, until the full evaluation takes its place."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Engine

from settings import Settings
from store import log, past
from store.engine import reading
from store.projections import bring_up_to_date
from tests import logs
from tests.logs import Seen
from views import registry

SETTINGS = Settings()
EXAMPLES = logs.questions("suite", 120, "easy")
FIRST, REST = EXAMPLES[:30], EXAMPLES[30:]
WORDS = "Quick tier: 30 of 120 examples."


def seen(right: bool, examples: list[Any]) -> list[tuple[Any, Seen]]:
    return [
        (one, Seen(one.target, -0.1, -0.5 - k / 500) if right else Seen("no", -0.1, -9.0 - k / 500))
        for k, one in enumerate(examples)
    ]


def rows(engine: Engine, name: str) -> list[dict[str, Any]]:
    assert bring_up_to_date(engine, registry.projections(SETTINGS)) == []
    with reading(engine) as connection:
        return registry.find(name, registry.views(SETTINGS)).rows(connection)


def quick(engine: Engine, step: int, *, right: bool) -> tuple[str, str]:
    """A checkpoint of which the quick tier is in; its id and the evaluation's."""
    checkpoint = logs.arrive(engine, step)
    evaluation = logs.start(engine, checkpoint, ["suite"], examples=len(EXAMPLES))
    logs.record(engine, evaluation, seen(right, FIRST))
    logs.finish_quick_tier(
        engine, evaluation, checkpoint, ["suite"], examples=len(EXAMPLES), scored=len(FIRST)
    )
    return checkpoint, evaluation


def finish(engine: Engine, checkpoint: str, evaluation: str, *, right: bool) -> None:
    logs.record(engine, evaluation, seen(right, REST), batch="2")
    logs.complete(engine, evaluation, checkpoint, scored=len(EXAMPLES))


@pytest.fixture
def base(engine: Engine) -> Engine:
    """A log with one full evaluation, of step 100, that has all right."""
    logs.register_suite(engine, EXAMPLES, suite_id="suite", difficulty="easy")
    logs.evaluate(engine, logs.arrive(engine, 100), ["suite"], seen(True, EXAMPLES))
    return engine


def test_results_of_a_quick_tier_have_their_own_n_and_say_so(base: Engine) -> None:
    _, evaluation = quick(base, 200, right=False)
    # What is recorded after the tier is no part of it.
    logs.record(base, evaluation, seen(True, REST[:10]), batch="2")
    full, early = rows(base, "results")
    assert (full["n"], full["tier"], full["reason"]) == (120, "full", None)
    assert (early["n"], early["tier"], early["accuracy"]) == (30, "quick", 0.0)
    assert (early["status"], early["reason"]) == ("evaluating", WORDS)


def test_a_quick_tier_is_compared_on_shared_examples_and_alerts_nobody(base: Engine) -> None:
    ids = quick(base, 200, right=False)
    early = [one for one in rows(base, "regression") if one["step"] == 200]
    assert {(one["n"], one["tier"], one["verdict"]) for one in early} == {
        (30, "quick", "REGRESSED")
    }
    assert all(one["reason"].startswith(f"{WORDS} ") for one in early)
    assert rows(base, "alerts") == []
    finish(base, *ids, right=False)
    full = [one for one in rows(base, "regression") if one["step"] == 200]
    assert {(one["n"], one["tier"], one["verdict"]) for one in full} == {(120, "full", "REGRESSED")}
    assert [one["kind"] for one in rows(base, "alerts")] == ["regression"]


def test_a_full_evaluation_is_held_against_a_full_one(base: Engine) -> None:
    quick(base, 200, right=False)
    logs.evaluate(base, logs.arrive(base, 300), ["suite"], seen(True, EXAMPLES))
    newest = [one for one in rows(base, "regression") if one["step"] == 300]
    assert {(one["baseline_step"], one["tier"]) for one in newest} == {(100, "full")}


def test_a_quick_tier_has_no_rank_beside_full_evaluations(base: Engine) -> None:
    quick(base, 200, right=True)
    first, waiting = rows(base, "ranking")
    assert (first["step"], first["rank"], first["tier"]) == (100, 1, "full")
    assert (waiting["step"], waiting["rank"], waiting["tier"]) == (200, None, "quick")
    assert waiting["reason"].startswith(WORDS)


def test_quick_tiers_alone_are_ranked_among_each_other(engine: Engine) -> None:
    logs.register_suite(engine, EXAMPLES, suite_id="suite", difficulty="easy")
    quick(engine, 100, right=False)
    quick(engine, 200, right=True)
    found = [(one["step"], one["rank"], one["reason"]) for one in rows(engine, "ranking")]
    assert found == [(200, 1, WORDS), (100, 2, WORDS)]


@pytest.mark.parametrize("name", ["tests", "curriculum", "hard-examples", "corrections"])
def test_what_acts_on_numbers_waits_for_all_of_them(base: Engine, name: str) -> None:
    before = rows(base, name)
    quick(base, 200, right=False)
    assert rows(base, name) == before


def test_the_past_between_the_two_shows_the_quick_tier(base: Engine) -> None:
    ids = quick(base, 200, right=False)
    with reading(base) as connection:
        position = log.head(connection)
    finish(base, *ids, right=False)
    assert rows(base, "results")[1]["n"] == 120
    with past.as_of(base, position) as earlier:
        assert rows(earlier, "results")[1]["n"] == 30
        assert rows(earlier, "regression")[-1]["tier"] == "quick"


def test_a_failure_takes_the_quick_tier_back_and_a_new_attempt_shows_it_again(
    base: Engine,
) -> None:
    checkpoint, evaluation = quick(base, 200, right=True)
    logs.fail(base, evaluation, checkpoint, ["suite"], error="OSError", message="lost")
    failed = rows(base, "results")[1]
    assert (failed["accuracy"], failed["tier"], failed["reason"]) == (None, None, "OSError: lost")
    logs.start(base, checkpoint, ["suite"], examples=len(EXAMPLES), attempt=2)
    again = rows(base, "results")[1]
    assert (again["n"], again["accuracy"], again["tier"]) == (30, 1.0, "quick")
