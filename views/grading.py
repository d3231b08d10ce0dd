"""Graders: texts in, grades out. Pure and versioned, so that grading is done again without a model.

A grader is named NAME@VERSION, and a plain NAME means its newest version. One whose outcome changes
for any text gets a new version, and the old one stays. docs/graders.md has an example of each.

- exact: the same text after Unicode NFC, with white space trimmed and runs of it made one space.
  Case and punctuation count; an answer that is wrong by these alone is called `format_only`.
- numeric@1: the last number of each text. Whole numbers must be equal; otherwise a relative
  difference of 1e-6 is allowed. Commas between thousands are read, fractions are not.
- numeric@2: the number that is marked as the answer, or else the last; fractions and per cent too.
- json: the same JSON value; the order of keys is free, and a Markdown code fence around it is
  taken off. The score is the share of fields that are equal.
- contains: the target stands in the text as whole words, whatever the case.
- regex: the target is a pattern that matches somewhere in the text, trimmed of white space; ^ and
  $ in it tie it to the ends. What is not read of Python's syntax stands in graders/patterns.py.
- set_f1: the same items between commas, semicolons and ends of line, in any order and case. The
  score is their F1.
- first_line, last_line: exact on the first or last line that is not blank.
- choice, choice_norm, choice_text: for rows with choices, in graders/choices.py.
- python:MODULE:FUNCTION: a function of the user's own, in graders/own.py.

The versions @1 of these read all of a text, and @2 what follows its `</think>`.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from errors import GraderFault, SettingsError
from views.graders import own as own_graders
from views.graders.choices import likeliest, likeliest_by_bytes, named_choice
from views.graders.numerals import numeric, quantity
from views.graders.own import OwnGrader
from views.graders.patterns import regex
from views.graders.sets import set_f1
from views.graders.structures import same_json
from views.graders.texts import contains, exact, first_line, last_line
from views.graders.thinking import Read, after_thinking, whole
from views.graders.verdict import ErrorClass, Grader, Judge, Verdict
from views.likeness import is_loop, is_near_miss, is_same_but_for_format


class Grade(NamedTuple):
    """What a grader says of one answer.

    `score` is between 0 and 1. `parsed` and `expected` are what was compared, None where it could
    not be read. `error_class` is None for a right answer. `correct` and `score` are None when
    there is nothing to grade, or when the grader failed, which `failure` has the words for.
    """

    correct: bool | None
    score: float | None
    parsed: str | None
    expected: str | None
    error_class: ErrorClass | None
    failure: str | None = None


# Takes the text generated, and whether the token limit ended it.
Grading = Callable[[str, bool], Grade]
# The graders of the user's own that milepost.toml names, by name without version.
Own = Mapping[str, OwnGrader]


class _Recipe(NamedTuple):
    """What makes a judge from a target, and what it reads of a text."""

    grader: Grader
    read: Callable[[str], Read] = after_thinking


NOT_SCORED = Grade(None, None, None, None, "not_scored")
NOT_GRADED = Grade(None, None, None, None, "not_graded")
CHOICE, CHOICE_NORM, CHOICE_TEXT = "choice@1", "choice_norm@1", "choice_text@1"
CHOICE_GRADERS = (CHOICE, CHOICE_NORM, CHOICE_TEXT)
NONE_OF_ONES_OWN: Own = {}


def resolve(grader: str, own: Own = NONE_OF_ONES_OWN) -> str:
    """The full name, with its version.

    Raises SettingsError for an unknown one, naming the known ones, and for one of the user's own
    that cannot be run, or not in this version.
    """
    if grader.startswith(own_graders.PREFIX):
        return _find_own(grader, own).ready()
    if grader in VERSIONS:
        return grader
    versions = [name for name in VERSIONS if name.partition("@")[0] == grader]
    if not versions:
        raise SettingsError(f"there is no grader {grader!r}. {_known(grader)}")
    return max(versions, key=lambda name: int(name.partition("@")[2]))


def _find_own(grader: str, own: Own) -> OwnGrader:
    name, _, version = grader.partition("@")
    if name not in own:
        raise SettingsError(
            f"no suite in milepost.toml has the grader {name!r}, and code that is not named there "
            "is not run"
        )
    found = own[name]
    if version and version != found.version:
        raise SettingsError(
            f"{found.file} has changed: it is {found.full_name} now, and {grader} is gone"
        )
    return found


def _known(grader: str) -> str:
    """The graders that there are, and the one that is most like an unknown one."""
    plain = sorted({full.partition("@")[0] for full in VERSIONS})
    near = difflib.get_close_matches(grader, [*plain, *VERSIONS], n=1)
    known = f"There are: {', '.join(plain)}, and python:MODULE:FUNCTION for your own."
    return f"{known} The nearest is {near[0]!r}." if near else known


def grade(
    grader: str,
    generated: str,
    target: str,
    *,
    truncated: bool = False,
    own: Own = NONE_OF_ONES_OWN,
) -> Grade:
    """Grades `generated` against `target`. `truncated` says that the token limit ended it.

    Raises SettingsError as `resolve` does.
    """
    return grading(grader, target, own)(generated, truncated)


def grading(grader: str, target: str, own: Own = NONE_OF_ONES_OWN) -> Grading:
    """`grade` for many answers to one target, which is read once.

    A grader of choices grades nothing here. Raises SettingsError as `resolve` does.
    """
    if grader.startswith(own_graders.PREFIX):
        recipe = _Recipe(_find_own(grader, own).grader)
    else:
        full = resolve(grader)
        recipe = _GRADERS[full] if full in _GRADERS else _Recipe(lambda _target: None)
    return _grading(recipe.grader(recipe.read(target).answer), target, recipe.read)


def grading_by_name(choices: Sequence[str], target: str) -> Grading:
    """Grades the choice that a text names, as CHOICE_TEXT does."""
    return _grading(named_choice(choices, target), target, after_thinking)


def grade_choice(
    choices: Sequence[str], logprobs: Sequence[float], target: str, grader: str = CHOICE
) -> Grade:
    """Grades a multiple-choice row: the likeliest choice (the first, if several are) is the answer.

    `logprobs` holds one summed log-probability a choice, in nats; CHOICE_NORM takes them by the
    byte.
    """
    place = likeliest_by_bytes(choices, logprobs) if grader == CHOICE_NORM else likeliest(logprobs)
    if place is None:
        return NOT_GRADED
    answer = choices[place]
    correct = answer == target
    return Grade(correct, float(correct), answer, target, None if correct else "wrong_answer")


def _grading(judge: Judge | None, target: str, read: Callable[[str], Read]) -> Grading:
    # What most answers get: word for word what was asked for.
    perfect: Grade | None = None

    def grade_one(generated: str, truncated: bool) -> Grade:
        nonlocal perfect
        if perfect is not None and generated == target:
            return perfect
        if judge is None:
            return NOT_GRADED
        answer = read(generated)
        try:
            found = judge(answer.answer)
        except GraderFault as fault:
            return Grade(None, None, None, None, "grader_failed", str(fault))
        if found is None:
            return NOT_GRADED
        score, parsed, expected = found[:3]
        if score != 1.0:
            cut = truncated and not (found.whole and answer.finished)
            error_class = _error_class(found, answer.answer, generated, target, cut=cut)
            return Grade(False, score, parsed, expected, error_class)
        grade = Grade(True, score, parsed, expected, None)
        if generated == target:
            perfect = grade
        return grade

    return grade_one


def _error_class(
    found: Verdict, answer: str, generated: str, target: str, *, cut: bool
) -> ErrorClass:
    """The first class that fits: how the text broke down, then how far off the answer is.

    `answer` is what was read of the text; `cut` is whether the token limit cut that.
    """
    parsed, expected = found.parsed or "", found.expected or ""
    if not generated.strip():
        return "empty"
    if len(generated) > len(target) and is_loop(generated):
        return "repetition"
    if cut:
        return "truncated"
    if not answer.strip():
        return "empty"
    if found.fault is not None:
        return found.fault
    if is_same_but_for_format(parsed, expected):
        return "format_only"
    if is_near_miss(parsed, expected):
        return "near_miss"
    return "wrong_answer"


# By name: what makes a judge from a target, and what it reads.
_GRADERS: dict[str, _Recipe] = {
    "exact@1": _Recipe(exact, whole),
    "exact@2": _Recipe(exact),
    "numeric@1": _Recipe(numeric, whole),
    "numeric@2": _Recipe(quantity),
    "json@1": _Recipe(same_json, whole),
    "json@2": _Recipe(same_json),
    "contains@1": _Recipe(contains, whole),
    "contains@2": _Recipe(contains),
    "regex@1": _Recipe(regex, whole),
    "regex@2": _Recipe(regex),
    "set_f1@1": _Recipe(set_f1, whole),
    "set_f1@2": _Recipe(set_f1),
    "first_line@1": _Recipe(first_line, whole),
    "first_line@2": _Recipe(first_line),
    "last_line@1": _Recipe(last_line, whole),
    "last_line@2": _Recipe(last_line),
}
VERSIONS = (*sorted(_GRADERS), *CHOICE_GRADERS)
