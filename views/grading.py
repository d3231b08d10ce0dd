"""Graders: texts in, grades out. Pure and versioned, so that grading is done again without a model.

A grader is named NAME@VERSION, and a plain NAME means its newest version. One whose outcome changes
for any text gets a new version, and the old one stays.

- exact@1: the same text after Unicode NFC, with white space trimmed and runs of it made one space.
  Case and punctuation count; an answer that is wrong by these alone is called `format_only`.
- numeric@1: the last number of each text. Whole numbers must be equal; otherwise a relative
  difference of 1e-6 is allowed. Commas between thousands are read, fractions are not.
- json@1: the same JSON value; the order of keys is free, and a Markdown code fence around it is
  taken off. The score is the share of fields that are equal.
- contains@1: the target stands in the text as whole words, whatever the case.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, Literal, NamedTuple, NoReturn

from errors import SettingsError
from views.likeness import is_loop, is_near_miss, is_same_but_for_format, tidy

ErrorClass = Literal[
    "not_scored",  # the prediction is an error: there is no answer
    "not_graded",  # nothing to grade: bare text, or a target that the grader cannot read
    "empty",
    "repetition",
    "truncated",
    "not_json",
    "wrong_type",  # no number where one is asked for; an array in place of an object
    "format_only",  # right but for case, punctuation or white space
    "near_miss",  # one or two characters off
    "wrong_answer",
]

RELATIVE_TOLERANCE = Decimal("1e-6")

_NUMBER = re.compile(
    r"(?:(?<![\w.)])[-+])?(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)?(?:(?<=\d)\.\d+|(?<!\d)\.\d+)?"
    r"(?:(?<=\d)[eE][-+]?\d{1,3}(?!\d))?",
    re.ASCII,
)
_FENCE = re.compile(r"\s*```(?:json)?[ \t]*\n(.*?)\n?\s*```\s*", re.DOTALL)


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


class _Verdict(NamedTuple):
    """What a single grader finds; `fault` is an error class of its own."""

    score: float
    parsed: str | None
    expected: str | None
    fault: ErrorClass | None = None


# Takes the text generated, and whether the token limit ended it.
Grading = Callable[[str, bool], Grade]
# Takes the text generated; a grader makes it from a target.
_Judge = Callable[[str], _Verdict]


NOT_SCORED = Grade(None, None, None, None, "not_scored")
NOT_GRADED = Grade(None, None, None, None, "not_graded")
CHOICE = "choice@1"


def resolve(grader: str) -> str:
    """The full name, with its version. Raises SettingsError, naming the known ones."""
    if grader in _GRADERS:
        return grader
    versions = [name for name in _GRADERS if name.partition("@")[0] == grader]
    if not versions:
        known = ", ".join(sorted(_GRADERS))
        raise SettingsError(f"there is no grader {grader!r}. There are: {known}.")
    return max(versions, key=lambda name: int(name.partition("@")[2]))


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
        score, parsed, expected, _ = found
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


def _error_class(found: _Verdict, generated: str, target: str, truncated: bool) -> ErrorClass:
    """The first class that fits: how the text broke down, then how far off the answer is."""
    parsed, expected = found.parsed or "", found.expected or ""
    if not generated.strip():
        return "empty"
    if len(generated) > len(target) and is_loop(generated):
        return "repetition"
    if truncated:
        return "truncated"
    if found.fault is not None:
        return found.fault
    if is_same_but_for_format(parsed, expected):
        return "format_only"
    if is_near_miss(parsed, expected):
        return "near_miss"
    return "wrong_answer"


def _exact(target: str) -> _Judge:
    expected = tidy(target)

    def judge(generated: str) -> _Verdict:
        parsed = tidy(generated)
        return _Verdict(float(parsed == expected), parsed, expected)

    return judge


def _numeric(target: str) -> _Judge | None:
    expected = _last_number(target)
    if expected is None:
        return None
    text = str(expected)

    def judge(generated: str) -> _Verdict:
        parsed = _last_number(generated)
        if parsed is None:
            return _Verdict(0.0, None, text, "wrong_type")
        return _Verdict(float(_is_same_number(parsed, expected)), str(parsed), text)

    return judge


def _last_number(text: str) -> Decimal | None:
    # A minus sign proper is a hyphen to Decimal.
    numbers = [one for one in _NUMBER.findall(text.replace("−", "-")) if one.strip("+-")]
    return Decimal(numbers[-1].replace(",", "")) if numbers else None


def _is_same_number(one: Decimal, other: Decimal) -> bool:
    if one == other:
        return True
    if one == one.to_integral_value() and other == other.to_integral_value():
        return False
    return abs(one - other) <= RELATIVE_TOLERANCE * max(abs(one), abs(other))


def _json(target: str) -> _Judge | None:
    expected = _read_json(target)
    if expected is None:
        return None

    def judge(generated: str) -> _Verdict:
        parsed = _read_json(generated)
        if parsed is None:
            return _Verdict(0.0, None, expected.text, "not_json")
        same_kind = _kind(parsed.value) == _kind(expected.value)
        return _Verdict(
            _agreement(parsed.value, expected.value),
            parsed.text,
            expected.text,
            None if same_kind else "wrong_type",
        )

    return judge


class _Json(NamedTuple):
    """A JSON value and its canonical text."""

    value: Any
    text: str


def _read_json(text: str) -> _Json | None:
    fenced = _FENCE.fullmatch(text)
    try:
        value = json.loads(fenced[1] if fenced else text, parse_constant=_refuse_constant)
        canonical = json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False)
        # An escaped lone surrogate is no text that a database can hold.
        canonical.encode()
    except (ValueError, RecursionError):
        return None
    return _Json(value, canonical)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _kind(value: Any) -> str:
    """The JSON type of a value; 1 and 1.0 are both numbers, and true is none."""
    match value:
        case bool():
            return "boolean"
        case int() | float():
            return "number"
        case _:
            return type(value).__name__


def _agreement(one: Any, other: Any) -> float:
    """The share of two JSON values that is equal: 1.0 if all is, and only then.

    A field that stands on one side alone counts as different; each field of an object, and each
    place of an array, weighs the same.
    """
    if _kind(one) != _kind(other):
        return 0.0
    match one:
        case dict():
            keys = one.keys() | other.keys()
            parts = [
                _agreement(one[key], other[key]) if key in one and key in other else 0.0
                for key in sorted(keys)
            ]
        case list():
            missing = abs(len(one) - len(other))
            parts = [_agreement(a, b) for a, b in zip(one, other, strict=False)] + [0.0] * missing
        case _:
            return float(one == other)
    return sum(parts) / len(parts) if parts else 1.0


def _contains(target: str) -> _Judge | None:
    expected = tidy(target)
    if not expected:
        return None
    words = re.compile(rf"(?<!\w){re.escape(expected.casefold())}(?!\w)")

    def judge(generated: str) -> _Verdict:
        parsed = tidy(generated)
        return _Verdict(float(words.search(parsed.casefold()) is not None), parsed, expected)

    return judge


# By name: what makes a judge from a target, or None of a target that it cannot read.
_GRADERS: dict[str, Callable[[str], _Judge | None]] = {
    "exact@1": _exact,
    "numeric@1": _numeric,
    "json@1": _json,
    "contains@1": _contains,
}
VERSIONS = (*sorted(_GRADERS), CHOICE)
