"""The grader that compares sets of items, such as labels."""

from __future__ import annotations

import re

from views.graders.verdict import Judge, Verdict
from views.likeness import tidy

_BETWEEN = re.compile(r"[,;\n]")
_BULLET = re.compile(r"\s*(?:[-*•]|\d{1,3}[.)])\s+")


def set_f1(target: str) -> Judge | None:
    """F1 of the items of both texts; right when the sets are equal.

    F1 = 2·|A ∩ B| / (|A| + |B|), that of SQuAD (Rajpurkar et al. 2016, section 6.1) on items in
    place of words.
    """
    expected = _items(target)
    if not expected:
        return None
    text = ", ".join(sorted(expected))

    def judge(generated: str) -> Verdict:
        parsed = _items(generated)
        score = 2 * len(parsed & expected) / (len(parsed) + len(expected))
        return Verdict(score, ", ".join(sorted(parsed)) if parsed else None, text)

    return judge


def _items(text: str) -> frozenset[str]:
    """What stands between commas, semicolons and ends of line, without bullets and case."""
    parts = [tidy(_BULLET.sub("", part, count=1)).casefold() for part in _BETWEEN.split(text)]
    return frozenset(filter(None, parts))
