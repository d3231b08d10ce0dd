"""Drafts of a greedy text under way: tokens that may well come next, and are cheap to verify.

Sources are an earlier checkpoint's texts, the target, and what the prompt and the text itself hold:
where the last tokens stood before, what followed them may follow again (Saxena, "Prompt lookup
decoding", 2023).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, TypeAlias

from evaluators.prompts import Ids

Source: TypeAlias = Literal["earlier", "target", "context"]

# The tokens that must have come before alike, by source.
ALIKE: dict[Source, int] = {"earlier": 2, "target": 2, "context": 3}


# The share of a source's tokens that is right until more is known, and how many tokens that counts.
GUESS: dict[Source, float] = {"earlier": 0.9, "target": 0.5, "context": 0.5}
GUESSED = 32


class Draft(NamedTuple):
    """Tokens that may come next, and where they are from."""

    source: Source
    tokens: Ids


@dataclass
class Drafter:
    """Proposes what comes next in one text."""

    prompt: Ids
    target: Ids
    earlier: Sequence[Ids] = ()
    _places: dict[tuple[Source, Ids], tuple[Sequence[int], int]] = field(default_factory=dict)
    _whole: list[int] = field(default_factory=list)

    def propose(self, said: Sequence[int], limit: int) -> Draft | None:
        """At most `limit` tokens that may follow `said`, the text so far; None if nothing may."""
        for text in self.earlier:
            if len(text) > len(said) and all(a == b for a, b in zip(text, said, strict=False)):
                return Draft("earlier", text[len(said) : len(said) + limit])
        self._read(said)
        for source, alike in ALIKE.items():
            last = tuple(self._whole[-alike:])
            tokens, place = self._places.get((source, last), ((), 0))
            if following := tuple(tokens[place : place + limit]):
                return Draft(source, following)
        return None

    def _read(self, said: Sequence[int]) -> None:
        """Notes where the tokens up to the last of `said` stand."""
        if not self._whole:
            self._whole.extend(self.prompt)
            for text in self.earlier:
                self._note("earlier", text, range(len(text)))
            self._note("target", self.target, range(len(self.target)))
            self._note("context", self._whole, range(len(self._whole) - 1))
        known = len(self._whole) - len(self.prompt)
        self._whole.extend(said[known:])
        # Not the last one: nothing has followed it.
        last = len(self._whole) - 1
        self._note("context", self._whole, range(last - len(said) + known, last))

    def _note(self, source: Source, tokens: Sequence[int], ends: Iterable[int]) -> None:
        alike = ALIKE[source]
        for end in ends:
            if end + 1 >= alike:
                before = tuple(tokens[end + 1 - alike : end + 1])
                self._places[source, before] = (tokens, end + 1)


@dataclass
class Acceptance:
    """How many of the draft tokens of each source were right, over a whole pass."""

    offered: dict[Source, int] = field(default_factory=lambda: dict.fromkeys(ALIKE, 0))
    accepted: dict[Source, int] = field(default_factory=lambda: dict.fromkeys(ALIKE, 0))

    def count(self, source: Source, offered: int, accepted: int) -> None:
        """Adds what became of a draft."""
        self.offered[source] += offered
        self.accepted[source] += accepted

    def share(self, source: Source) -> float:
        """The share of a source's tokens that were right; a guess as long as there are few."""
        return (self.accepted[source] + GUESS[source] * GUESSED) / (self.offered[source] + GUESSED)
