"""What a training run reads: puzzles by seed, in an order that wastes little on padding."""

from __future__ import annotations

from random import Random

from data.puzzles import Puzzle, draw, skills_of
from settings import Difficulty

SHARES: dict[Difficulty, float] = {"easy": 0.6, "medium": 0.3, "hard": 0.1}
WINDOW = 4


def lessons(seed: int, batches: int, size: int) -> list[Puzzle]:
    """`batches` times `size` training puzzles, to be read in order, `size` at a time."""
    random = Random(seed)
    puzzles = [_puzzle(random) for _ in range(batches * size)]
    return in_like_lengths(random, puzzles, size)


def in_like_lengths(random: Random, puzzles: list[Puzzle], size: int) -> list[Puzzle]:
    """The puzzles, so ordered that each batch of `size` holds puzzles of about one length.

    Sorted only within windows of a few batches, and the batches of a window are shuffled, so that
    every stretch of training still sees everything.
    """
    ordered: list[Puzzle] = []
    for start in range(0, len(puzzles), WINDOW * size):
        window = sorted(puzzles[start : start + WINDOW * size], key=_length)
        batches = [window[first : first + size] for first in range(0, len(window), size)]
        random.shuffle(batches)
        ordered.extend(puzzle for batch in batches for puzzle in batch)
    return ordered


def _puzzle(random: Random) -> Puzzle:
    (difficulty,) = random.choices(list(SHARES), weights=list(SHARES.values()))
    return draw(random, random.choice(skills_of(difficulty)), "training")


def _length(puzzle: Puzzle) -> int:
    return len(puzzle.prompt) + len(puzzle.answer)
