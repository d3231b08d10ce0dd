"""Which checkpoints wait for an evaluation, and how a worker claims one.

An evaluation belongs to whoever appended its newest EvaluationStarted, as long as that process
lives. A claim is an append at an expected stream version, so of two workers one gets it.

What waits is evaluated once. `request` is for a person who names a checkpoint, and may ask for
another evaluation beside the first: the k-th of those has an id of its own, which nothing that
waits ever has, so a worker neither repeats nor resumes it.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid5

from sqlalchemy import Connection, Row, func, select

from settings import Order
from store import log
from store.events import (
    NAMESPACE,
    EvaluationAbandoned,
    EvaluationCompleted,
    EvaluationFailed,
    EvaluationStarted,
    Event,
)
from store.lifecycle import CHECKPOINT, EVALUATION, EVALUATION_SUITE
from store.liveness import heartbeats
from store.schema import PREDICTION, dumps

MAX_ATTEMPTS = 3
PROCESS = "evaluate"
# Where EvaluationStarted.settings says which evaluation beside the first it is.
AGAIN = "again"

# The host and the id of a process.
Owner = tuple[str, int]


class Wanted(NamedTuple):
    """What the numbers of an evaluation depend on besides its checkpoint.

    `suites` are ids; `numbers` are the settings that change what is measured.
    """

    suites: tuple[str, ...]
    evaluator_version: str
    numbers: Mapping[str, Any]


class Task(NamedTuple):
    """A checkpoint to evaluate. `version` is its evaluation stream's version, `attempt` counts.

    `again` is 0 for the first evaluation, and k for the k-th beside it.
    """

    evaluation_id: str
    checkpoint_id: str
    run: str
    step: int
    path: Path
    version: int
    attempt: int
    again: int = 0


@dataclass(frozen=True)
class Standing:
    """How far an evaluation has come; `newest` is None for one that was never begun.

    `owner` is who has it: None for one that was not begun or has ended. `at` is when its newest
    event was recorded.
    """

    evaluation_id: str
    again: int = 0
    version: int = 0
    attempt: int = 0
    newest: Event | None = None
    owner: Owner | None = None
    at: str = ""

    @property
    def failed_for_good(self) -> bool:
        """Whether it failed and is not tried again by itself."""
        match self.newest:
            case EvaluationFailed(retriable=retriable, attempt=attempt):
                return not retriable or attempt >= MAX_ATTEMPTS
            case _:
                return False

    @property
    def closed(self) -> bool:
        """Whether no attempt of it will follow, whoever asks."""
        return isinstance(self.newest, EvaluationCompleted | EvaluationAbandoned)

    def waits(self, alive: frozenset[Owner]) -> bool:
        """Whether a worker should make the next attempt, given the workers that live."""
        return not self.closed and not self.failed_for_good and self.owner not in alive


def evaluation_id_of(checkpoint_id: str, wanted: Wanted, again: int = 0) -> str:
    """UUID5 of all that the recorded numbers depend on; the k-th repeat has k in it as well."""
    suites, evaluator_version, numbers = wanted
    key = [checkpoint_id, sorted(suites), evaluator_version, numbers]
    return str(uuid5(NAMESPACE, dumps([*key, again] if again else key)))


def standing(connection: Connection, evaluation_id: str, again: int = 0) -> Standing:
    """How far an evaluation has come, by its stream."""
    stream = f"evaluation/{evaluation_id}"
    newest = log.latest(connection, stream)
    if newest is None:
        return Standing(evaluation_id, again)
    attempt, owner = 0, None
    match newest.event:
        case EvaluationFailed():
            attempt = newest.event.attempt
        case EvaluationCompleted() | EvaluationAbandoned():
            pass
        case _:
            for recorded in log.read(connection, types=(EvaluationStarted,), stream=stream):
                assert isinstance(recorded.event, EvaluationStarted)
                attempt = recorded.event.attempt
                owner = (recorded.event.host, recorded.event.pid)
    return Standing(
        evaluation_id, again, newest.version, attempt, newest.event, owner, newest.recorded_at
    )


def living(connection: Connection) -> frozenset[Owner]:
    """The other workers that are alive.

    This process has nothing in its hands when it asks: what is in its name was left by one before
    it with the same id, as happens in a container that starts anew.
    """
    workers = {
        (beat.host, beat.pid)
        for beat in heartbeats(connection)
        if beat.process == PROCESS and beat.alive
    }
    return frozenset(workers - {(host(), os.getpid())})


def pending(
    connection: Connection,
    wanted: Wanted,
    *,
    run: str | None = None,
    uncovered: bool = False,
    order: Order = "newest",
) -> list[Task]:
    """What can be claimed now: of the run with the newest arrival first, by falling step.

    Under `order` "oldest" the other way round. Reads `lifecycle`, which must be up to date. Of one
    run alone if it is named.

    Left out: what is completed, abandoned, failed for good, or in the hands of a living worker;
    with `uncovered`, also what a wider evaluation holds already.
    """
    alive = living(connection)
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
    if run is not None:
        query = query.where(CHECKPOINT.c.run == run)
    tasks = []
    rows = connection.execute(query).all()
    for row in rows if order == "newest" else rows[::-1]:
        stands = standing(connection, evaluation_id_of(row.checkpoint_id, wanted))
        if isinstance(stands.newest, EvaluationAbandoned):
            stands = _after_its_return(connection, row, wanted, stands)
        if not stands.waits(alive):
            continue
        if uncovered and covering(connection, row.checkpoint_id, wanted) is not None:
            continue
        tasks.append(_task(row, stands))
    return tasks


def request(
    connection: Connection, checkpoint_id: str, wanted: Wanted, *, again: bool = False
) -> Task | Standing:
    """The task that gives a person what is wanted of one checkpoint, or why there is none.

    Without `again` there is none when a completed evaluation holds it all, when it failed for
    good, was abandoned or is in a living worker's hands. With `again` one that failed for good gets
    another attempt; after one to which nothing can be added comes the next beside it; and one that
    was begun and not ended is taken over. Reads `lifecycle`, which must be up to date.
    """
    stands = standing(connection, evaluation_id_of(checkpoint_id, wanted))
    if again:
        stands = _last(connection, checkpoint_id, wanted, stands)
        if stands.closed or (stands.failed_for_good and _is_whole(connection, stands)):
            stands = _beside(checkpoint_id, wanted, stands)
    elif (covered := covering(connection, checkpoint_id, wanted)) is not None:
        return standing(connection, covered)
    if stands.waits(living(connection)) or (again and stands.failed_for_good):
        row = connection.execute(
            select(CHECKPOINT).where(CHECKPOINT.c.checkpoint_id == checkpoint_id)
        ).one()
        return _task(row, stands)
    return stands


def covering(connection: Connection, checkpoint_id: str, wanted: Wanted) -> str | None:
    """The newest completed evaluation of a checkpoint that holds all that is wanted, if any."""
    suites_of: dict[str, set[str]] = {}
    query = (
        select(EVALUATION.c.evaluation_id, EVALUATION_SUITE.c.suite_id)
        .join(EVALUATION_SUITE, EVALUATION_SUITE.c.evaluation_id == EVALUATION.c.evaluation_id)
        .where(
            EVALUATION.c.checkpoint_id == checkpoint_id,
            EVALUATION.c.status == "completed",
            EVALUATION.c.evaluator_version == wanted.evaluator_version,
        )
        .order_by(EVALUATION.c.finished_at.desc(), EVALUATION.c.evaluation_id)
    )
    for evaluation_id, suite_id in connection.execute(query).all():
        suites_of.setdefault(evaluation_id, set()).add(suite_id)
    for evaluation_id, suites in suites_of.items():
        if suites >= set(wanted.suites):
            stream = f"evaluation/{evaluation_id}"
            started = next(log.read(connection, types=(EvaluationStarted,), stream=stream)).event
            assert isinstance(started, EvaluationStarted)
            numbers = {key: one for key, one in started.settings.items() if key != AGAIN}
            if numbers == wanted.numbers:
                return evaluation_id
    return None


def recorded_examples(connection: Connection, evaluation_id: str) -> frozenset[str]:
    """The examples of an evaluation that are in the log already."""
    query = select(PREDICTION.c.example_id).where(PREDICTION.c.evaluation_id == evaluation_id)
    return frozenset(connection.execute(query).scalars())


def host() -> str:
    """This machine's name, as heartbeats and claims carry it."""
    return platform.node()


