"""The graders that compare numbers."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import NamedTuple

from views.graders.verdict import Judge, Verdict

RELATIVE_TOLERANCE = Decimal("1e-6")

_NUMBER = re.compile(
    r"(?:(?<![\w.)])[-+])?(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)?(?:(?<=\d)\.\d+|(?<!\d)\.\d+)?"
    r"(?:(?<=\d)[eE][-+]?\d{1,3}(?!\d))?",
    re.ASCII,
)

_BOXED = re.compile(r"\\boxed\s*\{")
# The last line of an answer in the style of GSM8K; a heading has words after the number.
_HASHES = re.compile(r"^[ \t]*####[ \t]*(\S*\d\S*(?:[ \t]*\\?%)?)[ \t]*$", re.MULTILINE)
_FRACTION = re.compile(r"\\[dt]?frac\s*\{\s*([-+\d.,]+)\s*\}\s*\{\s*([\d.,]+)\s*\}")
_PERCENT = re.compile(r"\s?\\?%|\s?per ?cent\b")


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


class _Quantity(NamedTuple):
    """A number, and whether it is given per cent."""

    value: Decimal
    percent: bool

    @property
    def text(self) -> str:
        return f"{self.value}%" if self.percent else str(self.value)


def quantity(target: str) -> Judge | None:
    """The number that each text gives as its answer is the same.

    That is the one in the last `\\boxed{}`, or else on the first line `#### NUMBER`, or else the
    last of the text. A fraction of two numbers is read; where only one side is per cent, 50 % is
    both 50 and 0.5.
    """
    expected = _quantity(target)
    if expected is None:
        return None

    def judge(generated: str) -> Verdict:
        parsed = _quantity(generated)
        if parsed is None:
            return Verdict(0.0, None, expected.text, "wrong_type")
        return Verdict(float(_is_same_quantity(parsed, expected)), parsed.text, expected.text)

    return judge


def _quantity(text: str) -> _Quantity | None:
    text = _FRACTION.sub(r"\1/\2", _answer(text.replace("−", "-")))
    numbers = [one for one in _NUMBER.finditer(text) if one[0].strip("+-")]
    if not numbers:
        return None
    last = numbers[-1]
    value = _decimal(last[0])
    over = (
        numbers[-2] if len(numbers) > 1 and text[numbers[-2].end() : last.start()] == "/" else None
    )
    # 11/24/2026 is no fraction.
    if over is not None and value and text[: over.start()][-1:] != "/":
        value = _decimal(over[0]) / value
    return _Quantity(value, _PERCENT.match(text, last.end()) is not None)


def _answer(text: str) -> str:
    """The part of the text that is marked as its answer; all of it, if none is."""
    boxes = list(_BOXED.finditer(text))
    if boxes:
        return _braced(text[boxes[-1].end() :])
    hashes = _HASHES.search(text)
    return hashes[1] if hashes else text


def _braced(text: str) -> str:
    """The text up to the brace that closes the one before it."""
    depth = 1
    for place, character in enumerate(text):
        depth += {"{": 1, "}": -1}.get(character, 0)
        if not depth:
            return text[:place]
    return text


def _is_same_quantity(one: _Quantity, other: _Quantity) -> bool:
    if one.percent == other.percent:
        return _is_same_number(one.value, other.value)
    share, number = (one, other) if one.percent else (other, one)
    return any(_is_same_number(share.value / part, number.value) for part in (1, 100))


def _last_number(text: str) -> Decimal | None:
    # A minus sign proper is a hyphen to Decimal.
    numbers = [one for one in _NUMBER.findall(text.replace("−", "-")) if one.strip("+-")]
    return _decimal(numbers[-1]) if numbers else None


def _decimal(number: str) -> Decimal:
    return Decimal(number.replace(",", ""))


def _is_same_number(one: Decimal, other: Decimal) -> bool:
    if one == other:
        return True
    if one == one.to_integral_value() and other == other.to_integral_value():
        return False
    return abs(one - other) <= RELATIVE_TOLERANCE * max(abs(one), abs(other))
