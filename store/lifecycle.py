"""Where each suite, checkpoint and evaluation stands, derived from the lifecycle events.

The worker reads it to find what is not evaluated yet, and every view starts from it. `current`
marks the newest completed evaluation of a checkpoint, or its newest one while none has completed:
the one that views show.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from sqlalchemy import Column, Connection, Index, Table, case, delete, insert, select, update

from store.events import (
    BaselinePinned,
    CheckpointArrived,
    CheckpointFound,
    CheckpointRejected,
    CheckpointRemoved,
    EvaluationAbandoned,
    EvaluationCompleted,
    EvaluationFailed,
    EvaluationStarted,
    PredictionsRecorded,
    QuickTierCompleted,
    SuiteRegistered,
)
from store.log import Recorded
from store.projections import Projection
from store.schema import INTEGER, JSON, REAL_NUMBER, TEXT, derived

SUITE: Table = derived(
    "suite",
    Column("suite_id", TEXT, primary_key=True),
    Column("revision", INTEGER, nullable=False),
    Column("name", TEXT, nullable=False),
    Column("path", TEXT, nullable=False),
    Column("difficulty", TEXT),
    Column("role", TEXT, nullable=False),
    Column("grader", TEXT, nullable=False),
    Column("rows_read", INTEGER, nullable=False),
    Column("examples", INTEGER, nullable=False),
    Column("duplicates", INTEGER, nullable=False),
    Column("refused", JSON, nullable=False),
    Column("registered_at", TEXT, nullable=False),
)

CHECKPOINT: Table = derived(
    "checkpoint",
    Column("checkpoint_id", TEXT, primary_key=True),
    Column("run", TEXT, nullable=False),
    Column("step", INTEGER, nullable=False),
    Column("path", TEXT, nullable=False),
    Column("bytes", INTEGER, nullable=False),
    Column("dtype", TEXT, nullable=False),
    Column("architecture", TEXT, nullable=False),
    Column("parameters", INTEGER, nullable=False),
    Column("kind", TEXT, nullable=False),
    Column("epoch", REAL_NUMBER),
    Column("train_loss", REAL_NUMBER),
    Column("learning_rate", REAL_NUMBER),
    Column("arrived_at", TEXT, nullable=False),
    Column("paths", JSON, nullable=False, server_default="[]"),
    Column("found_at", TEXT, nullable=False, server_default=""),
    Column("removed_at", TEXT),
    Column("removed_reason", TEXT),
    Index(None, "run", "step"),
)

# The checkpoint that a person chose for its run to be held against.
BASELINE: Table = derived(
    "baseline",
    Column("run", TEXT, primary_key=True),
    Column("checkpoint_id", TEXT, nullable=False),
    Column("step", INTEGER, nullable=False),
    Column("note", TEXT),
    Column("pinned_at", TEXT, nullable=False),
)

REJECTED: Table = derived(
    "rejected_folder",
    Column("path", TEXT, primary_key=True),
    Column("run", TEXT, nullable=False),
    Column("step", INTEGER),
    Column("reason", TEXT, nullable=False),
    Column("rejected_at", TEXT, nullable=False),
)

EVALUATION: Table = derived(
    "evaluation",
    Column("evaluation_id", TEXT, primary_key=True),
    Column("checkpoint_id", TEXT, nullable=False),
    Column("status", TEXT, nullable=False),  # started | completed | failed | abandoned
    Column("current", INTEGER, nullable=False),
    Column("attempt", INTEGER, nullable=False),
    Column("examples", INTEGER),
    Column("scored", INTEGER, nullable=False),
    Column("failed", INTEGER, nullable=False),
    Column("started_at", TEXT, nullable=False),
    Column("finished_at", TEXT),
    Column("seconds", REAL_NUMBER),
    Column("load_seconds", REAL_NUMBER),
    Column("prompt_tokens", INTEGER),
    Column("target_tokens", INTEGER),
    Column("generated_tokens", INTEGER),
    Column("peak_bytes", INTEGER),
    Column("device_peak_bytes", INTEGER),
    Column("device", TEXT),
    Column("dtype", TEXT),
    Column("host", TEXT),
    Column("pid", INTEGER),
    Column("evaluator_version", TEXT),
    Column("prompt_format", TEXT),
    Column("error", TEXT),
    Column("message", TEXT),
    Column("retriable", INTEGER),
    # The quick tier: how many examples, when they were in, after how many seconds, and the event's
    # position: the predictions up to there are its own.
    Column("quick_examples", INTEGER),
    Column("quick_at", TEXT),
    Column("quick_seconds", REAL_NUMBER),
    Column("quick_position", INTEGER),
    Index(None, "checkpoint_id"),
)

EVALUATION_SUITE: Table = derived(
    "evaluation_suite",
    Column("evaluation_id", TEXT, primary_key=True),
    Column("suite_id", TEXT, primary_key=True),
)


def derive(connection: Connection, events: Sequence[Recorded]) -> None:
    """Applies lifecycle events, in order."""
    for recorded in _with_batches_summed(events):
        match recorded.event:
            case SuiteRegistered() as event:
                _register(connection, event, recorded.recorded_at)
            case CheckpointArrived() as event:
                _arrive(connection, event, recorded.recorded_at)
            case CheckpointRejected() as event:
                _reject(connection, event, recorded.recorded_at)
            case CheckpointRemoved() as event:
                _remove(connection, event, recorded.recorded_at)
            case CheckpointFound() as event:
                _find(connection, event, recorded.recorded_at)
            case BaselinePinned() as event:
                _pin(connection, event, recorded.recorded_at)
            case EvaluationStarted() as event:
                _start(connection, event, recorded.recorded_at)
            case PredictionsRecorded() as event:
                connection.execute(
                    update(EVALUATION)
                    .where(EVALUATION.c.evaluation_id == event.evaluation_id)
                    .values(
                        scored=EVALUATION.c.scored + event.scored,
                        failed=EVALUATION.c.failed + event.failed,
                    )
                )
            case QuickTierCompleted() as event:
                connection.execute(
                    update(EVALUATION)
                    .where(EVALUATION.c.evaluation_id == event.evaluation_id)
                    .values(
                        quick_examples=event.scored + event.failed,
                        quick_at=recorded.recorded_at,
                        quick_seconds=event.seconds,
                        quick_position=recorded.position,
                    )
                )
            case EvaluationCompleted() as event:
                _complete(connection, event, recorded.recorded_at)
            case EvaluationFailed() as event:
                _end(
                    connection,
                    event,
                    recorded.recorded_at,
                    status="failed",
                    attempt=event.attempt,
                    error=event.error,
                    message=event.message,
                    retriable=int(event.retriable),
                )
            case EvaluationAbandoned() as event:
                _end(
                    connection,
                    event,
                    recorded.recorded_at,
                    status="abandoned",
                    error="Abandoned",
                    message=event.reason,
                    retriable=0,
                )
            case _:
                raise TypeError(f"lifecycle does not know {type(recorded.event).__name__}")


def _with_batches_summed(events: Sequence[Recorded]) -> Iterator[Recorded]:
    """The events, with the batches of an evaluation that follow each other as one.

    Nearly all events of a log are batches, and an update for each would be most of the work.
    """
    for evaluation_id, group in groupby(events, key=_batch_of):
        if evaluation_id is None:
            yield from group
            continue
        batches = list(group)
        sums = {
            name: sum(getattr(one.event, name) for one in batches) for name in ("scored", "failed")
        }
        yield batches[-1]._replace(event=batches[-1].event.model_copy(update=sums))


def _batch_of(recorded: Recorded) -> str | None:
    """The evaluation that a batch of predictions belongs to; None for any other event."""
    event = recorded.event
    return event.evaluation_id if isinstance(event, PredictionsRecorded) else None


def _register(connection: Connection, event: SuiteRegistered, at: str) -> None:
    connection.execute(delete(SUITE).where(SUITE.c.suite_id == event.suite_id))
    values = event.model_dump(mode="json", exclude={"grader", "graded_by"})
    grader = event.graded_by or event.grader
    connection.execute(insert(SUITE).values(**values, grader=grader, registered_at=at))


def _arrive(connection: Connection, event: CheckpointArrived, at: str) -> None:
    connection.execute(delete(REJECTED).where(REJECTED.c.path == event.path))
    values = event.model_dump(mode="json")
    connection.execute(
        insert(CHECKPOINT).values(**values, arrived_at=at, paths=[event.path], found_at=at)
    )


def _find(connection: Connection, event: CheckpointFound, at: str) -> None:
    """One more path; `path` stays the oldest of those that are there."""
    connection.execute(delete(REJECTED).where(REJECTED.c.path == event.path))
    paths = [one for one in _paths(connection, event.checkpoint_id) if one != event.path]
    paths.append(event.path)
    connection.execute(
        update(CHECKPOINT)
        .where(CHECKPOINT.c.checkpoint_id == event.checkpoint_id)
        .values(path=paths[0], paths=paths, found_at=at, removed_at=None, removed_reason=None)
    )


def _remove(connection: Connection, event: CheckpointRemoved, at: str) -> None:
    """One path less. A checkpoint is removed when none is left, and keeps the last one's name."""
    paths = [one for one in _paths(connection, event.checkpoint_id) if one != event.path]
    values: dict[str, object] = {"paths": paths}
    if paths:
        values["path"] = paths[0]
    else:
        values.update(removed_at=at, removed_reason=event.reason)
    connection.execute(
        update(CHECKPOINT).where(CHECKPOINT.c.checkpoint_id == event.checkpoint_id).values(**values)
    )


