"""The grader that compares numbers."""

from __future__ import annotations

import re
from decimal import Decimal

from views.graders.verdict import Judge, Verdict

RELATIVE_TOLERANCE = Decimal("1e-6")

_NUMBER = re.compile(
    r"(?:(?<![\w.)])[-+])?(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)?(?:(?<=\d)\.\d+|(?<!\d)\.\d+)?"
    r"(?:(?<=\d)[eE][-+]?\d{1,3}(?!\d))?",
    re.ASCII,
)


def numeric(target: str) -> Judge | None:
    """The last number of each text is the same."""
    expected = _last_number(target)
    if expected is None:
        return None
    text = str(expected)

    def judge(generated: str) -> Verdict:
        parsed = _last_number(generated)
        if parsed is None:
            return Verdict(0.0, None, text, "wrong_type")
        return Verdict(float(_is_same_number(parsed, expected)), str(parsed), text)

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
