"""What of a text is its answer: all of it, or what follows the model's thinking aloud."""

from __future__ import annotations

from typing import NamedTuple

OPEN, CLOSE = "<think>", "</think>"


class Read(NamedTuple):
    """The answer in a text. `finished` is False where the text ends in the middle of thinking."""

    answer: str
    finished: bool = True


def whole(text: str) -> Read:
    """All of the text, as the first versions of the graders read it."""
    return Read(text)


def after_thinking(text: str) -> Read:
    """What follows the last `</think>`, up to thinking that was begun again and never ended.

    The opening tag may be missing, since chat templates put it at the end of the prompt.
    """
    answer = text.rpartition(CLOSE)[2]
    before, opened, _ = answer.partition(OPEN)
    return Read(before, finished=not opened)
