"""How a wrong answer resembles the right one, or breaks down: pure functions on texts."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

LOOP_REPEATS = 4
LOOP_CHARACTERS = 20
NEAR_EDITS = 2
NEAR_SHARE = 0.25

_ENDS_OF_WORDS = ".,;:!?\"'`*_()[]{}“”‘’«»"


def tidy(text: str) -> str:
    """The text in Unicode NFC, trimmed, with each run of white space made one space."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def is_same_but_for_format(one: str, other: str) -> bool:
    """Whether two texts are equal but for case, white space and punctuation around words.

    Signs within a word count, so that -5 is not 5, nor 1.5 the same as 15.
    """
    words = bare(one)
    return bool(words) and words == bare(other)


def is_near_miss(one: str, other: str) -> bool:
    """Whether at most two edits, and at most a quarter of the longer text, make them equal."""
    longer = max(len(one), len(other))
    return _within_edits(one, other, min(NEAR_EDITS, int(NEAR_SHARE * longer)))


def is_loop(text: str) -> bool:
    """Whether the text ends in the same words, or the same characters, four times over.

    Characters must fill at least 20 places, since "1111" is an answer like any other.
    """
    tail = text.rstrip()
    if _repeats(tail.split(), LOOP_REPEATS):
        return True
    characters = tail[-LOOP_REPEATS * LOOP_CHARACTERS :]
    # Half of the least that must repeat stands there twice, one period apart.
    half = characters[-LOOP_CHARACTERS // 2 :]
    if half not in characters[-LOOP_CHARACTERS - len(half) : -1]:
        return False
    return any(
        _ends_in_period(characters, period, max(LOOP_REPEATS * period, LOOP_CHARACTERS))
        for period in range(1, len(characters) // LOOP_REPEATS + 1)
    )


def bare(text: str) -> str:
    """The text without case, and without white space and punctuation around its words."""
    words = unicodedata.normalize("NFKC", text).casefold().split()
    return " ".join(filter(None, [word.strip(_ENDS_OF_WORDS) for word in words]))


def _repeats(words: Sequence[str], times: int) -> bool:
    return any(
        words[-1 - period] == words[-1] and _ends_in_period(words, period, times * period)
        for period in range(1, len(words) // times + 1)
    )


def _ends_in_period(units: Sequence[str], period: int, length: int) -> bool:
    """Whether the last `length` units repeat with this period."""
    if length > len(units):
        return False
    start = len(units) - length
    return units[start + period :] == units[start : len(units) - period]


def _within_edits(one: str, other: str, limit: int) -> bool:
    """Whether the Levenshtein distance is at most `limit`, which is 0, 1 or 2.

    What is alike at both ends costs nothing. What is left differs at both ends, and so needs an
    edit at each of them; with two edits all between must be alike.
    """
    longer, shorter = (one, other) if len(one) >= len(other) else (other, one)
    more = len(longer) - len(shorter)
    if more > limit:
        return False
    longer, shorter = _from_first_difference(longer, shorter)
    if shorter and longer[-1] == shorter[-1]:
        longer, shorter = _from_first_difference(longer[::-1], shorter[::-1])
    if not shorter:
        return True
    if limit < 2:
        return limit == len(longer) == 1
    # From here on both may be back to front, which changes no distance.
    if len(shorter) == 1:
        return len(longer) - (shorter in longer) <= limit
    core = longer[1:-1]
    if more == 2:
        return core == shorter
    if more == 1:
        return core in (shorter[1:], shorter[:-1])
    return core == shorter[1:-1] or longer[1:] == shorter[:-1] or longer[:-1] == shorter[1:]


def _from_first_difference(one: str, other: str) -> tuple[str, str]:
    for index, (a, b) in enumerate(zip(one, other, strict=False)):
        if a != b:
            return one[index:], other[index:]
    common = min(len(one), len(other))
    return one[common:], other[common:]
