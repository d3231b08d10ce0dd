"""Alerts: what a person should look at, each for as long as it is true.

| kind                | severity | when                                                            |
|---------------------|----------|-----------------------------------------------------------------|
| regression          | critical | a checkpoint REGRESSED against the one before, or the baseline  |
| failed_evaluation   | critical | an evaluation failed; warning if trying again can help          |
| failing_test        | warning  | a checkpoint is below the threshold of a suite                  |
| calibration_broken  | warning  | the newest checkpoint is off by far more than the one before,   |
|                     |          | and no regression says so already                               |
| rejected_checkpoint | warning  | a folder looks like a checkpoint and cannot become one          |
| sync_failed         | warning  | rsync failed, and has brought nothing from that source since    |
| sync_stalled        | critical | the same for too long                                           |
| nothing_evaluated   | critical | nothing was evaluated for too long; warning if nothing waits    |

A quick tier raises none: the full suites may well say otherwise.

A checkpoint has one alert of a kind, which names the suites. `kind` and `subject` together are the
same for as long as the alert is about the same thing. One that was sent or acknowledged stays in
the list when it is over, as resolved.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from sqlalchemy import Connection, and_, delete, func, insert, select

from settings import AlertSettings, Settings
from store.events import (
    BaselinePinned,
    CheckpointArrived,
    CheckpointFound,
    CheckpointRejected,
    CheckpointRemoved,
    SyncCompleted,
    SyncFailed,
)
from store.lifecycle import CHECKPOINT, EVALUATION, REJECTED
from store.log import Recorded
from store.projections import Projection
from views.alert_table import ALERT, Alert, by_checkpoint, of_checkpoint
from views.calibration import ALL, VERDICT
from views.notices import NOTICES
from views.overdue import OF_THE_WHOLE, expect_evaluations, follow_sync
from views.regression_alerts import regressions_of
from views.scope import EARLY_CHANGES, SUBJECT, settings_text, touched
from views.test_results import TEST_RESULT
from views.view import Column, View
from views.words import percent

OPEN, ACKNOWLEDGED, RESOLVED = "open", "acknowledged", "resolved"


def derive(settings: AlertSettings, connection: Connection, events: Sequence[Recorded]) -> None:
    """Writes the alerts of the runs and of the syncs that the events touch."""
    runs = set(touched(connection, events).runs)
    for recorded in events:
        match recorded.event:
            case BaselinePinned() | CheckpointArrived() | CheckpointRejected() as event:
                runs.add(event.run)
            case SyncCompleted() | SyncFailed() as event:
                follow_sync(connection, event, recorded.recorded_at, settings)
    for run in sorted(runs):
        _derive_run(connection, run, settings)
    expect_evaluations(connection, settings)


def _derive_run(connection: Connection, run: str, settings: AlertSettings) -> None:
    connection.execute(delete(ALERT).where(ALERT.c.run == run, ALERT.c.kind.not_in(OF_THE_WHOLE)))
    regressions = regressions_of(connection, run)
    worse = {one.checkpoint_id for one in regressions}
    calibration = _broken_calibration(connection, run, settings.ece_increase)
    alerts = [
        *regressions,
        *_failed_evaluations(connection, run),
        *_failing_tests(connection, run),
        # A checkpoint that is worse is over-confident for that reason.
        *(one for one in calibration if one.checkpoint_id not in worse),
        *_rejected(connection, run),
    ]
    if alerts:
        connection.execute(insert(ALERT), [one.row for one in alerts])


def _failed_evaluations(connection: Connection, run: str) -> list[Alert]:
    rows = connection.execute(
        select(
            CHECKPOINT.c.checkpoint_id,
            CHECKPOINT.c.step,
            EVALUATION.c.evaluation_id,
            EVALUATION.c.status,
            EVALUATION.c.error,
            EVALUATION.c.message,
            EVALUATION.c.retriable,
            EVALUATION.c.finished_at,
        )
        .join(EVALUATION, EVALUATION.c.checkpoint_id == CHECKPOINT.c.checkpoint_id)
        .where(
            CHECKPOINT.c.run == run,
            EVALUATION.c.current == 1,
            EVALUATION.c.status.in_(("failed", "abandoned")),
        )
        .order_by(CHECKPOINT.c.step, CHECKPOINT.c.checkpoint_id)
    )
    return [
        of_checkpoint(
            "failed_evaluation",
            run,
            row,
            severity="warning" if row.retriable else "critical",
            title=f"The evaluation of step {row.step} {_ENDED[row.status]}",
            detail=f"{row.error}: {row.message}",
            raised_at=row.finished_at,
            # Another attempt that fails as well is nothing new.
            since=row.evaluation_id,
        )
        for row in rows
    ]


_ENDED = {"failed": "failed", "abandoned": "was abandoned"}


def _failing_tests(connection: Connection, run: str) -> list[Alert]:
    """Those of the newest step tested: a run that still learns fails tests at its early ones."""
    newest = select(func.max(TEST_RESULT.c.step)).where(
        TEST_RESULT.c.run == run, TEST_RESULT.c.status.in_(("PASS", "FAIL"))
    )
    rows = connection.execute(
        select(
            TEST_RESULT.c.checkpoint_id,
            TEST_RESULT.c.step,
            TEST_RESULT.c.suite,
            TEST_RESULT.c.reason,
            EVALUATION.c.finished_at,
        )
        .join(
            EVALUATION,
            and_(
                EVALUATION.c.checkpoint_id == TEST_RESULT.c.checkpoint_id,
                EVALUATION.c.current == 1,
            ),
        )
        .where(
            TEST_RESULT.c.run == run,
            TEST_RESULT.c.status == "FAIL",
            TEST_RESULT.c.step == newest.scalar_subquery(),
        )
        .order_by(TEST_RESULT.c.step, TEST_RESULT.c.checkpoint_id, TEST_RESULT.c.suite)
    )
    return [
        of_checkpoint(
            "failing_test",
            run,
            group[0],
            severity="warning",
            title=f"Step {group[0].step} fails {', '.join(one.suite for one in group)}",
            detail=" ".join(f"{one.suite}: {one.reason}" for one in group),
            raised_at=group[0].finished_at,
        )
        for group in by_checkpoint(rows)
    ]


def _broken_calibration(connection: Connection, run: str, limit: float) -> list[Alert]:
    """Of the newest step evaluated, beside the one before it."""
    rows = connection.execute(
        select(
            CHECKPOINT.c.checkpoint_id,
            CHECKPOINT.c.step,
            VERDICT.c.ece,
            VERDICT.c.verdict,
            VERDICT.c.reason,
            EVALUATION.c.finished_at,
        )
        .join(EVALUATION, EVALUATION.c.checkpoint_id == CHECKPOINT.c.checkpoint_id)
        .join(VERDICT, VERDICT.c.evaluation_id == EVALUATION.c.evaluation_id)
        .where(
            CHECKPOINT.c.run == run,
            EVALUATION.c.current == 1,
            EVALUATION.c.status == "completed",
            VERDICT.c.difficulty == ALL,
        )
        .order_by(CHECKPOINT.c.step.desc(), CHECKPOINT.c.checkpoint_id)
        .limit(2)
    ).all()
    if len(rows) < 2 or None in (rows[0].ece, rows[1].ece):
        return []
    newest, before = rows
    off = newest.verdict in ("over-confident", "under-confident")
    if not off or newest.ece - before.ece < limit:
        return []
    return [
        of_checkpoint(
            "calibration_broken",
            run,
            newest,
            severity="warning",
            title=f"Step {newest.step} is {newest.verdict}, far more than step {before.step}",
            detail=f"Its calibration error is {percent(newest.ece)}, and was {percent(before.ece)} "
            f"at step {before.step}. {newest.reason}",
            raised_at=max(newest.finished_at, before.finished_at),
        )
    ]


def _rejected(connection: Connection, run: str) -> list[Alert]:
    rows = connection.execute(
        select(REJECTED).where(REJECTED.c.run == run).order_by(REJECTED.c.path)
    )
    return [
        Alert(
            kind="rejected_checkpoint",
            subject=f"rejected/{row.path}",
            run=run,
            checkpoint_id=None,
            step=row.step,
            severity="warning",
            title=f"{row.path} is no usable checkpoint",
            detail=row.reason,
            raised_at=row.rejected_at,
            since=row.rejected_at,
        )
        for row in rows
    ]


COLUMNS = (
    *SUBJECT,
    Column("kind", "Kind", "text", "regression, failed_evaluation, failing_test and others."),
    Column("severity", "Severity", "text", "critical or warning."),
    Column("status", "Status", "text", "open, acknowledged, or resolved: told of, and over now."),
    Column("title", "Alert", "text", "What happened."),
    Column("detail", "Detail", "text", "The numbers, or the error's own words."),
    Column("raised_at", "Since", "time", "When the log first held what makes it true."),
    Column("acknowledged_by", "Acknowledged by", "text", "Who has seen to it; NULL for nobody."),
    Column("acknowledged_at", "Acknowledged", "time", "When."),
    Column("note", "Note", "text", "What that person says."),
    Column("sent_at", "Sent", "time", "When a message about it was first taken by a service."),
    Column("not_sent", "Not sent", "text", "The place that has no message about it, and why."),
    Column("subject", "Subject", "id", "What it is about; with the kind it names the alert."),
    Column("alert_id", "Alert id", "text", "What `milepost acknowledge` takes."),
)


def view(settings: Settings) -> View:
    """Everything that a person should look at."""
    return View(
        name="alerts",
        title="Alerts",
        question="What should someone look at now?",
        sql_view="alerts",
        columns=COLUMNS,
        order=(
            "CASE status WHEN 'open' THEN 0 WHEN 'acknowledged' THEN 1 ELSE 2 END, "
            "raised_at DESC, kind, subject, alert_id"
        ),
        brief=(
            "alert_id", "status", "raised_at", "severity", "kind", "title", "detail",
            "acknowledged_by", "note", "not_sent",
        ),
        clock="raised_at",
        projections=(
            NOTICES,
            Projection(
                name="alerts",
                version=5,
                tables=(ALERT,),
                listens=EARLY_CHANGES
                | {
                    BaselinePinned,
                    CheckpointArrived,
                    CheckpointFound,
                    CheckpointRejected,
                    CheckpointRemoved,
                    SyncCompleted,
                    SyncFailed,
                },
                derive=partial(derive, settings.alerts),
                reads=("lifecycle", "regression", "calibration", "test_results"),
                settings=settings_text(settings.alerts),
            ),
        ),
    )  # fmt: skip
