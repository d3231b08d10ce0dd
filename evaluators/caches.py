"""Key-value caches that are never changed in place: taking rows or columns makes a new one.

Every layer is a plain `DynamicLayer` (batch, heads, length, width), in models with a sliding window
too: their masks keep the window, and a full layer can be cut back to any length.
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer


def take_rows(cache: DynamicCache, rows: Tensor) -> DynamicCache:
    """The cache of the batch rows `rows` (n), in that order, repeats included."""
    return _map(cache, lambda states: states.index_select(0, rows))


def take_columns(cache: DynamicCache, columns: Tensor) -> DynamicCache:
    """Row by row the positions `columns` (batch, length) of the cache."""

    def gather(states: Tensor) -> Tensor:
        index = columns[:, None, :, None].expand(-1, states.shape[1], -1, states.shape[3])
        return states.gather(2, index)

    return _map(cache, gather)


def _map(cache: DynamicCache, change: Callable[[Tensor], Tensor]) -> DynamicCache:
    changed = DynamicCache()
    for layer in cache.layers:
        assert isinstance(layer, DynamicLayer)
        assert isinstance(layer.keys, Tensor)
        assert isinstance(layer.values, Tensor)
        other = copy.copy(layer)
        other.keys, other.values = change(layer.keys), change(layer.values)
        changed.layers.append(other)
    return changed


def pad_left(rows: list[tuple[int, ...]], device: torch.device) -> tuple[Tensor, Tensor]:
    """Ids and mask (rows, longest), padded on the left.

    A row is padded with its own first token: another one could bring a NaN of its own, which even
    a masked position would pass on (0 times NaN is NaN).
    """
    longest = max(map(len, rows))
    ids = [(row[0],) * (longest - len(row)) + row for row in rows]
    mask = [[0] * (longest - len(row)) + [1] * len(row) for row in rows]
    return torch.tensor(ids, device=device), torch.tensor(mask, device=device)


def pad_right(rows: list[tuple[int, ...]], device: torch.device) -> Tensor:
    """Ids (rows, longest), padded on the right with each row's last token, or 0 in an empty row."""
    longest = max(map(len, rows))
    ids = [row + (row[-1:] or (0,)) * (longest - len(row)) for row in rows]
    return torch.tensor(ids, device=device)
