"""The rule for a regression, in numbers and words: is a checkpoint worse, beyond chance?

Each measure, loss and accuracy, is asked three things:

- the limit: is it worse by more than the settings allow?
- the evidence: is it worse with p < 0.05 after the correction of Holm? That holds for this one
  comparison. It holds for a whole run if p is below `run_level` as well.
- the reach: does its 95 % interval exclude that it is worse than the limit?

REGRESSED is beyond the limit with evidence that holds for a whole run. SUSPECT is beyond the limit
without that evidence, or within it with p < 0.05. OK is neither, where the interval excludes more
than the limit; INCONCLUSIVE is neither, where it does not, or where there are fewer pairs than
`min_examples`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from settings import RegressionSettings
from views.answers import Answers
from views.comparison import ROUNDING, Compared, Measured, accuracy_of, loss_of
from views.words import count, percent, signed

Verdict = Literal["OK", "SUSPECT", "REGRESSED", "INCONCLUSIVE", "FAILED"]

SIGNIFICANT = 0.05
# Loss and accuracy, each over all examples and over the parts, against the checkpoint before and
# against the pinned one: each may raise a false alarm.
FAMILIES = 8


class Corrected(NamedTuple):
    """A p-value after the correction for all `tests` of its family; one test needs none."""

    p: float
    tests: int


class Change(NamedTuple):
    """How loss and accuracy changed over `n` examples, and what to think of it.

    As in Compared; `_low` and `_high` are the ends of intervals, `_p` is before and `_p_holm` after
    the correction. None is what could not be measured.
    """

    n: int
    verdict: Verdict
    reason: str
    clusters: int | None = None
    loss: float | None = None
    loss_before: float | None = None
    loss_change: float | None = None
    loss_low: float | None = None
    loss_high: float | None = None
    loss_p: float | None = None
    loss_p_holm: float | None = None
    loss_detectable: float | None = None
    accuracy: float | None = None
    accuracy_before: float | None = None
    accuracy_change: float | None = None
    accuracy_low: float | None = None
    accuracy_high: float | None = None
    accuracy_p: float | None = None
    accuracy_p_holm: float | None = None
    accuracy_detectable: float | None = None
    to_wrong: int | None = None
    to_right: int | None = None


class _Judged(NamedTuple):
    """The answers to the three questions for one measure, `holds` being for a whole run."""

    name: Literal["loss", "accuracy"]
    measured: Measured
    over: bool
    evident: bool
    holds: bool
    excluded: bool


def run_level(settings: RegressionSettings) -> float:
    """The p-value below which evidence holds for a whole run.

    A two-sided p-value is below α and on the worse side with a chance of α/2 at most. Over all
    families and checkpoints these chances add up to no more than `false_alarms` (Bonferroni).
    """
    return 2 * settings.false_alarms / (FAMILIES * settings.checkpoints)


def alone(answers: Answers, reason: str) -> Change:
    """Measured answers that have nothing to be compared with, for the given reason."""
    return Change(
        n=len(answers),
        verdict="INCONCLUSIVE",
        reason=reason,
        loss=loss_of(answers),
        accuracy=accuracy_of(answers),
    )


def enough(measured: Measured | None, settings: RegressionSettings) -> bool:
    """Whether there are enough pairs to judge a measure by."""
    return measured is not None and measured.pairs >= settings.min_examples


def rule(
    compared: Compared,
    loss: Corrected | None,
    accuracy: Corrected | None,
    settings: RegressionSettings,
) -> Change:
    """The verdict on a comparison; each measure that is judged comes with its corrected p-value."""
    judged = []
    if loss is not None and compared.loss is not None:
        judged.append(_judge_loss(compared.loss, loss.p, settings))
    if accuracy is not None and compared.accuracy is not None:
        judged.append(_judge_accuracy(compared.accuracy, accuracy.p, settings))
    verdict, conclusion = _conclude(judged, compared, settings)
    sentences = [conclusion]
    if compared.loss is not None:
        sentences.append(_loss_in_words(compared.loss, loss, settings))
    if compared.accuracy is not None:
        sentences.append(_accuracy_in_words(compared, compared.accuracy, accuracy, settings))
    if verdict != "REGRESSED":
        sentences.extend(_power_in_words(judged))
    return _filled(Change(compared.n, verdict, " ".join(sentences)), compared, loss, accuracy)


def _filled(
    change: Change, compared: Compared, loss: Corrected | None, accuracy: Corrected | None
) -> Change:
    """The change with all numbers of the comparison."""
    change = change._replace(
        clusters=compared.clusters, to_wrong=compared.to_wrong, to_right=compared.to_right
    )
    for name, one, corrected in (
        ("loss", compared.loss, loss),
        ("accuracy", compared.accuracy, accuracy),
    ):
        if one is None:
            continue
        low, high = one.interval or (None, None)
        numbers: dict[str, Any] = {
            name: one.now,
            f"{name}_before": one.before,
            f"{name}_change": one.change,
            f"{name}_low": low,
            f"{name}_high": high,
            f"{name}_p": one.p,
            f"{name}_p_holm": corrected.p if corrected else None,
            f"{name}_detectable": one.detectable,
        }
        change = change._replace(**numbers)
    return change


def _judge_loss(one: Measured, p: float, settings: RegressionSettings) -> _Judged:
    worse = one.now > one.before
    limit = settings.loss_increase + ROUNDING
    return _Judged(
        name="loss",
        measured=one,
        over=one.change is not None and one.change > limit,
        evident=worse and p < SIGNIFICANT,
        holds=worse and p < run_level(settings),
        excluded=not worse if one.change is None else _within(one, limit, 1.0),
    )


def _judge_accuracy(one: Measured, p: float, settings: RegressionSettings) -> _Judged:
    worse = one.now < one.before
    limit = settings.accuracy_drop + ROUNDING
    return _Judged(
        name="accuracy",
        measured=one,
        over=one.before - one.now > limit,
        evident=worse and p < SIGNIFICANT,
        holds=worse and p < run_level(settings),
        excluded=_within(one, limit, -1.0),
    )


def _within(one: Measured, limit: float, sign: float) -> bool:
    """Whether the worse end of the interval is within the limit."""
    return one.interval is not None and max(sign * end for end in one.interval) <= limit


def _conclude(
    judged: Sequence[_Judged], compared: Compared, settings: RegressionSettings
) -> tuple[Verdict, str]:
    if not judged:
        return (
            "INCONCLUSIVE",
            f"Too few examples to judge: {compared.n}, and at least {settings.min_examples} are "
            "needed.",
        )
    regressed = [one for one in judged if one.over and one.holds]
    if regressed:
        return (
            "REGRESSED",
            f"{_named(regressed)} worse than the limit allows, and beyond what chance does in a "
            f"run of {settings.checkpoints} checkpoints.",
        )
    over = [one for one in judged if one.over]
    if over:
        evident = [one for one in over if one.evident]
        if evident:
            return (
                "SUSPECT",
                f"{_named(evident)} worse than the limit allows, beyond chance for one comparison "
                f"and not for a run of {settings.checkpoints} checkpoints (p < "
                f"{run_level(settings):.2g}).",
            )
        return (
            "SUSPECT",
            f"{_named(over)} worse than the limit allows, but chance could do that on "
            f"{count(over[0].measured.pairs, 'example')}.",
        )
    evident = [one for one in judged if one.evident]
    if evident:
        return "SUSPECT", f"{_named(evident)} worse beyond chance, but within the limit."
    open_ones = [one for one in judged if not one.excluded]
    if open_ones:
        return "INCONCLUSIVE", _too_few(open_ones[-1], settings)
    return "OK", "Within the limits; the intervals exclude anything beyond them."


def _too_few(one: _Judged, settings: RegressionSettings) -> str:
    """What is not excluded, and how many examples would exclude it were there no change."""
    limit = settings.loss_increase if one.name == "loss" else settings.accuracy_drop
    beyond = (
        f"a rise of the loss by more than {100 * limit:g} %"
        if one.name == "loss"
        else f"a drop of more than {100 * limit:g} points"
    )
    text = f"Too few examples to tell: {beyond} is not excluded."
    if one.measured.interval is None or limit == 0.0:
        return text
    low, high = one.measured.interval
    needed = math.ceil(one.measured.pairs * ((high - low) / 2 / limit) ** 2)
    if needed <= one.measured.pairs:
        return text
    return f"{text} About {needed:,} such examples would do, were there no change."


def _named(judged: Sequence[_Judged]) -> str:
    names = " and ".join(one.name for one in judged).capitalize()
    return f"{names} {'is' if len(judged) == 1 else 'are'}"


def _loss_in_words(one: Measured, corrected: Corrected | None, settings: RegressionSettings) -> str:
    change = "no relative change from 0" if one.change is None else f"{signed(100 * one.change)} %"
    text = f"Loss {one.before:.3f} to {one.now:.3f} nats, {change}"
    text += f" (limit +{100 * settings.loss_increase:g} %)"
    if one.interval is not None:
        text += f", 95 % interval {_ends(one)} %"
    return f"{text}{_with_p(corrected)}."


def _accuracy_in_words(
    compared: Compared, one: Measured, corrected: Corrected | None, settings: RegressionSettings
) -> str:
    text = f"Accuracy {percent(one.before)} to {percent(one.now)}, "
    text += f"{signed(100 * (one.change or 0.0))} points (limit −{100 * settings.accuracy_drop:g})"
    if one.interval is not None:
        text += f", 95 % interval {_ends(one)}"
    sources = f" from {count(one.clusters, 'source')}" if one.clusters < one.pairs else ""
    return (
        f"{text}{_with_p(corrected)}: of {count(one.pairs, 'answer')}{sources} "
        f"{compared.to_wrong:,} flipped to wrong, {compared.to_right:,} to right."
    )


def _ends(one: Measured) -> str:
    return " to ".join(signed(100 * end) for end in one.interval or ())


def _power_in_words(judged: Sequence[_Judged]) -> list[str]:
    """What these examples could show at all."""
    parts = []
    for one in judged:
        least = one.measured.detectable
        if least is not None and one.name == "loss":
            parts.append(f"loss from {signed(100 * least)} %")
        elif least is not None:
            parts.append(f"accuracy from {signed(-100 * least)} points")
    return [f"Likely to show (80 % power): {', '.join(parts)}."] if parts else []


def _with_p(corrected: Corrected | None) -> str:
    if corrected is None:
        return ""
    text = "p < 0.0001" if corrected.p < 0.0001 else f"p = {corrected.p:.2g}"
    return f", {text}" + (" after Holm" if corrected.tests > 1 else "")
