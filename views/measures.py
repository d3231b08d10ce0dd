"""Losses and accuracies of a group of predictions: a pure function, and a reason for each gap."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from views.statistics import ratio_se, share_se, wilson


class Measured(NamedTuple):
    """What of one prediction goes into the measures.

    `target_logprob` is summed over the target's tokens, in nats; the target's measures are None
    where it was not scored, the grade's where it was not graded.
    """

    example_id: str
    target_logprob: float | None
    target_tokens: int | None
    target_bytes: int | None
    target_top1: int | None
    correct: bool | None
    score: float | None
    error: str | None


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


def measure(predictions: Sequence[Measured], ungraded: str = UNREADABLE) -> Measures:
    """The measures of all predictions together; `ungraded` is why, should nothing be graded.

    loss = −Σ target_logprob / Σ target_tokens (nats a token), so that every token weighs the same;
    its standard error takes the examples as clusters. accuracy = the share of right answers.
    """
    errors = [one.error for one in predictions if one.error is not None]
    scored = [one for one in predictions if one.error is None]
    measures = Measures(n=len(scored), n_failed=len(errors))
    if errors:
        measures = _noting(
            measures,
            f"{len(errors)} of {len(predictions)} examples could not be scored. The first error: "
            f"{errors[0].rstrip('.')}.",
        )
    if not scored:
        return measures if errors else _noting(measures, "No example was evaluated.")
    return _with_accuracies(_with_losses(measures, scored), scored, ungraded)


def _noting(measures: Measures, note: str) -> Measures:
    """The measures with one more sentence to their reason."""
    return measures._replace(reason=f"{measures.reason} {note}" if measures.reason else note)


def _with_losses(measures: Measures, scored: Sequence[Measured]) -> Measures:
    nll: dict[str, list[float]] = defaultdict(list)
    tokens: dict[str, int] = defaultdict(int)
    with_target = size = top1 = 0
    for one in scored:
        if one.target_logprob is None:
            continue
        assert one.target_tokens is not None
        assert one.target_bytes is not None
        assert one.target_top1 is not None
        with_target += 1
        nll[one.example_id].append(-one.target_logprob)
        tokens[one.example_id] += one.target_tokens
        size += one.target_bytes
        top1 += one.target_top1
    count = sum(tokens.values())
    if count == 0:
        return _noting(measures, "No loss: no target token was scored.")
    if with_target < len(scored):
        measures = _noting(
            measures, f"Losses are of the {with_target} of {len(scored)} with a scored target."
        )
    sums = [math.fsum(parts) for parts in nll.values()]
    total = math.fsum(sums)
    measures = measures._replace(
        loss=total / count,
        perplexity=_perplexity(total / count),
        bits_per_byte=total / (math.log(2) * size) if size else None,
        token_accuracy=top1 / count,
        loss_se=ratio_se(sums, list(tokens.values())),
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


def _with_accuracies(measures: Measures, scored: Sequence[Measured], ungraded: str) -> Measures:
    graded = [one for one in scored if one.correct is not None]
    n = len(graded)
    if n == 0:
        return _noting(measures, f"No accuracy: {ungraded}.")
    if n < len(scored):
        measures = _noting(
            measures, f"Accuracies are of the {n} of {len(scored)} that could be graded."
        )
    right = sum(one.correct is True for one in graded)
    low, high = wilson(right, n)
    return measures._replace(
        n_graded=n,
        accuracy=right / n,
        accuracy_low=low,
        accuracy_high=high,
        score=math.fsum(one.score for one in graded if one.score is not None) / n,
        accuracy_se=share_se(right, n),
    )
