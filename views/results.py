"""Results: what each checkpoint scored, suite by suite and difficulty by difficulty.

Derives `grade` and `result` for one evaluation at a time. An evaluation that did not complete gets
results that say why and hold no number; one that has not ended gets those of its quick tier, as
soon as that is recorded, and before that none.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from sqlalchemy import Connection, delete, insert, select

from settings import Settings
from store import tuples
from store.events import (
    EvaluationAbandoned,
    EvaluationCompleted,
    EvaluationFailed,
    EvaluationStarted,
    QuickTierCompleted,
    SuiteRegistered,
)
from store.lifecycle import EVALUATION_SUITE
from store.log import Recorded
from store.projections import Derive, Projection
from store.schema import dumps
from views import grading
from views.answers import Answers
from views.blocks import ANSWER_BLOCK, Ending, ending_of, packed
from views.examples import Suite, read_suite
from views.gradebook import Marked, mark, predictions_of, truncated
from views.grading import Own
from views.measures import Measures, measure
from views.scope import EARLY_CHANGES, EASY_FIRST, SUBJECT, TIER, tier_of
from views.tallies import GRADE, RESULT
from views.view import Column, View


def derive_with(own: Own) -> Derive:
    """The projection's `derive` with these graders of the user's own."""

    def derive(connection: Connection, events: Sequence[Recorded]) -> None:
        suites: dict[str, Suite] = {}
        with collector_paused():
            for evaluation_id, ended in sorted(_touched(connection, events).items()):
                for table in (GRADE, RESULT, ANSWER_BLOCK):
                    connection.execute(delete(table).where(table.c.evaluation_id == evaluation_id))
                ending = ending_of(connection, evaluation_id, quick=True)
                if ending is not None and (ended or ending.quick is not None):
                    asked = _suites_of(connection, evaluation_id, suites, own)
                    _derive_evaluation(connection, evaluation_id, asked, ending)

    return derive


@contextmanager
def collector_paused() -> Iterator[None]:
    """Keeps the cyclic garbage collector from walking over ten thousands of rows again and again.

    They hold no cycles: all are freed without it, but for the automata of patterns, which wait for
    it. It costs a tenth of the time otherwise.
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


def _touched(connection: Connection, events: Sequence[Recorded]) -> dict[str, bool]:
    """The evaluations to derive anew, and whether these events leave them ended.

    One that has only started, or has its quick tier, has its end among later events and is graded
    then, once, even if the lifecycle knows of that end already. A suite touches the evaluations
    that have results; others of its evaluations come with events of their own.
    """
    touched: dict[str, bool] = {}
    for recorded in events:
        match recorded.event:
            case SuiteRegistered() as event:
                graded = select(RESULT.c.evaluation_id).where(RESULT.c.suite_id == event.suite_id)
                for evaluation_id in connection.scalars(graded.distinct()):
                    touched.setdefault(evaluation_id, True)
            case EvaluationStarted() | QuickTierCompleted() as event:
                touched[event.evaluation_id] = False
            case EvaluationCompleted() | EvaluationFailed() | EvaluationAbandoned() as event:
                touched[event.evaluation_id] = True
    return touched


def _suites_of(
    connection: Connection, evaluation_id: str, known: dict[str, Suite], own: Own
) -> list[Suite]:
    """The suites of an evaluation, by id; those not in `known` are read and added to it."""
    query = select(EVALUATION_SUITE.c.suite_id).where(
        EVALUATION_SUITE.c.evaluation_id == evaluation_id
    )
    ids = sorted(connection.scalars(query))
    for suite_id in ids:
        if suite_id not in known:
            known[suite_id] = read_suite(connection, suite_id, own)
    return [known[suite_id] for suite_id in ids]


