"""Tries a model out on a few tokens: are its numbers the same batched as one example at a time?

Padding on the left, positions of one's own, a cache that is cut and joined, and a head in float32
are not exact for every model. Where they are not, the model is evaluated one example at a time.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch

from evaluators.batched import Batched
from evaluators.passes import Pass, Seen, Single, Unmeasured
from evaluators.planning import Batch
from evaluators.prompts import Encoded, Ids
from store.records import Example

# Nats a token. Half precision rounds each of many sums, and both ways round differently; a wrong
# mask, position or head is off by more.
TOLERANCE = {torch.float32: 1e-3}
HALF_PRECISION_TOLERANCE = 0.5

NEW_TOKENS = 3


class _Lengths(NamedTuple):
    prompt: int
    target: int


# Of different lengths, so that both prompt and target are padded.
ROWS = (_Lengths(5, 3), _Lengths(2, 4))


def disagreement(batched: Batched, single: Single) -> str | None:
    """How the two ways through the model differ by more than rounding; None if they do not."""
    endings = replace(single.endings, eos=frozenset(), stop=(), max_new_tokens=NEW_TOKENS)
    batch = tuple(_row(number, batched.decoder.vocabulary) for number in range(len(ROWS)))
    tolerance = TOLERANCE.get(single.model.dtype, HALF_PRECISION_TOLERANCE)
    try:
        found = _seen(replace(batched, endings=endings), batch)
    except (MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # noqa: BLE001 - whatever a model objects to, it has another way
        return f"in a batch the model raises {type(error).__name__}: {error}"
    expected = _seen(replace(single, endings=endings), batch)
    for number, pair in enumerate(zip(found, expected, strict=True), start=1):
        if (difference := _difference(*pair, tolerance)) is not None:
            return f"in a batch, row {number} of the trial {difference}"
    return None


def _seen(way: Pass, batch: Batch) -> list[Seen]:
    """What a way through the model makes of the rows, in their order."""
    found = {one.row.example.example_id: one.seen for some in way.run([batch], {}) for one in some}
    seen = [found[row.example.example_id] for row in batch]
    if unmeasured := [one for one in seen if isinstance(one, Unmeasured)]:
        raise MemoryError(unmeasured[0].reason)
    return [one for one in seen if isinstance(one, Seen)]


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


def _row(number: int, vocabulary: int) -> Encoded:
    """An example of tokens spread over the vocabulary, the same ones every time."""
    lengths = ROWS[number]
    total = sum(lengths)
    ids: Ids = tuple(7919 * (place + number * total + 1) % vocabulary for place in range(total))
    return Encoded(
        example=Example("probe", str(number), number, "text", (), "probe"),
        prompt=ids[: lengths.prompt],
        prompt_truncated=False,
        targets=(ids[lengths.prompt :],),
        answer=0,
        target_bytes=lengths.target,
        generates=True,
    )
