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
    return bool(_bare(one)) and _bare(one) == _bare(other)


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
    return any(
        _ends_in_period(characters, period, max(LOOP_REPEATS * period, LOOP_CHARACTERS))
        for period in range(1, len(characters) // LOOP_REPEATS + 1)
    )


def _bare(text: str) -> str:
    words = unicodedata.normalize("NFKC", text).casefold().split()
    return " ".join(bare for word in words if (bare := word.strip(_ENDS_OF_WORDS)))


def _repeats(words: Sequence[str], times: int) -> bool:
    return any(
        _ends_in_period(words, period, times * period)
        for period in range(1, len(words) // times + 1)
    )


def _ends_in_period(units: Sequence[str], period: int, length: int) -> bool:
    """Whether the last `length` units repeat with this period."""
    if length > len(units):
        return False
    start = len(units) - length
    return units[start + period :] == units[start : len(units) - period]


def _within_edits(one: str, other: str, limit: int) -> bool:
    """Whether the Levenshtein distance is at most `limit`.

    Only the band of the table within `limit` of its diagonal can matter (Ukkonen 1985), and the
    search ends at the first row that lies above the limit.
    """
    if abs(len(one) - len(other)) > limit:
        return False
    beyond = limit + 1
    row = {j: j for j in range(min(limit, len(other)) + 1)}
    for i, character in enumerate(one, start=1):
        last, row = row, {}
        for j in range(max(0, i - limit), min(len(other), i + limit) + 1):
            if j == 0:
                row[j] = i
                continue
            substituted = last.get(j - 1, beyond) + (character != other[j - 1])
            row[j] = min(substituted, last.get(j, beyond) + 1, row.get(j - 1, beyond) + 1)
        if min(row.values()) > limit:
            return False
    return row.get(len(other), beyond) <= limit