def _last(connection: Connection, checkpoint_id: str, wanted: Wanted, first: Standing) -> Standing:
    """The last of the evaluations beside `first` that was begun, or `first` itself."""
    last = first
    while last.newest is not None:
        number = last.again + 1
        after = standing(connection, evaluation_id_of(checkpoint_id, wanted, number), number)
        if after.newest is None:
            break
        last = after
    return last


def _beside(checkpoint_id: str, wanted: Wanted, last: Standing) -> Standing:
    """The evaluation that comes after `last`, not begun yet."""
    number = last.again + 1
    return Standing(evaluation_id_of(checkpoint_id, wanted, number), number)


def _after_its_return(
    connection: Connection, row: Row[Any], wanted: Wanted, abandoned: Standing
) -> Standing:
    """The evaluation of a checkpoint that was gone in the middle of one, and may be back since."""
    last = _last(connection, row.checkpoint_id, wanted, abandoned)
    if isinstance(last.newest, EvaluationAbandoned) and row.found_at >= last.at:
        return _beside(row.checkpoint_id, wanted, last)
    return last


def _is_whole(connection: Connection, stands: Standing) -> bool:
    """Whether every example is recorded, so that another attempt would find nothing to do."""
    query = select(EVALUATION.c.examples).where(EVALUATION.c.evaluation_id == stands.evaluation_id)
    examples = connection.execute(query).scalar()
    recorded = len(recorded_examples(connection, stands.evaluation_id))
    return examples is not None and recorded >= examples


def _task(row: Row[Any], stands: Standing) -> Task:
    return Task(
        evaluation_id=stands.evaluation_id,
        checkpoint_id=row.checkpoint_id,
        run=row.run,
        step=row.step,
        path=Path(row.path),
        version=stands.version,
        attempt=stands.attempt + 1,
        again=stands.again,
    )