def _derive_evaluation(
    connection: Connection, evaluation_id: str, suites: Sequence[Suite], ending: Ending
) -> None:
    """One evaluation that has ended, or its quick tier; it is graded only if it completed."""
    until = None if ending.quick is None else ending.quick.position
    predictions = predictions_of(connection, evaluation_id, until)
    marked = mark(evaluation_id, suites, predictions)
    tier = tier_of(ending.quick) if ending.completed else None
    for one in marked:
        cut = truncated(one.suite, predictions)
        key = {"evaluation_id": evaluation_id, "suite_id": one.suite.suite_id, "tier": tier}
        rows = [
            {
                **key,
                "difficulty": difficulty,
                "grader": _graders(one),
                "n_truncated": cut[difficulty],
                **numbers._asdict(),
                **once._asdict(),
            }
            for difficulty, (numbers, once) in _measured(one, ending).items()
        ]
        if rows:
            connection.execute(insert(RESULT), rows)
    if ending.completed:
        # In the order of the key, which is the fastest to insert in.
        answered = sorted((one for one in marked if one.grades), key=lambda one: one.suite.suite_id)
        tuples.insert(connection, GRADE, [row for one in answered for row in one.grades])
        blocks = [packed(evaluation_id, one.suite.suite_id, one.answers) for one in answered]
        tuples.insert(connection, ANSWER_BLOCK, blocks)


class Once(NamedTuple):
    """The once_* columns of `result`: what stays of it when each example counts in one suite."""

    n_elsewhere: int | None = None
    once_n: int | None = None
    once_n_graded: int | None = None
    once_loss: float | None = None
    once_accuracy: float | None = None


def _measured(marked: Marked, ending: Ending) -> dict[str, tuple[Measures, Once]]:
    """The measures of each difficulty that a suite has, also one of which nothing was recorded.

    Only counts where the evaluation did not complete; in a quick tier only what has a part in it.
    """
    suite, answers = marked.suite, marked.answers
    found = {}
    for difficulty in suite.difficulties.present() or [suite.difficulty]:
        here = answers.of_difficulty(difficulty)
        if ending.quick is not None and not len(here):
            continue
        if ending.completed:
            numbers = measure(here, suite.ungraded, marked.failure)
            found[str(difficulty)] = numbers, _once(here, numbers)
        else:
            scored = int(here.scored.sum())
            failed = Measures(scored, len(here) - scored, reason=ending.reason)
            found[str(difficulty)] = failed, Once()
    return found


def _once(here: Answers, numbers: Measures) -> Once:
    """What stays of `numbers`, the measures of all rows that are `here`."""
    counting = here[here.counts]
    if len(counting) < len(here):
        numbers = measure(counting)
    return Once(
        n_elsewhere=len(here) - len(counting),
        once_n=numbers.n,
        once_n_graded=numbers.n_graded,
        once_loss=numbers.loss,
        once_accuracy=numbers.accuracy,
    )


def _graders(marked: Marked) -> str | None:
    """What graded the suite: mostly its own grader."""
    used = [one for one in marked.answers.grader.present() if one is not None]
    return ", ".join(used) or marked.suite.grader


# Two or three events an evaluation: with 10,000 predictions in each, a transaction takes a second
# or two.
STRIDE = 16


def projection(own: Own) -> Projection:
    """Grades and results by Milepost's graders and these of the user's own."""
    return Projection(
        name="results",
        version=5,
        tables=(GRADE, RESULT, ANSWER_BLOCK),
        listens=EARLY_CHANGES,
        derive=derive_with(own),
        reads=("lifecycle",),
        settings=dumps([*grading.VERSIONS, *sorted(one.full_name for one in own.values())]),
        stride=STRIDE,
    )


RESULTS = projection(grading.NONE_OF_ONES_OWN)

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
    Column("n_truncated", "Prompts cut", "count", "Examples whose prompt was cut to fit."),
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
    Column("status", "Status", "text", "evaluating, evaluated, or failed: without numbers."),
    TIER,
    Column("reason", "Reason", "text", "Why a number is missing, or what it leaves out."),
)  # fmt: skip


def view(settings: Settings) -> View:
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
        projections=(projection(settings.own_graders),),
    )
