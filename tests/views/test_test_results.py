"""Suites as tests, from logs to rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text

from settings import Settings, SuiteSettings, SuiteTestSettings
from store import log
from store.events import SuiteRegistered
from store.lifecycle import LIFECYCLE
from store.log import Rows
from store.projections import bring_up_to_date
from tests import logs
from tests.logs import Seen
from tests.views.deriving import answered
from views import failed_examples, test_results
from views.results import RESULTS


def with_threshold(threshold: float | None, **tests: float) -> Settings:
    suite = SuiteSettings(name="easy", path=Path("easy.jsonl"), pass_threshold=threshold)
    return Settings(suite=(suite,), tests=SuiteTestSettings(**tests))


def shown(engine: Engine, threshold: float | None = 0.75, **tests: float) -> list[dict[str, Any]]:
    view = test_results.view(with_threshold(threshold, **tests))
    assert bring_up_to_date(engine, [LIFECYCLE, RESULTS, *view.projections]) == []
    with engine.connect() as connection:
        return view.rows(connection)


def parts(engine: Engine, columns: str) -> list[tuple[Any, ...]]:
    shown(engine)
    query = f"SELECT {columns} FROM test_difficulties ORDER BY step, difficulty"
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(query))]


def history(engine: Engine, *right: int, n: int = 20) -> None:
    """Steps 100, 200, … that each have so many of `n` answers right."""
    examples = logs.questions("easy", n)
    logs.register_suite(engine, examples, suite_id="easy")
    for k, one in enumerate(right, start=1):
        logs.evaluate(engine, logs.arrive(engine, 100 * k), ["easy"], answered(examples, one))


@pytest.fixture
def checkpoint(engine: Engine) -> str:
    """A checkpoint with 3 of 4 right, over two difficulties."""
    examples = [
        logs.example("easy", f"question {k}", "yes", k, "easy" if k < 4 else "hard")
        for k in range(1, 5)
    ]
    logs.register_suite(engine, examples, suite_id="easy")
    pool = logs.questions("pool", 2)
    logs.register_suite(engine, pool, suite_id="pool", role="mining")
    checkpoint = logs.arrive(engine, 100)
    seen = [(one, Seen("yes" if one.line < 4 else "no")) for one in examples]
    seen += [(one, Seen(one.target)) for one in pool]
    logs.evaluate(engine, checkpoint, ["easy", "pool"], seen)
    return checkpoint


@pytest.mark.parametrize(
    ("threshold", "status", "passed", "reason"),
    [
        (0.75, "PASS", True, "75 % right, and at least 75 % must be."),
        (0.76, "FAIL", False, "75 % right, and at least 76 % must be."),
        (None, "UNTESTED", None, "no pass_threshold in milepost.toml."),
    ],
)
def test_the_whole_suite_is_held_against_its_threshold(
    engine: Engine,
    checkpoint: str,
    threshold: float | None,
    status: str,
    passed: bool | None,
    reason: str,
) -> None:
    (row,) = shown(engine, threshold)
    assert (row["checkpoint_id"], row["suite"], row["n"]) == (checkpoint, "easy", 4)
    assert (row["accuracy"], row["threshold"]) == (0.75, threshold)
    assert (row["status"], row["passed"]) == (status, passed)
    assert reason in row["reason"]


def test_a_failed_evaluation_is_neither_pass_nor_fail(engine: Engine, checkpoint: str) -> None:
    broken = logs.arrive(engine, 200)
    logs.fail(
        engine,
        logs.start(engine, broken, ["easy"], examples=4),
        broken,
        ["easy"],
        error="ModelLoadFault",
        message="no weights",
    )
    rows = shown(engine)
    assert [row["checkpoint_id"] for row in rows] == [checkpoint, broken]
    assert rows[1]["status"] == "FAILED"
    assert (rows[1]["passed"], rows[1]["accuracy"], rows[1]["n"]) == (None, None, 0)
    assert rows[1]["reason"] == "ModelLoadFault: no weights"


def test_what_could_not_be_scored_is_told(engine: Engine) -> None:
    examples = logs.questions("easy", 2)
    logs.register_suite(engine, examples, suite_id="easy")
    seen = [(examples[0], Seen("answer 0")), (examples[1], Seen("", error="too long"))]
    logs.evaluate(engine, logs.arrive(engine, 100), ["easy"], seen)
    (row,) = shown(engine)
    assert (row["status"], row["n"], row["n_failed"]) == ("PASS", 1, 1)
    assert row["reason"].endswith("1 example could not be scored and is left out.")


@pytest.mark.usefixtures("checkpoint")
def test_a_new_threshold_judges_anew(engine: Engine) -> None:
    assert shown(engine, 0.5)[0]["status"] == "PASS"
    assert shown(engine, 0.9)[0]["status"] == "FAIL"


@pytest.mark.parametrize(
    ("right", "trend", "change", "words"),
    [
        (18, "steady", 0.0, "As many as at step 100."),
        (19, "steady", 0.05, "5 points more than at step 100."),
        (17, "steady", -0.05, "5 points less than at step 100."),  # 5 points are not more than 5
        (16, "dropped", -0.1, "10 points less than at step 100."),
        (15, "dropped", -0.15, "15 points less than at step 100."),
        (14, "critical", -0.2, "20 points less than at step 100."),
    ],
)
def test_a_drop_is_measured_in_points_since_the_step_before(
    engine: Engine, right: int, trend: str, change: float, words: str
) -> None:
    history(engine, 18, right)
    first, second = shown(engine)
    assert (first["trend"], first["previous_step"], first["accuracy_change"]) == (None, None, None)
    assert (second["trend"], second["previous_step"]) == (trend, 100)
    assert second["previous_accuracy"] == 0.9
    assert second["accuracy_change"] == pytest.approx(change)
    assert second["reason"].endswith(words)


def test_settings_say_what_a_drop_is(engine: Engine) -> None:
    history(engine, 18, 17)
    assert shown(engine, drop=0.01, critical_drop=0.04)[1]["trend"] == "critical"
    with pytest.raises(ValueError, match="critical_drop must be at least drop"):
        with_threshold(None, drop=0.2)


def test_a_step_that_measured_nothing_is_passed_over(engine: Engine) -> None:
    history(engine, 18)
    broken, later = logs.arrive(engine, 200), logs.arrive(engine, 300)
    logs.fail(engine, logs.start(engine, broken, ["easy"], examples=20), broken, ["easy"])
    logs.evaluate(engine, later, ["easy"], answered(logs.questions("easy", 20), 10))
    rows = shown(engine)
    assert [(row["step"], row["trend"], row["previous_step"]) for row in rows] == [
        (100, None, None),
        (200, None, None),
        (300, "critical", 100),
    ]


def test_another_content_of_the_suite_is_no_drop(engine: Engine) -> None:
    history(engine, 18)
    with engine.connect() as connection:
        old = next(one.event for one in log.read(connection, types=(SuiteRegistered,)))
    assert isinstance(old, SuiteRegistered)
    harder = [logs.example("harder", f"harder question {k}", "yes", k) for k in range(20)]
    event = old.model_copy(update={"suite_id": "harder"})
    log.append(engine, event, rows=Rows(examples=harder))
    logs.evaluate(engine, logs.arrive(engine, 200), ["harder"], answered(harder, 2))
    row = shown(engine)[1]
    assert (row["suite"], row["accuracy"], row["trend"]) == ("easy", 0.1, None)
    assert "Not comparable with step 100: the suite or its grader has changed" in row["reason"]


@pytest.mark.parametrize(
    ("right", "threshold", "status", "certain"),
    [
        # The 95 % intervals of Wilson by hand: 18 of 20 is 0.699 to 0.972, 10 of 20 0.299 to 0.701.
        (18, 0.69, "PASS", True),
        (18, 0.71, "PASS", False),
        (10, 0.69, "FAIL", False),
        (10, 0.71, "FAIL", True),
        (20, 1.0, "PASS", False),
    ],
)
def test_few_answers_leave_the_threshold_open(
    engine: Engine, right: int, threshold: float, status: str, certain: bool
) -> None:
    history(engine, right)
    (row,) = shown(engine, threshold)
    assert (row["status"], row["certain"]) == (status, certain)
    assert ("So few answers leave both open" in row["reason"]) is not certain


@pytest.mark.usefixtures("checkpoint")
def test_each_difficulty_is_told_apart(engine: Engine) -> None:
    assert parts(engine, "suite, difficulty, n, accuracy, trend") == [
        ("easy", "easy", 3, 1.0, None),
        ("easy", "hard", 1, 0.0, None),
    ]


def test_a_drop_can_be_of_one_difficulty(engine: Engine) -> None:
    examples = [
        logs.example("easy", f"question {k}", "yes", k, "hard" if k < 2 else "easy")
        for k in range(20)
    ]
    logs.register_suite(engine, examples, suite_id="easy")
    for step, wrong in ((100, -1), (200, 0)):
        seen = [(one, Seen("no" if one.line == wrong else "yes")) for one in examples]
        logs.evaluate(engine, logs.arrive(engine, step), ["easy"], seen)
    assert [row["trend"] for row in shown(engine)] == [None, "steady"]
    found = parts(engine, "step, difficulty, previous_accuracy, accuracy, trend")
    assert found[2:] == [(200, "easy", 1.0, 1.0, "steady"), (200, "hard", 1.0, 0.5, "critical")]


def test_latency_is_of_an_evaluation_in_one_attempt(engine: Engine) -> None:
    history(engine, 18)
    (row,) = shown(engine)
    # 2 seconds, of which 0.5 for loading: 20 examples and 100 tokens in 1.5 seconds.
    assert row["seconds_per_example"] == pytest.approx(0.075)
    assert row["tokens_per_second"] == pytest.approx(66.666667)


def test_the_latency_of_an_evaluation_in_two_attempts_is_not_known(engine: Engine) -> None:
    examples = logs.questions("easy", 2)
    logs.register_suite(engine, examples, suite_id="easy")
    checkpoint = logs.arrive(engine, 100)
    evaluation = logs.start(engine, checkpoint, ["easy"], examples=2)
    logs.record(engine, evaluation, answered(examples[:1], 1))
    logs.start(engine, checkpoint, ["easy"], examples=2, attempt=2)
    logs.record(engine, evaluation, answered(examples[1:], 1), batch="2")
    logs.complete(engine, evaluation, checkpoint, scored=2)
    (row,) = shown(engine)
    assert row["seconds_per_example"] is None
    assert row["tokens_per_second"] == pytest.approx(66.666667)


def test_failed_examples_are_those_of_the_newest_tested_checkpoint(engine: Engine) -> None:
    history(engine, 19, 17)
    pool = logs.questions("pool", 2)
    logs.register_suite(engine, pool, suite_id="pool", role="mining")
    examples = logs.questions("easy", 20)
    seen = [*answered(examples[:19], 18), (examples[19], Seen("", error="too long"))]
    logs.evaluate(engine, logs.arrive(engine, 300), ["easy", "pool"], [*seen, (pool[0], Seen(""))])
    broken = logs.arrive(engine, 400)
    logs.fail(engine, logs.start(engine, broken, ["easy"], examples=20), broken, ["easy"])
    shown(engine)
    with engine.connect() as connection:
        rows = failed_examples.view(with_threshold(0.75)).rows(connection)
    assert [(row["step"], row["suite"], row["line"]) for row in rows] == [
        (300, "easy", 19),
        (300, "easy", 20),
    ]
    assert (rows[0]["prompt"], rows[0]["target"]) == ("easy question 18", "answer 18")
    assert (rows[0]["generated_text"], rows[0]["score"]) == ("something else", 0.0)
    assert [row["error_class"] for row in rows] == ["wrong_answer", "not_scored"]
    assert [row["error"] for row in rows] == [None, "too long"]


def test_without_a_threshold_nothing_has_failed(engine: Engine) -> None:
    history(engine, 10)
    shown(engine, None)
    with engine.connect() as connection:
        assert failed_examples.view(with_threshold(None)).rows(connection) == []
