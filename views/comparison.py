"""The rule for a regression: did a checkpoint get worse than the one before, beyond chance?

Pure functions over the answers of two checkpoints, paired row by row. Two things are asked of the
loss and of the accuracy, each on its own:

- the limit: is it worse by more than the settings allow?
- the evidence: is it worse with p < 0.05 in a paired test, two-sided? For accuracy that is
  McNemar's exact test on right and wrong; for loss Student's paired t-test on each example's
  summed negative log-likelihood, whose mean difference is the change of the token-weighted loss.

REGRESSED needs both for the same measure, SUSPECT either one. A measure with fewer pairs than
`min_examples` is not judged, and INCONCLUSIVE means that neither could be.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from settings import RegressionSettings
from views.answers import Answers
from views.statistics import mcnemar, paired_t, total
from views.words import percent, signed

Verdict = Literal["OK", "SUSPECT", "REGRESSED", "INCONCLUSIVE", "FAILED"]

SIGNIFICANT = 0.05
# A change this close to its limit is at it, and a limit may be reached; a loss this small is 0.
ROUNDING = 1e-9


class Pairs(NamedTuple):
    """The same predictions at two checkpoints: two tables of equal length, row by row."""

    now: Answers
    before: Answers

    def where(self, rows: NDArray[np.bool_]) -> Pairs:
        """Some of the pairs, picked by a mask."""
        return Pairs(self.now[rows], self.before[rows])


class Change(NamedTuple):
    """How loss and accuracy changed over `n` examples, and what to think of it.

    `loss_change` is relative to `loss_before`, `accuracy_change` in shares; the p-values are of the
    paired tests. None is what could not be measured.
    """

    n: int
    verdict: Verdict
    reason: str
    loss: float | None = None
    loss_before: float | None = None
    loss_change: float | None = None
    loss_p: float | None = None
    accuracy: float | None = None
    accuracy_before: float | None = None
    accuracy_change: float | None = None
    accuracy_p: float | None = None


class _Judged(NamedTuple):
    """One measure before and after, with the two questions answered; `change` > 0 is more."""

    pairs: int
    now: float
    before: float
    change: float | None
    p: float | None
    over_limit: bool
    evident: bool
    text: str


def alone(answers: Answers, reason: str) -> Change:
    """Measured answers that have nothing to be compared with, for the given reason."""
    return Change(
        n=len(answers),
        verdict="INCONCLUSIVE",
        reason=reason,
        loss=_loss(answers),
        accuracy=_accuracy(answers),
    )


def compare(pairs: Pairs, settings: RegressionSettings) -> Change:
    """The change over pairs that are comparable, each of them."""
    loss, accuracy = _judge_loss(pairs, settings), _judge_accuracy(pairs, settings)
    judged = [one for one in (loss, accuracy) if one is not None]
    n = len(pairs.now)
    verdict, conclusion = _conclude(judged, n, settings)
    change = Change(n, verdict, "; ".join(one.text for one in judged) + f". {conclusion}")
    if loss is not None:
        change = change._replace(
            loss=loss.now, loss_before=loss.before, loss_change=loss.change, loss_p=loss.p
        )
    if accuracy is not None:
        change = change._replace(
            accuracy=accuracy.now,
            accuracy_before=accuracy.before,
            accuracy_change=accuracy.change,
            accuracy_p=accuracy.p,
        )
    return change


def measured(answers: Answers) -> NDArray[np.bool_]:
    """Which rows have a loss or a grade."""
    return answers.has_target | answers.graded


def comparable(pairs: Pairs) -> NDArray[np.bool_]:
    """Which pairs have a loss on both sides, or a grade."""
    return _both_scored(pairs) | _both_graded(pairs)


def _conclude(
    judged: Sequence[_Judged], n: int, settings: RegressionSettings
) -> tuple[Verdict, str]:
    enough = [one for one in judged if one.pairs >= settings.min_examples]
    if not enough:
        return (
            "INCONCLUSIVE",
            f"Too few examples to judge: {n}, and at least {settings.min_examples} are needed.",
        )
    if any(one.over_limit and one.evident for one in enough):
        return "REGRESSED", "Worse than the limit allows, and beyond chance."
    if any(one.over_limit for one in enough):
        return "SUSPECT", f"Worse than the limit allows, but chance could do that on {n} examples."
    if any(one.evident for one in enough):
        return "SUSPECT", "Within the limits, but worse beyond chance."
    return "OK", "Within the limits."


def _judge_loss(pairs: Pairs, settings: RegressionSettings) -> _Judged | None:
    paired = pairs.where(_both_scored(pairs))
    now, before = _loss(paired.now), _loss(paired.before)
    if now is None or before is None:
        return None
    change = (now - before) / before if before > ROUNDING else None
    differences = paired.before.target_logprob - paired.now.target_logprob
    p = paired_t(differences) if len(differences) > 1 else None
    limit = settings.loss_increase
    by = "no relative change from 0" if change is None else f"{signed(100 * change)} %"
    return _Judged(
        pairs=len(differences),
        now=now,
        before=before,
        change=change,
        p=p,
        over_limit=change is not None and change > limit + ROUNDING,
        evident=p is not None and p < SIGNIFICANT and total(differences) > 0.0,
        text=f"loss {before:.3f} → {now:.3f} ({by}, limit +{100 * limit:g} %{_with_p(p)})",
    )


def _judge_accuracy(pairs: Pairs, settings: RegressionSettings) -> _Judged | None:
    paired = pairs.where(_both_graded(pairs))
    now, before = _accuracy(paired.now), _accuracy(paired.before)
    if now is None or before is None:
        return None
    right, was_right = paired.now.right, paired.before.right
    lost = int((was_right & ~right).sum())
    won = int((right & ~was_right).sum())
    change = (won - lost) / len(right)
    p = mcnemar(lost, won)
    limit = settings.accuracy_drop
    return _Judged(
        pairs=len(right),
        now=now,
        before=before,
        change=change,
        p=p,
        over_limit=-change > limit + ROUNDING,
        evident=p < SIGNIFICANT and lost > won,
        text=(
            f"accuracy {percent(before)} → {percent(now)} ({signed(100 * change)} points, "
            f"limit −{100 * limit:g}{_with_p(p)})"
        ),
    )


def _both_scored(pairs: Pairs) -> NDArray[np.bool_]:
    """A target without a token has no loss."""
    now, before = pairs
    tokens = np.minimum(now.target_tokens, before.target_tokens)
    return now.has_target & before.has_target & (tokens > 0)


def _both_graded(pairs: Pairs) -> NDArray[np.bool_]:
    """Right and wrong by two graders are not the same question."""
    now, before = pairs
    return now.graded & before.graded & now.grader.equal(before.grader)


def _loss(answers: Answers) -> float | None:
    """Nats a token; None without a scored token."""
    tokens = int(answers.target_tokens.sum())
    return total(-answers.target_logprob[answers.has_target]) / tokens if tokens else None


def _accuracy(answers: Answers) -> float | None:
    graded = int(answers.graded.sum())
    return int(answers.right.sum()) / graded if graded else None


def _with_p(p: float | None) -> str:
    if p is None:
        return ""
    return ", p < 0.001" if p < 0.001 else f", p = {p:.3f}"
