"""The curriculum of a run, from logs to the SQL view."""

from __future__ import annotations

import json
import math
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, event

from settings import Settings
from store.engine import connect
from store.lifecycle import LIFECYCLE
from store.projections import bring_up_to_date
from store.records import Example
from tests import logs
from tests.logs import Seen
from tests.views.deriving import answered, projections_of, shown
from views import curriculum, data_map, results, skills

VIEW = curriculum.view(Settings())
DIFFICULTIES = ("easy", "medium", "hard")


def register(engine: Engine, n: int = 20) -> dict[str, list[Example]]:
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


def of_step(rows: list[dict[str, Any]], step: int, *columns: str) -> list[tuple[Any, ...]]:
    return [tuple(row[name] for name in columns) for row in rows if row["step"] == step]


def test_each_checkpoint_has_shares_that_follow_what_there_is_to_gain(engine: Engine) -> None:
    suites = register(engine)
    first = evaluate(engine, 100, suites, 8, 0, 0)
    evaluate(engine, 600, suites, 10, 0, 0)
    evaluate(engine, 1100, suites, 20, 18, 4)
    rows = shown(engine, VIEW)
    told = ("difficulty", "accuracy", "gain", "recommended_share", "strategy")
    # May gain: easy 0.8 − 0.5, medium 0.4 · 0.8. 0.3 : 0.32 of 70 is 33.9 : 36.1.
    assert of_step(rows, 600, *told) == [
        ("easy", 0.5, 0.3, 44, "adaptive"),
        ("medium", 0.0, 0.32, 46, "adaptive"),
        ("hard", 0.0, 0.0, 10, "adaptive"),
    ]
    # Easy and medium are mastered. They rose beyond chance, and medium has 0.1 left.
    assert of_step(rows, 1100, *told) == [
        ("easy", 1.0, 0.0, 10, "hard-focused"),
        ("medium", 0.9, 0.1, 10, "hard-focused"),
        ("hard", 0.2, 0.6, 80, "hard-focused"),
    ]
    assert (rows[0]["run"], rows[0]["checkpoint_id"]) == ("run", first)
    assert rows[3]["reason"].startswith("Right answers: easy 50 %, medium 0 %, hard 0 %;")


def test_every_strategy_is_there_with_its_score_and_the_highest_is_chosen(engine: Engine) -> None:
    suites = register(engine)
    evaluate(engine, 100, suites, 8, 0, 0)
    evaluate(engine, 600, suites, 10, 0, 0)
    newest = shown(engine, VIEW)[3:]
    (strategies,) = {json.dumps(row["strategies"]) for row in newest}
    plans = json.loads(strategies)
    assert set(plans) == {"progressive", "mixed", "hard-focused", "adaptive"}
    assert max(plans, key=lambda name: plans[name]["score"]) == newest[0]["strategy"]
    assert plans["adaptive"]["shares"] == {"easy": 44, "medium": 46, "hard": 10}
    assert plans["mixed"]["score"] == pytest.approx(0.62 / math.sqrt(3))
    for row in newest:
        assert row["share_low"] <= row["recommended_share"] <= row["share_high"]
        assert 0 < row["support"] <= 1


def test_progress_and_trend_are_in_1000_steps(engine: Engine) -> None:
    suites = register(engine)
    for step, right in ((100, 2), (200, 4), (300, 6), (400, 0), (500, 10)):
        evaluate(engine, step, suites, right, 0, 20)
    told = ("progress", "trend", "trend_checkpoints")
    rows = shown(engine, VIEW)
    assert of_step(rows, 100, *told) == [(None, None, None)] * 3
    easy, medium, hard = of_step(rows, 500, *told)
    # Half of all were gained in 100 steps; over all five checkpoints 0.1 in 100 is the median.
    assert easy == pytest.approx((5.0, 1.0, 5))
    assert medium == hard == (0.0, 0.0, 5)
    for low, trend, high in of_step(rows, 500, "trend_low", "trend", "trend_high"):
        assert low < trend < high or (low, trend, high)[1:] == (0.0, 0.0)


