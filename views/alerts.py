"""Alerts: what a person should look at, each for as long as it is true.

| kind                | severity | when                                                            |
|---------------------|----------|-----------------------------------------------------------------|
| regression          | critical | a checkpoint REGRESSED against the one before, or the baseline  |
| failed_evaluation   | critical | an evaluation failed; warning if trying again can help          |
| failing_test        | warning  | a checkpoint is below the threshold of a suite                  |
| rejected_checkpoint | warning  | a folder looks like a checkpoint and cannot become one          |
| sync_failed         | critical | rsync failed, and has brought nothing from that source since    |

A quick tier raises none: the full suites may well say otherwise.

A checkpoint has one alert of a kind, which names the suites. `kind` and `subject` together are the
same for as long as the alert is about the same thing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Any, Literal

from sqlalchemy import Column as SqlColumn
from sqlalchemy import (
    Connection,
    Index,
    PrimaryKeyConstraint,
    Table,
    and_,
    delete,
    func,
    insert,
    select,
)

from settings import Settings
from store.events import (
    BaselinePinned,
    CheckpointArrived,
    CheckpointRejected,
    SyncCompleted,
    SyncFailed,
)
from store.lifecycle import BASELINE, CHECKPOINT, EVALUATION, REJECTED
from store.log import Recorded
from store.projections import Projection
from store.schema import INTEGER, TEXT, derived
from views.judging import place
from views.regression import PINNED, REGRESSION
from views.scope import EARLY_CHANGES, SUBJECT, by_difficulty, touched
from views.test_results import TEST_RESULT
from views.view import Column, View

Kind = Literal[
    "regression", "failed_evaluation", "failing_test", "rejected_checkpoint", "sync_failed"
]
Severity = Literal["critical", "warning"]

SYNC_FAILED: Kind = "sync_failed"

ALERT: Table = derived(
    "alert",
    SqlColumn("kind", TEXT, nullable=False),
    SqlColumn("subject", TEXT, nullable=False),
    SqlColumn("run", TEXT),
    SqlColumn("checkpoint_id", TEXT),
    SqlColumn("step", INTEGER),
    SqlColumn("severity", TEXT, nullable=False),
    SqlColumn("title", TEXT, nullable=False),
    SqlColumn("detail", TEXT, nullable=False),
    SqlColumn("raised_at", TEXT, nullable=False),
    PrimaryKeyConstraint("kind", "subject"),
    Index(None, "run"),
)


@dataclass(frozen=True)
class Alert:
    """A row of `alert`. `subject` is the stream of the log that it is about."""

    kind: Kind
    subject: str
    run: str | None
    checkpoint_id: str | None
    step: int | None
    severity: Severity
    title: str
    detail: str
    raised_at: str


def derive(connection: Connection, events: Sequence[Recorded]) -> None:
    """Writes the alerts of the runs and of the syncs that the events touch."""
    runs = set(touched(connection, events).runs)
    for recorded in events:
        match recorded.event:
            case BaselinePinned() | CheckpointArrived() | CheckpointRejected() as event:
                runs.add(event.run)
            case SyncCompleted() | SyncFailed() as event:
                _follow_sync(connection, event, recorded.recorded_at)
    for run in sorted(runs):
        _derive_run(connection, run)


def _follow_sync(connection: Connection, event: SyncCompleted | SyncFailed, at: str) -> None:
    """A failure raises the alert or renews its words; a success ends it."""
    this = and_(ALERT.c.kind == SYNC_FAILED, ALERT.c.subject == event.stream)
    raised = connection.execute(select(ALERT.c.raised_at).where(this)).scalar()
    connection.execute(delete(ALERT).where(this))
    if isinstance(event, SyncCompleted):
        return
    code = event.rsync_exit_code
    alert = Alert(
        kind=SYNC_FAILED,
        subject=event.stream,
        run=event.run,
        checkpoint_id=None,
        step=None,
        severity="critical",
        title=f"Sync from {event.source} fails",
        detail=event.message if code is None else f"rsync exit code {code}: {event.message}",
        raised_at=raised or at,
    )
    connection.execute(insert(ALERT).values(**asdict(alert)))


def _derive_run(connection: Connection, run: str) -> None:
    connection.execute(delete(ALERT).where(ALERT.c.run == run, ALERT.c.kind != SYNC_FAILED))
    alerts = [
        *_regressions(connection, run),
        *_failed_evaluations(connection, run),
        *_failing_tests(connection, run),
        *_rejected(connection, run),
    ]
    if alerts:
        connection.execute(insert(ALERT), [asdict(one) for one in alerts])


def _regressions(connection: Connection, run: str) -> list[Alert]:
    """One a checkpoint, raised when the log first held what it compares."""
    now, before = EVALUATION.alias(), EVALUATION.alias()
    pinned_at = connection.execute(
        select(BASELINE.c.pinned_at).where(BASELINE.c.run == run)
    ).scalar()
    rows = connection.execute(
        select(
            REGRESSION.c.checkpoint_id,
            REGRESSION.c.step,
            REGRESSION.c.against,
            REGRESSION.c.baseline_step,
            REGRESSION.c.suite,
            REGRESSION.c.difficulty,
            REGRESSION.c.reason,
            now.c.finished_at,
            before.c.finished_at.label("finished_before"),
        )
        .join(now, now.c.evaluation_id == REGRESSION.c.evaluation_id)
        .join(before, before.c.evaluation_id == REGRESSION.c.baseline_evaluation_id)
        .where(
            REGRESSION.c.run == run,
            REGRESSION.c.verdict == "REGRESSED",
            REGRESSION.c.tier == "full",
        )
        .order_by(
            REGRESSION.c.step,
            REGRESSION.c.checkpoint_id,
            REGRESSION.c.against.desc(),
            REGRESSION.c.suite,
            by_difficulty(REGRESSION.c.difficulty),
            REGRESSION.c.difficulty,
        )
    )
    return [
        _of_checkpoint(
            "regression",
            run,
            group[0],
            severity="critical",
            title=f"Step {group[0].step} is worse than {_than(group)}",
            detail=" ".join(f"{_where(one)}: {one.reason}" for one in group),
            raised_at=min(_true_since(one, pinned_at) for one in group),
        )
        for group in _by_checkpoint(rows)
    ]


def _true_since(row: Any, pinned_at: str | None) -> str:
    """When the log first held both evaluations, and the pin where one is compared with it."""
    ended: str = max(row.finished_at, row.finished_before)
    return max(ended, pinned_at or "") if row.against == PINNED else ended


def _than(group: Sequence[Any]) -> str:
    """What a checkpoint is worse than: the step before it, the pinned one, or both."""
    steps = {one.against: one.baseline_step for one in group}
    return " and ".join(
        f"{'the pinned step' if against == PINNED else 'step'} {step}"
        for against, step in steps.items()
    )


def _where(row: Any) -> str:
    named = place(row.suite, row.difficulty)
    return (
        f"{named}, against the pinned step {row.baseline_step}" if row.against == PINNED else named
    )


def _failed_evaluations(connection: Connection, run: str) -> list[Alert]:
    rows = connection.execute(
        select(
            CHECKPOINT.c.checkpoint_id,
            CHECKPOINT.c.step,
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
        _of_checkpoint(
            "failed_evaluation",
            run,
            row,
            severity="warning" if row.retriable else "critical",
            title=f"The evaluation of step {row.step} {_ENDED[row.status]}",
            detail=f"{row.error}: {row.message}",
            raised_at=row.finished_at,
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
        _of_checkpoint(
            "failing_test",
            run,
            group[0],
            severity="warning",
            title=f"Step {group[0].step} fails {', '.join(one.suite for one in group)}",
            detail=" ".join(f"{one.suite}: {one.reason}" for one in group),
            raised_at=group[0].finished_at,
        )
        for group in _by_checkpoint(rows)
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
        )
        for row in rows
    ]


def _of_checkpoint(
    kind: Kind, run: str, row: Any, *, severity: Severity, title: str, detail: str, raised_at: str
) -> Alert:
    subject = f"checkpoint/{row.checkpoint_id}"
    return Alert(
        kind, subject, run, row.checkpoint_id, row.step, severity, title, detail, raised_at
    )


def _by_checkpoint(rows: Any) -> list[list[Any]]:
    """The rows of each checkpoint together; they are sorted by checkpoint."""
    return [list(group) for _, group in groupby(rows, key=lambda row: row.checkpoint_id)]


COLUMNS = (
    *SUBJECT,
    Column("kind", "Kind", "text", "regression, failed_evaluation, failing_test and others."),
    Column("severity", "Severity", "text", "critical or warning."),
    Column("title", "Alert", "text", "What happened."),
    Column("detail", "Detail", "text", "The numbers, or the error's own words."),
    Column("raised_at", "Since", "time", "When the log first held what makes it true."),
    Column("subject", "Subject", "id", "What it is about; with the kind it names the alert."),
)


def view(settings: Settings) -> View:  # noqa: ARG001 - every view takes them
    """Everything that a person should look at."""
    return View(
        name="alerts",
        title="Alerts",
        question="What should someone look at now?",
        sql_view="alerts",
        columns=COLUMNS,
        order="raised_at DESC, kind, subject",
        brief=("raised_at", "severity", "kind", "title", "detail"),
        projections=(
            Projection(
                name="alerts",
                version=3,
                tables=(ALERT,),
                listens=EARLY_CHANGES
                | {
                    BaselinePinned,
                    CheckpointArrived,
                    CheckpointRejected,
                    SyncCompleted,
                    SyncFailed,
                },
                derive=derive,
                reads=("lifecycle", "regression", "test_results"),
            ),
        ),
    )
