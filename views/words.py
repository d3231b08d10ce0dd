"""Numbers and times in words, as views, pages and commands write them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

NOT_MEASURED = "not measured"


def percent(share: float) -> str:
    """A share as per cent, with a decimal where it is not whole: 0.86 is 86 %, 0.333 is 33.3 %.

    Only none is 0 %, and only all is 100 %.
    """
    text = f"{100 * share:.1f}".removesuffix(".0")
    if text in ("0", "100") and share not in (0.0, 1.0):
        text = f"{100 * share:.4g}"
    return f"{text} %"


def signed(number: float) -> str:
    """A change with its sign; one decimal below ten."""
    text = f"{number:+.0f}" if abs(number) >= 10 else f"{number:+.1f}"
    return text.replace("-", "−")


def count(n: int, noun: str) -> str:
    """A number of things: 1 example, 1,200 examples."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def listed(names: Sequence[str]) -> str:
    """easy, medium and hard."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def size(n: int | None) -> str:
    """Bytes in decimal units; in words what was not measured."""
    if n is None:
        return NOT_MEASURED
    for unit, length in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if n >= length:
            return f"{n / length:.1f} {unit}"
    return f"{n} bytes"


def ago(when: str, now: datetime | None = None) -> str:
    """How long ago a UTC time in ISO 8601 was."""
    passed = ((now or datetime.now(UTC)) - datetime.fromisoformat(when)).total_seconds()
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if passed >= length:
            return f"{count(int(passed // length), unit)} ago"
    return "just now"
