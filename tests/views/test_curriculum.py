"""The curriculum of a run, from logs to the SQL view."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
from sqlalchemy import Engine

from settings import Settings
from store.records import Example
from tests import logs
from tests.logs import Seen
from tests.views.deriving import answered, projections_of, shown
from views import curriculum, results

VIEW = curriculum.view(Settings())
DIFFICULTIES = ("easy", "medium", "hard")


def register(engine: Engine, n: int = 10) -> dict[str, list[Example]]:
    """One suite a difficulty, `n` examples each."""
    suites = {name: logs.questions(name, n, name) for name in DIFFICULTIES}
    for name, examples in suites.items():
        logs.register_suite(engine, examples, suite_id=name, difficulty=name)
    return suites


def evaluate(
    engine: Engine, step: int, suites: Mapping[str, list[Example]], *right: int, run: str = "run"
) -> str:
    """A checkpoint that has so many of each suite right."""
    checkpoint = logs.arrive(engine, step, run=run)
    seen: list[tuple[Example, Seen]] = []
    for examples, n in zip(suites.values(), right, strict=True):
        seen += answered(examples, n)
    logs.evaluate(engine, checkpoint, list(suites), seen)
    return checkpoint


def test_each_checkpoint_has_shares_that_follow_its_accuracies(engine: Engine) -> None:
    suites = register(engine)
    checkpoint = evaluate(engine, 100, suites, 5, 2, 0)
    evaluate(engine, 600, suites, 9, 8, 1)
    rows = shown(engine, VIEW)
    told = ("step", "difficulty", "accuracy", "recommended_share", "strategy")
    assert [tuple(row[name] for name in told) for row in rows] == [
        (100, "easy", 0.5, 53, "adaptive"),
        (100, "medium", 0.2, 37, "adaptive"),
        (100, "hard", 0.0, 10, "adaptive"),
        (600, "easy", 0.9, 10, "hard-focused"),
        (600, "medium", 0.8, 10, "hard-focused"),
        (600, "hard", 0.1, 80, "hard-focused"),
    ]
    assert [row["progress"] for row in rows[:3]] == [None, None, None]
    # 500 steps gained 0.4, 0.6 and 0.1: in 1,000 steps that is twice as much.
    assert [row["progress"] for row in rows[3:]] == pytest.approx([0.8, 1.2, 0.2])
    assert (rows[0]["run"], rows[0]["checkpoint_id"]) == ("run", checkpoint)
    assert rows[0]["reason"].startswith("Right answers: easy 50 %, medium 20 %, hard 0 %;")
    assert rows[0]["reason"].endswith("No progress to tell: no earlier step measured it.")
    assert rows[3]["reason"].endswith("only hard is left below 80 %, so it gets the most.")


def test_losses_and_accuracies_are_those_of_the_results(engine: Engine) -> None:
    evaluate(engine, 100, register(engine), 5, 2, 1)
    both = [
        {(row["difficulty"], row["loss"], row["accuracy"]) for row in shown(engine, view)}
        for view in (results.view(Settings()), VIEW)
    ]
    assert both[0] == both[1]
    assert len(both[0]) == 3


def test_a_difficulty_without_examples_gives_no_shares(engine: Engine) -> None:
    suites = register(engine)
    del suites["hard"]
    evaluate(engine, 100, suites, 5, 2)
    rows = shown(engine, VIEW)
    assert [(row["difficulty"], row["accuracy"]) for row in rows] == [
        ("easy", 0.5),
        ("medium", 0.2),
        ("hard", None),
    ]
    for row in rows:
        assert (row["recommended_share"], row["strategy"]) == (None, None)
        assert "hard: no validation suite of this evaluation has such examples." in row["reason"]


def test_a_difficulty_that_could_not_be_scored_says_so(engine: Engine) -> None:
    suites = register(engine, 2)
    checkpoint = logs.arrive(engine, 100)
    seen = [*answered(suites["easy"], 2), *answered(suites["medium"], 1)]
    seen += [(one, Seen("", error="too long")) for one in suites["hard"]]
    logs.evaluate(engine, checkpoint, DIFFICULTIES, seen)
    rows = shown(engine, VIEW)
    assert [row["accuracy"] for row in rows] == [1.0, 0.5, None]
    assert [row["recommended_share"] for row in rows] == [None, None, None]
    assert (
        "hard: 2 of 2 examples could not be scored. The first error: too long" in rows[0]["reason"]
    )


def test_mining_suites_and_doubles_are_not_counted(engine: Engine) -> None:
    suites = register(engine, 2)
    double = replace(suites["easy"][0], suite_id="again")
    logs.register_suite(engine, [double], suite_id="again", difficulty="easy")
    pool = logs.questions("pool", 8, "easy")
    logs.register_suite(engine, pool, suite_id="pool", role="mining")
    checkpoint = logs.arrive(engine, 100)
    seen = [one for examples in suites.values() for one in answered(examples, 1)]
    logs.evaluate(engine, checkpoint, [*suites, "again", "pool"], [*seen, *answered(pool, 8)])
    assert [row["accuracy"] for row in shown(engine, VIEW)] == [0.5, 0.5, 0.5]


def test_progress_is_not_told_between_different_suites(engine: Engine) -> None:
    suites = register(engine)
    evaluate(engine, 100, suites, 5, 2, 0)
    harder = logs.questions("harder", 10, "hard")
    logs.register_suite(engine, harder, suite_id="harder", difficulty="hard")
    del suites["hard"]
    evaluate(engine, 200, {**suites, "harder": harder}, 6, 2, 1)
    rows = shown(engine, VIEW)[3:]
    assert rows[0]["progress"] == pytest.approx(1.0)
    assert rows[2]["progress"] is None
    assert rows[2]["reason"].endswith("No progress to tell: step 100 was asked other suites.")


def test_progress_skips_a_failed_checkpoint_and_one_at_the_same_step(engine: Engine) -> None:
    suites = register(engine)
    evaluate(engine, 100, suites, 5, 5, 5)
    failed = logs.arrive(engine, 200)
    logs.fail(engine, "failed", failed, DIFFICULTIES)
    evaluate(engine, 300, suites, 6, 6, 6)
    twin = logs.arrive(engine, 300, content="twin")
    seen = [one for examples in suites.values() for one in answered(examples, 7)]
    logs.evaluate(engine, twin, DIFFICULTIES, seen)
    rows = [row for row in shown(engine, VIEW) if row["difficulty"] == "easy"]
    assert [row["step"] for row in rows] == [100, 200, 300, 300]
    by_accuracy = {row["accuracy"]: row["progress"] for row in rows}
    assert by_accuracy[0.6] == pytest.approx(0.5)
    assert by_accuracy[0.7] == pytest.approx(1.0)


def test_runs_are_told_apart(engine: Engine) -> None:
    suites = register(engine)
    evaluate(engine, 100, suites, 5, 2, 0)
    evaluate(engine, 200, suites, 9, 9, 9, run="other")
    rows = shown(engine, VIEW, run="other")
    assert [(row["step"], row["progress"], row["strategy"]) for row in rows] == [
        (200, None, "mixed")
    ] * 3


def test_a_failed_evaluation_shows_its_reason_and_no_number(engine: Engine) -> None:
    register(engine)
    checkpoint = logs.arrive(engine, 100)
    evaluation = logs.start(engine, checkpoint, DIFFICULTIES, examples=30)
    logs.fail(
        engine, evaluation, checkpoint, DIFFICULTIES, error="ModelLoadFault", message="no weights"
    )
    rows = shown(engine, VIEW)
    for row, difficulty in zip(rows, DIFFICULTIES, strict=True):
        assert {name: value for name, value in row.items() if value is not None} == {
            "run": "run",
            "checkpoint_id": checkpoint,
            "step": 100,
            "difficulty": difficulty,
            "reason": "ModelLoadFault: no weights",
        }


def test_the_settings_are_part_of_what_is_derived() -> None:
    learned = Settings.model_validate({"curriculum": {"mastered_accuracy": 0.5}})
    plain, changed = (
        projections_of(curriculum.view(one))[-1].settings for one in (Settings(), learned)
    )
    assert plain != changed
