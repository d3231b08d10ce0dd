"""Results: what each checkpoint scored, suite by suite and difficulty by difficulty.

Derives `grade` and `result` for one evaluation at a time. An evaluation that did not complete gets
results that say why and hold no number; one that has not ended gets none.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, and_, delete, insert, select

from errors import SettingsError
from settings import Settings
from store.lifecycle import EVALUATION, EVALUATION_SUITE, SUITE
from store.projections import Projection
from store.schema import EXAMPLE, PREDICTION
from views import grading
from views.grading import NOT_GRADED, NOT_SCORED, Grade
from views.measures import UNREADABLE, Measured, Measures, measure
from views.scope import CHANGES, EASY_FIRST, ENDED, EVALUATED, SUBJECT, per_evaluation
from views.tallies import GRADE, RESULT
from views.view import Column, View

UNSPECIFIED = "unspecified"


class _Suite(NamedTuple):
    suite_id: str
    difficulty: str
    grader: str | None


class _Graded(NamedTuple):
    """A row of `grade`, without the names of its evaluation and suite."""

    example_id: str
    sample: int
    grader: str | None
    grade: Grade
    confidence: float | None


def derive(connection: Connection, evaluation_id: str) -> None:
    """Writes the grades and results of one evaluation anew."""
    for table in (GRADE, RESULT):
        connection.execute(delete(table).where(table.c.evaluation_id == evaluation_id))
    evaluation = connection.execute(
        select(EVALUATION.c.status, EVALUATION.c.error, EVALUATION.c.message).where(
            EVALUATION.c.evaluation_id == evaluation_id
        )
    ).one()
    if evaluation.status not in ENDED:
        return
    completed = evaluation.status == EVALUATED
    failure = None if completed else f"{evaluation.error}: {evaluation.message}"
    for suite in _suites_of(connection, evaluation_id):
        _derive_suite(connection, evaluation_id, suite, failure)


def _suites_of(connection: Connection, evaluation_id: str) -> list[_Suite]:
    rows = connection.execute(
        select(EVALUATION_SUITE.c.suite_id, SUITE.c.difficulty, SUITE.c.grader)
        .outerjoin(SUITE, SUITE.c.suite_id == EVALUATION_SUITE.c.suite_id)
        .where(EVALUATION_SUITE.c.evaluation_id == evaluation_id)
        .order_by(EVALUATION_SUITE.c.suite_id)
    )
    return [_Suite(row.suite_id, row.difficulty or UNSPECIFIED, row.grader) for row in rows]


def _derive_suite(
    connection: Connection, evaluation_id: str, suite: _Suite, failure: str | None
) -> None:
    """One suite of an evaluation that has ended; `failure` is why it did not complete."""
    grader, ungraded = _resolve(suite.grader)
    # The examples lead, so that a difficulty of which nothing was recorded has a row as well.
    rows = connection.execute(
        select(
            EXAMPLE.c.example_id,
            EXAMPLE.c.difficulty,
            EXAMPLE.c.kind,
            EXAMPLE.c.target,
            EXAMPLE.c.choices,
            PREDICTION.c.sample,
            PREDICTION.c.generated_text,
            PREDICTION.c.finish_reason,
            PREDICTION.c.generated_logprob,
            PREDICTION.c.target_tokens,
            PREDICTION.c.target_bytes,
            PREDICTION.c.target_logprob,
            PREDICTION.c.target_top1,
            PREDICTION.c.choice_logprobs,
            PREDICTION.c.error,
        )
        .outerjoin(
            PREDICTION,
            and_(
                PREDICTION.c.evaluation_id == evaluation_id,
                PREDICTION.c.example_id == EXAMPLE.c.example_id,
            ),
        )
        .where(EXAMPLE.c.suite_id == suite.suite_id)
        .order_by(EXAMPLE.c.example_id, PREDICTION.c.sample)
    )
    graded: list[_Graded] = []
    by_difficulty: dict[str, list[Measured]] = defaultdict(list)
    for row in rows:
        measured = by_difficulty[row.difficulty or suite.difficulty]
        if row.sample is None:
            continue
        one = _grade(row, grader)
        graded.append(one)
        measured.append(
            Measured(
                example_id=row.example_id,
                target_logprob=row.target_logprob,
                target_tokens=row.target_tokens,
                target_bytes=row.target_bytes,
                target_top1=row.target_top1,
                correct=one.grade.correct,
                score=one.grade.score,
                error=row.error,
            )
        )
    if not by_difficulty:
        by_difficulty[suite.difficulty] = []
    used = ", ".join(sorted({one.grader for one in graded if one.grader is not None})) or grader
    key = {"evaluation_id": evaluation_id, "suite_id": suite.suite_id}
    connection.execute(
        insert(RESULT),
        [
            {
                **key,
                "difficulty": difficulty,
                "grader": used,
                **_numbers(measured, failure, ungraded)._asdict(),
            }
            for difficulty, measured in sorted(by_difficulty.items())
        ],
    )
    if failure is None and graded:
        connection.execute(insert(GRADE), [{**key, **_grade_row(one)} for one in graded])


def _resolve(grader: str | None) -> tuple[str | None, str]:
    """A suite's grader with its version, or None; and why, should nothing be graded."""
    if grader is None:
        return None, "the suite is not in the log"
    try:
        return grading.resolve(grader), UNREADABLE
    except SettingsError as error:
        return None, str(error).rstrip(".")