def _paths(connection: Connection, checkpoint_id: str) -> list[str]:
    query = select(CHECKPOINT.c.paths).where(CHECKPOINT.c.checkpoint_id == checkpoint_id)
    found: list[str] | None = connection.execute(query).scalar()
    return found or []


def _pin(connection: Connection, event: BaselinePinned, at: str) -> None:
    connection.execute(delete(BASELINE).where(BASELINE.c.run == event.run))
    if event.checkpoint_id is not None:
        values = event.model_dump(mode="json", exclude={"at"})
        connection.execute(insert(BASELINE).values(**values, pinned_at=at))


def _reject(connection: Connection, event: CheckpointRejected, at: str) -> None:
    connection.execute(delete(REJECTED).where(REJECTED.c.path == event.path))
    values = event.model_dump(mode="json", exclude={"fingerprint"})
    connection.execute(insert(REJECTED).values(**values, rejected_at=at))


def _start(connection: Connection, event: EvaluationStarted, at: str) -> None:
    values = {
        "status": "started",
        "attempt": event.attempt,
        "examples": event.examples,
        "device": event.device,
        "dtype": event.dtype,
        "host": event.host,
        "pid": event.pid,
        "evaluator_version": event.evaluator_version,
        "prompt_format": event.prompt_format,
        "finished_at": None,
        "error": None,
        "message": None,
        "retriable": None,
    }
    where = EVALUATION.c.evaluation_id == event.evaluation_id
    if connection.execute(update(EVALUATION).where(where).values(**values)).rowcount:
        return
    _insert_evaluation(
        connection, event.evaluation_id, event.checkpoint_id, event.suites, at, **values
    )


