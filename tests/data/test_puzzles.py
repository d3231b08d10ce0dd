"""Every answer is checked by another road than the one that the generator takes."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.puzzles import Puzzle, distinct, draw, skills_of, split_of
from data.skills import SKILLS, Skill
from settings import DIFFICULTIES


def _plus(prompt: str, answer: str) -> bool:
    first, second = prompt.split("+")
    return str(int(answer) - int(second)) == first


def _times(prompt: str, answer: str) -> bool:
    first, second = prompt.split("*")
    return divmod(int(answer), int(second)) == (int(first), 0)


def _copied(word: str, answer: str) -> bool:
    return answer == word


def _raised(word: str, answer: str) -> bool:
    return answer.isupper() and answer.lower() == word


def _even_or_odd(number: str, answer: str) -> bool:
    return answer == {True: "even", False: "odd"}[number[-1] in "02468"]


def _greatest(digits: str, answer: str) -> bool:
    listed = digits.split(" ")
    return answer in listed and not any(digit > answer for digit in listed)


def _turned(word: str, answer: str) -> bool:
    return len(word) == len(answer) and all(
        answer[-1 - place] == letter for place, letter in enumerate(word)
    )


def _ordered(word: str, answer: str) -> bool:
    return Counter(word) == Counter(answer) and all(one <= two for one, two in pairwise(answer))


def _next(number: str, answer: str) -> bool:
    return str(int(answer) - 1) == number


def _doubled(word: str, answer: str) -> bool:
    return answer[::2] == answer[1::2] == word


def _object(rest: str, answer: str) -> bool:
    key, value = rest.split(" ")
    return json.loads(answer) == {key: int(value)} and " " not in answer


def _shifted(rest: str, answer: str) -> bool:
    steps, word = rest.split(" ")
    return len(word) == len(answer) and all(
        (ord(moved) - ord(letter) - int(steps)) % 26 == 0 and moved.islower()
        for letter, moved in zip(word, answer, strict=True)
    )


CHECKS: dict[str, Callable[[str, str], bool]] = {
    "copy": _copied,
    "upper": _raised,
    "parity": _even_or_odd,
    "max": _greatest,
    "reverse": _turned,
    "sort": _ordered,
    "after": _next,
    "double": _doubled,
    "json": _object,
    "shift": _shifted,
}


def is_right(prompt: str, answer: str) -> bool:
    """Whether the answer fits the prompt, read from the prompt's words alone."""
    if "+" in prompt:
        return _plus(prompt, answer)
    if "*" in prompt:
        return _times(prompt, answer)
    verb, rest = prompt.split(" ", 1)
    return CHECKS[verb](rest, answer)


def named(skill: Skill) -> str:
    return f"{skill.difficulty}-{skill.name}"


@pytest.mark.parametrize("skill", SKILLS, ids=named)
@given(seed=st.integers())
def test_every_answer_is_right(skill: Skill, seed: int) -> None:
    puzzle = draw(Random(seed), skill, "training")
    assert is_right(puzzle.prompt, puzzle.answer)


@pytest.mark.parametrize("skill", SKILLS, ids=named)
def test_the_check_refuses_another_answer(skill: Skill) -> None:
    puzzle = draw(Random(3), skill, "training")
    digits = puzzle.answer.isdecimal()
    wrong = str(int(puzzle.answer) + 10) if digits else puzzle.answer.swapcase()
    assert wrong != puzzle.answer
    assert not is_right(puzzle.prompt, wrong)


def test_worked_examples() -> None:
    known = {
        "copy": ("copy abc", "abc"),
        "shift": ("shift 3 xyz", "abc"),
        "json": ("json ab 12", '{"ab":12}'),
        "add": ("199+12", "211"),
        "max": ("max 3 9 1", "9"),
    }
    assert all(is_right(prompt, answer) for prompt, answer in known.values())


@pytest.mark.parametrize("skill", SKILLS, ids=named)
def test_one_seed_draws_the_same_puzzles_and_another_seed_others(skill: Skill) -> None:
    def some(seed: int) -> list[Puzzle]:
        return distinct(Random(seed), [skill], "mining", 10)

    assert some(5) == some(5)
    assert some(5) != some(6)


def test_each_difficulty_asks_for_several_skills() -> None:
    for difficulty in DIFFICULTIES:
        names = [skill.name for skill in skills_of(difficulty)]
        assert len(names) >= 5
        assert len(set(names)) == len(names)


def test_prompts_are_distinct_and_skills_take_turns() -> None:
    puzzles = distinct(Random(1), skills_of("hard"), "validation", 40)
    assert len({puzzle.prompt for puzzle in puzzles}) == 40
    assert set(Counter(puzzle.skill for puzzle in puzzles).values()) == {8}


def test_splits_have_about_the_shares_that_they_should() -> None:
    counted = Counter(split_of(f"{number}+1") for number in range(8000))
    assert counted["validation"] == pytest.approx(1000, abs=150)
    assert counted["mining"] == pytest.approx(1000, abs=150)
    assert counted["training"] == pytest.approx(6000, abs=200)
