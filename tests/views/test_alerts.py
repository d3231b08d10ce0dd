"""Alerts: raised by what the log holds, and gone when it is mended."""

from __future__ import annotations

import math
from typing import Any
from unittest.mock import ANY

from sqlalchemy import Engine

from settings import Settings
from store import log
from store.events import EvaluationCompleted, EvaluationFailed, Event
from store.records import Example
from tests import logs
from tests.logs import Seen
from tests.views.deriving import (
    answered,
    pinned,
    rejected,
    settings_with_tests,
    shown,
    sync_completed,
    sync_failed,
)
from views import alerts, calibration, regression, test_results


def raised(engine: Engine, settings: Settings | None = None) -> list[dict[str, Any]]:
    settings = settings or Settings()
    modules = (regression, calibration, test_results, alerts)
    return shown(engine, *(one.view(settings) for one in modules))


def recorded_at(engine: Engine, kind: type[Event], index: int = -1) -> str:
    with engine.connect() as connection:
        return list(log.read(connection, types=(kind,)))[index].recorded_at


def only(row: dict[str, Any], *names: str) -> tuple[Any, ...]:
    return tuple(row[name] for name in names)


def register(engine: Engine) -> list[Example]:
    examples = logs.questions("easy", 30, "easy")
    logs.register_suite(engine, examples, suite_id="easy", difficulty="easy")
    return examples


def evaluate(engine: Engine, step: int, examples: list[Example], right: int) -> str:
    checkpoint = logs.arrive(engine, step)
    logs.evaluate(engine, checkpoint, ["easy"], answered(examples, right))
    return checkpoint


def test_all_well_raises_nothing(engine: Engine) -> None:
    examples = register(engine)
    evaluate(engine, 100, examples, 20)
    evaluate(engine, 200, examples, 25)
    assert raised(engine, settings_with_tests()) == []


def test_a_regression_is_one_alert_that_names_the_suites(engine: Engine) -> None:
    examples = register(engine)
    evaluate(engine, 100, examples, 28)
    worse = evaluate(engine, 200, examples, 5)
    (row,) = raised(engine)
    assert only(row, "run", "checkpoint_id", "step") == ("run", worse, 200)
    assert only(row, "kind", "severity") == ("regression", "critical")
    assert row["title"] == "Step 200 is worse than step 100"
    assert row["detail"].startswith("Overall: Accuracy is worse than the limit allows")
    assert " easy, easy: Accuracy is worse" in row["detail"]
    assert row["subject"] == f"checkpoint/{worse}"


def test_a_regression_is_raised_when_the_later_evaluation_completed(engine: Engine) -> None:
    examples = register(engine)
    evaluate(engine, 200, examples, 5)
    assert raised(engine) == []
    evaluate(engine, 100, examples, 28)
    (row,) = raised(engine)
    assert row["step"] == 200
    assert row["raised_at"] == recorded_at(engine, EvaluationCompleted)


def test_a_failed_evaluation_is_an_alert_until_it_completes(engine: Engine) -> None:
    examples = register(engine)
    checkpoint = logs.arrive(engine, 100)
    evaluation = logs.start(engine, checkpoint, ["easy"], examples=30)
    logs.fail(
        engine, evaluation, checkpoint, ["easy"], error="ModelLoadFault", message="no weights"
    )
    assert raised(engine) == [
        {
            "run": "run",
            "checkpoint_id": checkpoint,
            "step": 100,
            "kind": "failed_evaluation",
            "severity": "critical",
            "status": "open",
            "title": "The evaluation of step 100 failed",
            "detail": "ModelLoadFault: no weights",
            "raised_at": recorded_at(engine, EvaluationFailed),
            "acknowledged_by": None,
            "acknowledged_at": None,
            "note": None,
            "sent_at": None,
            "not_sent": None,
            "subject": f"checkpoint/{checkpoint}",
            "alert_id": ANY,
        }
    ]
    logs.start(engine, checkpoint, ["easy"], examples=30, attempt=2)
    assert raised(engine) == []
    logs.record(engine, evaluation, answered(examples, 30))
    logs.complete(engine, evaluation, checkpoint, scored=30)
    assert raised(engine) == []


