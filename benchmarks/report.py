"""What was measured, as lines of a table: the values, their growth, the bar, the verdict."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Literal, NamedTuple

WIDTHS = (34, 12, 12, 8, 12)


class Bar(NamedTuple):
    """What a value must reach, or must not go beyond."""

    limit: float
    side: Literal["at least", "at most"]

    def holds(self, value: float) -> bool:
        """Whether `value` is on the right side."""
        return value >= self.limit if self.side == "at least" else value <= self.limit

    def __str__(self) -> str:
        return f"{'>=' if self.side == 'at least' else '<='} {_number(self.limit)}"


class Line(NamedTuple):
    """One measure at each size, small to large; the bar is for the last value.

    A line without values is a title.
    """

    name: str
    values: Sequence[float] = ()
    bar: Bar | None = None


def heading(name: str, sizes: Sequence[str]) -> str:
    """The line above a table of values at `sizes`."""
    growth = "growth" if len(sizes) > 1 else ""
    return _cells(name, sizes, growth, "bar", "")


def line(one: Line) -> str:
    """A measure as text."""
    growth = ""
    if len(one.values) > 1 and one.values[0] > 0:
        growth = f"x {one.values[-1] / one.values[0]:.1f}"
    verdict = "" if one.bar is None else "ok" if one.bar.holds(one.values[-1]) else "MISSED"
    return _cells(
        one.name, [_number(value) for value in one.values], growth, str(one.bar or ""), verdict
    )


def say(line: str) -> None:
    """How far it is, on the terminal's error stream; each takes the place of the last."""
    if sys.stderr.isatty():
        print(f"\r\033[K{line and line + ' …'}", end="", file=sys.stderr, flush=True)


def _cells(name: str, values: Sequence[str], growth: str, bar: str, verdict: str) -> str:
    first, second = ("", "", *values)[-2:]
    parts = [f"{name:<{WIDTHS[0]}}"]
    for text, width in zip((first, second, growth, bar), WIDTHS[1:], strict=True):
        parts.append(f"{text:>{width}}")
    return f"{''.join(parts)}  {verdict}".rstrip()


def _number(value: float) -> str:
    """Whole from 100 on, else with three digits."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
