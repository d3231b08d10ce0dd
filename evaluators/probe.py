"""Tries a model out on a few tokens: are its numbers the same batched as one example at a time?

A batch, positions of one's own, a cache that is cut and joined, and a head in float32 are not exact
for every model. Where they are not, the model is evaluated one example at a time.

A few tokens show all that depends on the place of a token in its row or in the batch. What depends
on lengths does not show in them: a window is narrowed for the trial, until its rows reach beyond
it, and a rotary embedding that follows the longest row is told by its type.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from transformers import PreTrainedModel

from evaluators.batched import Batched
from evaluators.memory import is_out_of_memory
from evaluators.passes import Pass, Seen, Single, Unmeasured
from evaluators.planning import Batch
from evaluators.prompts import Encoded, Ids
from evaluators.sampling import NO_SAMPLES
from store.records import Example

# Nats a token. Half precision rounds each of many sums, and both ways round differently; a wrong
# mask, position or head is off by more.
TOLERANCE = {torch.float32: 1e-3}
HALF_PRECISION_TOLERANCE = 0.5

NEW_TOKENS = 3

# Settings of a model that limit how far a token sees, and what they are during the trial.
WINDOWS = ("sliding_window", "attention_chunk_size")
NARROW = 4

# The rotary embedding whose angles depend on the longest row that it sees. The "dynamic" one does
# so only beyond the model's context, where no row goes.
LENGTH_DEPENDENT = "longrope"


class _Row(NamedTuple):
    """Lengths of a prompt and its target, in tokens; the same `start`s the same prompt."""

    start: int
    prompt: int
    target: int


# One goes beyond a narrow window in its prompt, one not at all, and one has a prompt that is there
# already, as examples of one question do.
ROWS = (_Row(0, 6, 3), _Row(100, 2, 1), _Row(0, 6, 1))


class Trial(NamedTuple):
    """How the two ways through a model differ by more than rounding; None if they do not.

    It is `conclusive` if it holds for other weights too: both ways gave numbers to compare.
    """

    difference: str | None
    conclusive: bool = True


def try_out(batched: Batched, single: Single) -> Trial:
    """Runs a few rows both ways. Raises what runs out of memory."""
    if any(_depends_on_length(module) for module in single.model.modules()):
        return Trial(
            f"its {LENGTH_DEPENDENT} rotary embedding depends on the longest row of a batch"
        )
    endings = replace(single.endings, eos=frozenset(), stop=(), max_new_tokens=NEW_TOKENS)
    batch = tuple(_example(number, batched.decoder.vocabulary) for number in range(len(ROWS)))
    tolerance = TOLERANCE.get(single.model.dtype, HALF_PRECISION_TOLERANCE)
    with _narrowed(single.model):
        try:
            found = _seen(replace(batched, endings=endings, sampling=NO_SAMPLES), batch)
        except Exception as error:
            if is_out_of_memory(error):
                raise
            # Whatever it objects to, it has another way.
            return Trial(f"in a batch the model raises {type(error).__name__}: {error}")
        expected = _expected(replace(single, endings=endings, sampling=NO_SAMPLES), batch)
    for number, pair in enumerate(zip(found, expected, strict=True), start=1):
        if (difference := _difference(*pair, tolerance)) is not None:
            return Trial(f"in a batch, row {number} of the trial {difference}")
    return Trial(None, conclusive=all(one.finite for one in expected))


def _depends_on_length(module: torch.nn.Module) -> bool:
    named = getattr(module, "rope_type", None)
    # One type, or one for each type of layer.
    return LENGTH_DEPENDENT in (named.values() if isinstance(named, dict) else [named])


@contextmanager
def _narrowed(model: PreTrainedModel) -> Iterator[None]:
    """Within it, no window of the model is wider than NARROW tokens."""
    configs = [one.config for one in model.modules() if isinstance(one, PreTrainedModel)]
    wide = [
        (config, name, width)
        for config in {id(one): one for one in configs}.values()
        for name in WINDOWS
        if isinstance(width := getattr(config, name, None), int) and width > NARROW
    ]
    try:
        for config, name, _ in wide:
            setattr(config, name, NARROW)
        yield
    finally:
        for config, name, width in wide:
            setattr(config, name, width)


def _seen(way: Pass, batch: Batch) -> list[Seen]:
    """What a way through the model makes of the rows, in their order."""
    found = {one.row.example.example_id: one.seen for some in way.run([batch], {}) for one in some}
    seen = [found[row.example.example_id] for row in batch]
    if unmeasured := [one for one in seen if isinstance(one, Unmeasured)]:
        raise MemoryError(unmeasured[0].reason)
    return [one for one in seen if isinstance(one, Seen)]


def _expected(single: Single, batch: Batch) -> list[Seen]:
    """What the plain way makes of the rows; it is slow, so each prompt's text is written once."""
    first: dict[Ids, int] = {}
    for number, row in enumerate(batch):
        first.setdefault(row.prompt, number)
    once = [replace(row, generates=first[row.prompt] == number) for number, row in enumerate(batch)]
    seen = _seen(single, tuple(once))
    return [
        replace(one, text=seen[first[row.prompt]].text)
        for row, one in zip(batch, seen, strict=True)
    ]


def _difference(one: Seen, other: Seen, tolerance: float) -> str | None:
    if one.finite != other.finite:
        return "is not finite" if other.finite else "is finite, and is not so alone"
    if not one.finite:
        # A checkpoint without finite numbers has the same fault either way.
        return None
    assert one.text is not None
    assert other.text is not None
    targets = np.abs(one.targets[0].logprob - other.targets[0].logprob)
    said = [
        abs(a - b)
        for a, b, same in zip(
            one.text.logprob,
            other.text.logprob,
            _same_so_far(one.text.tokens, other.text.tokens),
            strict=True,
        )
        if same
    ]
    for what, differences in (("target", targets), ("text", said)):
        place = int(np.argmax(differences))
        if differences[place] > tolerance:
            return f"differs by {differences[place]:.2g} nats at token {place + 1} of its {what}"
    return None


def _same_so_far(one: list[int], other: list[int]) -> list[bool]:
    """Whether the tokens before each place are the same: rounding may turn a close decision."""
    return [one[:place] == other[:place] for place in range(len(one))]


def _tokens(start: int, count: int, vocabulary: int) -> Ids:
    """Tokens spread over the vocabulary, the same ones every time."""
    return tuple(7919 * (place + 1) % vocabulary for place in range(start, start + count))


def _example(number: int, vocabulary: int) -> Encoded:
    """The example of a row of the trial."""
    row = ROWS[number]
    return Encoded(
        example=Example("probe", str(number), number, "text", (), "probe"),
        prompt=_tokens(row.start, row.prompt, vocabulary),
        prompt_truncated=False,
        targets=(_tokens(10 * (number + 1), row.target, vocabulary),),
        answer=0,
        target_bytes=row.target,
        generates=True,
    )
