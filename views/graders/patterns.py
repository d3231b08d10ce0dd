"""The grader that looks for a regular expression in the answer.

Patterns are written as for Python's `re` and mean the same, but are matched by an automaton. What
an automaton cannot follow is not read: backreferences, lookaround, atomic groups and possessive
repeats; nor are \\B, octal and named characters, comments, flags but for (?aims) in front, and
counts that make it too large.
"""

from __future__ import annotations

import re
import warnings
from functools import lru_cache

from errors import PatternFault
from views.graders.automaton import END, LAST_NEWLINE, Automaton
from views.graders.expressions import (
    Chain,
    Choice,
    Edge,
    Expression,
    One,
    Repeat,
    program,
)
from views.graders.verdict import Judge, Verdict

MAX_PATTERN = 1_000
MAX_NESTING = 30

_FLAGS = re.compile(r"(?:\(\?[aimsu]+\))*")
_GROUP = re.compile(r"\((?:\?:|\?P<\w+>|(?!\?))")
_REPEAT = re.compile(r"[*+?]|\{(?!\})(\d*)(,?)(\d*)\}")
_ONE = re.compile(
    r"\\(?:x..|u.{4}|U.{8}|[DdSsWw]|[afnrtv]|[^0-9A-Za-z])|\[\^?\]?(?:\\.|[^\]\\])*\]|[^\\()|*+?]",
    re.DOTALL,
)


def regex(target: str) -> Judge | None:
    """The target is a pattern that matches somewhere in the answer, trimmed of white space."""
    try:
        automaton = compiled(target)
    except PatternFault:
        return None

    def judge(generated: str) -> Verdict:
        parsed = generated.strip()
        # A text is not near to a pattern, nor like it but for its format.
        return Verdict(float(automaton.matches_in(parsed)), parsed, target, "wrong_answer")

    return judge


def compiled(pattern: str) -> Automaton:
    """What finds `pattern` in texts. Raises PatternFault, saying why it cannot."""
    if not pattern or len(pattern) > MAX_PATTERN:
        raise PatternFault(f"a pattern has from 1 to {MAX_PATTERN} characters")
    flags = _compiled(pattern, 0).flags & (re.ASCII | re.IGNORECASE | re.MULTILINE | re.DOTALL)
    reader = _Reader(pattern, flags)
    return Automaton(program(reader.expression()), reader.kind)


@lru_cache(maxsize=10_000)
def _compiled(pattern: str, flags: int) -> re.Pattern[str]:
    try:
        with warnings.catch_warnings():
            # They tell of sets that may mean something else in a later Python.
            warnings.simplefilter("ignore")
            return re.compile(pattern, flags)
    except (re.error, OverflowError, RecursionError) as error:
        raise PatternFault(str(error)) from error


class _Reader:
    """Reads a pattern that `re` compiles, from left to right."""

    def __init__(self, pattern: str, flags: int) -> None:
        self._pattern = pattern
        self._flags = flags
        leading = _FLAGS.match(pattern)
        self._at = leading.end() if leading else 0
        self._nesting = 0
        self._word = _compiled(r"\w", flags)

    def expression(self) -> Expression:
        """The whole pattern's. Raises PatternFault."""
        whole = self._choice()
        if self._at < len(self._pattern):
            raise self._unread()
        return whole

    def kind(self, character: str) -> str:
        """What stands for all characters that are like this one to `^`, `$` and `\\b`."""
        if character == "\n":
            return character
        return "a" if self._word.match(character) else " "

    def _unread(self) -> PatternFault:
        return PatternFault(f"this is not read: {self._pattern[self._at :]}")

    def _take(self, form: re.Pattern[str]) -> re.Match[str] | None:
        """Reads past what has this form, if it comes next."""
        found = form.match(self._pattern, self._at)
        if found is not None:
            self._at = found.end()
        return found

    def _comes(self, text: str) -> bool:
        """Reads past `text`, if it comes next."""
        comes = self._pattern.startswith(text, self._at)
        if comes:
            self._at += len(text)
        return comes

    def _choice(self) -> Expression:
        parts = [self._chain()]
        while self._comes("|"):
            parts.append(self._chain())
        return Choice(parts) if len(parts) > 1 else parts[0]

    def _chain(self) -> Expression:
        parts: list[Expression] = []
        while self._at < len(self._pattern) and self._pattern[self._at] not in "|)":
            parts.append(self._repeated(self._atom()))
        return Chain(parts)

    def _repeated(self, part: Expression) -> Expression:
        found = self._take(_REPEAT)
        if found is None:
            return part
        if self._pattern.startswith("+", self._at):
            raise self._unread()
        # It tells which of several matches to take, not whether there is one.
        self._comes("?")
        match found[0]:
            case "*":
                return Repeat(part, 0, None)
            case "+":
                return Repeat(part, 1, None)
            case "?":
                return Repeat(part, 0, 1)
        low, comma, high = found.groups()
        if not comma:
            high = low
        return Repeat(part, int(low or 0), int(high) if high else None)

    def _atom(self) -> Expression:
        edge = self._edge()
        if edge is not None:
            return edge
        if self._take(_GROUP):
            return self._group()
        one = self._take(_ONE)
        if one is None:
            raise self._unread()
        return One(_compiled(_alone(one[0]), self._flags).match)

    def _group(self) -> Expression:
        self._nesting += 1
        if self._nesting > MAX_NESTING:
            raise PatternFault(f"more than {MAX_NESTING} groups stand one in another")
        inner = self._choice()
        if not self._comes(")"):
            raise self._unread()
        self._nesting -= 1
        return inner

    def _edge(self) -> Edge | None:
        lines = bool(self._flags & re.MULTILINE)
        if self._comes("^"):
            return Edge(_starts_line if lines else _starts)
        if self._comes("$"):
            return Edge(_ends_line if lines else _ends_last_line)
        if self._comes(r"\A"):
            return Edge(_starts)
        if self._comes(r"\Z"):
            return Edge(_ends)
        if self._comes(r"\b"):
            return Edge(self._bounds_word)
        return None

    def _bounds_word(self, before: str, symbol: str) -> bool:
        return bool(self._word.match(before)) != bool(self._word.match(symbol))


def _alone(character: str) -> str:
    """A brace that opens no repeat, as a pattern of its own."""
    return re.escape(character) if len(character) == 1 and character != "." else character


def _starts(before: str, symbol: str) -> bool:  # noqa: ARG001 - as the other edges
    return before == ""


def _starts_line(before: str, symbol: str) -> bool:  # noqa: ARG001
    return before in ("", "\n")


def _ends(before: str, symbol: str) -> bool:  # noqa: ARG001
    return symbol == END


def _ends_last_line(before: str, symbol: str) -> bool:  # noqa: ARG001
    return symbol in (END, LAST_NEWLINE)


def _ends_line(before: str, symbol: str) -> bool:  # noqa: ARG001
    return symbol in (END, LAST_NEWLINE, "\n")
