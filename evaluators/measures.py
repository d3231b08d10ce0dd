"""What logits say about tokens: log-probability, entropy, margin, rank. Everything in nats."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]

# Logits of one chunk: 2^24 float32 numbers are 64 MiB, and a few temporaries of the same size.
CHUNK_LOGITS = 2**24


@dataclass(frozen=True)
class Measures:
    """What the model said at n positions; every array has n entries but for `at_temperature`.

    `logprob`, `rank` and `at_temperature` are of the tokens asked about, the others of the whole
    distribution: its `entropy`, the `margin` between its two largest log-probabilities, its argmax
    `top` and that token's `top_logprob`. `rank` counts the tokens that are likelier.
    `at_temperature` is (temperatures, n). Where `finite` is False the numbers mean nothing.
    """

    logprob: Floats
    rank: Integers
    at_temperature: Floats
    entropy: Floats
    margin: Floats
    top: Integers
    top_logprob: Floats
    finite: npt.NDArray[np.bool_]

    def __getitem__(self, positions: slice) -> Measures:
        """The same of a range of positions."""
        return Measures(*(getattr(self, one.name)[..., positions] for one in fields(self)))


def measure(logits: Tensor, tokens: Tensor, temperatures: Sequence[float]) -> Measures:
    """Measures `tokens` (n) under `logits` (n, vocabulary), in float32.

    At temperature T the log-probability of token i is logits[i] / T - logsumexp(logits / T)
    (Guo et al., "On Calibration of Modern Neural Networks", 2017, section 4.2).
    """
    logits = logits.float()
    asked = logits.gather(-1, tokens[:, None])
    total = logits.logsumexp(-1)
    best = logits.topk(2, dim=-1).values
    # Rounding must not make a probability of more than 1.
    logprob = (asked[:, 0] - total).clamp(max=0.0)
    at_temperature = [
        (asked[:, 0] / one - (logits / one).logsumexp(-1)).clamp(max=0.0) if one != 1.0 else logprob
        for one in temperatures
    ]
    tempered = torch.stack(at_temperature) if at_temperature else logprob.new_empty(0, len(logprob))
    margin = best[:, 0] - best[:, 1]
    # entr(p) is -p ln p and 0 at 0, where p * log p would be NaN.
    entropy = torch.special.entr(torch.softmax(logits, dim=-1)).sum(-1)
    finite = torch.isfinite(torch.stack([logprob, margin, entropy, *tempered])).all(0)
    return Measures(
        logprob=_array(logprob),
        rank=_array((logits > asked).sum(-1)),
        at_temperature=_array(tempered),
        entropy=_array(entropy),
        margin=_array(margin),
        top=_array(logits.argmax(-1)),
        top_logprob=_array((best[:, 0] - total).clamp(max=0.0)),
        finite=_array(finite),
    )


def measure_states(
    head: Callable[[Tensor], Tensor],
    states: Tensor,
    tokens: Tensor | None,
    temperatures: Sequence[float],
    vocabulary: int,
) -> Measures:
    """Measures `tokens` (n) under `head(states)`, where `states` is (n, hidden).

    The logits exist only chunk by chunk. Without `tokens`, it is the argmax that is measured.
    """
    size = max(1, CHUNK_LOGITS // vocabulary)
    chunks = []
    for start in range(0, len(states), size):
        logits = head(states[start : start + size])
        asked = logits.argmax(-1) if tokens is None else tokens[start : start + size]
        chunks.append(measure(logits, asked, temperatures))
    return Measures(
        *(
            np.concatenate([getattr(chunk, one.name) for chunk in chunks], axis=-1)
            for one in fields(Measures)
        )
    )


def _array(tensor: Tensor) -> npt.NDArray[Any]:
    return tensor.cpu().numpy()
