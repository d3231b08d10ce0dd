"""Derives views from a synthetic log, and a log that has everything happen in it once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, select

from settings import Settings, parse
from store import log
from store.events import (
    AlertAcknowledged,
    AlertNotSent,
    AlertSending,
    AlertSent,
    BaselinePinned,
    CheckpointFound,
    CheckpointRejected,
    CheckpointRemoved,
    EvaluationAbandoned,
    ExamplesExported,
    Notice,
    SyncCompleted,
    SyncFailed,
)
from store.lifecycle import LIFECYCLE
from store.projections import Projection, bring_up_to_date
from store.records import Example
from tests import logs
from tests.logs import Seen
from views import results
from views.view import View


def projections_of(*views: View) -> list[Projection]:
    """The projections of these views, after what all views read."""
    return [LIFECYCLE, results.RESULTS, *(one for view in views for one in view.projections)]


def shown(engine: Engine, *views: View, run: str | None = None) -> list[dict[str, Any]]:
    """The rows of the last view, once all are up to date."""
    assert bring_up_to_date(engine, projections_of(*views)) == []
    with engine.connect() as connection:
        return views[-1].rows(connection, run=run)


def stored(engine: Engine, projections: Sequence[Projection]) -> dict[str, list[tuple[Any, ...]]]:
    """The rows of every derived table, by its name, in the order of their keys."""
    with engine.connect() as connection:
        return {
            table.name: [
                tuple(row)
                for row in connection.execute(select(table).order_by(*table.primary_key.columns))
            ]
            for projection in projections
            for table in projection.tables
        }


def sync_failed(at: str, message: str = "connection refused") -> SyncFailed:
    return SyncFailed(
        source="gpu:/out",
        run="run",
        name="checkpoint-1",
        rsync_exit_code=12,
        message=message,
        seconds=1.0,
        at=at,
    )


def sync_completed(at: str, source: str = "gpu:/out") -> SyncCompleted:
    return SyncCompleted(
        source=source,
        run="run",
        name="checkpoint-1",
        path="/checkpoints/run/checkpoint-1",
        files=3,
        bytes=1000,
        seconds=1.0,
        at=at,
    )


def rejected(path: str, reason: str = "config.json is missing") -> CheckpointRejected:
    return CheckpointRejected(run="run", path=path, step=900, reason=reason, fingerprint=reason)


def found(checkpoint_id: str, path: str) -> CheckpointFound:
    at = "2026-01-02T00:00:00.000Z"
    return CheckpointFound(checkpoint_id=checkpoint_id, run="run", step=600, path=path, at=at)


def removed(checkpoint_id: str, path: str) -> CheckpointRemoved:
    at = "2026-01-03T00:00:00.000Z"
    return CheckpointRemoved(checkpoint_id=checkpoint_id, path=path, reason="gone", at=at)


def pinned(run: str, checkpoint_id: str | None, step: int | None) -> BaselinePinned:
    at = f"2026-01-04T00:00:00.000Z {step}"
    return BaselinePinned(run=run, checkpoint_id=checkpoint_id, step=step, note=None, at=at)


def notice(alert_id: str, title: str = "Step 400 is worse than step 300") -> Notice:
    return Notice(
        alert_id=alert_id,
        kind="regression",
        subject="checkpoint/gone",
        run="run",
        checkpoint_id="gone",
        step=400,
        severity="critical",
        title=title,
        detail="Loss is higher.",
        raised_at="2026-01-05T00:00:00.000Z",
    )


def sending(number: int, *alerts: Notice, place: str = "phone", pid: int = 1) -> AlertSending:
    return AlertSending(place=place, number=number, alerts=alerts, host="here", pid=pid)


def sent(number: int, *alert_ids: str, place: str = "phone") -> AlertSent:
    return AlertSent(place=place, number=number, alerts=alert_ids, seconds=0.1)


def not_sent(number: int, *alert_ids: str, place: str = "phone") -> AlertNotSent:
    return AlertNotSent(place=place, number=number, alerts=alert_ids, reason="HTTP 500")


def acknowledged(alert: Notice, note: str = "seen", at: str = "1") -> AlertAcknowledged:
    return AlertAcknowledged(alert=alert, note=note, by="ada", at=at)


def exported(
    checkpoint_id: str, step: int, evaluation_id: str, examples: Sequence[Example]
) -> ExamplesExported:
    return ExamplesExported(
        kind="corrections",
        file=f"/exports/corrections-run-step-{step}.jsonl",
        digest="0" * 64,
        run="run",
        checkpoint_id=checkpoint_id,
        step=step,
        evaluation_id=evaluation_id,
        filter={},
        examples=tuple(one.example_id for one in examples),
        left_out={"exported before": 1},
        at=f"2026-01-04T00:00:00.000Z {step}",
    )


def answered(
    examples: Sequence[Example], right: int, logprob: float = -0.1
) -> list[tuple[Example, Seen]]:
    """The first `right` examples answered right, the others wrong."""
    return [
        (one, Seen(one.target if k < right else "something else", logprob, -1.0 - k / 10))
        for k, one in enumerate(examples)
    ]


def eventful(engine: Engine) -> Iterator[str]:
    """Appends a log in which everything happens that views must follow; names each step.

    Two runs, steps out of order, failures, a retry, a second evaluation, an example in two suites,
    suites whose role and grader change, an export, refused folders and syncs that fail.
    """
    suites = {name: logs.questions(name, 25, name) for name in ("easy", "medium", "hard")}
    shared = logs.example("mining", "easy question 0", "answer 0", 1)
    mining = [shared, *logs.questions("mining", 10)]
    validation = [one for examples in suites.values() for one in examples]
    for name, examples in suites.items():
        logs.register_suite(engine, examples, suite_id=name, difficulty=name)
    logs.register_suite(engine, mining, suite_id="mining", role="mining")
    yield "suites"
    asked = [*suites, "mining"]

    def seen(right: int, logprob: float = -0.1) -> list[tuple[Example, Seen]]:
        parts = [answered(examples, right, logprob) for examples in suites.values()]
        return [*(one for part in parts for one in part), *answered(mining[1:], right // 3)]

    first = logs.arrive(engine, 100)
    logs.evaluate(engine, first, asked, seen(6))
    yield "the first checkpoint"
    third = logs.arrive(engine, 300)
    better = logs.evaluate(engine, third, asked, seen(24, -0.01))
    yield "a checkpoint that is better"
    log.append(engine, exported(third, 300, better, mining[-2:]))
    yield "examples that are exported"
    second = logs.arrive(engine, 200)
    logs.evaluate(engine, second, asked, seen(12))
    yield "a checkpoint in between, late"
    fourth = logs.arrive(engine, 400)
    evaluation = logs.start(engine, fourth, asked, examples=len(validation) + 10)
    yield "a start"
    logs.fail(engine, evaluation, fourth, asked, error="ModelLoadFault", message="no weights")
    yield "a failure"
    logs.start(engine, fourth, asked, examples=len(validation) + 10, attempt=2)
    yield "a second attempt"
    broken = [(one, Seen("", error="too long")) for one in suites["hard"][:2]]
    logs.record(engine, evaluation, seen(2)[:50] + broken)
    logs.complete(engine, evaluation, fourth, scored=50, failed=2)
    yield "a checkpoint that is much worse"
    other = logs.arrive(engine, 100, run="other")
    logs.evaluate(engine, other, ["easy"], answered(suites["easy"], 20))
    yield "another run"
    logs.evaluate(engine, second, asked, seen(20), settings={"max_new_tokens": 32})
    yield "a second evaluation"
    logs.register_suite(
        engine,
        suites["medium"],
        suite_id="medium",
        difficulty="medium",
        grader="contains",
        revision=2,
    )
    yield "another grader"
    logs.register_suite(
        engine, suites["hard"], suite_id="hard", difficulty="hard", role="mining", revision=2
    )
    yield "another role"
    log.append(engine, rejected("/checkpoints/run/checkpoint-500"))
    yield "a refused folder"
    log.append(engine, sync_failed("1"))
    log.append(engine, sync_failed("2", "disk full"))
    yield "syncs that fail"
    log.append(engine, sync_completed("3"))
    log.append(engine, sync_failed("4"))
    yield "a sync that works, and one that fails"
    logs.arrive(engine, 500)
    yield "the refused folder, mended"
    fifth = logs.arrive(engine, 600)
    gone = logs.start(engine, fifth, asked, examples=1)
    log.append(
        engine,
        EvaluationAbandoned(
            evaluation_id=gone,
            checkpoint_id=fifth,
            suites=tuple(asked),
            reason="the folder is gone",
        ),
    )
    yield "an abandoned evaluation"
    eighth = logs.arrive(engine, 800)
    early = logs.start(engine, eighth, asked, examples=len(validation) + 10)
    first_ones = [one for k in range(3) for one in seen(10)[25 * k : 25 * k + 12]]
    logs.record(engine, early, first_ones)
    logs.finish_quick_tier(
        engine, early, eighth, asked, examples=len(validation) + 10, scored=len(first_ones)
    )
    yield "a quick tier"
    logs.record(engine, early, seen(10)[12:25], batch="2")
    logs.fail(engine, early, eighth, asked, error="OSError", message="it was lost")
    yield "a failure after the quick tier"
    logs.start(engine, eighth, asked, examples=len(validation) + 10, attempt=2)
    yield "a second attempt after the quick tier"
    log.append(engine, found(fifth, "/kept/checkpoint-600"))
    log.append(engine, removed(fifth, "/checkpoints/run/checkpoint-600"))
    yield "a checkpoint that was moved"
    log.append(engine, removed(first, "/checkpoints/run/checkpoint-100"))
    yield "a checkpoint that is gone"
    log.append(engine, pinned("run", third, 300))
    log.append(engine, pinned("other", other, 100))
    log.append(engine, pinned("other", None, None))
    yield "a baseline, and one that was taken back"
    old = notice("0123456789")
    log.append(engine, sending(1, old))
    log.append(engine, not_sent(1, old.alert_id))
    log.append(engine, sending(2, old))
    yield "a message that was not sent, and is tried again"
    log.append(engine, sent(2, old.alert_id))
    log.append(engine, acknowledged(old))
    yield "a message that was sent, and acknowledged"


def settings_with_tests() -> Settings:
    """Settings under which the eventful log has failing tests."""
    return parse(
        """
        [[suite]]
        name = "easy"
        path = "easy.jsonl"
        pass_threshold = 0.5

        [curriculum]
        min_examples = 10
        """,
        Path("milepost.toml"),
    )
