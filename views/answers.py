"""The graded answers of an evaluation, one an example: what the views about answers start from.

An example that stands in two suites counts once: in a validation suite before a mining one, so that
it is never taken for training data, and then in the suite whose name comes first. Of several
samples the first counts, the greedy one.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from sqlalchemy import Connection, and_, func, select
from sqlalchemy.sql import ColumnElement

from store.lifecycle import EVALUATION, SUITE
from store.schema import EXAMPLE, PREDICTION
from views.measures import Measured
from views.results import UNSPECIFIED
from views.scope import ENDED, EVALUATED
from views.tallies import GRADE

VALIDATION = "validation"
NOTHING_GRADED = "No answer of this checkpoint could be graded."

# "validation" sorts after "mining".
_FIRST: tuple[ColumnElement[Any], ...] = (
    SUITE.c.role.desc(),
    SUITE.c.name,
    SUITE.c.suite_id,
    GRADE.c.sample,
)


class Answer(NamedTuple):
    """One example's answer. `correct` is None where it was not scored or cannot be graded.

    `confidence` is the probability of the answer; `target_logprob` is summed, in nats.
    """

    example_id: str
    sample: int
    suite_id: str
    role: str
    difficulty: str
    skill: str | None
    correct: bool | None
    score: float | None
    confidence: float | None
    error_class: str | None
    error: str | None
    target_logprob: float | None
    target_tokens: int | None
    target_bytes: int | None
    target_top1: int | None

    @property
    def loss(self) -> float | None:
        """The mean negative log-likelihood of a target token, in nats; None if none was scored."""
        if self.target_logprob is None or not self.target_tokens:
            return None
        return -self.target_logprob / self.target_tokens

    @property
    def measured(self) -> Measured:
        """What of it goes into the measures."""
        return Measured(
            example_id=self.example_id,
            target_logprob=self.target_logprob,
            target_tokens=self.target_tokens,
            target_bytes=self.target_bytes,
            target_top1=self.target_top1,
            correct=self.correct,
            score=self.score,
            error=self.error,
        )


class Ending(NamedTuple):
    """How an evaluation ended; `reason` says why it did not complete."""

    completed: bool
    reason: str | None


def ending_of(connection: Connection, evaluation_id: str) -> Ending | None:
    """How the evaluation ended; None while it has not."""
    row = connection.execute(
        select(EVALUATION.c.status, EVALUATION.c.error, EVALUATION.c.message).where(
            EVALUATION.c.evaluation_id == evaluation_id
        )
    ).one()
    if row.status not in ENDED:
        return None
    if row.status == EVALUATED:
        return Ending(completed=True, reason=None)
    return Ending(completed=False, reason=f"{row.error}: {row.message}")


def answers_of(connection: Connection, evaluation_id: str, role: str | None = None) -> list[Answer]:
    """The answers of a completed evaluation by example id; of suites of one role if it is named."""
    query = (
        select(
            GRADE.c.example_id,
            GRADE.c.sample,
            GRADE.c.suite_id,
            SUITE.c.role,
            func.coalesce(EXAMPLE.c.difficulty, SUITE.c.difficulty, UNSPECIFIED),
            EXAMPLE.c.skill,
            GRADE.c.correct,
            GRADE.c.score,
            GRADE.c.confidence,
            GRADE.c.error_class,
            PREDICTION.c.error,
            PREDICTION.c.target_logprob,
            PREDICTION.c.target_tokens,
            PREDICTION.c.target_bytes,
            PREDICTION.c.target_top1,
        )
        .join(SUITE, SUITE.c.suite_id == GRADE.c.suite_id)
        .join(
            EXAMPLE,
            and_(
                EXAMPLE.c.suite_id == GRADE.c.suite_id,
                EXAMPLE.c.example_id == GRADE.c.example_id,
            ),
        )
        .join(
            PREDICTION,
            and_(
                PREDICTION.c.evaluation_id == GRADE.c.evaluation_id,
                PREDICTION.c.example_id == GRADE.c.example_id,
                PREDICTION.c.sample == GRADE.c.sample,
            ),
        )
        .where(GRADE.c.evaluation_id == evaluation_id)
        .order_by(GRADE.c.example_id, *_FIRST)
    )
    if role is not None:
        query = query.where(SUITE.c.role == role)
    answers: dict[str, Answer] = {}
    for row in connection.execute(query):
        answer = Answer(*tuple(row))
        if answer.correct is not None:
            answer = answer._replace(correct=bool(answer.correct))
        answers.setdefault(answer.example_id, answer)
    return list(answers.values())


def nothing_graded(answers: Iterable[Answer]) -> bool:
    """Whether no answer was right, wrong or an error: bare text, or what graders cannot read."""
    return all(one.correct is None and one.error is None for one in answers)


def outcomes_of(connection: Connection, evaluation_id: str) -> dict[str, bool]:
    """Right or wrong by example id, of what could be graded: a light `answers_of`."""
    outcomes: dict[str, bool | None] = {}
    rows = connection.execute(
        select(GRADE.c.example_id, GRADE.c.correct)
        .join(SUITE, SUITE.c.suite_id == GRADE.c.suite_id)
        .where(GRADE.c.evaluation_id == evaluation_id)
        .order_by(*_FIRST)
    )
    for example_id, correct in rows:
        outcomes.setdefault(example_id, None if correct is None else bool(correct))
    return {name: correct for name, correct in outcomes.items() if correct is not None}
