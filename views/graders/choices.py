"""Graders for rows with choices: by the likelihood of each, or by the one that is named."""

from __future__ import annotations

import re
from collections.abc import Sequence
from string import ascii_lowercase, ascii_uppercase

from views.graders.verdict import Judge, Verdict
from views.likeness import bare, tidy

# A letter alone, or alone on its line, or one that a stop, a colon or a bracket sets off.
_LETTER = re.compile(
    r"\W*(?:([A-Za-z])\W*|([A-Za-z])[^\w\n]*\n.*|\(([A-Za-z])\)\W*\s.*|([A-Za-z])[.):]\W*\s.*)",
    re.ASCII | re.DOTALL,
)
# In capitals, or "the answer is a" would name the first choice.
_ANSWER_IS = re.compile(r"(?i:\banswer(?: is|:| is:))\s*\W{0,3}([A-Z])\b(?!['’])")


def likeliest(logprobs: Sequence[float]) -> int:
    """The choice with the highest summed log-probability; the first, if several have it."""
    return max(range(len(logprobs)), key=logprobs.__getitem__)


def likeliest_by_bytes(choices: Sequence[str], logprobs: Sequence[float]) -> int | None:
    """The choice with the most log-probability a byte of its text in UTF-8, without a space before.

    The same as `acc_bytes` of lm-evaluation-harness. None where a choice has no bytes.
    """
    sizes = [len(one.encode()) for one in choices]
    if not all(sizes):
        return None
    return likeliest([one / size for one, size in zip(logprobs, sizes, strict=True)])


def named_choice(choices: Sequence[str], target: str) -> Judge:
    """The text names the target, and no other choice, by its words or by its letter.

    `A` is the first choice. A choice whose words stand only within those of another one that is
    named, as "red" in "dark red", is not named by them.
    """

    def judge(generated: str) -> Verdict:
        named = _named(choices, generated)
        if len(named) != 1:
            return Verdict(0.0, None, target, "wrong_type")
        (answer,) = named
        # One of a few fixed texts: that it resembles the right one says nothing.
        return Verdict(float(answer == target), answer, target, "wrong_answer")

    return judge


def _named(choices: Sequence[str], generated: str) -> set[str]:
    """The texts of the choices that the answer names."""
    is_it = [one for one in choices if bare(one) == bare(generated) and bare(one)]
    if is_it:
        return set(is_it)
    return {*_by_letter(choices, generated), *_within(choices, generated)}


def _by_letter(choices: Sequence[str], generated: str) -> Sequence[str]:
    letter = _letter(generated)
    if letter is None:
        return ()
    # Choices that are letters themselves may come in any order.
    same = [one for one in choices if bare(one) == letter.casefold()]
    place = ascii_uppercase.index(letter.upper())
    return same or choices[place : place + 1]


def _letter(generated: str) -> str | None:
    found = _LETTER.fullmatch(generated.strip()) or _ANSWER_IS.search(generated)
    return next(filter(None, found.groups()), None) if found else None


def _within(choices: Sequence[str], generated: str) -> set[str]:
    """The choices whose words stand in the answer, the longest first, each word for one of them."""
    rest = tidy(generated).casefold()
    found = set()
    for one in sorted(choices, key=lambda choice: (-len(tidy(choice)), choice)):
        words = tidy(one).casefold()
        # A letter stands in most texts by chance.
        if not words or words in ascii_lowercase:
            continue
        rest, times = re.subn(rf"(?<!\w){re.escape(words)}(?!\w)", "\0", rest)
        if times:
            found.add(one)
    return found
