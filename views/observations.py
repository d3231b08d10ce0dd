"""What an evaluation observed of each example of the validation suites, ready to be paired."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import Connection, and_, func, select

from store.lifecycle import SUITE
from store.schema import EXAMPLE, PREDICTION
from views.comparison import Observed
from views.results import UNSPECIFIED
from views.tallies import GRADE

VALIDATION = "validation"


class Key(NamedTuple):
    """Which prediction: it has the same key at every checkpoint."""

    suite: str
    example_id: str
    sample: int


class Seen(NamedTuple):
    """What was observed of a prediction, and the difficulty that it counts under."""

    difficulty: str
    observed: Observed


def observations_of(connection: Connection, evaluation_id: str) -> dict[Key, Seen]:
    """The observations of a completed evaluation, by suite name, example id and sample."""
    rows = connection.execute(
        select(
            SUITE.c.name,
            GRADE.c.example_id,
            GRADE.c.sample,
            func.coalesce(EXAMPLE.c.difficulty, SUITE.c.difficulty, UNSPECIFIED),
            PREDICTION.c.target_logprob,
            PREDICTION.c.target_tokens,
            GRADE.c.correct,
            GRADE.c.grader,
        )
        .select_from(GRADE)
        .join(SUITE, SUITE.c.suite_id == GRADE.c.suite_id)
        .join(
            EXAMPLE,
            and_(
                EXAMPLE.c.suite_id == GRADE.c.suite_id, EXAMPLE.c.example_id == GRADE.c.example_id
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
        .where(GRADE.c.evaluation_id == evaluation_id, SUITE.c.role == VALIDATION)
        .order_by(SUITE.c.name, GRADE.c.suite_id, GRADE.c.example_id, GRADE.c.sample)
    )
    return {
        Key(suite, example_id, sample): Seen(
            difficulty,
            Observed(
                nll=None if logprob is None else -logprob,
                tokens=tokens,
                correct=None if correct is None else bool(correct),
                grader=grader,
            ),
        )
        for suite, example_id, sample, difficulty, logprob, tokens, correct, grader in rows
    }
