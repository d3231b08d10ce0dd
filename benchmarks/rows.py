"""The rows that the engine is measured on: real English with code in it, and puzzles.

The text is the docstrings of Python's own standard library, which is wherever Python is (Python
Software Foundation License); the puzzles are the project's own. The same Python makes the same
rows. Lengths are in tokens as `count` counts them, so they come near to what is asked for whatever
the tokenizer; a target has one token more, the one that ends it.
"""

from __future__ import annotations

import ast
import inspect
import re
import sysconfig
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import count as integers
from pathlib import Path
from random import Random
from typing import NamedTuple

from data.puzzles import Puzzle, draw, skills_of
from store.records import Example, Kind, example_id_of

Count = Callable[[str], int]

MODULES = (
    *("_pydecimal", "argparse", "bdb", "calendar", "cmd", "configparser", "csv", "difflib"),
    *("doctest", "enum", "fractions", "ftplib", "functools", "gettext", "heapq", "inspect"),
    *("ipaddress", "mailbox", "optparse", "pathlib", "pdb", "pickletools", "random", "shutil"),
    *("smtplib", "socketserver", "statistics", "string", "subprocess", "tarfile", "textwrap"),
    *("threading", "trace", "traceback", "turtle", "typing", "uuid", "zipfile"),
)
SEED = 7
LEAD = 10_000  # characters of each module: enough for all rows
PROMPTS = range(50, 601)
SHORT = range(1, 5)
LONG = range(50, 300)
CHOICES = 4
CHOICE_WORDS = 8


class Piece(NamedTuple):
    """A word with the whitespace before it, and how many tokens it makes."""

    text: str
    tokens: int


def short_rows(number: int, count: Count, prompts: range = PROMPTS) -> list[Example]:
    """Prompts with answers of 1 to 5 tokens: half are puzzles after solved ones, half the next word
    of a text. A line ends the answer.
    """
    random, lengths = Random(SEED), spread(number, prompts)
    texts = _Texts(count, lambda text: " ".join(text.split()))
    rows = []
    for place, length in enumerate(lengths):
        if place % 2:
            rows.append(_puzzle(random, length, count))
            continue
        while True:
            prompt, rest = texts.take(length)
            if rest[0].tokens in SHORT:
                break
        rows.append(completion(_joined(prompt), rest[0].text))
    return rows


def long_rows(number: int, count: Count, prompts: range = PROMPTS) -> list[Example]:
    """Prompts with answers of 50 to 300 tokens: a text, and how it goes on."""
    texts = _Texts(count, str)
    targets = Random(SEED).sample(spread(number, LONG), number)
    rows = []
    for length, target in zip(spread(number, prompts), targets, strict=True):
        prompt, rest = texts.take(length, target)
        rows.append(completion(_joined(prompt), _joined(until(rest, target))))
    return rows


def choice_rows(number: int, count: Count, prompts: range = PROMPTS) -> list[Example]:
    """Prompts with four ways to go on, one of them the text's own."""
    texts = _Texts(count, lambda text: " ".join(text.split()))
    taken = [texts.take(length, 4 * CHOICE_WORDS) for length in spread(number, prompts)]
    ends = [_joined(rest[:CHOICE_WORDS]) for _, rest in taken]
    rows = []
    for place, (prompt, _) in enumerate(taken):
        others = (ends[(place + step) % number] for step in range(1, CHOICES))
        choices = [end for end in others if end != ends[place]]
        choices.insert(place % CHOICES, ends[place])
        rows.append(choice(_joined(prompt), ends[place], tuple(choices)))
    return rows


def scored_alone(rows: Sequence[Example]) -> list[Example]:
    """The same prompts and targets as rows for which no text is wanted: a choice of one."""
    return [
        _example("choice", one.messages, one.target, one.choices or (one.target,)) for one in rows
    ]


