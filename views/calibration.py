"""Calibration: is a checkpoint right as often as it is sure?

An answer's confidence is its probability under the checkpoint: of the whole generated sequence, or
of the chosen option among the choices. Answers are sorted into bins by confidence; a bin holds its
lower edge, and the last one its upper edge too.

- ECE = Σ n_b / n · |accuracy_b − confidence_b| over the bins (Naeini et al. 2015).
- Brier score = mean of (confidence − correct)² (Brier 1950).
- The verdict compares mean confidence with accuracy, first over all answers, then bin by bin,
  because errors of opposite sign cancel in the whole. Were every answer right with the probability
  that is its confidence, the number of right ones would be at most as spread as a binomial
  (Hoeffding 1956), so the exact binomial test errs on the side of "calibrated". All comparisons of
  one verdict share a level of 5 % (Bonferroni).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import Any, Literal

from sqlalchemy import Column as SqlColumn
from sqlalchemy import Connection, PrimaryKeyConstraint, Table, delete, insert, select

from settings import CalibrationSettings, Settings
from store.lifecycle import CHECKPOINT, EVALUATION
from store.projections import Projection
from store.schema import INTEGER, REAL_NUMBER, TEXT, derived
from views.answers import VALIDATION
from views.blocks import answers_of, ending_of
from views.reliability import Sure, bins_of, brier, ece, split
from views.scope import (
    EARLY_CHANGES,
    EASY_FIRST,
    SUBJECT,
    per_evaluation,
    rewrite,
    settings_text,
)
from views.statistics import binomial
from views.view import Column, View
from views.words import percent

Verdict = Literal["calibrated", "over-confident", "under-confident", "too few to tell"]

ALL = "all"
LEVEL = 0.05


@dataclass(frozen=True)
class Calibration:
    """What is said of a group of answers; `reason` says why, and why numbers are missing."""

    n_total: int
    ece: float | None
    brier: float | None
    verdict: Verdict | None
    reason: str


def judge(
    answers: Sure,
    groups: Sequence[Sure],
    settings: CalibrationSettings,
    *,
    examples: int | None = None,
) -> Calibration:
    """What the answers, and in `groups` those of each bin with the edges in `settings`, say.

    `examples` is how many they are of, should one have several.
    """
    n = answers.n if examples is None else examples
    if n < settings.min_examples:
        reason = f"too few to tell: {n} examples, {settings.min_examples} needed"
        return Calibration(answers.n, None, None, "too few to tell", reason)
    bins = zip(pairwise(settings.edges), groups, strict=True)
    labelled = [("", answers)]
    labelled += [(f" between {low:g} and {high:g}", own) for (low, high), own in bins if own.n]
    return Calibration(answers.n, ece(groups), brier(answers), *_verdict(labelled))


def _verdict(labelled: Sequence[tuple[str, Sure]]) -> tuple[Verdict, str]:
    """The first group decides whose gap is no chance: the whole, then bins, the largest first."""
    whole, *bins = labelled
    for label, group in [whole, *sorted(bins, key=lambda one: -one[1].n)]:
        if _chance(group) < LEVEL / len(labelled):
            over = group.mean_confidence > group.accuracy
            return ("over-confident" if over else "under-confident"), _numbers(label, group)
    return "calibrated", f"{_numbers(*whole)}: no further apart than chance allows"


def _numbers(label: str, group: Sure) -> str:
    return (
        f"mean confidence{label} is {percent(group.mean_confidence)}, and "
        f"{percent(group.accuracy)} of {group.n} are right"
    )


def _chance(group: Sure) -> float:
    """The p-value, twice the smaller tail, of the number of right answers."""
    return binomial(group.n_right, group.n, group.mean_confidence)


VERDICT: Table = derived(
    "calibration_verdict",
    SqlColumn("evaluation_id", TEXT, nullable=False),
    SqlColumn("difficulty", TEXT, nullable=False),
    SqlColumn("n_total", INTEGER, nullable=False),
    SqlColumn("ece", REAL_NUMBER),
    SqlColumn("brier", REAL_NUMBER),
    SqlColumn("verdict", TEXT),
    SqlColumn("reason", TEXT, nullable=False),
    PrimaryKeyConstraint("evaluation_id", "difficulty"),
)

BIN: Table = derived(
    "calibration_bin",
    SqlColumn("evaluation_id", TEXT, nullable=False),
    SqlColumn("difficulty", TEXT, nullable=False),
    SqlColumn("bin_low", REAL_NUMBER, nullable=False),
    SqlColumn("bin_high", REAL_NUMBER, nullable=False),
    SqlColumn("n", INTEGER, nullable=False),
    SqlColumn("confidence", REAL_NUMBER),
    SqlColumn("accuracy", REAL_NUMBER),
    SqlColumn("accuracy_low", REAL_NUMBER),
    SqlColumn("accuracy_high", REAL_NUMBER),
    PrimaryKeyConstraint("evaluation_id", "difficulty", "bin_low"),
)


def derive(settings: CalibrationSettings, connection: Connection, evaluation_id: str) -> None:
    """Writes the calibration of one evaluation anew."""
    for table in (BIN, VERDICT):
        connection.execute(delete(table).where(table.c.evaluation_id == evaluation_id))
    ending = ending_of(connection, evaluation_id, quick=True)
    if ending is None:
        return
    if ending.reason is not None:
        key = {"evaluation_id": evaluation_id, "difficulty": ALL}
        rewrite(connection, VERDICT, key, [Calibration(0, None, None, None, ending.reason)])
        return
    answers = answers_of(connection, evaluation_id).of_role(VALIDATION).once()
    groups = {str(one): answers.of_difficulty(one) for one in answers.difficulty.present()}
    verdicts: list[dict[str, Any]] = []
    bins: list[dict[str, Any]] = []
    for difficulty, group in {**groups, ALL: answers}.items():
        key = {"evaluation_id": evaluation_id, "difficulty": difficulty}
        sure = Sure.of(group)
        by_bin = split(sure, settings.edges)
        verdict = judge(sure, by_bin, settings)
        if ending.quick is not None:
            verdict = replace(verdict, reason=f"{ending.quick.words} {verdict.reason}")
        verdicts.append({**key, **vars(verdict)})
        bins += [{**key, **vars(one)} for one in bins_of(by_bin, settings.edges)]
    connection.execute(insert(VERDICT), verdicts)
    connection.execute(insert(BIN), bins)


def errors_of(connection: Connection, run: str) -> dict[str, float]:
    """The expected calibration error of each current evaluation of a run that has one, by id."""
    rows = connection.execute(
        select(VERDICT.c.evaluation_id, VERDICT.c.ece)
        .join(EVALUATION, EVALUATION.c.evaluation_id == VERDICT.c.evaluation_id)
        .join(CHECKPOINT, CHECKPOINT.c.checkpoint_id == EVALUATION.c.checkpoint_id)
        .where(
            CHECKPOINT.c.run == run,
            EVALUATION.c.current == 1,
            VERDICT.c.difficulty == ALL,
            VERDICT.c.ece.is_not(None),
        )
    )
    return {row.evaluation_id: row.ece for row in rows}


COLUMNS = (
    *SUBJECT,
    Column("difficulty", "Difficulty", "text", "all, or one difficulty; validation suites only."),
    Column("bin_low", "Bin, from", "share", "The lowest confidence in the bin."),
    Column("bin_high", "Bin, to", "share", "Where the next bin begins; the last one includes it."),
    Column("n", "Answers", "count", "Graded answers in the bin."),
    Column("confidence", "Confidence", "share", "Mean probability of the bin's answers."),
    Column("accuracy", "Accuracy", "share", "Share of the bin's answers that are right."),
    Column("accuracy_low", "Accuracy, low", "share", "Lower end of the 95 % interval (Wilson)."),
    Column("accuracy_high", "Accuracy, high", "share", "Upper end of the 95 % interval (Wilson)."),
    Column("ece", "ECE", "share", "Expected calibration error over all bins: 0 is best."),
    Column("brier", "Brier score", "number", "Mean of (confidence - correct)²: 0 is best."),
    Column("n_total", "Answers, all bins", "count", "Graded answers of this difficulty."),
    Column("verdict", "Verdict", "text", "Whether confidence and accuracy differ, and which way."),
    Column("reason", "Reason", "text", "The numbers behind the verdict, or why there are none."),
)


def view(settings: Settings) -> View:
    """The calibration of every evaluated checkpoint."""
    return View(
        name="calibration",
        title="Calibration",
        question="Can I trust its confidence?",
        sql_view="calibration",
        columns=COLUMNS,
        order=f"run, step, checkpoint_id, difficulty <> '{ALL}', {EASY_FIRST}, bin_low",
        brief=(
            "run",
            "step",
            "difficulty",
            "bin_low",
            "bin_high",
            "n",
            "confidence",
            "accuracy",
            "ece",
            "brier",
            "verdict",
        ),
        projections=(
            Projection(
                name="calibration",
                version=3,
                tables=(VERDICT, BIN),
                listens=EARLY_CHANGES,
                derive=per_evaluation(partial(derive, settings.calibration)),
                reads=("lifecycle", "results"),
                settings=settings_text(settings.calibration),
            ),
        ),
    )
