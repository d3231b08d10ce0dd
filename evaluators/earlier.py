"""What an earlier checkpoint of a run wrote: the drafts for the text of the next one."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Connection, func, select

from evaluators.claims import Task
from store.lifecycle import CHECKPOINT, EVALUATION, EVALUATION_SUITE
from store.schema import PREDICTION


def texts(connection: Connection, task: Task, suites: Collection[str]) -> dict[str, list[str]]:
    """What the nearest checkpoint of the task's run wrote, by example id.

    The nearest is the one of the fewest steps before or after it that has a completed evaluation
    on one of the suites (ids): with the newest first, those after it are evaluated before it.
    Reads `lifecycle`.
    """
    nearest = (
        select(EVALUATION.c.evaluation_id)
        .join(CHECKPOINT, CHECKPOINT.c.checkpoint_id == EVALUATION.c.checkpoint_id)
        .where(
            CHECKPOINT.c.run == task.run,
            EVALUATION.c.evaluation_id != task.evaluation_id,
            EVALUATION.c.status == "completed",
            EVALUATION.c.evaluation_id.in_(
                select(EVALUATION_SUITE.c.evaluation_id).where(
                    EVALUATION_SUITE.c.suite_id.in_(suites)
                )
            ),
        )
        .order_by(
            func.abs(CHECKPOINT.c.step - task.step),
            CHECKPOINT.c.step,
            EVALUATION.c.finished_at.desc(),
            EVALUATION.c.evaluation_id,
        )
        .limit(1)
        .scalar_subquery()
    )
    query = select(PREDICTION.c.example_id, PREDICTION.c.generated_text).where(
        PREDICTION.c.evaluation_id == nearest,
        PREDICTION.c.sample == 0,
        PREDICTION.c.error.is_(None),
        PREDICTION.c.generated_text != "",
    )
    return {row.example_id: [row.generated_text] for row in connection.execute(query)}
