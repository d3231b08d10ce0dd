"""How an evaluation ends that did not complete, and what makes one end so."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, select

from errors import EvaluationFault, ModelLoadFault, NothingScored
from evaluators.claims import Task
from evaluators.loading import lacks_files
from evaluators.memory import is_out_of_memory
from evaluators.suites import Suite
from store.events import EvaluationAbandoned, EvaluationFailed
from store.schema import PREDICTION

NO_MEMORY = (
    "there is not enough memory to load or run this checkpoint (%s): free some, or lower "
    "batch_tokens, or set dtype = 'bfloat16' under [evaluation]"
)


def ending(
    task: Task, suites: tuple[str, ...], error: Exception
) -> EvaluationAbandoned | EvaluationFailed:
    """What `error` means for the evaluation: no further attempt, if the checkpoint is gone.

    A checkpoint arrives whole, so one that lacks files is being deleted. If it comes back, it is
    evaluated then. `suites` are ids.
    """
    gone = not task.path.exists()
    if gone or (isinstance(error, ModelLoadFault) and lacks_files(task.path)):
        return EvaluationAbandoned(
            evaluation_id=task.evaluation_id,
            checkpoint_id=task.checkpoint_id,
            suites=suites,
            reason=f"{task.path} is gone" if gone else f"files of {task.path} are gone: {error}",
        )
    said = str(error) or "no message"
    return EvaluationFailed(
        evaluation_id=task.evaluation_id,
        attempt=task.attempt,
        checkpoint_id=task.checkpoint_id,
        suites=suites,
        error=type(error).__name__,
        message=NO_MEMORY % said if is_out_of_memory(error) else said,
        retriable=is_retriable(error),
    )


def is_retriable(error: Exception) -> bool:
    """Whether the same evaluation may well succeed later: the machine's fault, not the files'."""
    if isinstance(error, EvaluationFault):
        return error.retriable
    return is_out_of_memory(error) or isinstance(error, OSError)


def refuse_empty(suites: Sequence[Suite]) -> None:
    """Raises NothingScored, before a model is loaded, for a suite with no usable row."""
    for suite in suites:
        if not suite.examples:
            first = suite.refused[0]
            raise NothingScored(
                f"suite {suite.name!r} ({suite.path}): none of its {suite.rows_read} rows can "
                f"be used. Line {first.line}: {first.reason}"
            )


def refuse_unscored(suites: Sequence[Suite], errors: dict[str, str]) -> None:
    """Raises NothingScored for a suite of which every example is an error row.

    `errors` are those of `errors_of`.
    """
    for suite in suites:
        reasons = [errors.get(one.example_id) for one in suite.examples]
        if all(reason is not None for reason in reasons):
            raise NothingScored(
                f"suite {suite.name!r} ({suite.path}): not one of its {len(reasons)} examples "
                f"could be scored. The first one: {reasons[0]}"
            )


def errors_of(connection: Connection, evaluation_id: str) -> dict[str, str]:
    """Why each example of an evaluation that gave no number gave none, by example id."""
    query = select(PREDICTION.c.example_id, PREDICTION.c.error).where(
        PREDICTION.c.evaluation_id == evaluation_id,
        PREDICTION.c.sample == 0,
        PREDICTION.c.error.is_not(None),
    )
    return {row.example_id: row.error for row in connection.execute(query)}
