"""Losses and accuracies of a group of predictions: a pure function, and a reason for each gap."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from views.answers import Answers, first_error
from views.statistics import ratio_se, share_se, total, wilson
from views.words import count


class Measures(NamedTuple):
    """The measured columns of `result`; `reason` says why some are None or what they leave out."""

    n: int
    n_failed: int
    n_graded: int = 0
    loss: float | None = None
    perplexity: float | None = None
    bits_per_byte: float | None = None
    token_accuracy: float | None = None
    accuracy: float | None = None
    accuracy_low: float | None = None
    accuracy_high: float | None = None
    score: float | None = None
    loss_se: float | None = None
    accuracy_se: float | None = None
    reason: str | None = None


UNREADABLE = "the rows are bare text, or their targets are not what the grader reads"
WITHOUT_CHOICES = "the rows have no choices, or nothing that the grader takes was recorded of them"


def measure(answers: Answers, ungraded: str = UNREADABLE, failure: str | None = None) -> Measures:
    """The measures of all answers together; `ungraded` is why, should nothing be graded.

    `failure` says how the grader failed, on the first answer of its suite where it did.

    loss = −Σ target_logprob / Σ target_tokens (nats a token), so that every token weighs the same;
    its standard error takes the examples as clusters, whose rows stand together. accuracy = the
    share of right answers.
    """
    scored = answers[answers.scored]
    unscored = len(answers) - len(scored)
    measures = Measures(n=len(scored), n_failed=unscored)
    error = first_error(answers)
    if error is not None:
        measures = _noting(
            measures,
            f"{unscored} of {len(answers)} examples could not be scored. The first error: "
            f"{error.rstrip('.')}.",
        )
    if not len(scored):
        return measures if unscored else _noting(measures, "No example was evaluated.")
    measures = _with_losses(measures, scored)
    undone = int(scored.error_class.are("grader_failed").sum())
    if undone:
        # So much of what is not graded is the grader's fault, not the rows'.
        ungraded = "the grader failed"
        first = f" Its first error: {failure}." if failure else ""
        failed = f"The grader failed on {undone} of {count(len(scored), 'answer')}.{first}"
        measures = _noting(measures, failed)
    return _with_accuracies(measures, scored, ungraded)


def _noting(measures: Measures, note: str) -> Measures:
    """The measures with one more sentence to their reason."""
    return measures._replace(reason=f"{measures.reason} {note}" if measures.reason else note)


def _with_losses(measures: Measures, scored: Answers) -> Measures:
    with_target = scored[scored.has_target]
    tokens = int(with_target.target_tokens.sum())
    if tokens == 0:
        return _noting(measures, "No loss: no target token was scored.")
    if len(with_target) < len(scored):
        measures = _noting(
            measures, f"Losses are of the {len(with_target)} of {len(scored)} with a scored target."
        )
    size = int(with_target.target_bytes.sum())
    starts = np.flatnonzero(with_target.starts)
    nll = total(-with_target.target_logprob)
    measures = measures._replace(
        loss=nll / tokens,
        perplexity=_perplexity(nll / tokens),
        bits_per_byte=nll / (math.log(2) * size) if size else None,
        token_accuracy=int(with_target.target_top1.sum()) / tokens,
        loss_se=ratio_se(
            np.add.reduceat(-with_target.target_logprob, starts),
            np.add.reduceat(with_target.target_tokens, starts),
        ),
    )
    if measures.perplexity is None:
        measures = _noting(measures, "No perplexity: exp(loss) is too large a number.")
    if measures.bits_per_byte is None:
        measures = _noting(measures, "No bits per byte: the targets have no bytes.")
    if measures.loss_se is None:
        measures = _noting(measures, "No standard error of the loss: one example has no spread.")
    return measures


def _perplexity(loss: float) -> float | None:
    try:
        return math.exp(loss)
    except OverflowError:
        return None


def _with_accuracies(measures: Measures, scored: Answers, ungraded: str) -> Measures:
    graded = scored[scored.graded]
    n = len(graded)
    if n == 0:
        return _noting(measures, f"No accuracy: {ungraded}.")
    if n < len(scored):
        measures = _noting(
            measures, f"Accuracies are of the {n} of {len(scored)} that could be graded."
        )
    right = int(graded.right.sum())
    low, high = wilson(right, n)
    return measures._replace(
        n_graded=n,
        accuracy=right / n,
        accuracy_low=low,
        accuracy_high=high,
        score=total(graded.score) / n,
        accuracy_se=share_se(right, n),
    )
