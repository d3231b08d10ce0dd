"""The quick tier: the few examples that a checkpoint is measured on first.

They are a stratified sample of the validation suites, drawn by a hash of the example ids. So they
are the same at every checkpoint, which lets two quick tiers be compared example by example, and a
smaller tier is part of each larger one. Mining suites wait: no verdict rests on them.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from evaluators.suites import Suite

# Another seed is another sample, which old checkpoints were not measured on.
SEED = "quick tier 1"
# So many of each suite and difficulty come before a large one gets more.
FEW = 4


class _Place(NamedTuple):
    """Where an example stands in the queue for the quick tier; the lowest come first."""

    after_the_few: bool
    place: float
    digest: str
    example_id: str


def quick_tier(suites: Sequence[Suite], size: int) -> frozenset[str]:
    """The ids of the `size` examples to measure first; none where that is not worth it.

    That is where they would be half of all examples, or more. Each suite and difficulty gives a few
    as long as `size` reaches, and beyond that its share by the method of Webster (Sainte-Laguë),
    under which no stratum loses a seat when `size` grows.
    """
    examples = {one.example_id for suite in suites for one in suite.examples}
    if 2 * size >= len(examples):
        return frozenset()
    queue = sorted(place for stratum in _strata(suites) for place in _queue(stratum))
    return frozenset(one.example_id for one in queue[:size])


def _strata(suites: Sequence[Suite]) -> list[list[str]]:
    """The example ids of each validation suite and difficulty; each id in one of them."""
    strata: dict[tuple[str, str | None], list[str]] = defaultdict(list)
    seen: set[str] = set()
    for suite in sorted(suites, key=lambda one: one.name):
        if suite.role == "validation":
            for one in suite.examples:
                if one.example_id not in seen:
                    seen.add(one.example_id)
                    strata[suite.name, one.difficulty or suite.difficulty].append(one.example_id)
    return list(strata.values())


def _queue(stratum: Sequence[str]) -> Iterator[_Place]:
    """The places of a stratum's examples, which stand in the order of their digests."""
    digests = sorted((_digest(one), one) for one in stratum)
    for rank, (digest, example_id) in enumerate(digests):
        late = rank >= FEW
        place = (rank + 0.5) / len(stratum) if late else float(rank)
        yield _Place(late, place, digest, example_id)


def _digest(example_id: str) -> str:
    return hashlib.sha256(f"{SEED}\n{example_id}".encode()).hexdigest()
