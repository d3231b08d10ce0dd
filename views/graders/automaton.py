"""A regular expression as an automaton, which reads a text once, from left to right.

It follows all the ways that the expression could match at the same time (Thompson 1968, "Regular
expression search algorithm"; Cox 2007, "Regular expression matching can be simple and fast"), so
that the work is at most that of its program times the text. There is no going back, and therefore
no expression and no answer that take for ever. Sets of places that were seen once are remembered
as states, and from then on a character costs a look-up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

MAX_STATES = 500

# What is read: characters, and these two at the end of a text.
LAST_NEWLINE = "\n$"
END = ""


class Take(NamedTuple):
    """Reads one character and goes on to the next instruction."""

    accepts: Callable[[str], object]


class Hold(NamedTuple):
    """Goes on to the next instruction between some characters: what was read, what comes."""

    holds: Callable[[str, str], bool]


class Fork(NamedTuple):
    """Goes on to each of these places."""

    targets: list[int]


# It has matched when it comes to its end.
Program = Sequence[Take | Hold | Fork]


class Automaton:
    """Tells whether a program matches anywhere in a text."""

    def __init__(self, program: Program, kind: Callable[[str], str]) -> None:
        """`kind` gives a character that stands for all those that are like it to any Hold."""
        self._program = program
        self._kind = kind
        self._states: dict[tuple[frozenset[int], str], _State] = {}
        self._found = _State(self, frozenset(), "", matched=True)
        self._lost = _State(self, frozenset(), "")
        self._first = _State(self, frozenset(), "")

    def matches_in(self, text: str) -> bool:
        """Whether some part of `text` matches, which may be an empty one."""
        ends_line = text.endswith("\n")
        state = self._first
        for symbol in text[:-1] if ends_line else text:
            state = state[symbol]
            if state.matched:
                return True
        if ends_line:
            state = state[LAST_NEWLINE]
        return state.matched or state[END].matched

    def after(self, state: _State, symbol: str) -> _State:
        """The state that `symbol` leads to, worked out."""
        # A match may begin anywhere, and so here.
        places = self._reached((0, *state.places), state.before, symbol)
        if len(self._program) in places:
            return self._found
        if symbol == END:
            return self._lost
        character = symbol[0]
        onward = []
        for place in places:
            instruction = self._program[place]
            if isinstance(instruction, Take) and instruction.accepts(character):
                onward.append(place + 1)
        return self._state(frozenset(onward), self._kind(character))

    def _reached(self, places: Iterable[int], before: str, symbol: str) -> set[int]:
        """These places, and those that are reached from them between two characters."""
        reached: set[int] = set()
        ahead = list(places)
        while ahead:
            place = ahead.pop()
            if place in reached:
                continue
            reached.add(place)
            instruction = self._program[place] if place < len(self._program) else None
            match instruction:
                case Fork(targets):
                    ahead.extend(targets)
                case Hold(holds) if holds(before, symbol):
                    ahead.append(place + 1)
        return reached

    def _state(self, places: frozenset[int], before: str) -> _State:
        key = places, before
        if key not in self._states:
            if len(self._states) >= MAX_STATES:
                self._states.clear()
                self._first.clear()
            self._states[key] = _State(self, places, before)
        return self._states[key]


class _State(dict[str, "_State"]):
    """The places in a program that the text so far leads to, and where each character leads on."""

    __slots__ = ("automaton", "before", "matched", "places")

    def __init__(
        self, automaton: Automaton, places: frozenset[int], before: str, *, matched: bool = False
    ) -> None:
        super().__init__()
        self.automaton = automaton
        self.places = places
        self.before = before
        self.matched = matched

    def __missing__(self, symbol: str) -> _State:
        state = self.automaton.after(self, symbol)
        self[symbol] = state
        return state