def test_too_few_answers_or_checkpoints_are_an_answer(engine: Engine) -> None:
    suites = register(engine)
    evaluate(engine, 100, suites, 5, 2, 0)
    for row in shown(engine, VIEW):
        assert (row["recommended_share"], row["strategy"], row["gain"]) == (None, None, None)
        assert row["reason"] == (
            "Not enough checkpoints yet: no earlier step of the run is evaluated, and shares need "
            "two."
        )
    few = {**suites, "hard": logs.questions("few", 19, "hard")}
    logs.register_suite(engine, few["hard"], suite_id="few", difficulty="hard")
    evaluate(
        engine, 200, {"easy": few["easy"], "medium": few["medium"], "few": few["hard"]}, 5, 2, 0
    )
    newest = shown(engine, VIEW)[3:]
    assert {row["recommended_share"] for row in newest} == {None}
    assert newest[0]["reason"] == (
        "No shares to recommend. hard: 19 answers could be graded, fewer than the 20 that "
        "[curriculum] min_examples asks for."
    )


def test_a_difficulty_without_examples_gives_no_shares(engine: Engine) -> None:
    suites = register(engine)
    del suites["hard"]
    evaluate(engine, 100, suites, 5, 2)
    rows = shown(engine, VIEW)
    assert [(row["difficulty"], row["accuracy"]) for row in rows] == [
        ("easy", 0.25),
        ("medium", 0.1),
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
    harder = logs.questions("harder", 20, "hard")
    logs.register_suite(engine, harder, suite_id="harder", difficulty="hard")
    del suites["hard"]
    evaluate(engine, 200, {**suites, "harder": harder}, 6, 2, 1)
    rows = shown(engine, VIEW)[3:]
    assert rows[0]["progress"] == pytest.approx(0.5)
    assert (rows[2]["progress"], rows[2]["trend"]) == (None, None)
    assert rows[2]["reason"].endswith("No progress to tell: step 100 was asked other suites.")
    # Shares need no progress.
    assert sum(row["recommended_share"] for row in rows) == 100


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
    by_accuracy = {row["accuracy"]: (row["progress"], row["trend"]) for row in rows}
    assert by_accuracy[0.3] == pytest.approx((0.25, 0.25))
    assert by_accuracy[0.35] == pytest.approx((0.5, 0.5))


def test_runs_are_told_apart(engine: Engine) -> None:
    suites = register(engine)
    evaluate(engine, 100, suites, 5, 2, 0)
    evaluate(engine, 200, suites, 18, 18, 18, run="other")
    evaluate(engine, 300, suites, 18, 18, 18, run="other")
    rows = shown(engine, VIEW, run="other")
    assert [(row["step"], row["progress"], row["strategy"]) for row in rows[3:]] == [
        (300, 0.0, "mixed")
    ] * 3


def test_skills_stand_beside_difficulties(engine: Engine) -> None:
    add = [logs.example("sums", f"{k} + 1", str(k + 1), k, "easy", "add") for k in range(10)]
    sort = [logs.example("sums", f"sort {k}2", f"2{k}", 10 + k, "hard", "sort") for k in range(10)]
    plain = [logs.example("sums", f"say {k}", f"{k}", 20 + k, "hard") for k in range(10)]
    logs.register_suite(engine, [*add, *sort, *plain], suite_id="sums")
    for step, right in ((100, 2), (300, 6)):
        seen = [*answered(add, right), *answered(sort, 10), *answered(plain, 0)]
        logs.evaluate(engine, logs.arrive(engine, step), ["sums"], seen)
    rows = shown(engine, skills.view(Settings()))
    told = ("skill", "n", "accuracy", "learnability", "progress", "trend")
    assert of_step(rows, 100, *told) == [
        ("add", 10, 0.2, 0.16, None, None),
        ("sort", 10, 1.0, 0.0, None, None),
    ]
    assert of_step(rows, 300, *told) == [
        ("add", 10, 0.6, 0.24, pytest.approx(2.0), pytest.approx(2.0)),
        ("sort", 10, 1.0, 0.0, 0.0, 0.0),
    ]
    assert rows[0]["reason"] == "No progress to tell: no checkpoint before it measured it."


def test_a_new_checkpoint_leaves_the_rows_of_earlier_steps_alone(engine: Engine) -> None:
    suites = register(engine)
    for step in (100, 200, 300, 400):
        evaluate(engine, step, suites, 5, 2, 0)
    shown(engine, VIEW)
    late = evaluate(engine, 250, suites, 6, 2, 0)
    bring_up_to_date(engine, [LIFECYCLE, results.RESULTS])
    written: set[str] = set()
    read: list[str] = []

    @event.listens_for(engine, "before_cursor_execute")
    def _note(_c: object, _k: object, statement: str, parameters: Any, *_: object) -> None:
        if statement.startswith("INSERT INTO curriculum_advice"):
            written.update(re.findall(r"\b[0-9a-f]{32}\b", str(parameters)))
        if "FROM answer_block" in statement:
            read.append(statement)

    rows = shown(engine, VIEW)
    assert {row["step"] for row in rows if row["checkpoint_id"] == late} == {250}
    # The late one and the two after it; the tallies read the late one, and shares each once.
    assert len(written) == 3
    assert len(read) == 1 + 5


def test_a_second_evaluation_of_a_checkpoint_takes_the_place_of_the_first(engine: Engine) -> None:
    suites = register(engine)
    evaluate(engine, 100, suites, 5, 2, 0)
    second = evaluate(engine, 200, suites, 8, 2, 0)
    shown(engine, VIEW)
    seen = [one for examples in suites.values() for one in answered(examples, 10)]
    logs.evaluate(engine, second, list(suites), seen, settings={"max_new_tokens": 9})
    rows = shown(engine, VIEW)
    assert of_step(rows, 200, "accuracy") == [(0.5,)] * 3


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
            "n": 0,
            "n_graded": 0,
            "reason": "ModelLoadFault: no weights",
        }


