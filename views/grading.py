"""Graders: texts in, grades out. Pure and versioned, so that grading is done again without a model.

A grader is named NAME@VERSION, and a plain NAME means its newest version. One whose outcome changes
for any text gets a new version, and the old one stays. docs/graders.md has an example of each.

- exact@1: the same text after Unicode NFC, with white space trimmed and runs of it made one space.
  Case and punctuation count; an answer that is wrong by these alone is called `format_only`.
- numeric@1: the last number of each text. Whole numbers must be equal; otherwise a relative
  difference of 1e-6 is allowed. Commas between thousands are read, fractions are not.
- json@1: the same JSON value; the order of keys is free, and a Markdown code fence around it is
  taken off. The score is the share of fields that are equal.
- contains@1: the target stands in the text as whole words, whatever the case.
- regex@1: the target is a pattern that matches somewhere in the text, trimmed of white space; ^ and
  $ in it tie it to the ends. What is not read of Python's syntax stands in graders/patterns.py.
- set_f1@1: the same items between commas, semicolons and ends of line, in any order and case. The
  score is their F1.
- first_line@1, last_line@1: exact@1 on the first or last line that is not blank.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from typing import NamedTuple

from errors import SettingsError
from views.graders.numerals import numeric
from views.graders.patterns import regex
from views.graders.sets import set_f1
from views.graders.structures import same_json
from views.graders.texts import contains, exact, first_line, last_line
from views.graders.verdict import ErrorClass, Grader, Verdict
from views.likeness import is_loop, is_near_miss, is_same_but_for_format


class Grade(NamedTuple):
    """What a grader says of one answer.

    `score` is between 0 and 1. `parsed` and `expected` are what was compared, None where it could
    not be read. `error_class` is None for a right answer. `correct` and `score` are None when
    there is nothing to grade.
    """

    correct: bool | None
    score: float | None
    parsed: str | None
    expected: str | None
    error_class: ErrorClass | None


# Takes the text generated, and whether the token limit ended it.
Grading = Callable[[str, bool], Grade]


NOT_SCORED = Grade(None, None, None, None, "not_scored")
NOT_GRADED = Grade(None, None, None, None, "not_graded")
CHOICE = "choice@1"


def resolve(grader: str) -> str:
    """The full name, with its version. Raises SettingsError, naming the known ones."""
    if grader in _GRADERS:
        return grader
    versions = [name for name in _GRADERS if name.partition("@")[0] == grader]
    if not versions:
        raise SettingsError(f"there is no grader {grader!r}. {_known(grader)}")
    return max(versions, key=lambda name: int(name.partition("@")[2]))


def _known(grader: str) -> str:
    """The graders that there are, and the one that is most like an unknown one."""
    names = dict.fromkeys(
        name for full in sorted(_GRADERS) for name in (full.partition("@")[0], full)
    )
    near = difflib.get_close_matches(grader, names, n=1)
    known = f"There are: {', '.join(sorted(_GRADERS))}."
    return f"{known} The nearest is {near[0]!r}." if near else known


def grade(grader: str, generated: str, target: str, *, truncated: bool = False) -> Grade:
    """Grades `generated` against `target`. `truncated` says that the token limit ended it.

    Raises SettingsError for an unknown grader.
    """
    return grading(grader, target)(generated, truncated)


def grading(grader: str, target: str) -> Grading:
    """`grade` for many answers to one target, which is read once.

    Raises SettingsError for an unknown grader.
    """
    judge = _GRADERS[resolve(grader)](target)
    # What most answers get: word for word what was asked for.
    perfect: Grade | None = None

    def grade_one(generated: str, truncated: bool) -> Grade:
        nonlocal perfect
        if perfect is not None and generated == target:
            return perfect
        if judge is None:
            return NOT_GRADED
        found = judge(generated)
        score, parsed, expected = found[:3]
        if score != 1.0:
            error_class = _error_class(found, generated, target, truncated)
            return Grade(False, score, parsed, expected, error_class)
        grade = Grade(True, score, parsed, expected, None)
        if generated == target:
            perfect = grade
        return grade

    return grade_one


def grade_choice(choices: Sequence[str], logprobs: Sequence[float], target: str) -> Grade:
    """Grades a multiple-choice row: the likeliest choice (the first, if several are) is the answer.

    `logprobs` holds one summed log-probability a choice, in nats.
    """
    answer = max(zip(choices, logprobs, strict=True), key=lambda pair: pair[1])[0]
    correct = answer == target
    return Grade(correct, float(correct), answer, target, None if correct else "wrong_answer")


def _error_class(found: Verdict, generated: str, target: str, truncated: bool) -> ErrorClass:
    """The first class that fits: how the text broke down, then how far off the answer is."""
    parsed, expected = found.parsed or "", found.expected or ""
    if not generated.strip():
        return "empty"
    if len(generated) > len(target) and is_loop(generated):
        return "repetition"
    if truncated and not found.whole:
        return "truncated"
    if found.fault is not None:
        return found.fault
    if is_same_but_for_format(parsed, expected):
        return "format_only"
    if is_near_miss(parsed, expected):
        return "near_miss"
    return "wrong_answer"


# By name: what makes a judge from a target.
_GRADERS: dict[str, Grader] = {
    "exact@1": exact,
    "numeric@1": numeric,
    "json@1": same_json,
    "contains@1": contains,
    "regex@1": regex,
    "set_f1@1": set_f1,
    "first_line@1": first_line,
    "last_line@1": last_line,
}
VERSIONS = (*sorted(_GRADERS), CHOICE)
