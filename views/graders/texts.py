"""Graders that compare words: the whole text, one line of it, or a part."""

from __future__ import annotations

import re

from views.graders.verdict import Judge, Verdict
from views.likeness import tidy


def exact(target: str) -> Judge:
    """The same text after `tidy`."""
    expected = tidy(target)

    def judge(generated: str) -> Verdict:
        parsed = tidy(generated)
        return Verdict(float(parsed == expected), parsed, expected)

    return judge


def contains(target: str) -> Judge | None:
    """The target stands in the text as whole words, whatever the case."""
    expected = tidy(target)
    if not expected:
        return None
    words = re.compile(rf"(?<!\w){re.escape(expected.casefold())}(?!\w)")

    def judge(generated: str) -> Verdict:
        parsed = tidy(generated)
        return Verdict(float(words.search(parsed.casefold()) is not None), parsed, expected)

    return judge


def first_line(target: str) -> Judge | None:
    """The first line that is not blank is the target, which must be one line, after `tidy`."""
    expected = _only_line(target)
    if expected is None:
        return None

    def judge(generated: str) -> Verdict:
        lines = _lines(generated)
        if not lines:
            return Verdict(0.0, None, expected)
        # Only a line that another one follows is sure to be all that the model had to say in it.
        return Verdict(float(lines[0] == expected), lines[0], expected, whole=len(lines) > 1)

    return judge


def last_line(target: str) -> Judge | None:
    """The last line that is not blank is the target, which must be one line, after `tidy`."""
    expected = _only_line(target)
    if expected is None:
        return None

    def judge(generated: str) -> Verdict:
        lines = _lines(generated)
        if not lines:
            return Verdict(0.0, None, expected)
        return Verdict(float(lines[-1] == expected), lines[-1], expected)

    return judge


def _lines(text: str) -> list[str]:
    """The lines that are not blank, each tidied."""
    return [line for line in map(tidy, text.splitlines()) if line]


def _only_line(target: str) -> str | None:
    """The target's line; None if it has none, or several, which no line of an answer equals."""
    lines = _lines(target)
    return lines[0] if len(lines) == 1 else None
