"""Confidences: four ways to say how sure a checkpoint was, and how far each can be trusted.

- sequence: the probability of the whole answer: exp(Σ ln p) over its tokens, or the chosen option's
  share among the choices. It is what views.calibration sorts into bins.
- mean_token: exp(mean ln p), the geometric mean of the probabilities of a written answer's tokens,
  which does not fall with its length.
- least_token: the probability of the written answer's least likely token.
- token: the probability of each single token, right if it is the target's. Taken of the greedy
  answer from its start to the first token that is not the target's, which it holds too: so far the
  model has seen just what precedes the target's token, and its probability is in the trace. After
  that the answer goes its own way. Traces are float16, with a relative error of up to 1/2048 in
  ln p.

Each gets the verdict of views.calibration and the measures of views.reliability; the smooth ECE of
`sequence` also gets an interval and a curve.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Column as SqlColumn
from sqlalchemy import Connection, PrimaryKeyConstraint, Table, delete, insert, select

from settings import CalibrationSettings, Settings
from store.projections import Projection
from store.schema import INTEGER, PREDICTION, REAL_NUMBER, TEXT, TOKEN_TRACE, derived
from store.tuples import fetch
from views.answers import VALIDATION, Answers
from views.blocks import answers_of, ending_of
from views.bootstrap import generator
from views.calibration import ALL, Verdict, judge
from views.grading import CHOICE, CHOICE_NORM
from views.reliability import Sure, brier, brier_parts, ece, log_score, split
from views.scope import EARLY_CHANGES, EASY_FIRST, SUBJECT, per_evaluation, settings_text
from views.smooth_ece import smooth, smooth_ece
from views.view import Column, View

Kind = Literal["sequence", "mean_token", "least_token", "token"]
KINDS: tuple[Kind, ...] = get_args(Kind)
KIND_ORDER = " ".join(["CASE kind", *(f"WHEN '{one}' THEN {k}" for k, one in enumerate(KINDS))])
FLOAT16 = "<f2"
NO_TRACES = "No token traces were recorded: [evaluation] trace is off."
NOT_WRITTEN = "No answer was written: choices have a probability as a whole, and no other."
NO_LOG_SCORE = "No log score: one that had all the probability is wrong."


@dataclass(frozen=True)
class Confidence:
    """What one kind of confidence is worth, over `n` answers or tokens of so many `examples`.

    `curve` is JSON: a list of [confidence, accuracy, low, high].
    """

    kind: Kind
    n: int
    examples: int
    confidence: float | None = None
    accuracy: float | None = None
    ece: float | None = None
    smooth_ece: float | None = None
    smooth_ece_low: float | None = None
    smooth_ece_high: float | None = None
    smooth_ece_chance: float | None = None
    brier: float | None = None
    reliability: float | None = None
    resolution: float | None = None
    uncertainty: float | None = None
    within_bins: float | None = None
    log_score: float | None = None
    verdict: Verdict | None = None
    reason: str = ""
    curve: str | None = None


class Written(NamedTuple):
    """What was recorded of an answer that was written, in nats; None is what was not.

    `trace` is float16: ln p of each of its tokens.
    """

    logprob: float | None
    min_logprob: float | None
    tokens: int | None
    first_miss: int | None
    target_tokens: int | None
    trace: bytes | None


class Group(NamedTuple):
    """Confidences of one kind, which are of so many examples; `missing` is why there are none."""

    kind: Kind
    sure: Sure
    examples: int
    missing: str | None = None


CONFIDENCE: Table = derived(
    "confidence",
    SqlColumn("evaluation_id", TEXT, nullable=False),
    SqlColumn("difficulty", TEXT, nullable=False),
    SqlColumn("kind", TEXT, nullable=False),
    SqlColumn("n", INTEGER, nullable=False),
    SqlColumn("examples", INTEGER, nullable=False),
    SqlColumn("confidence", REAL_NUMBER),
    SqlColumn("accuracy", REAL_NUMBER),
    SqlColumn("ece", REAL_NUMBER),
    SqlColumn("smooth_ece", REAL_NUMBER),
    SqlColumn("smooth_ece_low", REAL_NUMBER),
    SqlColumn("smooth_ece_high", REAL_NUMBER),
    SqlColumn("smooth_ece_chance", REAL_NUMBER),
    SqlColumn("brier", REAL_NUMBER),
    SqlColumn("reliability", REAL_NUMBER),
    SqlColumn("resolution", REAL_NUMBER),
    SqlColumn("uncertainty", REAL_NUMBER),
    SqlColumn("within_bins", REAL_NUMBER),
    SqlColumn("log_score", REAL_NUMBER),
    SqlColumn("verdict", TEXT),
    SqlColumn("reason", TEXT, nullable=False),
    SqlColumn("curve", TEXT),
    PrimaryKeyConstraint("evaluation_id", "difficulty", "kind"),
)


def groups_of(answers: Answers, written: Sequence[Written]) -> list[Group]:
    """Each kind of confidence, from answers and what was recorded of each of them."""
    by_likelihood = answers.grader.are(CHOICE) | answers.grader.are(CHOICE_NORM)
    usable = answers.graded & ~np.isnan(answers.confidence) & ~by_likelihood
    rows = np.flatnonzero(usable).tolist()
    right = answers.right[usable]
    means = [_mean(written[row]) for row in rows]
    least = [written[row].min_logprob for row in rows]
    missing = None if rows else NOT_WRITTEN
    whole = Sure.of(answers)
    return [
        Group("sequence", whole, whole.n),
        Group("mean_token", _sure(means, right), len(rows), missing),
        Group("least_token", _sure(least, right), len(rows), missing),
        tokens_of(written),
    ]


def _mean(one: Written) -> float:
    assert one.logprob is not None
    assert one.tokens is not None
    return one.logprob / one.tokens


def _sure(logprobs: Sequence[float | None], right: NDArray[np.bool_]) -> Sure:
    # Rounding can leave a log-probability a hair above 0.
    return Sure(np.minimum(1.0, np.exp(np.array(logprobs, np.float64))), right)


def tokens_of(written: Sequence[Written]) -> Group:
    """Each token of the answers up to the first that is not the target's."""
    logprobs, right = [np.zeros(0)], [np.zeros(0, np.bool_)]
    examples = 0
    for one in written:
        if one.trace is None or one.target_tokens is None:
            continue
        same = one.target_tokens if one.first_miss is None else one.first_miss
        trace = np.frombuffer(one.trace, FLOAT16)[: min(same + 1, one.target_tokens)]
        logprobs.append(trace.astype(np.float64))
        right.append(np.arange(len(trace)) < same)
        examples += 1
    missing = None if any(one.trace is not None for one in written) else NO_TRACES
    sure = Sure(np.minimum(1.0, np.exp(np.concatenate(logprobs))), np.concatenate(right))
    return Group("token", sure, examples, missing)