def _numbers(measured: Sequence[Measured], failure: str | None, ungraded: str) -> Measures:
    """The measures of one difficulty; only counts where the evaluation did not complete."""
    if failure is None:
        return measure(measured, ungraded)
    failed = sum(one.error is not None for one in measured)
    return Measures(n=len(measured) - failed, n_failed=failed, reason=failure)


def _grade(row: Any, grader: str | None) -> _Graded:
    name, grade, confidence = grader, NOT_GRADED, None
    if row.error is not None:
        grade = NOT_SCORED
    elif row.kind == "choice" and row.choice_logprobs is not None:
        name = grading.CHOICE
        grade = grading.grade_choice(row.choices, row.choice_logprobs, row.target)
        highest = max(row.choice_logprobs)
        confidence = 1 / math.fsum(math.exp(one - highest) for one in row.choice_logprobs)
    elif row.kind != "text" and row.generated_text is not None:
        # A sum of rounded log-probabilities can come out a hair above 0.
        confidence = min(1.0, math.exp(row.generated_logprob))
        if grader is not None:
            truncated = row.finish_reason == "length"
            grade = grading.grade(grader, row.generated_text, row.target, truncated=truncated)
    return _Graded(row.example_id, row.sample, name, grade, confidence)


def _grade_row(one: _Graded) -> dict[str, Any]:
    return {
        "example_id": one.example_id,
        "sample": one.sample,
        "grader": one.grader,
        "correct": one.grade.correct,
        "score": one.grade.score,
        "parsed": one.grade.parsed,
        "expected": one.grade.expected,
        "error_class": one.grade.error_class,
        "confidence": one.confidence,
    }


RESULTS = Projection(
    name="results",
    version=1,
    tables=(GRADE, RESULT),
    listens=CHANGES,
    derive=per_evaluation(derive),
    reads=("lifecycle",),
)

COLUMNS = (
    *SUBJECT,
    Column("evaluation_id", "Evaluation", "id", "The evaluation that these numbers come from."),
    Column("suite", "Suite", "text", "The suite's name in milepost.toml."),
    Column("role", "Role", "text", "validation measures; mining is the pool for new data."),
    Column("difficulty", "Difficulty", "text", "The example's own, or else the suite's."),
    Column("grader", "Grader", "text", "What judged the answers, with its version."),
    Column("n", "Scored", "count", "Predictions that gave a measurement."),
    Column("n_failed", "Not scored", "count", "Predictions that are an error instead."),
    Column("n_graded", "Graded", "count", "Answers that the accuracy is of."),
    Column("loss", "Loss", "nats", "Mean negative log-likelihood of a target token."),
    Column("perplexity", "Perplexity", "number", "exp(loss): among how many tokens it wavers."),
    Column("bits_per_byte", "Bits per byte", "number", "Loss by the byte, for any tokenizer."),
    Column("token_accuracy", "Token accuracy", "share", "Target tokens that were its first guess."),
    Column("accuracy", "Accuracy", "share", "Answers that the grader calls right."),
    Column("accuracy_low", "Accuracy, low", "share", "Lower end of the 95 % interval (Wilson)."),
    Column("accuracy_high", "Accuracy, high", "share", "Upper end of the 95 % interval (Wilson)."),
    Column("score", "Score", "share", "Mean credit of an answer; graders may give part of it."),
    Column("loss_se", "Loss, s.e.", "nats", "Standard error of the loss over examples."),
    Column("accuracy_se", "Accuracy, s.e.", "share", "Standard error of the accuracy."),
    Column("status", "Status", "text", "evaluated, or failed: then there are no numbers."),
    Column("reason", "Reason", "text", "Why a number is missing, or what it leaves out."),
)  # fmt: skip


def view(settings: Settings) -> View:  # noqa: ARG001 - every view takes them
    """The results of current evaluations."""
    return View(
        name="results",
        title="Results",
        question="What did each checkpoint score on each suite?",
        sql_view="results",
        columns=COLUMNS,
        order=f"run, step, checkpoint_id, suite, {EASY_FIRST}",
        brief=(
            "run",
            "step",
            "suite",
            "difficulty",
            "n",
            "n_failed",
            "loss",
            "perplexity",
            "token_accuracy",
            "accuracy",
            "reason",
        ),
        projections=(RESULTS,),
    )
