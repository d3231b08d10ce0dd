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

import math
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Literal, NamedTuple

from sqlalchemy import Column as SqlColumn
from sqlalchemy import Connection, PrimaryKeyConstraint, Table, delete

from settings import CalibrationSettings, Settings
from store.projections import Projection
from store.schema import INTEGER, REAL_NUMBER, TEXT, derived
from views.answers import VALIDATION, answers_of, ending_of
from views.scope import (
    CHANGES,
    EASY_FIRST,
    SUBJECT,
    per_evaluation,
    rewrite,
    settings_text,
)
from views.statistics import binomial, wilson
from views.view import Column, View
from views.words import percent

Verdict = Literal["calibrated", "over-confident", "under-confident", "too few to tell"]

ALL = "all"
LEVEL = 0.05


class Sure(NamedTuple):
    """An answer: how sure the checkpoint was of it (0 to 1), and whether it is right."""

    confidence: float
    correct: bool


@dataclass(frozen=True)
class Bin:
    """The answers of which a checkpoint was about equally sure; None where there are none."""

    bin_low: float
    bin_high: float
    n: int
    confidence: float | None = None
    accuracy: float | None = None
    accuracy_low: float | None = None
    accuracy_high: float | None = None


@dataclass(frozen=True)
class Calibration:
    """What is said of a group of answers; `reason` says why, and why numbers are missing."""

    n_total: int
    ece: float | None
    brier: float | None
    verdict: Verdict | None
    reason: str


def split(answers: Iterable[Sure], edges: Sequence[float]) -> list[list[Sure]]:
    """The answers of each bin, empty ones too; `edges` rise from 0 to 1."""
    groups: list[list[Sure]] = [[] for _ in edges[1:]]
    for one in answers:
        index = bisect_right(edges, one.confidence) - 1
        groups[min(index, len(groups) - 1)].append(one)
    return groups


def bins_of(answers: Iterable[Sure], edges: Sequence[float]) -> list[Bin]:
    """One bin between each two edges."""
    groups = split(answers, edges)
    return [_bin(*ends, group) for ends, group in zip(pairwise(edges), groups, strict=True)]


def _bin(low: float, high: float, answers: Sequence[Sure]) -> Bin:
    n = len(answers)
    if n == 0:
        return Bin(low, high, 0)
    right = sum(one.correct for one in answers)
    return Bin(low, high, n, _mean_confidence(answers), right / n, *wilson(right, n))


def ece(groups: Iterable[Sequence[Sure]]) -> float:
    """The expected calibration error, 0 to 1, of bins that hold at least one answer together."""
    n = 0
    gaps = []
    for group in groups:
        n += len(group)
        gaps.append(abs(math.fsum(one.confidence - one.correct for one in group)))
    return math.fsum(gaps) / n


def brier(answers: Sequence[Sure]) -> float:
    """The Brier score, 0 to 1, of at least one answer."""
    return math.fsum((one.confidence - one.correct) ** 2 for one in answers) / len(answers)


def judge(answers: Sequence[Sure], settings: CalibrationSettings) -> Calibration:
    """What the answers, in bins with the edges in `settings`, say."""
    n = len(answers)
    if n < settings.min_examples:
        reason = f"too few to tell: {n} examples, {settings.min_examples} needed"
        return Calibration(n, None, None, "too few to tell", reason)
    groups = split(answers, settings.edges)
    bins = zip(pairwise(settings.edges), groups, strict=True)
    labelled = [("", answers)]
    labelled += [(f" between {low:g} and {high:g}", own) for (low, high), own in bins if own]
    return Calibration(n, ece(groups), brier(answers), *_verdict(labelled))


def _verdict(labelled: Sequence[tuple[str, Sequence[Sure]]]) -> tuple[Verdict, str]:
    """The first group decides whose gap is no chance: the whole, then bins, the largest first."""
    whole, *bins = labelled
    for label, group in [whole, *sorted(bins, key=lambda one: -len(one[1]))]:
        if _chance(group) < LEVEL / len(labelled):
            over = _mean_confidence(group) > _accuracy(group)
            return ("over-confident" if over else "under-confident"), _numbers(label, group)
    return "calibrated", f"{_numbers(*whole)}: no further apart than chance allows"


def _numbers(label: str, group: Sequence[Sure]) -> str:
    confidence, accuracy = _mean_confidence(group), _accuracy(group)
    return (
        f"mean confidence{label} is {percent(confidence)}, and {percent(accuracy)} of {len(group)} "
        "are right"
    )


def _chance(group: Sequence[Sure]) -> float:
    """The p-value, twice the smaller tail, of the number of right answers."""
    return binomial(sum(one.correct for one in group), len(group), _mean_confidence(group))


def _mean_confidence(answers: Sequence[Sure]) -> float:
    return math.fsum(one.confidence for one in answers) / len(answers)


def _accuracy(answers: Sequence[Sure]) -> float:
    return sum(one.correct for one in answers) / len(answers)


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
    ending = ending_of(connection, evaluation_id)
    if ending is None:
        return
    if ending.reason is not None:
        key = {"evaluation_id": evaluation_id, "difficulty": ALL}
        rewrite(connection, VERDICT, key, [Calibration(0, None, None, None, ending.reason)])
        return
    groups: dict[str, list[Sure]] = defaultdict(list)
    groups[ALL] = []
    for one in answers_of(connection, evaluation_id, VALIDATION):
        for difficulty in (ALL, one.difficulty):
            group = groups[difficulty]
            if one.correct is not None and one.confidence is not None:
                group.append(Sure(one.confidence, one.correct))
    for difficulty, answers in sorted(groups.items()):
        key = {"evaluation_id": evaluation_id, "difficulty": difficulty}
        rewrite(connection, VERDICT, key, [judge(answers, settings)])
        rewrite(connection, BIN, key, bins_of(answers, settings.edges))


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
        question="Is each checkpoint right as often as it is sure?",
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
                version=1,
                tables=(VERDICT, BIN),
                listens=CHANGES,
                derive=per_evaluation(partial(derive, settings.calibration)),
                reads=("lifecycle", "results"),
                settings=settings_text(settings.calibration),
            ),
        ),
    )
