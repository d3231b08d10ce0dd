"""Scores the targets of a batch: each prompt runs once, its first target right behind it, and other
targets as blocks of their own on the prompt's cache.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import NamedTuple

import torch
from torch import Tensor

from evaluators.caches import Slots
from evaluators.decoder import Decoder, step_of
from evaluators.measures import Measures, measure_states
from evaluators.planning import Batch
from evaluators.prompts import Ids


@dataclass(frozen=True)
class Scored:
    """One target on its prompt. `row` is the example's place in the batch.

    `measures` has an entry a target token and, if the model may go on after the target, one more:
    what comes next. Its `top` is then the greedy token, the other numbers mean nothing.
    """

    row: int
    prompt: Ids
    target: Ids
    measures: Measures

    @property
    def finite(self) -> bool:
        """Whether every number of it is one."""
        return bool(self.measures.finite.all())

    @property
    def agreed(self) -> int:
        """How many leading tokens of the target are the model's own greedy choice."""
        miss = first_miss(self.target, self.measures)
        return len(self.target) if miss is None else miss


@dataclass
class Block:
    """The targets of a batch, scored, and the cache after them.

    `rows` says which row of the cache holds a prompt. `drafts` has, by prompt, the target of a
    generating example that agrees longest with the model; its tokens that agree stand in the cache
    after the prompt. A prompt of which no such target is finite has none.
    """

    cache: Slots
    rows: dict[Ids, int]
    scored: list[Scored] = field(default_factory=list)
    drafts: dict[Ids, Scored] = field(default_factory=dict)


class _Asked(NamedTuple):
    """A target to score: those of its tokens that are fed, and the tokens that are measured."""

    row: int
    prompt: Ids
    target: Ids
    generates: bool
    fed: Ids
    measured: Ids


def first_miss(target: Ids, measures: Measures) -> int | None:
    """The index of the first target token that is not the argmax; None if all are."""
    misses = (place for place, token in enumerate(target) if measures.top[place] != token)
    return next(misses, None)


def score(
    decoder: Decoder, batch: Batch, eos: frozenset[int], temperatures: Sequence[float]
) -> Block:
    """Scores every target of every example in `batch`; `scored` is in their order."""
    asked = list(_asked(batch, eos))
    first: dict[Ids, int] = {}
    for number, one in enumerate(asked):
        first.setdefault(one.prompt, number)
    columns = max(len(one.prompt) + len(one.fed) for one in asked)
    block = Block(Slots(len(first), columns), {prompt: row for row, prompt in enumerate(first)})
    found: dict[int, Measures] = {}

    starts = [asked[number] for number in first.values()]
    step = step_of([0] * len(starts), [one.prompt + one.fed for one in starts], decoder.device)
    states = decoder.states(step, block.cache)
    parts = torch.split(states, [len(one.prompt) + len(one.fed) for one in starts])
    kept = [part[-len(one.measured) :] for part, one in zip(parts, starts, strict=True)]
    lasts = torch.stack([one[0] for one in kept])
    found.update(zip(first.values(), _measured(decoder, kept, starts, temperatures), strict=True))
    for number in first.values():
        _note(block, asked[number], found[number])

    others = [number for number in range(len(asked)) if first[asked[number].prompt] != number]
    for numbers in _chunks(asked, others, len(first)):
        some = [asked[number] for number in numbers]
        rows = [block.rows[one.prompt] for one in some]
        cache, kept = _behind(decoder, block.cache, lasts, rows, some)
        found.update(zip(numbers, _measured(decoder, kept, some, temperatures), strict=True))
        for place, number in enumerate(numbers):
            one = asked[number]
            if _note(block, one, found[number]) and cache is not None:
                end = len(one.prompt) + block.drafts[one.prompt].agreed
                block.cache.copy_row(rows[place], cache, place, len(one.prompt), end)
    block.scored.extend(
        Scored(one.row, one.prompt, one.target, found[number]) for number, one in enumerate(asked)
    )
    return block


def _asked(batch: Batch, eos: frozenset[int]) -> Iterator[_Asked]:
    for place, row in enumerate(batch):
        for target in row.targets:
            # The last token is fed only if the model may go on after it.
            goes_on = row.generates and target[-1] not in eos
            fed, measured = (target, (*target, 0)) if goes_on else (target[:-1], target)
            yield _Asked(place, row.prompt, target, row.generates, fed, measured)


def _chunks(asked: list[_Asked], numbers: list[int], size: int) -> Iterator[list[int]]:
    """The targets in lots of at most `size`: first those that are not fed at all, then the others.

    A target of one token needs no more than the prompt's last state.
    """
    for fed in (False, True):
        some = [number for number in numbers if bool(asked[number].fed) == fed]
        for start in range(0, len(some), size):
            yield some[start : start + size]


def _behind(
    decoder: Decoder, cache: Slots, lasts: Tensor, rows: list[int], asked: list[_Asked]
) -> tuple[Slots | None, list[Tensor]]:
    """Runs targets behind the prompts in the rows `rows` of `cache`; all of them are fed, or none.

    Returns the cache that holds them, and for each the states that its tokens are measured by.
    """
    kept = [lasts[row][None] for row in rows]
    if not asked[0].fed:
        return None, kept
    starts, fed = [len(one.prompt) for one in asked], [one.fed for one in asked]
    own = cache.take(*torch.tensor([rows, starts], device=decoder.device))
    states = decoder.states(step_of(starts, fed, decoder.device), own)
    parts = torch.split(states, [len(one) for one in fed])
    return own, [torch.cat(pair) for pair in zip(kept, parts, strict=True)]


def _measured(
    decoder: Decoder, kept: list[Tensor], asked: list[_Asked], temperatures: Sequence[float]
) -> list[Measures]:
    tokens = torch.tensor([t for one in asked for t in one.measured], device=decoder.device)
    measures = measure_states(
        decoder.logits, torch.cat(kept), tokens, temperatures, decoder.vocabulary
    )
    ends = list(accumulate(len(one.measured) for one in asked))
    return [measures[end - len(one.measured) : end] for end, one in zip(ends, asked, strict=True)]


def _note(block: Block, one: _Asked, measures: Measures) -> bool:
    """Whether this target is its prompt's best draft so far; then it is noted as such."""
    scored = Scored(one.row, one.prompt, one.target, measures)
    best = block.drafts.get(one.prompt)
    if not (one.generates and scored.finite and (best is None or scored.agreed > best.agreed)):
        return False
    block.drafts[one.prompt] = scored
    return True
