"""What runs, what waits, what went wrong: the facts behind `milepost status`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection, func, select

from store import log
from store.events import SyncCompleted, SyncFailed
from store.lifecycle import CHECKPOINT, EVALUATION, REJECTED, SUITE
from store.liveness import Heartbeat, heartbeats
from store.projections import Projection, State, due, stamps, states


class Failure(NamedTuple):
    """An evaluation that failed, with its reason."""

    run: str | None
    step: int | None
    evaluation_id: str
    reason: str


class Refused(NamedTuple):
    """A suite with rows that could not be used: how many of how many, and the first reason."""

    suite: str
    refused: int
    rows: int
    line: int
    reason: str


class Rejection(NamedTuple):
    """A folder that cannot become a checkpoint."""

    path: str
    reason: str


class Health(NamedTuple):
    """The state of the whole, read in one transaction.

    Counts are of checkpoints; times are UTC, ISO 8601; `peak_bytes` is the evaluator process's
    peak resident memory in the newest completed evaluation. None means that it has not happened.
    """

    processes: list[Heartbeat]
    position: int
    arrived: int
    evaluated: int
    waiting: int
    last_arrival: str | None
    last_evaluation: str | None
    last_sync: str | None
    sync_error: str | None
    peak_bytes: int | None
    peak_device_bytes: int | None
    failures: list[Failure]
    rejections: list[Rejection]
    refused: list[Refused]
    stopped: list[State]
    behind: list[str]

    @property
    def troubles(self) -> list[str]:
        """What is wrong, a sentence each; empty when all is well."""
        found = [
            f"{beat.process} (process {beat.pid} on {beat.host}) died while {beat.doing}"
            for beat in self.processes
            if not beat.alive
        ]
        running = {beat.process for beat in self.processes if beat.alive}
        if self.waiting and running and "evaluate" not in running:
            found.append(
                f"checkpoints wait ({self.waiting}), and no evaluator runs. Where `milepost up` "
                "runs, logs/evaluate.log says why; else start `milepost evaluate`"
            )
        found += [
            f"the evaluation of {_name(one.run, one.step)} FAILED: {one.reason}"
            for one in self.failures
        ]
        found += [f"{one.path} was rejected: {one.reason}" for one in self.rejections]
        found += [
            f"suite {one.suite}: {one.refused} of {one.rows} rows refused, "
            f"first line {one.line}: {one.reason}"
            for one in self.refused
        ]
        found += [f"view {one.name} stands still: {one.error}" for one in self.stopped]
        if self.sync_error is not None:
            found.append(f"the last sync failed: {self.sync_error}")
        return found


def health(connection: Connection, projections: Sequence[Projection]) -> Health:
    """Reads the state. `projections` are the ones that should be up to date."""
    position = log.head(connection)
    known = states(connection)
    wanted = stamps(projections)
    stopped = [one for one in known.values() if one.error is not None and one.name in wanted]
    behind = [
        one.name
        for one in projections
        if due(connection, one, known.get(one.name), wanted[one.name])
    ]
    evaluated = _count(connection, "completed")
    newest = connection.execute(
        select(EVALUATION.c.finished_at, EVALUATION.c.peak_bytes, EVALUATION.c.device_peak_bytes)
        .where(EVALUATION.c.status == "completed")
        .order_by(EVALUATION.c.finished_at.desc())
        .limit(1)
    ).one_or_none()
    arrived, last_arrival = connection.execute(
        select(func.count(), func.max(CHECKPOINT.c.arrived_at)).select_from(CHECKPOINT)
    ).one()
    last_sync, sync_error = _sync(connection)
    return Health(
        processes=heartbeats(connection),
        position=position,
        arrived=arrived,
        evaluated=evaluated,
        waiting=_waiting(connection),
        last_arrival=last_arrival,
        last_evaluation=newest.finished_at if newest else None,
        last_sync=last_sync,
        sync_error=sync_error,
        peak_bytes=newest.peak_bytes if newest else None,
        peak_device_bytes=newest.device_peak_bytes if newest else None,
        failures=_failures(connection),
        rejections=[
            Rejection(*row)
            for row in connection.execute(
                select(REJECTED.c.path, REJECTED.c.reason).order_by(REJECTED.c.path)
            )
        ],
        refused=_refused(connection),
        stopped=stopped,
        behind=behind,
    )


def _name(run: str | None, step: int | None) -> str:
    return f"{run} step {step}" if run is not None else "an unknown checkpoint"


def _count(connection: Connection, status: str) -> int:
    query = select(func.count(EVALUATION.c.checkpoint_id.distinct())).where(
        EVALUATION.c.status == status
    )
    return connection.execute(query).scalar_one()


# Which checkpoints are still there and have neither a verdict nor a final failure?
def _waiting(connection: Connection) -> int:
    settled = select(EVALUATION.c.checkpoint_id).where(
        EVALUATION.c.status.in_(["completed", "failed", "abandoned"])
    )
    query = select(func.count()).where(
        CHECKPOINT.c.removed_at.is_(None), CHECKPOINT.c.checkpoint_id.not_in(settled)
    )
    return connection.execute(query).scalar_one()


def _failures(connection: Connection) -> list[Failure]:
    query = (
        select(
            CHECKPOINT.c.run,
            CHECKPOINT.c.step,
            EVALUATION.c.evaluation_id,
            EVALUATION.c.error,
            EVALUATION.c.message,
        )
        .select_from(EVALUATION)
        .outerjoin(CHECKPOINT, CHECKPOINT.c.checkpoint_id == EVALUATION.c.checkpoint_id)
        .where(EVALUATION.c.status == "failed", EVALUATION.c.current == 1)
        .order_by(CHECKPOINT.c.run.nulls_first(), CHECKPOINT.c.step.nulls_first())
    )
    return [
        Failure(row.run, row.step, row.evaluation_id, f"{row.error}: {row.message}")
        for row in connection.execute(query)
    ]


def _refused(connection: Connection) -> list[Refused]:
    query = select(SUITE.c.name, SUITE.c.rows_read, SUITE.c.refused).order_by(SUITE.c.name)
    return [
        Refused(row.name, len(row.refused), row.rows_read, first["line"], first["reason"])
        for row in connection.execute(query)
        for first in row.refused[:1]
    ]


def _sync(connection: Connection) -> tuple[str | None, str | None]:
    """When the last sync succeeded, and why the newest one failed if it did."""
    completed = log.latest_of(connection, SyncCompleted)
    failed = log.latest_of(connection, SyncFailed)
    last_sync = None if completed is None else completed.recorded_at
    if failed is None or (completed is not None and completed.position > failed.position):
        return last_sync, None
    assert isinstance(failed.event, SyncFailed)
    return last_sync, failed.event.message
