"""Samples: texts drawn from the model's distribution at a temperature, the same ones every time.

A token follows from the logits and from one number between 0 and 1, which is a hash of the example,
the sample and the token's place (numbers by counter: Salmon et al., "Parallel random numbers: as
easy as 1, 2, 3", 2011). So a text depends on no batch, no order and no start in the middle, and two
checkpoints that say the same are given the same chances. As with a near tie of the greedy text,
rounding of the logits decides where a number falls right between two tokens.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple

import torch
from torch import Tensor


class Sampling(NamedTuple):
    """How many samples an example gets beside its greedy text, and at which temperature."""

    samples: int
    temperature: float


NO_SAMPLES = Sampling(0, 1.0)


class Sample(NamedTuple):
    """One sample of an example; `number` counts from 1."""

    example_id: str
    number: int

    def chance(self, place: int) -> float:
        """The number in [0, 1) that draws the token at `place`: a multiple of 2^-53."""
        key = f"{self.example_id}\n{self.number}\n{place}"
        digest = hashlib.sha256(key.encode()).digest()
        return (int.from_bytes(digest[:8], "big") >> 11) * 2.0**-53


class Draws(NamedTuple):
    """The numbers (n, float64) that draw a token at each of n positions; NaN takes the argmax."""

    chances: Tensor
    temperature: float

    def at(self, positions: slice) -> Draws:
        """The same of a range of positions."""
        return Draws(self.chances[positions], self.temperature)

    def tokens(self, logits: Tensor, top: Tensor) -> Tensor:
        """The token (n) at each position of `logits` (n, vocabulary), of which `top` is the argmax.

        The distribution function over the tokens in the order of their ids is inverted in float64.
        """
        drawn = ~self.chances.isnan()
        if not bool(drawn.any()):
            return top
        weights = logits[drawn].double()
        weights -= weights.amax(-1, keepdim=True)
        sums = weights.div_(self.temperature).exp_().cumsum(-1)
        total = sums[:, -1:].clone()
        # The first token whose sum is beyond: one without weight has the sum of the one before it.
        places = torch.searchsorted(sums, self.chances[drawn, None] * total, right=True)
        # A product that was rounded up to the total is beyond none.
        last = torch.searchsorted(sums, total).clamp(max=logits.shape[-1] - 1)
        return top.masked_scatter(drawn, torch.minimum(places, last)[:, 0])
