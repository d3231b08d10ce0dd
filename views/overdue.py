"""Alerts that the clock decides: a sync that stalls, and nothing evaluated for too long.

Each is written ahead, with the moment from which it is true unless the log says otherwise before.
"""

from __future__ import annotations

from sqlalchemy import Connection, and_, delete, func, insert, select

from settings import AlertKind, AlertSettings
from store.events import SyncCompleted, SyncFailed
from store.lifecycle import CHECKPOINT, EVALUATION
from views.alert_table import ALERT, Alert, later, minute

SYNC_FAILED: AlertKind = "sync_failed"
SYNC_STALLED: AlertKind = "sync_stalled"
NOTHING_EVALUATED: AlertKind = "nothing_evaluated"
# Those that belong to no run, even where they name one.
OF_THE_WHOLE = (SYNC_FAILED, SYNC_STALLED, NOTHING_EVALUATED)

EVALUATIONS = "evaluations"


def follow_sync(
    connection: Connection, event: SyncCompleted | SyncFailed, at: str, settings: AlertSettings
) -> None:
    """A failure raises the alerts of its source or renews their words; a success ends them."""
    these = and_(ALERT.c.kind.in_((SYNC_FAILED, SYNC_STALLED)), ALERT.c.subject == event.stream)
    first = and_(these, ALERT.c.kind == SYNC_FAILED)
    raised = connection.execute(select(ALERT.c.raised_at).where(first)).scalar()
    connection.execute(delete(ALERT).where(these))
    if isinstance(event, SyncCompleted):
        return
    since = raised or at
    code = event.rsync_exit_code
    failed = Alert(
        kind=SYNC_FAILED,
        subject=event.stream,
        run=event.run,
        checkpoint_id=None,
        step=None,
        severity="warning",
        title=f"Sync from {event.source} fails",
        detail=event.message if code is None else f"rsync exit code {code}: {event.message}",
        raised_at=since,
        since=since,
    )
    stalled = Alert(
        kind=SYNC_STALLED,
        subject=event.stream,
        run=event.run,
        checkpoint_id=None,
        step=None,
        severity="critical",
        title=f"Sync from {event.source} has brought nothing since it began to fail",
        detail=f"It fails since {minute(since)}. {failed.detail}",
        raised_at=later(since, settings.sync_stalled_after_hours),
        since=since,
    )
    connection.execute(insert(ALERT), [failed.row, stalled.row])


def expect_evaluations(connection: Connection, settings: AlertSettings) -> None:
    """Writes when it will be too long since something was evaluated, arrived, or was begun."""
    connection.execute(delete(ALERT).where(ALERT.c.kind == NOTHING_EVALUATED))
    arrived = connection.execute(select(func.max(CHECKPOINT.c.arrived_at))).scalar()
    if arrived is None:
        return
    completed = connection.execute(
        select(func.max(EVALUATION.c.finished_at)).where(EVALUATION.c.status == "completed")
    ).scalar()
    begun = connection.execute(
        select(func.max(EVALUATION.c.started_at)).where(EVALUATION.c.status == "started")
    ).scalar()
    # Those that are still there, and of which no evaluation has ended.
    ended = select(EVALUATION.c.checkpoint_id).where(EVALUATION.c.status != "started")
    waiting, oldest = connection.execute(
        select(func.count(), func.min(CHECKPOINT.c.arrived_at)).where(
            CHECKPOINT.c.removed_at.is_(None), CHECKPOINT.c.checkpoint_id.not_in(ended)
        )
    ).one()
    since = max(completed or "", begun or "", oldest if waiting else arrived)
    if waiting:
        detail = f"Checkpoints that wait: {waiting}, the oldest since {minute(oldest)}."
    else:
        detail = f"No checkpoint waits. The last one arrived at {minute(arrived)}."
    last = "never" if completed is None else f"at {minute(completed)}"
    alert = Alert(
        kind=NOTHING_EVALUATED,
        subject=EVALUATIONS,
        run=None,
        checkpoint_id=None,
        step=None,
        severity="critical" if waiting else "warning",
        title=f"Nothing has been evaluated since {minute(since)}",
        detail=f"{detail} The last evaluation was completed {last}.",
        raised_at=later(since, settings.quiet_after_hours),
        since=since,
    )
    connection.execute(insert(ALERT), [alert.row])