def measure(group: Group, settings: CalibrationSettings, random: np.random.Generator) -> Confidence:
    """All that is told of one kind of confidence; without numbers where there are too few."""
    sure, found = group.sure, Confidence(group.kind, group.sure.n, group.examples)
    if group.missing is not None:
        return replace(found, reason=group.missing)
    groups = split(sure, settings.edges)
    judged = judge(sure, groups, settings, examples=group.examples)
    found = replace(found, verdict=judged.verdict, reason=judged.reason)
    if judged.ece is None:
        return found
    parts, log = brier_parts(groups), log_score(sure)
    found = replace(
        found,
        confidence=sure.mean_confidence,
        accuracy=sure.accuracy,
        ece=ece(groups),
        brier=brier(sure),
        log_score=log,
        reason=judged.reason if log is not None else f"{judged.reason}. {NO_LOG_SCORE}",
        **parts._asdict(),
    )
    if group.kind != "sequence":
        return replace(found, smooth_ece=smooth_ece(sure))
    smoothed = smooth(sure, random)
    return replace(
        found,
        smooth_ece=smoothed.ece,
        smooth_ece_low=smoothed.interval.low,
        smooth_ece_high=smoothed.interval.high,
        smooth_ece_chance=smoothed.chance,
        curve=smoothed.curve_text,
    )


def written_of(
    connection: Connection, evaluation_id: str, answers: Answers, until: int | None
) -> list[Written]:
    """What was recorded of each answer, up to a position of the log if one is given."""
    traces = select(TOKEN_TRACE.c.example_id, TOKEN_TRACE.c.sample, TOKEN_TRACE.c.logprob).where(
        TOKEN_TRACE.c.evaluation_id == evaluation_id, TOKEN_TRACE.c.kind == "generated"
    )
    predictions = select(
        PREDICTION.c.example_id,
        PREDICTION.c.sample,
        PREDICTION.c.generated_logprob,
        PREDICTION.c.generated_min_logprob,
        PREDICTION.c.generated_tokens,
        PREDICTION.c.target_first_miss,
        PREDICTION.c.target_tokens,
    ).where(PREDICTION.c.evaluation_id == evaluation_id)
    if until is not None:
        traces = traces.where(TOKEN_TRACE.c.position <= until)
        predictions = predictions.where(PREDICTION.c.position <= until)
    trace_of = {(one, sample): bytes(trace) for one, sample, trace in fetch(connection, traces)}
    found = {
        (row[0], row[1]): Written._make([*row[2:], trace_of.get((row[0], row[1]))])
        for row in fetch(connection, predictions)
    }
    ids = (one.decode() for one in answers.example_id.tolist())
    return [found[key] for key in zip(ids, answers.sample.tolist(), strict=True)]


