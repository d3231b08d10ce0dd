"""Which checkpoints wait for an evaluation, and how a worker claims one.

An evaluation belongs to whoever appended its newest EvaluationStarted, as long as that process
lives. A claim is an append at an expected stream version, so of two workers one gets it.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid5

from sqlalchemy import Connection, func, select

from store import log
from store.events import (
    NAMESPACE,
    EvaluationAbandoned,
    EvaluationCompleted,
    EvaluationFailed,
    EvaluationStarted,
)
from store.lifecycle import CHECKPOINT
from store.liveness import heartbeats
from store.schema import PREDICTION, dumps

MAX_ATTEMPTS = 3
PROCESS = "evaluate"


class Task(NamedTuple):
    """A checkpoint to evaluate. `version` is its evaluation stream's version, `attempt` counts."""

    evaluation_id: str
    checkpoint_id: str
    run: str
    step: int
    path: Path
    version: int
    attempt: int


def evaluation_id_of(
    checkpoint_id: str, suites: Sequence[str], evaluator_version: str, numbers: Mapping[str, Any]
) -> str:
    """UUID5 of all that the recorded numbers depend on; `numbers` are the settings among it."""
    key = dumps([checkpoint_id, sorted(suites), evaluator_version, numbers])
    return str(uuid5(NAMESPACE, key))


def pending(
    connection: Connection,
    suites: Sequence[str],
    evaluator_version: str,
    numbers: Mapping[str, Any],
) -> list[Task]:
    """What can be claimed now: of the run with the newest arrival first, by falling step.

    Reads `lifecycle`, which must be up to date.

    Left out: what is completed, abandoned, failed for good, or in the hands of a living worker.
    """
    alive = {
        (beat.host, beat.pid)
        for beat in heartbeats(connection)
        if beat.process == PROCESS and beat.alive
    }
    query = (
        select(CHECKPOINT)
        .where(CHECKPOINT.c.removed_at.is_(None))
        .order_by(
            func.max(CHECKPOINT.c.arrived_at).over(partition_by=CHECKPOINT.c.run).desc(),
            CHECKPOINT.c.run,
            CHECKPOINT.c.step.desc(),
            CHECKPOINT.c.arrived_at.desc(),
        )
    )
    tasks = []
    for row in connection.execute(query).all():
        evaluation_id = evaluation_id_of(row.checkpoint_id, suites, evaluator_version, numbers)
        stream = f"evaluation/{evaluation_id}"
        attempt, newest, version = 0, None, 0
        owner: tuple[str, int] | None = None
        for recorded in log.read(connection, stream=stream):
            newest, version = recorded.event, recorded.version
            if isinstance(newest, EvaluationStarted):
                owner = (newest.host, newest.pid)
            if isinstance(newest, EvaluationStarted | EvaluationFailed):
                attempt = newest.attempt
        match newest:
            case EvaluationCompleted() | EvaluationAbandoned():
                continue
            case EvaluationFailed() if not newest.retriable or newest.attempt >= MAX_ATTEMPTS:
                continue
            case EvaluationFailed() | None:
                pass
            case _ if owner in alive:
                continue
        tasks.append(
            Task(
                evaluation_id,
                row.checkpoint_id,
                row.run,
                row.step,
                Path(row.path),
                version,
                attempt + 1,
            )
        )
    return tasks


def recorded_examples(connection: Connection, evaluation_id: str) -> frozenset[str]:
    """The examples of an evaluation that are in the log already."""
    query = select(PREDICTION.c.example_id).where(PREDICTION.c.evaluation_id == evaluation_id)
    return frozenset(connection.execute(query).scalars())


def host() -> str:
    """This machine's name, as heartbeats and claims carry it."""
    return platform.node()
