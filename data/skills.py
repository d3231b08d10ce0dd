"""What the puzzles ask: one small function a skill, which draws a prompt and works out its answer.

A skill may come in several difficulties; then only the size of what it is asked about grows.
"""

from __future__ import annotations

import json
import string
from collections.abc import Callable
from random import Random
from typing import NamedTuple

from settings import Difficulty

LETTERS = string.ascii_lowercase


class Question(NamedTuple):
    """A prompt and the one answer that is right."""

    prompt: str
    answer: str


class Skill(NamedTuple):
    """A named way to draw questions of one difficulty."""

    difficulty: Difficulty
    name: str
    draw: Callable[[Random], Question]


def copy(random: Random, sizes: range) -> Question:
    """Say the word again."""
    word = _word(random, sizes)
    return Question(f"copy {word}", word)


def upper(random: Random, sizes: range) -> Question:
    """The word in capital letters."""
    word = _word(random, sizes)
    return Question(f"upper {word}", word.upper())


def parity(random: Random, sizes: range) -> Question:
    """Whether the number is even or odd."""
    number = _number(random, sizes)
    return Question(f"parity {number}", "odd" if number % 2 else "even")


def largest(random: Random, sizes: range) -> Question:
    """The largest of the digits."""
    digits = [random.randrange(10) for _ in range(random.choice(sizes))]
    return Question(f"max {' '.join(map(str, digits))}", str(max(digits)))


def reverse(random: Random, sizes: range) -> Question:
    """The word from its end to its beginning."""
    word = _word(random, sizes)
    return Question(f"reverse {word}", word[::-1])


def sort(random: Random, sizes: range) -> Question:
    """The letters in the order of the alphabet."""
    word = _word(random, sizes)
    return Question(f"sort {word}", "".join(sorted(word)))


def successor(random: Random, sizes: range) -> Question:
    """The number after this one."""
    number = _number(random, sizes)
    return Question(f"after {number}", str(number + 1))


def double(random: Random, sizes: range) -> Question:
    """Each letter of the word twice."""
    word = _word(random, sizes)
    return Question(f"double {word}", "".join(letter * 2 for letter in word))


def add(random: Random, sizes: range) -> Question:
    """The sum of two numbers."""
    first, second = _number(random, sizes), _number(random, sizes)
    return Question(f"{first}+{second}", str(first + second))


def multiply(random: Random, sizes: range) -> Question:
    """The product of two numbers."""
    first, second = _number(random, sizes), _number(random, sizes)
    return Question(f"{first}*{second}", str(first * second))


def as_json(random: Random, sizes: range) -> Question:
    """A key and a number as a JSON object."""
    key, value = _word(random, sizes), _number(random, sizes)
    return Question(f"json {key} {value}", json.dumps({key: value}, separators=(",", ":")))


def shift(random: Random, sizes: range) -> Question:
    """Each letter moved on in the alphabet, which goes round."""
    word, steps = _word(random, sizes), random.randrange(2, 10)
    moved = (LETTERS[(LETTERS.index(letter) + steps) % len(LETTERS)] for letter in word)
    return Question(f"shift {steps} {word}", "".join(moved))


def _word(random: Random, sizes: range) -> str:
    return "".join(random.choices(LETTERS, k=random.choice(sizes)))


def _number(random: Random, sizes: range) -> int:
    size = random.choice(sizes)
    return random.randrange(10 ** (size - 1), 10**size)


def _skill(
    difficulty: Difficulty, draw: Callable[[Random, range], Question], least: int, most: int
) -> Skill:
    """`draw` over words or numbers of `least` to `most` characters."""
    sizes = range(least, most + 1)
    return Skill(difficulty, draw.__name__.removeprefix("as_"), lambda random: draw(random, sizes))


SKILLS = (
    _skill("easy", copy, 4, 5),
    _skill("easy", upper, 4, 5),
    _skill("easy", parity, 3, 5),
    _skill("easy", largest, 4, 5),
    _skill("easy", successor, 3, 5),
    _skill("easy", reverse, 4, 5),
    _skill("easy", sort, 4, 5),
    _skill("easy", add, 1, 2),
    _skill("medium", reverse, 6, 7),
    _skill("medium", sort, 6, 7),
    _skill("medium", double, 6, 7),
    _skill("medium", as_json, 4, 5),
    _skill("medium", add, 2, 3),
    _skill("medium", multiply, 1, 2),
    _skill("hard", reverse, 9, 10),
    _skill("hard", sort, 8, 9),
    _skill("hard", add, 3, 4),
    _skill("hard", multiply, 2, 3),
    _skill("hard", shift, 3, 4),
)
