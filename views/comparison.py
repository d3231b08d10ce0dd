"""The rule for a regression: did a checkpoint get worse than the one before, beyond chance?

Pure functions over examples that both checkpoints measured. Two things are asked of the loss and of
the accuracy, each on its own:

- the limit: is it worse by more than the settings allow?
- the evidence: is it worse with p < 0.05 in a paired test, two-sided? For accuracy that is
  McNemar's exact test on right and wrong; for loss Student's paired t-test on each example's
  summed negative log-likelihood, whose mean difference is the change of the token-weighted loss.

REGRESSED needs both for the same measure, SUSPECT either one. A measure with fewer pairs than
`min_examples` is not judged, and INCONCLUSIVE means that neither could be.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

from settings import RegressionSettings
from views.statistics import mcnemar, paired_t
from views.words import percent, signed

Verdict = Literal["OK", "SUSPECT", "REGRESSED", "INCONCLUSIVE", "FAILED"]

SIGNIFICANT = 0.05
# A change this close to its limit is at it, and a limit may be reached; a loss this small is 0.
ROUNDING = 1e-9


class Observed(NamedTuple):
    """One example at one checkpoint: `nll` is summed over the target's `tokens`, in nats."""

    nll: float | None
    tokens: int | None
    correct: bool | None
    grader: str | None


class Pair(NamedTuple):
    """One example at two checkpoints."""

    now: Observed
    before: Observed


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


def alone(observed: Sequence[Observed], reason: str) -> Change:
    """Measured examples that have nothing to be compared with, for the given reason."""
    return Change(
        n=len(observed),
        verdict="INCONCLUSIVE",
        reason=reason,
        loss=_loss(observed),
        accuracy=_accuracy(observed),
    )


def compare(pairs: Sequence[Pair], settings: RegressionSettings) -> Change:
    """The change over examples that are comparable, each of them."""
    loss, accuracy = _judge_loss(pairs, settings), _judge_accuracy(pairs, settings)
    judged = [one for one in (loss, accuracy) if one is not None]
    n = len(pairs)
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


def is_measured(observed: Observed) -> bool:
    """Whether it has a loss or a grade."""
    return observed.nll is not None or observed.correct is not None


def is_comparable(pair: Pair) -> bool:
    """Whether loss or accuracy was measured on both sides."""
    return _both_scored(pair) or _both_graded(pair)


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


def _judge_loss(pairs: Sequence[Pair], settings: RegressionSettings) -> _Judged | None:
    paired = [pair for pair in pairs if _both_scored(pair)]
    now, before = _loss([pair.now for pair in paired]), _loss([pair.before for pair in paired])
    if now is None or before is None:
        return None
    change = (now - before) / before if before > ROUNDING else None
    differences = [(pair.now.nll or 0.0) - (pair.before.nll or 0.0) for pair in paired]
    p = paired_t(differences) if len(differences) > 1 else None
    limit = settings.loss_increase
    by = "no relative change from 0" if change is None else f"{signed(100 * change)} %"
    return _Judged(
        pairs=len(paired),
        now=now,
        before=before,
        change=change,
        p=p,
        over_limit=change is not None and change > limit + ROUNDING,
        evident=p is not None and p < SIGNIFICANT and math.fsum(differences) > 0.0,
        text=f"loss {before:.3f} → {now:.3f} ({by}, limit +{100 * limit:g} %{_with_p(p)})",
    )


def _judge_accuracy(pairs: Sequence[Pair], settings: RegressionSettings) -> _Judged | None:
    paired = [pair for pair in pairs if _both_graded(pair)]
    now = _accuracy([pair.now for pair in paired])
    before = _accuracy([pair.before for pair in paired])
    if now is None or before is None:
        return None
    lost = sum(bool(pair.before.correct) and not pair.now.correct for pair in paired)
    won = sum(bool(pair.now.correct) and not pair.before.correct for pair in paired)
    change = (won - lost) / len(paired)
    p = mcnemar(lost, won)
    limit = settings.accuracy_drop
    return _Judged(
        pairs=len(paired),
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


def _both_scored(pair: Pair) -> bool:
    return all(one.nll is not None and one.tokens for one in pair)


def _both_graded(pair: Pair) -> bool:
    """Right and wrong by two graders are not the same question."""
    graded = all(one.correct is not None for one in pair)
    return graded and pair.now.grader == pair.before.grader


def _loss(observed: Sequence[Observed]) -> float | None:
    """Nats a token; None without a scored token."""
    tokens = sum(one.tokens or 0 for one in observed if one.nll is not None)
    return (
        math.fsum(one.nll for one in observed if one.nll is not None) / tokens if tokens else None
    )


def _accuracy(observed: Sequence[Observed]) -> float | None:
    graded = [one.correct for one in observed if one.correct is not None]
    return sum(graded) / len(graded) if graded else None


def _with_p(p: float | None) -> str:
    if p is None:
        return ""
    return ", p < 0.001" if p < 0.001 else f", p = {p:.3f}"
