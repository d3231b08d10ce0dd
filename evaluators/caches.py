"""Key-value caches that are allocated once and written in place.

A token's column is its position in its row, so rows of any lengths stand in one cache without
padding, a row is cut back by writing over it, and every layer, also one with a sliding window, is
a full one: the masks keep the window.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor
from transformers import Cache
from transformers.cache_utils import CacheLayerMixin

from evaluators.attention import current


class Slots(Cache):
    """Keys and values of `rows` rows with room for `columns` tokens each.

    It starts as zeros, so that no column that is masked out holds a NaN (0 times NaN is NaN); on
    the CPU it takes memory only where it was written.
    """

    layers: list[Slot]  # type: ignore[assignment]

    def __init__(self, rows: int, columns: int) -> None:
        super().__init__(layer_class_to_replicate=partial(Slot, rows, columns))  # type: ignore[arg-type]
        self.rows, self.columns = rows, columns

    def take(self, rows: Tensor, lengths: Tensor) -> Slots:
        """A new cache of the first `lengths` (n) tokens of `rows` (n), repeats included."""
        beyond = torch.arange(self.columns, device=rows.device) >= lengths[:, None]
        taken = Slots(len(rows), self.columns)
        taken.layers = [layer.take(rows, beyond[:, None, :, None]) for layer in self.layers]
        return taken

    def copy_row(self, row: int, source: Slots, source_row: int, start: int, end: int) -> None:
        """Writes the columns from `start` to before `end` of another cache's row into `row`."""
        for number, layer in enumerate(source.layers):
            if number == len(self.layers):
                self.layers.append(Slot(self.rows, self.columns))
            self.layers[number].copy_row(row, layer, source_row, start, end)

    def resize(self, rows: int, columns: int, lengths: Sequence[int]) -> None:
        """Makes it `rows` rows of `columns` tokens; of the first rows the first `lengths` stay.

        Keys and values of one layer at a time, so that it hardly takes more than before and after.
        """
        self.rows, self.columns = rows, columns
        for layer in self.layers:
            layer.resize(rows, columns, lengths)

    def clear(self, row: int, start: int, end: int) -> None:
        """Makes the columns from `start` to before `end` of a row zeros again."""
        for layer in self.layers:
            layer.keys[row, :, start:end] = 0
            layer.values[row, :, start:end] = 0


class Slot(CacheLayerMixin):
    """One layer of Slots: keys and values (rows, heads, columns, width)."""

    keys: Tensor
    values: Tensor

    def __init__(self, rows: int, columns: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._rows, self._columns = rows, columns

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Allocates for states of this kind, (any, heads, any, width)."""
        self.keys, self.values = (
            one.new_zeros(self._rows, one.shape[1], self._columns, one.shape[3])
            for one in (key_states, value_states)
        )
        self.is_initialized = True

    def update(
        self,
        key_states: Tensor,
        value_states: Tensor,
        *_: Any,
        **__: Any,
    ) -> tuple[Tensor, Tensor]:
        """Writes the step's states (1, heads, tokens, width) and gives what its rows may see."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        layout = current()
        self.keys[layout.rows, :, layout.columns] = key_states[0].transpose(0, 1)
        self.values[layout.rows, :, layout.columns] = value_states[0].transpose(0, 1)
        height, reach = layout.height, layout.reach
        return self.keys[:height, :, :reach], self.values[:height, :, :reach]

    def take(self, rows: Tensor, beyond: Tensor) -> Slot:
        """A new layer of the rows `rows`, with zeros where `beyond` (rows, 1, columns, 1) says."""
        taken = Slot(len(rows), self._columns)
        taken.keys = self.keys[rows].masked_fill_(beyond, 0.0)
        taken.values = self.values[rows].masked_fill_(beyond, 0.0)
        taken.is_initialized = True
        return taken

    def copy_row(self, row: int, source: Slot, source_row: int, start: int, end: int) -> None:
        """Writes columns of another layer's row into `row`."""
        if not self.is_initialized:
            self.lazy_initialization(source.keys, source.values)
        self.keys[row, :, start:end] = source.keys[source_row, :, start:end]
        self.values[row, :, start:end] = source.values[source_row, :, start:end]

    def resize(self, rows: int, columns: int, lengths: Sequence[int]) -> None:
        """Moves the first `lengths` tokens of the first rows into room of another size."""
        self._rows, self._columns = rows, columns
        self.keys = _moved(self.keys, rows, columns, lengths)
        self.values = _moved(self.values, rows, columns, lengths)

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Asked by the mask's makers, and not used: the layout of the step says it."""
        return query_length, 0

    def get_seq_length(self) -> int:
        """Asked for positions that are not given; they always are."""
        return 0

    def get_max_length(self) -> int:
        """The tokens that a row has room for."""
        return self._columns


def _moved(states: Tensor, rows: int, columns: int, lengths: Sequence[int]) -> Tensor:
    moved = states.new_zeros(rows, states.shape[1], columns, states.shape[3])
    for row, length in enumerate(lengths):
        moved[row, :, :length] = states[row, :, :length]
    return moved


def token_bytes(cache: Slots) -> int:
    """Bytes of one token's keys and values in all layers of a cache that was written."""
    return sum(
        one[0, :, 0].numel() * one.element_size()
        for layer in cache.layers
        for one in (layer.keys, layer.values)
    )
