"""Tries a model out on a few tokens: are its numbers the same batched as one example at a time?

Padding on the left, positions of one's own, a cache that is cut and joined, and a head in float32
are not exact for every model. Where they are not, the model is evaluated one example at a time.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch

from evaluators.passes import Batched, Seen, Single
from evaluators.prompts import Encoded, Ids
from store.records import Example

LOG = logging.getLogger(__name__)

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


def agree(batched: Batched, single: Single) -> bool:
    """Whether both ways through the model give the same numbers, up to rounding."""
    endings = replace(single.endings, eos=frozenset(), stop=(), max_new_tokens=NEW_TOKENS)
    batch = tuple(_row(number, batched.decoder.vocabulary) for number in range(len(ROWS)))
    tolerance = TOLERANCE.get(single.model.dtype, HALF_PRECISION_TOLERANCE)
    try:
        found = replace(batched, endings=endings).run(batch)
    except (MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # noqa: BLE001 - whatever a model objects to, it has another way
        LOG.warning("one example at a time, for in a batch the model raises: %s", error)
        return False
    expected = replace(single, endings=endings).run(batch)
    return all(_close(one, other, tolerance) for one, other in zip(found, expected, strict=True))


def _close(one: Seen, other: Seen, tolerance: float) -> bool:
    if not (one.finite and other.finite):
        # A checkpoint without finite numbers has the same fault either way.
        return one.finite == other.finite
    targets = np.abs(one.targets[0].logprob - other.targets[0].logprob)
    assert one.text is not None
    assert other.text is not None
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
    return bool(max(*targets, *said) <= tolerance)


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
