"""Near-duplicates among texts: which text says almost the same as another one, found exactly.

A text is the multiset of its shingles, runs of three words: letters in lower case, numbers, signs
one by one, without the marks of sentences. Two texts are as alike as the Jaccard index of these
(Broder 1997). In a short question a single other number makes another question, in a long text it
does not. Shingles that a fifth of all texts share are a template and do not count.

Pairs are found by prefix filtering, which misses none (Bayardo, Ma and Srikant 2007, Scaling Up All
Pairs Similarity Search): with its shingles ordered from the rarest on, a text of n can be t-alike
only to those that share one of its first n − ⌈t·n⌉ + 1.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import NamedTuple

WORDS = 3
# A shingle is of a template if more than this share of at least so many texts have it.
COMMON_SHARE, COMMON_LEAST = 0.2, 20

_TOKEN = re.compile(r"\d+(?:[.,]\d+)*|[^\W\d_]+|[^\w\s]|_")
_MARKS = frozenset(".,;:!?\"'“”‘’„«»…")

# A run of words, and the how manieth of its kind it is in its text.
Shingle = tuple[tuple[str, ...], int]


class Likeness(NamedTuple):
    """The text that is most alike, by its place, and the Jaccard index."""

    place: int
    jaccard: float


def words(text: str) -> tuple[str, ...]:
    """The words of a text as they are compared."""
    plain = unicodedata.normalize("NFKC", text).casefold()
    found = tuple(one for one in _TOKEN.findall(plain) if one not in _MARKS)
    # A text of marks alone is still a text.
    return found or tuple(plain.split())


def shingles(text: str) -> frozenset[Shingle]:
    """The multiset of a text's shingles, as a set of numbered ones; of few words, all as one."""
    parts = words(text)
    runs = [parts[at : at + WORDS] for at in range(max(1, len(parts) - WORDS + 1))]
    seen: Counter[tuple[str, ...]] = Counter()
    numbered: list[Shingle] = []
    for run in runs:
        numbered.append((run, seen[run]))
        seen[run] += 1
    return frozenset(numbered)


def without_template(sets: Sequence[frozenset[Shingle]]) -> list[frozenset[Shingle]]:
    """The sets without what too many of them share; one that has nothing else keeps it."""
    if len(sets) < COMMON_LEAST:
        return list(sets)
    times = Counter(shingle for one in sets for shingle in one)
    template = {one for one, n in times.items() if n > COMMON_SHARE * len(sets)}
    return [one - template or one for one in sets]


def jaccard(left: frozenset[Shingle], right: frozenset[Shingle]) -> float:
    """The share of the shingles of either that both have."""
    both = len(left & right)
    return both / (len(left) + len(right) - both)


class Index:
    """Texts to be compared with, added one at a time."""

    def __init__(self, sets: Sequence[frozenset[Shingle]], threshold: float) -> None:
        """`sets` are those of all texts that will be added or asked for."""
        self._times = Counter(shingle for one in sets for shingle in one)
        self._threshold = threshold
        self._places: defaultdict[Shingle, list[int]] = defaultdict(list)
        self._added: dict[int, frozenset[Shingle]] = {}

    def add(self, place: int, one: frozenset[Shingle]) -> None:
        """Takes in the text that stands at `place`."""
        self._added[place] = one
        for shingle in self._prefix(one):
            self._places[shingle].append(place)

    def nearest(self, one: frozenset[Shingle]) -> Likeness | None:
        """The text that is most alike, the first of several; None if none reaches the threshold."""
        near = {place for shingle in self._prefix(one) for place in self._places.get(shingle, ())}
        found = [Likeness(place, jaccard(one, self._added[place])) for place in near]
        alike = [other for other in found if other.jaccard >= self._threshold]
        return min(alike, key=lambda other: (-other.jaccard, other.place), default=None)

    def _prefix(self, one: frozenset[Shingle]) -> list[Shingle]:
        rarest = sorted(one, key=lambda shingle: (self._times[shingle], shingle))
        # A hair less than t·n, so that rounding cannot make the prefix too short.
        return rarest[: len(one) - math.ceil(self._threshold * len(one) - 1e-9) + 1]
