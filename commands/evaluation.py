"""The evaluation of one checkpoint that a person named, from what is asked to how it ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import Connection, Engine, func, select

from commands.checkpoints import Known, refuse_gone
from commands.progress import say
from errors import EvaluationFault
from store.engine import reading
from store.events import EvaluationAbandoned, EvaluationCompleted, EvaluationFailed
from store.lifecycle import EVALUATION, EVALUATION_SUITE, SUITE
from views.words import count

if TYPE_CHECKING:
    from evaluators.claims import Standing
    from evaluators.worker import Worker


def evaluate_one(engine: Engine, worker: Worker, known: Known, *, again: bool) -> None:
    """Evaluates `known` unless that is done, and says how it went.

    Raises EvaluationFault when it failed, now or for good before, and UsageError when its folder is
    not there.
    """
    from evaluators.claims import Task, request

    with reading(engine) as connection:
        asked = request(connection, known.checkpoint_id, worker.wanted, again=again)
        shown = _suites_shown(connection, known)
    hidden = [name for name in shown if name not in {suite.name for suite in worker.suites}]
    if not isinstance(asked, Task):
        _say_why_not(known, asked)
        return
    refuse_gone(known)
    if asked.again and asked.version == 0:
        say(f"{known.name}: once more, as evaluation {asked.evaluation_id[:8]}")
    elif asked.version:
        say(f"{known.name}: attempt {asked.attempt} of evaluation {asked.evaluation_id[:8]}")
    if hidden:
        say(
            f"views will show this evaluation of {known.name}, without {', '.join(hidden)}; "
            "--again without --suite brings the whole back"
        )
    stands = worker.run_task(asked)
    match stands.newest:
        case EvaluationCompleted():
            with reading(engine) as connection:
                times = _completed(connection, known)
            say(f"{known.name} has {count(times, 'completed evaluation')}; views show this one")
        case EvaluationFailed(error=error, message=message):
            raise EvaluationFault(f"the evaluation of {known.name} FAILED: {error}: {message}")
        case EvaluationAbandoned(reason=reason):
            raise EvaluationFault(f"the evaluation of {known.name} was given up: {reason}")
        case _ if worker.stop.is_set():
            say(f"{known.name}: stopped. What is recorded stays; the same command goes on there")
        case _:
            _say_why_not(known, stands)


def _say_why_not(known: Known, stands: Standing) -> None:
    """Says why there is nothing to do. Raises EvaluationFault when it is a failure."""
    match stands.newest:
        case EvaluationCompleted(scored=scored, failed=failed):
            say(
                f"{known.name} is evaluated already on these suites, by evaluation "
                f"{stands.evaluation_id[:8]} of {count(scored + failed, 'example')}. --again "
                "evaluates it once more"
            )
        case EvaluationFailed(error=error, message=message, attempt=attempt):
            raise EvaluationFault(
                f"the evaluation of {known.name} FAILED before, at attempt {attempt}: "
                f"{error}: {message} --again tries once more."
            )
        case EvaluationAbandoned(reason=reason):
            raise EvaluationFault(
                f"the evaluation of {known.name} was given up before: {reason}. --again begins "
                "another."
            )
        case _:
            host, process = stands.owner or ("", 0)
            say(f"{known.name} is being evaluated by process {process} on {host}")


def _suites_shown(connection: Connection, known: Known) -> list[str]:
    """The names of the suites that views show results of for a checkpoint."""
    query = (
        select(SUITE.c.name)
        .distinct()
        .join(EVALUATION_SUITE, EVALUATION_SUITE.c.suite_id == SUITE.c.suite_id)
        .join(EVALUATION, EVALUATION.c.evaluation_id == EVALUATION_SUITE.c.evaluation_id)
        .where(
            EVALUATION.c.checkpoint_id == known.checkpoint_id,
            EVALUATION.c.current == 1,
            EVALUATION.c.status == "completed",
        )
        .order_by(SUITE.c.name)
    )
    return list(connection.execute(query).scalars())


def _completed(connection: Connection, known: Known) -> int:
    query = select(func.count()).where(
        EVALUATION.c.checkpoint_id == known.checkpoint_id, EVALUATION.c.status == "completed"
    )
    return connection.execute(query).scalar_one()
