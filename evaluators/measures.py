"""What logits say about tokens: log-probability, entropy, margin, rank. Everything in nats."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from evaluators.sampling import Draws

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

# Logits that exist at once: 2^24 float32 numbers are 64 MiB. In a vocabulary of 262,144 that is
# 64 positions: the head's weights are read so seldom that the multiplication does not wait.
CHUNK_LOGITS = 2**24

# Logits that are measured at once on a CPU: 4 MiB, of which at most TEMPORARIES stay in its cache.
TILE_LOGITS = 2**20
TEMPORARIES = 6

# The tokens to measure: given, drawn, or the argmax.
Asked: TypeAlias = Tensor | Draws | None


@dataclass(frozen=True)
class Measures:
    """What the model said at n positions; every array has n entries but for `at_temperature`.

    `token` are the tokens asked about, which `logprob`, `rank` and `at_temperature` are of; the
    others are of the whole distribution: its `entropy`, the `margin` between its two largest
    log-probabilities, its argmax `top` and that token's `top_logprob`. `rank` counts the tokens
    that are likelier. `at_temperature` is (temperatures, n). Where `finite` is False the numbers
    mean nothing.
    """

    token: Integers
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


def measure(logits: Tensor, tokens: Asked, temperatures: Sequence[float]) -> Measures:
    """Measures `tokens` (n) under `logits` (n, vocabulary), which are taken in float32.

    Without `tokens`, it is the argmax that is measured; with Draws, what they draw. At temperature
    T the log-probability of token i is logits[i] / T - logsumexp(logits / T) (Guo et al., "On
    Calibration of Modern Neural Networks", 2017, section 4.2).
    """
    return _joined(_tiles(logits, tokens, temperatures))


def measure_states(
    head: Callable[[Tensor], Tensor],
    states: Tensor,
    tokens: Asked,
    temperatures: Sequence[float],
    vocabulary: int,
) -> Measures:
    """Measures `tokens` (n) under `head(states)`, where `states` is (n, hidden).

    The logits exist only chunk by chunk, `peak_bytes` of them and of what is made of them.
    """
    size = max(1, CHUNK_LOGITS // vocabulary)
    tiles: list[_Tile] = []
    for start in range(0, len(states), size):
        asked = _part(tokens, start, size)
        tiles += _tiles(head(states[start : start + size]), asked, temperatures)
    return _joined(tiles)


def peak_bytes(vocabulary: int, device: torch.device) -> int:
    """The most bytes that `measure_states` holds beside what it is given and gives back."""
    chunk = max(CHUNK_LOGITS, vocabulary)
    tile = chunk if device.type != "cpu" else max(TILE_LOGITS, vocabulary)
    return 4 * (chunk + TEMPORARIES * tile)


class _Tile(NamedTuple):
    """Measures of some positions, on the model's device.

    `floats` is (4 + temperatures, positions): logprob, entropy, margin, top_logprob and the
    log-probability at each temperature; `integers` is (3, positions): rank, top and token.
    """

    floats: Tensor
    integers: Tensor


def _tiles(logits: Tensor, tokens: Asked, temperatures: Sequence[float]) -> list[_Tile]:
    """Measures as many positions at a time as a CPU's cache holds; on a GPU, all."""
    logits = logits.float()
    size = max(1, TILE_LOGITS // logits.shape[-1] if logits.device.type == "cpu" else len(logits))
    return [
        _tile(
            logits[start : start + size],
            _part(tokens, start, size),
            temperatures,
        )
        for start in range(0, len(logits), size)
    ]


def _part(tokens: Asked, start: int, size: int) -> Asked:
    """What is asked about `size` positions from `start` on."""
    positions = slice(start, start + size)
    match tokens:
        case None:
            return None
        case Draws():
            return tokens.at(positions)
        case _:
            return tokens[positions]


def _tile(logits: Tensor, tokens: Asked, temperatures: Sequence[float]) -> _Tile:
    """Few passes over (n, vocabulary) numbers, since each takes as long as its memory does.

    What is n numbers is in float64: the roundings of a long text would add up.
    """
    top = _argmax(logits)[:, None]
    if isinstance(tokens, Draws):
        tokens = tokens.tokens(logits, top[:, 0])
    largest = logits.gather(-1, top)
    below = logits - largest
    second = below.scatter_(-1, top, -torch.inf).amax(-1).double()
    below.scatter_(-1, top, 0.0)
    weights = torch.softmax(below, dim=-1)
    log_total = _log_total(weights, top)
    mean = _mean(weights, below).double()
    if tokens is None:
        asked, rank = torch.zeros_like(log_total), torch.zeros_like(top[:, 0])
    else:
        found = logits.gather(-1, tokens[:, None])
        asked = (found.double() - largest.double())[:, 0]
        # As float32, for which a sum is several times faster than over truth values.
        likelier = torch.gt(logits, found, out=torch.empty_like(logits))
        rank = likelier.sum(-1).long()
    tempered = _log_totals(below, weights, top, temperatures)
    logprobs = [
        # Rounding must not make a probability of more than 1.
        (asked / temperature - total).clamp(max=0.0)
        for temperature, total in zip((1.0, *temperatures), (log_total, *tempered), strict=True)
    ]
    top_logprob = (-log_total).clamp(max=0.0)
    entropy = (log_total - mean).clamp(min=0.0)
    floats = torch.stack([logprobs[0], entropy, -second, top_logprob, *logprobs[1:]])
    return _Tile(floats, torch.stack([rank, top[:, 0], top[:, 0] if tokens is None else tokens]))


def _argmax(logits: Tensor) -> Tensor:
    """The first place (n) of each row's largest number, or of its first NaN."""
    if logits.device.type == "cpu":
        # numpy's is ten times as fast as torch's.
        return torch.from_numpy(logits.numpy().argmax(-1))
    return logits.argmax(-1)


def _log_total(weights: Tensor, top: Tensor) -> Tensor:
    """ln of the sum (n) of `weights` (n, vocabulary), where the weight at `top` (n, 1) is 1.

    softmax has divided by a sum of its own, in which small weights got lost beside large ones.
    """
    return (weights.sum(-1).double() / weights.gather(-1, top)[:, 0].double()).log()


def _mean(weights: Tensor, below: Tensor) -> Tensor:
    """The mean (n) of `below` under `weights`, both (n, vocabulary)."""
    total = weights.sum(-1)
    mean: Tensor = torch.linalg.vecdot(weights, below) / total
    if bool(mean.isfinite().all()):
        return mean
    # What is ruled out (-inf) has no weight, and 0 times infinity is NaN.
    possible = below.clamp(min=torch.finfo(below.dtype).min)
    return mean.copy_(torch.linalg.vecdot(weights, possible) / total)


def _log_totals(
    below: Tensor, weights: Tensor, top: Tensor, temperatures: Sequence[float]
) -> list[Tensor]:
    """ln of the sum (n) of exp(below / T) at each temperature T; `weights` are those at T = 1.

    A root and a square are much cheaper than an exponential, so 2 and 1/2 follow from 1, and 0.75
    from 1.5. They are taken of exponentials only: what has underflowed once weighs nothing under
    one root, but could under two.
    """
    exponentials = {1.0: weights}
    totals: dict[float, Tensor] = {}
    for temperature in sorted(set(temperatures), reverse=True):
        if (colder := exponentials.get(temperature / 2)) is not None:
            powers = colder.sqrt()
        elif (hotter := exponentials.get(temperature * 2)) is not None:
            powers = hotter.square()
        elif (powers_at := exponentials.get(temperature)) is not None:
            powers = powers_at
        else:
            powers = torch.softmax(below / temperature, dim=-1)
            exponentials[temperature] = powers
        totals[temperature] = _log_total(powers, top)
    return [totals[temperature] for temperature in temperatures]


def _joined(tiles: Sequence[_Tile]) -> Measures:
    """The measures of all positions, as arrays."""
    floats: Floats = torch.cat([one.floats for one in tiles], dim=-1).cpu().numpy()
    integers: Integers = torch.cat([one.integers for one in tiles], dim=-1).cpu().numpy()
    return Measures(
        token=integers[2],
        logprob=floats[0],
        rank=integers[0],
        at_temperature=floats[4:],
        entropy=floats[1],
        margin=floats[2],
        top=integers[1],
        top_logprob=floats[3],
        finite=np.asarray(np.isfinite(floats).all(axis=0)),
    )
