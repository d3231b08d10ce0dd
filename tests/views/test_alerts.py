"""Alerts: raised by what the log holds, and gone when it is mended."""

from __future__ import annotations

import math
from typing import Any
from unittest.mock import ANY

from sqlalchemy import Engine, select

from settings import AlertSettings, Settings
from store import log
from store.events import EvaluationCompleted, EvaluationFailed, Event, SyncFailed
from store.records import Example
from tests import logs
from tests.logs import Seen
from tests.views.deriving import (
    acknowledged,
    answered,
    not_sent,
    pinned,
    rejected,
    sending,
    sent,
    settings_with_tests,
    shown,
    sync_completed,
    sync_failed,
)
from views import alerts, calibration, regression, test_results
from views.alert_table import ALERT, later
from views.notices import notice_of

AT_ONCE = Settings(alerts=AlertSettings(quiet_after_hours=1e-9, sync_stalled_after_hours=1e-9))


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
    assert row["detail"].endswith(" Worse as well: easy, easy.")
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


def test_one_comparison_is_told_once_where_the_step_before_is_pinned(engine: Engine) -> None:
    examples = register(engine)
    first = evaluate(engine, 100, examples, 28)
    evaluate(engine, 200, examples, 5)
    (before,) = raised(engine)
    log.append(engine, pinned("run", first, 100))
    (row,) = raised(engine)
    assert row["title"] == "Step 200 is worse than step 100, which is pinned"
    assert row["detail"] == before["detail"]
    assert row["alert_id"] == before["alert_id"]


def test_a_checkpoint_far_less_calibrated_than_the_one_before_is_an_alert(engine: Engine) -> None:
    examples = register(engine)
    for step, confidence in ((100, 0.5), (200, 0.95)):
        checkpoint = logs.arrive(engine, step)
        logs.evaluate(engine, checkpoint, ["easy"], answered(examples, 15, math.log(confidence)))
    (row,) = raised(engine)
    assert only(row, "kind", "severity", "step") == ("calibration_broken", "warning", 200)
    assert row["title"] == "Step 200 is over-confident, far more than step 100"
    assert row["detail"].startswith("Its calibration error is 45 %, and was 0 % at step 100. ")
    tolerant = Settings(alerts=AlertSettings(ece_increase=0.5))
    assert raised(engine, tolerant) == []


def test_a_sync_that_fails_for_too_long_is_stalled_and_no_more_said_to_fail(
    engine: Engine,
) -> None:
    log.append(engine, sync_failed("1"))
    log.append(engine, sync_failed("2", "disk full"))
    assert [row["kind"] for row in raised(engine)] == ["sync_failed"]
    since = recorded_at(engine, SyncFailed, 0)
    with engine.connect() as connection:
        ahead = select(ALERT.c.raised_at).where(ALERT.c.kind == "sync_stalled")
        assert connection.execute(ahead).scalar() == later(since, 1.0)
    (row,) = raised(engine, AT_ONCE)
    assert only(row, "kind", "severity") == ("sync_stalled", "critical")
    assert row["detail"].startswith(
        f"It fails since {since[:16].replace('T', ' ')} UTC. rsync exit"
    )
    log.append(engine, sync_completed("3"))
    assert raised(engine, AT_ONCE) == []


def test_nothing_evaluated_for_too_long_is_worse_while_something_waits(engine: Engine) -> None:
    assert raised(engine, AT_ONCE) == []
    examples = register(engine)
    assert raised(engine, AT_ONCE) == []
    evaluate(engine, 100, examples, 20)
    (row,) = raised(engine, AT_ONCE)
    assert only(row, "kind", "severity", "run") == ("nothing_evaluated", "warning", None)
    at = recorded_at(engine, EvaluationCompleted)[:16].replace("T", " ")
    assert row["title"] == f"Nothing has been evaluated since {at} UTC"
    assert row["detail"].startswith("No checkpoint waits. The last one arrived at ")
    logs.arrive(engine, 200)
    (row,) = raised(engine, AT_ONCE)
    assert only(row, "kind", "severity") == ("nothing_evaluated", "critical")
    assert row["detail"].startswith("Checkpoints that wait: 1, the oldest since ")
    assert raised(engine) == []


def test_an_acknowledged_alert_stays_with_its_note_until_it_is_over(engine: Engine) -> None:
    path = "/checkpoints/run/checkpoint-900"
    log.append(engine, rejected(path))
    (row,) = raised(engine)
    assert row["status"] == "open"
    log.append(engine, acknowledged(notice_of(row), "I copy it again"))
    (seen,) = raised(engine)
    assert only(seen, "status", "acknowledged_by", "note") == (
        "acknowledged",
        "ada",
        "I copy it again",
    )
    log.append(engine, acknowledged(notice_of(row), "tomorrow", at="2"))
    assert [one["note"] for one in raised(engine)] == ["tomorrow"]
    logs.arrive(engine, 900)
    (over,) = raised(engine)
    assert only(over, "status", "note", "title") == ("resolved", "tomorrow", row["title"])


def test_an_alert_that_ended_and_came_back_is_another_one(engine: Engine) -> None:
    log.append(engine, sync_failed("1"))
    (first,) = raised(engine)
    log.append(engine, acknowledged(notice_of(first)))
    log.append(engine, sync_completed("2"))
    log.append(engine, sync_failed("3"))
    back, over = raised(engine)
    assert only(back, "status", "note") == ("open", None)
    assert only(over, "status", "alert_id") == ("resolved", first["alert_id"])
    assert back["alert_id"] != first["alert_id"]


def test_another_attempt_that_fails_too_is_the_same_alert(engine: Engine) -> None:
    checkpoint = logs.arrive(engine, 100)
    evaluation = logs.start(engine, checkpoint, ["easy"], examples=30)
    logs.fail(engine, evaluation, checkpoint, ["easy"])
    (first,) = raised(engine)
    log.append(engine, acknowledged(notice_of(first)))
    logs.start(engine, checkpoint, ["easy"], examples=30, attempt=2)
    logs.fail(engine, evaluation, checkpoint, ["easy"], attempt=2)
    (second,) = raised(engine)
    assert only(second, "alert_id", "status") == (first["alert_id"], "acknowledged")


def test_what_became_of_the_messages_stands_beside_the_alert(engine: Engine) -> None:
    log.append(engine, rejected("/checkpoints/run/checkpoint-900"))
    (row,) = raised(engine)
    notice = notice_of(row)
    log.append(engine, sending(1, notice))
    (row,) = raised(engine)
    unknown = "phone: it is not known whether the message went out"
    assert only(row, "sent_at", "not_sent") == (None, unknown)
    log.append(engine, not_sent(1, notice.alert_id))
    assert [one["not_sent"] for one in raised(engine)] == ["phone: HTTP 500"]
    log.append(engine, sending(2, notice))
    took = log.append(engine, sent(2, notice.alert_id))
    with engine.connect() as connection:
        (at,) = (one.recorded_at for one in log.read(connection, after=took.position - 1))
    assert [only(one, "sent_at", "not_sent") for one in raised(engine)] == [(at, None)]
