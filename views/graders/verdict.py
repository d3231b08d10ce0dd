"""What a grader finds in one answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

ErrorClass = Literal[
    "not_scored",  # the prediction is an error: there is no answer
    "not_graded",  # nothing to grade: bare text, or a target that the grader cannot read
    "grader_failed",  # a user's own grader raised, or returned what is no grade
    "empty",
    "repetition",
    "truncated",
    "not_json",
    "wrong_type",  # no number where one is asked for; an array in place of an object
    "format_only",  # right but for case, punctuation or white space
    "near_miss",  # one or two characters off
    "wrong_answer",
]


class Verdict(NamedTuple):
    """What a single grader finds; `fault` is an error class of its own.

    `score` is between 0 and 1. `parsed` and `expected` are what was compared, None where it could
    not be read. `whole` says that the token limit did not cut what was compared, wherever the text
    ends.
    """

    score: float
    parsed: str | None
    expected: str | None
    fault: ErrorClass | None = None
    whole: bool = False


# Takes the text generated; a grader makes it from a target. None: there is nothing to grade.
Judge = Callable[[str], Verdict | None]
# Makes a judge from a target, or None of a target that it cannot read.
Grader = Callable[[str], Judge | None]
