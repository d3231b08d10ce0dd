"""Numbers in the sentences that views write: shares as per cent, changes with their sign."""

from __future__ import annotations


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
