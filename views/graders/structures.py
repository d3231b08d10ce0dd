"""The grader that compares JSON values, field by field."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any, NamedTuple, NoReturn

from views.graders.verdict import Judge, Verdict

# Python counts the levels of a value against one limit with the calls around it. Far below that
# limit the outcome is the same whoever calls.
MAX_DEPTH = 200

_FENCE = re.compile(r"\s*```(?:json)?[ \t]*\n(.*?)\n?\s*```\s*", re.DOTALL)


def same_json(target: str) -> Judge | None:
    """The same JSON value; the score is the share of fields that are equal."""
    expected = _read_json(target)
    if expected is None:
        return None

    def judge(generated: str) -> Verdict:
        parsed = _read_json(generated)
        if parsed is None:
            return Verdict(0.0, None, expected.text, "not_json")
        same_kind = _kind(parsed.value) == _kind(expected.value)
        return Verdict(
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
        if _is_too_deep(value):
            return None
        canonical = json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False)
        # An escaped lone surrogate is no text that a database can hold.
        canonical.encode()
    except (ValueError, RecursionError):
        return None
    return _Json(value, canonical)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _is_too_deep(value: Any) -> bool:
    """Whether more than MAX_DEPTH arrays and objects stand one in another."""
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        level = [part for one in level if isinstance(one, dict | list) for part in _parts(one)]
        if not level:
            return False
    return True


def _parts(value: dict[str, Any] | list[Any]) -> Iterable[Any]:
    return value.values() if isinstance(value, dict) else value


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
