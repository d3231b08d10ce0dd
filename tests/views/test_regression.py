"""Which checkpoints are compared, and what is said of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Engine, event

from settings import RegressionSettings, Settings
from store import log
from store.lifecycle import LIFECYCLE
from store.projections import bring_up_to_date, replay
from store.records import Example
from tests import logs
from tests.logs import Seen
from tests.views.deriving import pinned, stored
from views import flips, regression
from views.results import RESULTS

VIEW = regression.view(Settings())
PROJECTIONS = [LIFECYCLE, RESULTS, *VIEW.projections]


@pytest.fixture
def easy(engine: Engine) -> list[Example]:
    examples = logs.questions("easy", 30, "easy")
    logs.register_suite(engine, examples, suite_id="easy")
    return examples


def answers(examples: Sequence[Example], right: int) -> list[tuple[Example, Seen]]:
    """The first `right` ones right."""
    return [
        (
            one,
            Seen(one.target if k < right else "wrong", target_logprob=-1.0 if k < right else -3.0),
        )
        for k, one in enumerate(examples)
    ]


def shown(engine: Engine, **equal: object) -> list[dict[str, Any]]:
    assert bring_up_to_date(engine, PROJECTIONS) == []
    with engine.connect() as connection:
        rows = VIEW.rows(connection)
    return [row for row in rows if all(row[name] == value for name, value in equal.items())]


def test_each_checkpoint_is_compared_with_the_one_before_by_step(
    engine: Engine, easy: list[Example]
) -> None:
    for step, right in ((300, 29), (100, 28), (200, 12)):
        logs.evaluate(engine, logs.arrive(engine, step), ["easy"], answers(easy, right))
    rows = shown(engine, suite="easy", difficulty="easy")
    assert [(row["step"], row["baseline_step"], row["verdict"]) for row in rows] == [
        (100, None, "INCONCLUSIVE"),
        (200, 100, "REGRESSED"),
        (300, 200, "OK"),
    ]
    assert rows[1]["accuracy_change"] == pytest.approx(-16 / 30)
    assert [row["verdict"] for row in shown(engine, suite="all", difficulty="all")] == [
        "INCONCLUSIVE",
        "REGRESSED",
        "OK",
    ]


def test_the_first_checkpoint_has_numbers_but_nothing_before_them(
    engine: Engine, easy: list[Example]
) -> None:
    logs.evaluate(engine, logs.arrive(engine, 100), ["easy"], answers(easy, 15))
    for row in shown(engine):
        assert row["verdict"] == "INCONCLUSIVE"
        assert row["accuracy"] == 0.5
        assert row["reason"].startswith("No earlier checkpoint of the run was evaluated")
        assert row["loss_before"] is row["loss_change"] is row["accuracy_before"] is None


def test_runs_are_compared_within_themselves(engine: Engine, easy: list[Example]) -> None:
    logs.evaluate(engine, logs.arrive(engine, 100, run="a"), ["easy"], answers(easy, 30))
    logs.evaluate(engine, logs.arrive(engine, 200, run="b"), ["easy"], answers(easy, 3))
    assert {row["verdict"] for row in shown(engine)} == {"INCONCLUSIVE"}


def test_a_failed_checkpoint_is_shown_and_skipped_as_a_baseline(
    engine: Engine, easy: list[Example]
) -> None:
    logs.evaluate(engine, logs.arrive(engine, 100), ["easy"], answers(easy, 28))
    broken = logs.arrive(engine, 200)
    evaluation = logs.start(engine, broken, ["easy"], examples=30)
    logs.fail(engine, evaluation, broken, ["easy"], error="ModelLoadFault", message="no weights")
    logs.evaluate(engine, logs.arrive(engine, 300), ["easy"], answers(easy, 27))
    rows = shown(engine, step=200)
    assert [(row["suite"], row["difficulty"]) for row in rows] == [("all", "all"), ("easy", "easy")]
    for row in rows:
        assert (row["verdict"], row["reason"]) == ("FAILED", "ModelLoadFault: no weights")
        assert (row["n"], row["loss"], row["accuracy"]) == (0, None, None)
    assert {row["baseline_step"] for row in shown(engine, step=300)} == {100}


def test_mining_suites_are_left_out(engine: Engine, easy: list[Example]) -> None:
    pool = logs.questions("pool", 30, "easy")
    logs.register_suite(engine, pool, suite_id="pool", role="mining")
    for step, right in ((100, 30), (200, 0)):
        seen = answers(easy, 30) + answers(pool, right)
        logs.evaluate(engine, logs.arrive(engine, step), ["easy", "pool"], seen)
    rows = shown(engine, step=200)
    assert {(row["suite"], row["verdict"]) for row in rows} == {("all", "OK"), ("easy", "OK")}


def test_a_suite_that_turns_into_mining_leaves(engine: Engine, easy: list[Example]) -> None:
    logs.evaluate(engine, logs.arrive(engine, 100), ["easy"], answers(easy, 30))
    assert len(shown(engine)) == 2
    logs.register_suite(engine, easy, suite_id="easy", role="mining", revision=2)
    (row,) = shown(engine)
    assert (row["suite"], row["n"], row["verdict"]) == ("all", 0, "INCONCLUSIVE")
    assert row["reason"] == "No validation suite was evaluated."


def test_only_examples_that_both_measured_are_compared(engine: Engine, easy: list[Example]) -> None:
    before = answers(easy, 25)
    for index in range(5):
        before[index] = (easy[index], Seen("", error="too long"))
    logs.evaluate(engine, logs.arrive(engine, 100), ["easy"], before)
    logs.evaluate(engine, logs.arrive(engine, 200), ["easy"], answers(easy, 25))
    row = shown(engine, step=200, suite="easy")[0]
    assert (row["n"], row["accuracy"], row["accuracy_before"]) == (25, 0.8, 0.8)


def test_a_suite_that_is_new_has_nothing_to_compare_with(
    engine: Engine, easy: list[Example]
) -> None:
    new = logs.questions("new", 25, "hard")
    logs.register_suite(engine, new, suite_id="new")
    logs.evaluate(engine, logs.arrive(engine, 100), ["easy"], answers(easy, 30))
    seen = answers(easy, 30) + answers(new, 5)
    logs.evaluate(engine, logs.arrive(engine, 200), ["easy", "new"], seen)
    row = shown(engine, step=200, suite="new")[0]
    assert (row["verdict"], row["accuracy"], row["n"]) == ("INCONCLUSIVE", 0.2, 25)
    assert row["reason"] == "None of these examples was measured at step 100."
    assert shown(engine, step=200, suite="all")[0]["n"] == 30


def test_an_example_in_two_suites_counts_once_in_all(engine: Engine, easy: list[Example]) -> None:
    twin = [logs.example("twin", one.messages[0]["content"], one.target, one.line) for one in easy]
    logs.register_suite(engine, twin, suite_id="twin", difficulty="easy")
    for step in (100, 200):
        logs.evaluate(engine, logs.arrive(engine, step), ["easy", "twin"], answers(easy, 30))
    assert [(row["suite"], row["n"]) for row in shown(engine, step=200)] == [
        ("all", 30),
        ("all", 30),  # easy in all suites
        ("easy", 30),
        ("twin", 30),
    ]


def test_settings_move_the_limit(engine: Engine, easy: list[Example]) -> None:
    for step, right in ((100, 30), (200, 15)):
        logs.evaluate(engine, logs.arrive(engine, step), ["easy"], answers(easy, right))
    assert shown(engine, step=200)[0]["verdict"] == "REGRESSED"
    loose = Settings(regression=RegressionSettings(loss_increase=9.0, accuracy_drop=0.5))
    bring_up_to_date(engine, [LIFECYCLE, RESULTS, *regression.view(loose).projections])
    with engine.connect() as connection:
        assert {row["verdict"] for row in VIEW.rows(connection) if row["step"] == 200} == {
            "SUSPECT"
        }


def test_a_new_checkpoint_costs_one_comparison_whatever_the_run(
    engine: Engine, easy: list[Example]
) -> None:
    loads: list[object] = []

    def note(_c: object, _cu: object, statement: str, *_: object) -> None:
        if "FROM answer_block JOIN" in statement:
            loads.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    for step in range(100, 900, 100):
        checkpoint = logs.arrive(engine, step)
        logs.evaluate(engine, checkpoint, ["easy"], answers(easy, 20))
        shown(engine)
    assert len(loads) == 1 + 2 * 7


def test_a_run_is_held_against_its_pinned_checkpoint_too(
    engine: Engine, easy: list[Example]
) -> None:
    kept = []
    for step, right in ((100, 20), (200, 29), (300, 24), (400, 12)):
        kept.append(logs.arrive(engine, step))
        logs.evaluate(engine, kept[-1], ["easy"], answers(easy, right))
    log.append(engine, pinned("run", kept[1], 200))
    rows = shown(engine, suite="all", against="pinned")
    assert [(row["step"], row["baseline_step"], row["verdict"]) for row in rows] == [
        (300, 200, "SUSPECT"),
        (400, 200, "REGRESSED"),
    ]
    before = stored(engine, PROJECTIONS)
    assert replay(engine, PROJECTIONS) == []
    assert stored(engine, PROJECTIONS) == before
    log.append(engine, pinned("run", kept[2], 300))
    assert {row["baseline_step"] for row in shown(engine, against="pinned")} == {300}
    log.append(engine, pinned("run", None, None))
    assert shown(engine, against="pinned") == []


def test_a_pinned_checkpoint_that_is_not_evaluated_says_so(
    engine: Engine, easy: list[Example]
) -> None:
    first = logs.arrive(engine, 100)
    log.append(engine, pinned("run", first, 100))
    logs.evaluate(engine, logs.arrive(engine, 200), ["easy"], answers(easy, 20))
    (row, _) = shown(engine, against="pinned")
    assert (row["verdict"], row["baseline_step"]) == ("INCONCLUSIVE", 100)
    assert row["reason"] == "The pinned baseline, step 100, is not evaluated."
    logs.evaluate(engine, first, ["easy"], answers(easy, 20))
    assert {row["verdict"] for row in shown(engine, against="pinned")} == {"OK"}


def test_rows_that_name_one_source_are_one(engine: Engine) -> None:
    examples = [
        replace(one, metadata={"source": f"book {k // 10}"})
        for k, one in enumerate(logs.questions("easy", 30, "easy"))
    ]
    logs.register_suite(engine, examples, suite_id="easy")
    for step, right in ((100, 30), (200, 0)):
        logs.evaluate(engine, logs.arrive(engine, step), ["easy"], answers(examples, right))
    row = shown(engine, step=200, suite="easy")[0]
    assert (row["n"], row["clusters"]) == (30, 3)
    assert row["accuracy_p"] == pytest.approx(2 * 0.5**3)
    assert row["verdict"] == "SUSPECT"
    assert "of 30 answers from 3 sources 30 flipped to wrong, 0 to right" in row["reason"]


def test_no_right_answer_after_a_low_training_loss_is_a_question_of_format(
    engine: Engine, easy: list[Example], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("views.judging.LOW_TRAIN_LOSS", 1.5)  # the log's checkpoints have 1.0
    logs.evaluate(engine, logs.arrive(engine, 100), ["easy"], answers(easy, 0))
    logs.evaluate(engine, logs.arrive(engine, 200), ["easy"], answers(easy, 1))
    none, some = shown(engine, suite="all")
    assert none["reason"].startswith(
        "Check the evaluation's format first: the training loss is 1 nats, and not one of 30 "
        "answers is right. No earlier checkpoint"
    )
    assert "format" not in some["reason"]


def test_each_suite_s_p_value_is_corrected_for_their_number(engine: Engine) -> None:
    suites = {name: logs.questions(name, 30, name) for name in ("easy", "medium", "hard")}
    for name, examples in suites.items():
        logs.register_suite(engine, examples, suite_id=name, difficulty=name)
    for step, right in ((100, 30), (200, 24)):
        seen = answers(suites["easy"], right) + answers(suites["medium"], 30)
        seen += answers(suites["hard"], 30)
        logs.evaluate(engine, logs.arrive(engine, step), list(suites), seen)
    easy_row = shown(engine, step=200, suite="easy")[0]
    assert easy_row["accuracy_p_holm"] == pytest.approx(3 * easy_row["accuracy_p"])
    overall = shown(engine, step=200, suite="all")[0]
    assert overall["accuracy_p_holm"] == overall["accuracy_p"] == pytest.approx(2 * 0.5**6)


def test_the_answers_that_flipped_are_listed_both_ways(engine: Engine, easy: list[Example]) -> None:
    first, second = answers(easy, 10), answers(easy, 9)
    second[20] = (easy[20], Seen(easy[20].target))
    logs.evaluate(engine, logs.arrive(engine, 100), ["easy"], first)
    logs.evaluate(engine, logs.arrive(engine, 200), ["easy"], second)
    (row, _) = shown(engine, step=200)
    with engine.connect() as connection:
        found = flips.view(Settings()).rows(connection)
    assert [
        (one["step"], one["baseline_step"], one["flip"], one["prompt"], one["answer_before"])
        for one in found
    ] == [
        (200, 100, "to wrong", "easy question 9", "answer 9"),
        (200, 100, "to right", "easy question 20", "wrong"),
    ]
    assert [one["answer"] for one in found] == ["wrong", "answer 20"]
    assert (row["to_wrong"], row["to_right"]) == (1, 1)
