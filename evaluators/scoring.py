"""Scores the targets of a batch: the prompts run once, the targets as a second block on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import DynamicCache

from evaluators.caches import pad_left, pad_right, take_rows
from evaluators.decoder import Decoder, Step
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


@dataclass(frozen=True)
class Block:
    """The targets of a batch, scored, and the cache after them.

    The cache has a row a target: `width` columns with the prompt, padded on the left, then the
    target's tokens, padded on the right.
    """

    scored: tuple[Scored, ...]
    cache: DynamicCache
    width: int


def first_miss(target: Ids, measures: Measures) -> int | None:
    """The index of the first target token that is not the argmax; None if all are."""
    misses = (place for place, token in enumerate(target) if measures.top[place] != token)
    return next(misses, None)


def score(
    decoder: Decoder, batch: Batch, eos: frozenset[int], temperatures: Sequence[float]
) -> Block:
    """Scores every target of every example in `batch`, in order."""
    device = decoder.device
    prompts = list(dict.fromkeys(row.prompt for row in batch))
    ids, mask = pad_left(prompts, device)
    cache = DynamicCache()
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    states = decoder.states(Step(ids, positions, mask), cache)[:, -1:]

    numbers = {prompt: number for number, prompt in enumerate(prompts)}
    asked = [(place, row, target) for place, row in enumerate(batch) for target in row.targets]
    rows = [numbers[row.prompt] for _, row, _ in asked]
    # The last token is fed only if the model may go on after it.
    goes_on = [row.generates and target[-1] not in eos for _, row, target in asked]
    fed = [t if on else t[:-1] for (_, _, t), on in zip(asked, goes_on, strict=True)]

    if rows != list(range(len(prompts))):
        chosen = torch.tensor(rows, device=device)
        cache, mask, states = take_rows(cache, chosen), mask[chosen], states[chosen]
    longest = max(map(len, fed))
    lengths = torch.tensor([len(one) for one in fed], device=device)[:, None]
    if longest:
        offsets = torch.arange(longest, device=device).minimum((lengths - 1).clamp(min=0))
        # Padding on the right comes after all that is real, so it needs no mask; only its
        # positions must not run out of the model's context.
        positions = mask.sum(-1, keepdim=True) + offsets
        mask = torch.cat([mask, mask.new_ones(len(asked), longest)], dim=-1)
        block = decoder.states(Step(pad_right(fed, device), positions, mask), cache)
        states = torch.cat([states, block], dim=1)
    real = torch.arange(longest + 1, device=device) <= lengths
    tokens = [(*t, 0) if on else t for (_, _, t), on in zip(asked, goes_on, strict=True)]
    flat = torch.tensor([token for one in tokens for token in one], device=device)
    measures = measure_states(decoder.logits, states[real], flat, temperatures, decoder.vocabulary)

    scored, start = [], 0
    for (place, row, target), one in zip(asked, tokens, strict=True):
        end = start + len(one)
        scored.append(Scored(place, row.prompt, target, measures[start:end]))
        start = end
    return Block(tuple(scored), cache, ids.shape[1])


def columns_of(lengths: Tensor, kept: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """Which columns of a Block's cache hold a prompt and the first `kept` tokens of its target.

    `lengths` and `kept` are (rows, 1), in tokens. Returns columns and mask, both (rows, longest):
    what is real is moved to the right, so that the next token can be put beside it.
    """
    whole = lengths + kept
    longest = int(whole.max())
    places = torch.arange(longest, device=lengths.device)
    columns = (width + kept - longest + places).clamp(min=0)
    return columns, (places >= longest - whole).long()
