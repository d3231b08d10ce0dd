"""The rules of tests: pass or fail by a threshold, and how far a suite fell since it was last seen.

Pure functions on results. Shares are compared as fractions of whole numbers, so that a drop of
exactly five points is five points.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import groupby
from operator import attrgetter
from typing import Literal, NamedTuple

from settings import SuiteTestSettings
from views.scope import Result
from views.statistics import wilson
from views.words import count, percent

Status = Literal["PASS", "FAIL", "FAILED", "UNTESTED"]
Trend = Literal["steady", "dropped", "critical"]


@dataclass(frozen=True)
class Measured:
    """What a test or a part of it measured; None is what was not.

    `n` counts graded answers, `n_failed` predictions that are an error instead, `n_ungraded` those
    that were scored and could not be graded. `accuracy_low` and `accuracy_high` are the ends of
    the 95 % interval (Wilson). `accuracy_change` is in shares since `previous_step`, the step
    before that measured the same suite by the same grader.
    """

    checkpoint_id: str
    suite: str
    step: int
    n: int
    n_failed: int
    n_ungraded: int
    accuracy: float | None
    accuracy_low: float | None
    accuracy_high: float | None
    previous_step: int | None
    previous_accuracy: float | None
    accuracy_change: float | None
    trend: Trend | None
    reason: str


@dataclass(frozen=True)
class Part(Measured):
    """One difficulty of a test."""

    difficulty: str


@dataclass(frozen=True)
class Outcome(Measured):
    """A suite's test at one checkpoint, all difficulties together.

    `certain` is whether the whole interval is on the same side of the threshold as the accuracy.
    """

    evaluation_id: str
    threshold: float | None
    passed: bool | None
    certain: bool | None
    status: Status


class _Seen(NamedTuple):
    """What an earlier step measured: of which content and by which grader."""

    step: int
    of: frozenset[tuple[str, str | None]]
    share: Fraction


def judge(
    results: Sequence[Result], thresholds: Mapping[str, float], settings: SuiteTestSettings
) -> tuple[list[Outcome], list[Part]]:
    """The tests of one run's validation results, sorted by step, checkpoint and suite; their parts.

    `thresholds` are by suite name.
    """
    outcomes, parts = [], []
    seen: dict[tuple[str, str | None], list[_Seen]] = {}
    for (_, suite), several in groupby(results, key=attrgetter("checkpoint_id", "suite")):
        of_suite = list(several)
        before = seen.setdefault((suite, None), [])
        whole = _measure(of_suite, before, settings)
        outcomes.append(_outcome(whole, of_suite[0].evaluation_id, thresholds.get(suite)))
        for difficulty, own in groupby(of_suite, key=attrgetter("difficulty")):
            before = seen.setdefault((suite, difficulty), [])
            part = _measure(list(own), before, settings)
            parts.append(Part(**vars(part), difficulty=difficulty))
    return outcomes, parts


def _outcome(whole: Measured, evaluation_id: str, threshold: float | None) -> Outcome:
    """The verdict on what was measured, and its reason in front of the others."""
    accuracy, low, high = whole.accuracy, whole.accuracy_low, whole.accuracy_high
    status: Status = "FAILED"
    passed = certain = None
    reason = whole.reason
    if accuracy is None or low is None or high is None:
        pass
    elif threshold is None:
        status = "UNTESTED"
        reason = f"The suite has no pass_threshold in milepost.toml. {reason}"
    else:
        passed = accuracy >= threshold
        certain = low >= threshold if passed else high < threshold
        status = "PASS" if passed else "FAIL"
        words = f"{percent(accuracy)} right, and at least {percent(threshold)} must be."
        if not certain:
            words += (
                f" So few answers leave both open: the 95 % interval goes from {percent(low)} to "
                f"{percent(high)}."
            )
        reason = f"{words} {reason}"
    return Outcome(
        **{**vars(whole), "reason": reason.strip()},
        evaluation_id=evaluation_id,
        threshold=threshold,
        passed=passed,
        certain=certain,
        status=status,
    )


def _measure(
    results: Sequence[Result], before: list[_Seen], settings: SuiteTestSettings
) -> Measured:
    """What these results measured together. What they measured is added to `before`."""
    first = results[0]
    right = sum(round(one.accuracy * one.n_graded) for one in results if one.accuracy is not None)
    n = sum(one.n_graded for one in results)
    failed = sum(one.n_failed for one in results)
    ungraded = sum(one.n - one.n_graded for one in results) if first.completed else 0
    low, high = wilson(right, n) if n else (None, None)
    earlier = next((one for one in reversed(before) if one.step < first.step), None)
    of = frozenset((one.suite_id, one.grader) for one in results)
    same = earlier if earlier is not None and earlier.of == of else None
    share = Fraction(right, n) if n else None
    if share is not None:
        before.append(_Seen(first.step, of, share))
    fall = same.share - share if same is not None and share is not None else None
    return Measured(
        checkpoint_id=first.checkpoint_id,
        suite=first.suite,
        step=first.step,
        n=n,
        n_failed=failed,
        n_ungraded=ungraded,
        accuracy=float(share) if share is not None else None,
        accuracy_low=low,
        accuracy_high=high,
        previous_step=same.step if same is not None and fall is not None else None,
        previous_accuracy=float(same.share) if same is not None and fall is not None else None,
        accuracy_change=float(-fall) if fall is not None else None,
        trend=_trend(fall, settings) if fall is not None else None,
        reason=_missing(results)
        if share is None
        else " ".join([*_left_out(failed, ungraded), *_beside(fall, earlier, same)]),
    )


def _trend(fall: Fraction, settings: SuiteTestSettings) -> Trend:
    if fall > _exact(settings.critical_drop):
        return "critical"
    return "dropped" if fall > _exact(settings.drop) else "steady"


def _exact(share: float) -> Fraction:
    """The fraction that was written in milepost.toml: 0.05 is one in twenty."""
    return Fraction(repr(share))


def _missing(results: Sequence[Result]) -> str:
    """Why there is no accuracy."""
    reasons = dict.fromkeys(one.reason for one in results if one.reason is not None)
    return " ".join(reasons) or "Nothing was measured."


def _left_out(failed: int, ungraded: int) -> list[str]:
    """What the accuracy does not cover."""
    return [
        f"{count(n, noun)} could not be {done} and {'is' if n == 1 else 'are'} left out."
        for n, noun, done in ((failed, "example", "scored"), (ungraded, "answer", "graded"))
        if n
    ]


def _beside(fall: Fraction | None, earlier: _Seen | None, same: _Seen | None) -> list[str]:
    """The step before, in words."""
    if earlier is None:
        return []
    if same is None or fall is None:
        return [
            f"Not comparable with step {earlier.step}: the suite or its grader has changed since."
        ]
    if not fall:
        return [f"As many as at step {same.step}."]
    points = f"{abs(100 * float(fall)):.1f}".removesuffix(".0")
    unit = "point" if points == "1" else "points"
    return [f"{points} {unit} {'less' if fall > 0 else 'more'} than at step {same.step}."]
