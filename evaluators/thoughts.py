"""Think blocks: what an assistant's text holds from <think> to </think>, before its answer.

A block begins the text and ends with the last </think>. Its <think> may be missing, since some chat
templates write it into the prompt; a text that only speaks of the tags further on holds no block.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from errors import EvaluationFault

OPEN, CLOSE = "<think>", "</think>"

# What a generation prompt ends with when it begins a block, or writes an empty one.
TAGS_AT_END = re.compile(rf"(?:{OPEN}\s*)?(?:{CLOSE}\s*)?\Z")


class Said(NamedTuple):
    """An assistant's text: its think block with both tags, "" if it has none, and the answer."""

    block: str
    answer: str

    @property
    def thought(self) -> str:
        """What stands between the tags, without whitespace around it."""
        return self.block.strip().removeprefix(OPEN).removesuffix(CLOSE).strip()

    @property
    def text(self) -> str:
        """Both together."""
        return self.block + self.answer


def divide(text: str) -> Said:
    """An assistant's text as block and answer, which together are the text."""
    before, close, after = text.rpartition(CLOSE)
    if close and (_opens(text) or OPEN not in before):
        return Said(before + close, after)
    return Said("", text)


def without_block(text: str) -> str:
    """What follows the think block. Raises EvaluationFault for a block that does not end."""
    said = divide(text)
    if not said.block and _opens(text):
        raise EvaluationFault(f"its think block does not end: it has {OPEN}, but no {CLOSE}")
    return said.answer.lstrip() if said.block else text


def answer_of(text: str) -> str:
    """A target without its think block. Raises EvaluationFault if nothing else is in it."""
    answer = without_block(text)
    if not answer:
        raise EvaluationFault(
            'nothing follows the think block of its target, and think = "drop" leaves that out'
        )
    return answer


def turn_without_block(turn: Mapping[str, str]) -> dict[str, str]:
    """A turn of a chat; the think block is taken out of an assistant's."""
    if turn["role"] != "assistant":
        return dict(turn)
    return {**turn, "content": without_block(turn["content"])}


def _opens(text: str) -> bool:
    return text.lstrip().startswith(OPEN)