def test_a_failing_test_is_an_alert_with_its_numbers(engine: Engine) -> None:
    examples = register(engine)
    evaluate(engine, 50, examples, 3)
    failing = evaluate(engine, 100, examples, 12)
    assert raised(engine) == []
    (row,) = raised(engine, settings_with_tests())
    assert only(row, "kind", "severity", "checkpoint_id") == ("failing_test", "warning", failing)
    assert row["title"] == "Step 100 fails easy"
    assert row["detail"].startswith("easy: 40 % right, and at least ")
    assert row["raised_at"] == recorded_at(engine, EvaluationCompleted, 1)
    evaluate(engine, 200, examples, 20)
    assert raised(engine, settings_with_tests()) == []


def test_a_refused_folder_is_an_alert_until_it_is_mended(engine: Engine) -> None:
    path = "/checkpoints/run/checkpoint-900"
    event = rejected(path)
    log.append(engine, event)
    (row,) = raised(engine)
    assert only(row, "run", "checkpoint_id", "step") == ("run", None, 900)
    assert only(row, "kind", "severity") == ("rejected_checkpoint", "warning")
    assert only(row, "title", "detail") == (f"{path} is no usable checkpoint", event.reason)
    assert only(row, "subject", "raised_at") == (
        f"rejected/{path}",
        recorded_at(engine, type(event)),
    )
    log.append(engine, rejected(path, "the weights are cut off"))
    assert [row["detail"] for row in raised(engine)] == ["the weights are cut off"]
    logs.arrive(engine, 900)
    assert raised(engine) == []


def test_a_sync_that_fails_is_an_alert_until_one_completes(engine: Engine) -> None:
    first = sync_failed("1")
    log.append(engine, first)
    log.append(engine, sync_completed("2", source="elsewhere:/out"))
    log.append(engine, sync_failed("3", "disk full"))
    since = recorded_at(engine, type(first), 0)
    (row,) = raised(engine)
    assert only(row, "kind", "severity", "subject") == ("sync_failed", "warning", "sync/gpu:/out")
    assert only(row, "title", "raised_at") == ("Sync from gpu:/out fails", since)
    assert row["detail"] == "rsync exit code 12: disk full"
    log.append(engine, sync_failed("4", "connection refused"))
    assert [only(row, "detail", "raised_at") for row in raised(engine)] == [
        ("rsync exit code 12: connection refused", since)
    ]
    log.append(engine, sync_completed("5"))
    assert raised(engine) == []


def test_a_source_that_cannot_be_reached_has_no_run(engine: Engine) -> None:
    event = sync_failed("1").model_copy(update={"run": None, "name": None, "rsync_exit_code": None})
    log.append(engine, event)
    (row,) = raised(engine)
    assert only(row, "run", "detail") == (None, "connection refused")


def test_an_alert_of_one_run_leaves_those_of_others(engine: Engine) -> None:
    examples = register(engine)
    failed = logs.arrive(engine, 100, run="other")
    logs.fail(engine, "failed", failed, ["easy"])
    assert [row["run"] for row in raised(engine)] == ["other"]
    log.append(engine, sync_failed("1"))
    checkpoint = logs.arrive(engine, 100)
    logs.evaluate(engine, checkpoint, ["easy"], [(examples[0], Seen("no", math.log(0.1)))])
    assert sorted((row["run"], row["kind"]) for row in raised(engine)) == [
        ("other", "failed_evaluation"),
        ("run", "sync_failed"),
    ]


def test_a_checkpoint_that_is_worse_than_the_pinned_one_says_so(engine: Engine) -> None:
    examples = register(engine)
    first = evaluate(engine, 100, examples, 28)
    evaluate(engine, 200, examples, 20)
    evaluate(engine, 300, examples, 10)
    assert "pinned" not in str(raised(engine))
    log.append(engine, pinned("run", first, 100))
    (row,) = (one for one in raised(engine) if "pinned" in one["title"])
    assert row["title"] == "Step 300 is worse than the pinned step 100"
    assert row["detail"].startswith("Overall, against the pinned step 100: Accuracy is")
    log.append(engine, pinned("run", None, None))
    assert "pinned" not in str(raised(engine))