def _complete(connection: Connection, event: EvaluationCompleted, at: str) -> None:
    values = event.model_dump(mode="json", exclude={"evaluation_id", "checkpoint_id"})
    connection.execute(
        update(EVALUATION)
        .where(EVALUATION.c.evaluation_id == event.evaluation_id)
        .values(**values, status="completed", finished_at=at)
    )
    _make_current(connection, event.evaluation_id, event.checkpoint_id)


def _end(
    connection: Connection,
    event: EvaluationFailed | EvaluationAbandoned,
    at: str,
    **values: object,
) -> None:
    """An end without a result; it may come before any start, as when no row can be used."""
    where = EVALUATION.c.evaluation_id == event.evaluation_id
    values["finished_at"] = at
    if connection.execute(update(EVALUATION).where(where).values(**values)).rowcount == 0:
        _insert_evaluation(
            connection, event.evaluation_id, event.checkpoint_id, event.suites, at, **values
        )


def _insert_evaluation(
    connection: Connection,
    evaluation_id: str,
    checkpoint_id: str,
    suites: Sequence[str],
    at: str,
    **values: object,
) -> None:
    connection.execute(
        insert(EVALUATION).values(
            evaluation_id=evaluation_id,
            checkpoint_id=checkpoint_id,
            current=0,
            scored=0,
            failed=0,
            started_at=at,
            **{"attempt": 0, **values},
        )
    )
    for suite_id in suites:
        connection.execute(
            insert(EVALUATION_SUITE).values(evaluation_id=evaluation_id, suite_id=suite_id)
        )
    completed = select(EVALUATION.c.evaluation_id).where(
        EVALUATION.c.checkpoint_id == checkpoint_id,
        EVALUATION.c.status == "completed",
    )
    if connection.execute(completed.limit(1)).first() is None:
        _make_current(connection, evaluation_id, checkpoint_id)


def _make_current(connection: Connection, evaluation_id: str, checkpoint_id: str) -> None:
    connection.execute(
        update(EVALUATION)
        .where(EVALUATION.c.checkpoint_id == checkpoint_id)
        .values(current=case((EVALUATION.c.evaluation_id == evaluation_id, 1), else_=0))
    )


LIFECYCLE = Projection(
    name="lifecycle",
    version=3,
    tables=(SUITE, CHECKPOINT, BASELINE, REJECTED, EVALUATION, EVALUATION_SUITE),
    listens=frozenset(
        {
            SuiteRegistered,
            CheckpointArrived,
            CheckpointRejected,
            CheckpointRemoved,
            CheckpointFound,
            BaselinePinned,
            EvaluationStarted,
            PredictionsRecorded,
            QuickTierCompleted,
            EvaluationCompleted,
            EvaluationFailed,
            EvaluationAbandoned,
        }
    ),
    derive=derive,
)