def test_the_settings_are_part_of_what_is_derived() -> None:
    learned = Settings.model_validate({"curriculum": {"mastered_accuracy": 0.5}})
    plain, changed = (
        projections_of(curriculum.view(one))[-1].settings for one in (Settings(), learned)
    )
    assert plain != changed


STEPS = (100, 200, 300, 400)
right = st.integers(0, 20)


@settings(deadline=None, max_examples=4)
@given(
    order=st.permutations(STEPS),
    answers=st.lists(st.tuples(right, right, right), min_size=len(STEPS), max_size=len(STEPS)),
)
def test_the_order_of_arrival_does_not_matter(
    empty_database: Path, order: Sequence[int], answers: Sequence[tuple[int, int, int]]
) -> None:
    of_step = dict(zip(STEPS, answers, strict=True))
    over_three = Settings.model_validate({"curriculum": {"trend_checkpoints": 3}})
    views = [one.view(over_three) for one in (skills, data_map, curriculum)]
    projections = projections_of(*views)
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for number, steps in enumerate((STEPS, order)):
            file = Path(folder) / f"{number}.db"
            shutil.copy(empty_database, file)
            engine = connect(f"sqlite:///{file}")
            suites = register(engine)
            for step in steps:
                evaluate(engine, step, suites, *of_step[step])
                # In order all at once, in another order one by one.
                assert number == 0 or bring_up_to_date(engine, projections) == []
            assert bring_up_to_date(engine, projections) == []
            with engine.connect() as connection:
                found.append([view.rows(connection) for view in views])
            engine.dispose()
    assert found[0] == found[1]
    assert sum(row["recommended_share"] or 0 for row in found[0][-1]) == 100 * (len(STEPS) - 1)


def test_both_databases_advise_the_same_to_the_last_bit(
    sqlite_engine: Engine, postgres_engine: Engine
) -> None:
    rows = []
    for engine in (sqlite_engine, postgres_engine):
        suites = register(engine)
        for step, right_ones in ((100, 3), (300, 9), (600, 14)):
            evaluate(engine, step, suites, right_ones, right_ones // 3, 1)
        rows.append(repr(shown(engine, VIEW)))
    assert rows[0] == rows[1]
    assert "'recommended_share': None, 'share_low': None" in rows[0]  # at the first step
    assert "'strategy': 'adaptive'" in rows[0]