def derive(settings: CalibrationSettings, connection: Connection, evaluation_id: str) -> None:
    """Writes what the confidences of one evaluation are worth anew."""
    connection.execute(delete(CONFIDENCE).where(CONFIDENCE.c.evaluation_id == evaluation_id))
    ending = ending_of(connection, evaluation_id, quick=True)
    if ending is None:
        return
    rows: list[dict[str, Any]] = []
    if ending.reason is not None:
        for kind in KINDS:
            failed = Confidence(kind, 0, 0, reason=ending.reason)
            rows.append({"evaluation_id": evaluation_id, "difficulty": ALL, **vars(failed)})
        connection.execute(insert(CONFIDENCE), rows)
        return
    answers = answers_of(connection, evaluation_id).of_role(VALIDATION).once()
    until = None if ending.quick is None else ending.quick.position
    written = written_of(connection, evaluation_id, answers, until)
    masks = {str(one): answers.difficulty.are(one) for one in answers.difficulty.present()}
    for difficulty, mask in {**masks, ALL: np.ones(len(answers), np.bool_)}.items():
        random = generator([evaluation_id.encode(), difficulty.encode()])
        here = [written[row] for row in np.flatnonzero(mask)]
        for group in groups_of(answers[mask], here):
            found = measure(group, settings, random)
            if ending.quick is not None:
                found = replace(found, reason=f"{ending.quick.words} {found.reason}")
            rows.append({"evaluation_id": evaluation_id, "difficulty": difficulty, **vars(found)})
    connection.execute(insert(CONFIDENCE), rows)


COLUMNS = (
    *SUBJECT,
    Column("difficulty", "Difficulty", "text", "all, or one difficulty; validation suites only."),
    Column("kind", "Confidence of", "text", "sequence, mean_token, least_token or token."),
    Column("n", "Answers", "count", "Graded answers, or tokens of them, that it is of."),
    Column("examples", "Examples", "count", "The examples that these are of."),
    Column("confidence", "Confidence", "share", "Its mean."),
    Column("accuracy", "Accuracy", "share", "Share of the answers, or tokens, that are right."),
    Column("ece", "ECE", "share", "Expected calibration error over the bins: 0 is best."),
    Column("smooth_ece", "Smooth ECE", "share", "The same without bins: 0 is best."),
    Column("smooth_ece_low", "Smooth ECE, low", "share", "Lower end of its 95 % interval."),
    Column("smooth_ece_high", "Smooth ECE, high", "share", "Upper end of its 95 % interval."),
    Column(
        "smooth_ece_chance", "By chance", "share", "What a calibrated one has less than in 95 %."
    ),
    Column("brier", "Brier score", "number", "Mean of (confidence - correct)²: 0 is best."),
    Column("reliability", "Reliability", "number", "Brier's part of being off: 0 is best."),
    Column("resolution", "Resolution", "number", "What telling right from wrong takes off of it."),
    Column("uncertainty", "Uncertainty", "number", "What the accuracy alone leaves open."),
    Column("within_bins", "Within bins", "number", "What confidences differ within bins adds."),
    Column("log_score", "Log score", "nats", "Mean of -ln p of what happened: 0 is best."),
    Column("verdict", "Verdict", "text", "Whether confidence and accuracy differ, and which way."),
    Column("reason", "Reason", "text", "The numbers behind the verdict, or why there are none."),
    Column("curve", "Curve", "json", "Points [confidence, accuracy, low, high] to draw."),
)


def view(settings: Settings) -> View:
    """The worth of each kind of confidence of every evaluated checkpoint."""
    return View(
        name="confidences",
        title="Confidences",
        question="Which of its probabilities says best how sure to be?",
        sql_view="confidences",
        columns=COLUMNS,
        order=(f"run, step, checkpoint_id, difficulty <> '{ALL}', {EASY_FIRST}, {KIND_ORDER} END"),
        brief=(
            "run",
            "step",
            "difficulty",
            "kind",
            "n",
            "confidence",
            "accuracy",
            "ece",
            "smooth_ece",
            "brier",
            "log_score",
            "verdict",
        ),
        projections=(
            Projection(
                name="confidences",
                version=1,
                tables=(CONFIDENCE,),
                listens=EARLY_CHANGES,
                derive=per_evaluation(partial(derive, settings.calibration)),
                reads=("lifecycle", "results"),
                settings=settings_text(settings.calibration),
            ),
        ),
    )