def spread(number: int, lengths: range) -> list[int]:
    """`number` lengths spread evenly over a range, in a shuffled order."""
    steps = max(1, number - 1)
    even = [lengths[round(place * (len(lengths) - 1) / steps)] for place in range(number)]
    return Random(SEED).sample(even, number)


def completion(prompt: str, target: str) -> Example:
    """A prompt with its answer."""
    return _example("completion", ({"role": "user", "content": prompt},), target, None)


def choice(prompt: str, target: str, choices: tuple[str, ...]) -> Example:
    """A prompt with its answer among others."""
    return _example("choice", ({"role": "user", "content": prompt},), target, choices)


def until(pieces: Sequence[Piece], tokens: int) -> Sequence[Piece]:
    """The first pieces that have at most `tokens` tokens together; at least one."""
    total = 0
    for number, piece in enumerate(pieces):
        total += piece.tokens
        if total > tokens:
            return pieces[: max(1, number)]
    return pieces


def split(text: str, count: Count) -> list[Piece]:
    """A text as pieces which, joined, are the text again but for whitespace at its end."""
    return [Piece(one, count(one)) for one in re.findall(r"\s*\S+", text)]


@cache
def documents() -> tuple[str, ...]:
    """A text a module: its docstrings in their order, an empty line between two."""
    folder = Path(sysconfig.get_path("stdlib"))
    return tuple(_docstrings((folder / f"{name}.py").read_text("utf-8")) for name in MODULES)


class _Texts:
    """Gives stretches of the documents, each text once, the documents taking turns."""

    def __init__(self, count: Count, form: Callable[[str], str]) -> None:
        self._documents = [split(form(text[:LEAD]), count) for text in documents()]
        self._starts = [0] * len(self._documents)
        self._turns = integers()

    def take(self, tokens: int, more: int = 10) -> tuple[Sequence[Piece], Sequence[Piece]]:
        """The next stretch of `tokens` tokens, and what comes after it, `more` tokens or more."""
        for turn in self._turns:
            place = turn % len(self._documents)
            rest = self._documents[place][self._starts[place] :]
            if sum(piece.tokens for piece in rest) < tokens + more:
                if turn > 100 * len(self._documents):
                    raise ValueError("the standard library's docstrings have no more text")
                continue
            prompt = until(rest, tokens)
            after = rest[len(prompt) :]
            self._starts[place] += len(prompt) + len(until(after, more))
            return prompt, after
        raise AssertionError("the turns have no end")


def _puzzle(random: Random, tokens: int, count: Count) -> Example:
    """A puzzle after as many solved ones as fit into `tokens`."""
    skills = skills_of("easy")
    while True:
        asked = draw(random, random.choice(skills), "validation")
        if count(f" {asked.answer}") in SHORT:
            break
    prompt = f"Q: {asked.prompt}\nA:"
    while True:
        solved = draw(random, random.choice(skills), "training")
        longer = f"{_solved(solved)}{prompt}"
        if count(longer) > tokens:
            return completion(prompt, f" {asked.answer}")
        prompt = longer


def _solved(puzzle: Puzzle) -> str:
    return f"Q: {puzzle.prompt}\nA: {puzzle.answer}\n\n"


def _joined(pieces: Sequence[Piece]) -> str:
    return "".join(piece.text for piece in pieces)


def _example(
    kind: Kind, messages: tuple[dict[str, str], ...], target: str, choices: tuple[str, ...] | None
) -> Example:
    example_id = example_id_of(kind, messages, target, choices)
    return Example("benchmark", example_id, 0, kind, messages, target, choices)


def _docstrings(source: str) -> str:
    return "\n\n".join(_found(ast.parse(source)))


def _found(node: ast.AST) -> Iterator[str]:
    documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    if isinstance(node, documented) and (text := ast.get_docstring(node, clean=False)):
        yield inspect.cleandoc(text)
    for child in ast.iter_child_nodes(node):
        yield from _found(child)
