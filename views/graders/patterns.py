"""The grader that looks for a regular expression in the answer.

Patterns are RE2's (github.com/google/re2/wiki/Syntax): much as for Python's `re`, but matched
without backtracking, in a time that grows with the answer's length, so no pattern takes for ever.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import re2

from errors import PatternFault
from views.graders.verdict import Judge, Verdict

MAX_PATTERN = 1_000

_OPTIONS = re2.Options()
_OPTIONS.log_errors = False


def regex(target: str) -> Judge | None:
    """The target is a pattern that matches somewhere in the answer, trimmed of white space."""
    try:
        pattern = compiled(target)
    except PatternFault:
        return None

    def judge(generated: str) -> Verdict:
        parsed = generated.strip()
        # A text is not near to a pattern, nor like it but for its format.
        found = pattern.search(parsed) is not None
        return Verdict(float(found), parsed, target, "wrong_answer")

    return judge


@lru_cache(maxsize=10_000)
def compiled(pattern: str) -> Any:
    """What finds `pattern` in texts, by its `search`. Raises PatternFault, saying why it cannot."""
    if not pattern or len(pattern) > MAX_PATTERN:
        raise PatternFault(f"a pattern has from 1 to {MAX_PATTERN} characters")
    try:
        return re2.compile(pattern, _OPTIONS)
    except re2.error as error:
        raise PatternFault(_words(error)) from error


def _words(error: Exception) -> str:
    """RE2's words, which come as bytes."""
    (word,) = error.args
    return word.decode() if isinstance(word, bytes) else str(word)
