from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from data.lessons import SHARES, in_like_lengths, lessons
from data.puzzles import Puzzle


def width(puzzle: Puzzle) -> int:
    return len(puzzle.prompt + puzzle.answer)


def test_a_seed_gives_its_lessons_again_and_another_seed_others() -> None:
    assert lessons(1, batches=5, size=8) == lessons(1, batches=5, size=8)
    assert lessons(1, batches=5, size=8) != lessons(2, batches=5, size=8)


def test_difficulties_come_in_their_shares() -> None:
    counted = Counter(puzzle.difficulty for puzzle in lessons(4, batches=250, size=32))
    for difficulty, share in SHARES.items():
        assert counted[difficulty] / 8000 == pytest.approx(share, abs=0.03)


def test_ordering_keeps_every_puzzle() -> None:
    puzzles = lessons(1, batches=9, size=8)
    ordered = in_like_lengths(Random(0), puzzles, 8)
    assert Counter(ordered) == Counter(puzzles)


def test_batches_of_like_lengths_pad_less() -> None:
    def padded(puzzles: list[Puzzle]) -> int:
        batches = [puzzles[start : start + 32] for start in range(0, len(puzzles), 32)]
        return sum(max(map(width, batch)) * len(batch) for batch in batches)

    ordered = lessons(1, batches=100, size=32)
    mixed = Random(0).sample(ordered, len(ordered))
    assert padded(ordered) < 0.8 * padded(mixed)


def test_short_and_long_batches_alternate_at_random() -> None:
    ordered = lessons(1, batches=100, size=32)
    longest = [max(map(width, ordered[start : start + 32])) for start in range(0, 3200, 32)]
    assert longest != sorted(longest)
    assert longest != sorted(longest, reverse=True)
    assert min(longest[:10]) < 14 < 18 < max(longest[:10])
