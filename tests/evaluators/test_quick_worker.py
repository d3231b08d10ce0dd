"""A worker records the quick tier first, says so once, and goes on, whatever interrupts it."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import Engine, select

from evaluators.quick import quick_tier
from evaluators.register import register_suites
from store import log
from store.engine import reading
from store.events import (
    EvaluationCompleted,
    EvaluationStarted,
    QuickTierCompleted,
)
from store.projections import bring_up_to_date
from store.schema import PREDICTION
from tests.evaluators.conftest import Checkpoint
from tests.evaluators.test_worker import SETTINGS, Bench, arrive, workspace
from views import registry

Rows = list[dict[str, object]]

EASY: Rows = [{"prompt": f"{n} plus {n}?", "answer": str(2 * n)} for n in range(20)]
HARD: Rows = [{"prompt": f"{n} less {n}?", "answer": "0"} for n in range(10)]
QUICK = 8
N = len(EASY) + len(HARD)


@pytest.fixture
def bench(engine: Engine, tmp_path: Path) -> Bench:
    settings = SETTINGS.model_copy(update={"quick_examples": QUICK})
    return Bench(engine, workspace(tmp_path, {"easy": EASY, "hard": HARD}), settings)


def chosen(bench: Bench) -> frozenset[str]:
    return quick_tier(register_suites(bench.engine, bench.place), QUICK)


def recorded_until(bench: Bench, position: int) -> set[str]:
    query = select(PREDICTION.c.example_id).where(PREDICTION.c.position <= position)
    with reading(bench.engine) as connection:
        return set(connection.scalars(query))


def quick_position(bench: Bench) -> int:
    """Where the log says that the quick tier is in; it says so once."""
    with reading(bench.engine) as connection:
        (found,) = log.read(connection, types=(QuickTierCompleted,))
        return found.position


def stop_after(bench: Bench, examples: int) -> None:
    bench.after = lambda recorded: bench.stop.set() if recorded >= examples else None
    bench.run()
    bench.stop.clear()
    bench.after = lambda _recorded: None


def test_the_first_examples_are_in_the_log_before_any_other(
    bench: Bench, checkpoint: Checkpoint
) -> None:
    arrive(bench.engine, checkpoint("llama"), 100)
    assert bench.run() == 1
    assert len(chosen(bench)) == QUICK
    assert recorded_until(bench, quick_position(bench)) == chosen(bench)
    (started,) = bench.events(EvaluationStarted)
    (quick,) = bench.events(QuickTierCompleted)
    (completed,) = bench.events(EvaluationCompleted)
    assert isinstance(started, EvaluationStarted)
    assert isinstance(quick, QuickTierCompleted)
    assert isinstance(completed, EvaluationCompleted)
    assert (started.quick, started.examples, started.plan["examples"]) == (QUICK, N, N)
    assert (quick.scored, quick.failed, quick.examples) == (QUICK, 0, N)
    assert 0.0 < quick.seconds < completed.seconds
    assert (completed.scored, completed.failed) == (N, 0)
    assert bench.count() == N


@pytest.mark.parametrize("examples", [1, QUICK, QUICK + 1, N])
def test_an_interruption_anywhere_leaves_one_quick_tier_of_the_same_examples(
    bench: Bench, checkpoint: Checkpoint, examples: int
) -> None:
    arrive(bench.engine, checkpoint("llama"), 100)
    stop_after(bench, examples)
    assert len(bench.events(EvaluationCompleted)) == (examples == N)
    assert len(bench.events(QuickTierCompleted)) == (examples > QUICK)
    assert bench.run() == (examples < N)
    assert recorded_until(bench, quick_position(bench)) == chosen(bench)
    assert len(bench.events(EvaluationCompleted)) == 1
    assert bench.count() == N


def test_an_evaluation_that_began_without_a_quick_tier_goes_on_without(
    bench: Bench, checkpoint: Checkpoint
) -> None:
    arrive(bench.engine, checkpoint("llama"), 100)
    bench.settings = SETTINGS.model_copy(update={"quick_examples": 0})
    stop_after(bench, QUICK + 1)
    bench.settings = SETTINGS.model_copy(update={"quick_examples": QUICK})
    assert bench.run() == 1
    assert bench.events(QuickTierCompleted) == []
    starts = bench.events(EvaluationStarted)
    assert [one.quick for one in starts if isinstance(one, EvaluationStarted)] == [None, None]


def test_an_evaluation_with_a_quick_tier_is_the_same_as_one_without(
    bench: Bench, checkpoint: Checkpoint
) -> None:
    arrive(bench.engine, checkpoint("llama"), 100)
    assert bench.run() == 1
    bench.settings = SETTINGS.model_copy(update={"quick_examples": 0})
    assert bench.run() == 0


def test_an_error_among_the_first_examples_is_counted(bench: Bench, checkpoint: Checkpoint) -> None:
    long: Rows = [{"prompt": "a?", "answer": "b" * 200}]
    bench.place = workspace(bench.place.root, {"easy": EASY, "hard": HARD, "long": long})
    arrive(bench.engine, checkpoint("llama"), 100)
    bench.run()
    (quick,) = bench.events(QuickTierCompleted)
    assert isinstance(quick, QuickTierCompleted)
    assert (quick.scored, quick.failed, quick.examples) == (QUICK - 1, 1, N + 1)


def test_what_was_recorded_first_is_shown_at_once(bench: Bench, checkpoint: Checkpoint) -> None:
    arrive(bench.engine, checkpoint("llama"), 100)
    stop_after(bench, QUICK + 1)
    settings = bench.place.settings
    assert bring_up_to_date(bench.engine, registry.projections(settings)) == []
    with reading(bench.engine) as connection:
        rows = registry.find("results", registry.views(settings)).rows(connection)
    assert [(one["suite"], one["n"], one["tier"], one["status"]) for one in rows] == [
        ("easy", 4, "quick", "evaluating"),
        ("hard", 4, "quick", "evaluating"),
    ]
    assert {one["reason"] for one in rows} == {f"Quick tier: {QUICK} of {N} examples."}
