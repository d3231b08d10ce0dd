"""Puzzles by seed: for training as many as are asked for, and the suites that are committed.

    python -m data.puzzles        # writes the suites beside this file again, byte for byte

A digest of the prompt says which split a puzzle belongs to, so that what the suites ask can not
stand in the training data, whatever the seeds.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Literal

from data.skills import SKILLS, Skill
from settings import DIFFICULTIES, Difficulty

Split = Literal["training", "validation", "mining"]

FOLDER = Path(__file__).parent
SUITE_SEED = 20
VALIDATION_ROWS = 50
MINING_ROWS = 200
MINING_NAME = f"mining_{MINING_ROWS}"


@dataclass(frozen=True)
class Puzzle:
    """One prompt with the answer that is right, and where it comes from."""

    difficulty: Difficulty
    skill: str
    prompt: str
    answer: str

    @property
    def messages(self) -> list[dict[str, str]]:
        """The prompt and the answer as turns of a conversation."""
        return [
            {"role": "user", "content": self.prompt},
            {"role": "assistant", "content": self.answer},
        ]

    def row(self, row_id: str) -> dict[str, Any]:
        """The puzzle as a suite file holds it."""
        return {
            "messages": self.messages,
            "metadata": {"difficulty": self.difficulty, "skill": self.skill, "id": row_id},
        }


def split_of(prompt: str) -> Split:
    """The split of every puzzle with this prompt: an eighth each to validation and mining."""
    match hashlib.sha256(prompt.encode()).digest()[0] % 8:
        case 0:
            return "validation"
        case 1:
            return "mining"
        case _:
            return "training"


def draw(random: Random, skill: Skill, split: Split) -> Puzzle:
    """A puzzle of the skill, drawn until one falls into the split."""
    while True:
        prompt, answer = skill.draw(random)
        if split_of(prompt) == split:
            return Puzzle(skill.difficulty, skill.name, prompt, answer)


def skills_of(difficulty: Difficulty) -> tuple[Skill, ...]:
    """The skills that puzzles of the difficulty ask for."""
    return tuple(skill for skill in SKILLS if skill.difficulty == difficulty)


def distinct(random: Random, skills: Sequence[Skill], split: Split, count: int) -> list[Puzzle]:
    """`count` puzzles with distinct prompts, the skills taking turns."""
    found: dict[str, Puzzle] = {}
    while len(found) < count:
        puzzle = draw(random, skills[len(found) % len(skills)], split)
        found.setdefault(puzzle.prompt, puzzle)
    return list(found.values())


def suites() -> Iterator[tuple[str, list[Puzzle]]]:
    """Each committed suite by name: three of one difficulty for validation, one mixed to mine."""
    for difficulty in DIFFICULTIES:
        random = Random(f"{SUITE_SEED} {difficulty}")
        rows = distinct(random, skills_of(difficulty), "validation", VALIDATION_ROWS)
        yield f"{difficulty}_{VALIDATION_ROWS}", rows
    yield MINING_NAME, distinct(Random(f"{SUITE_SEED} mining"), SKILLS, "mining", MINING_ROWS)


def as_jsonl(name: str, puzzles: Sequence[Puzzle]) -> str:
    """A suite file's text; row ids count from 1 within the suite."""
    rows = (puzzle.row(f"{name}/{number}") for number, puzzle in enumerate(puzzles, start=1))
    return "".join(json.dumps(row) + "\n" for row in rows)


def write_suites(folder: Path = FOLDER) -> list[Path]:
    """Writes the suite files into `folder` and returns their paths."""
    paths = []
    for name, puzzles in suites():
        path = folder / f"{name}.jsonl"
        path.write_text(as_jsonl(name, puzzles), encoding="utf-8", newline="\n")
        paths.append(path)
    return paths


if __name__ == "__main__":
    for written in write_suites():
        print(written)
