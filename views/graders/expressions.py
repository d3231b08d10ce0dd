"""Regular expressions as trees, and the program that an automaton follows for one."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from errors import PatternFault
from views.graders.automaton import Fork, Hold, Program, Take

MAX_INSTRUCTIONS = 1_000


class One(NamedTuple):
    """Any one of the characters that it accepts."""

    accepts: Callable[[str], object]


class Edge(NamedTuple):
    """A place between characters: what was read, what comes."""

    holds: Callable[[str, str], bool]


class Chain(NamedTuple):
    """The parts, one after another."""

    parts: list[Expression]


class Choice(NamedTuple):
    """Any one of the parts."""

    parts: list[Expression]


class Repeat(NamedTuple):
    """The part, from `low` to `high` times; None is without end."""

    part: Expression
    low: int
    high: int | None


Expression = One | Edge | Chain | Choice | Repeat


def program(expression: Expression) -> Program:
    """The instructions for it. Raises PatternFault when there are too many."""
    written: list[Take | Hold | Fork] = []
    _write(expression, written)
    return written


def _write(expression: Expression, written: list[Take | Hold | Fork]) -> None:
    match expression:
        case One(accepts):
            _add(Take(accepts), written)
        case Edge(holds):
            _add(Hold(holds), written)
        case Chain(parts):
            for part in parts:
                _write(part, written)
        case Choice(parts):
            _write_choice(parts, written)
        case Repeat(part, low, high):
            for _ in range(low):
                before = len(written)
                _write(part, written)
                if len(written) == before:
                    # Nothing, however often, is nothing.
                    break
            if high is None:
                _write_loop(part, written)
            else:
                _write_options(part, high - low, written)


def _add(instruction: Take | Hold | Fork, written: list[Take | Hold | Fork]) -> None:
    if len(written) >= MAX_INSTRUCTIONS:
        raise PatternFault("its repeats make it too large")
    written.append(instruction)


def _fork(written: list[Take | Hold | Fork], *targets: int) -> Fork:
    fork = Fork(list(targets))
    _add(fork, written)
    return fork


def _write_choice(parts: list[Expression], written: list[Take | Hold | Fork]) -> None:
    start = _fork(written)
    ends = []
    for part in parts:
        start.targets.append(len(written))
        _write(part, written)
        ends.append(_fork(written))
    for end in ends:
        end.targets.append(len(written))


def _write_loop(part: Expression, written: list[Take | Hold | Fork]) -> None:
    place = len(written)
    start = _fork(written, place + 1)
    _write(part, written)
    _fork(written, place)
    start.targets.append(len(written))


def _write_options(part: Expression, times: int, written: list[Take | Hold | Fork]) -> None:
    starts = []
    for _ in range(times):
        starts.append(_fork(written, len(written) + 1))
        _write(part, written)
    for start in starts:
        start.targets.append(len(written))
