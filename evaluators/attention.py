"""Attention of rows of different lengths that come as one row of tokens.

The tokens of all rows of a step stand one after another, so that everything in the model but the
attention works on real tokens only. What each token may see is asked of the model's own mask
functions, at the token's own position: windows and chunks of any kind hold as the model means them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface

# The name under which a model's config finds it.
RAGGED = "ragged"

# What a model may ask of its attention and does not get.
UNKNOWN = ("sinks", "position_bias")


@dataclass(frozen=True)
class Layout:
    """Where the tokens of a step belong: `rows`, `columns` and `offsets` are (tokens).

    A token's column in its row of the cache is its position; its offset is its place among the new
    tokens of its row. There are `height` rows of at most `width` new tokens each, `starts` (height)
    is how many tokens each has in the cache, and no token looks beyond the column `reach`.
    """

    rows: Tensor
    columns: Tensor
    offsets: Tensor
    starts: Tensor
    height: int
    width: int
    reach: int
    folded: dict[tuple[int, int], Tensor] = field(default_factory=dict)

    def pad(self, states: Tensor) -> Tensor:
        """(tokens, ...) as (height, width, ...), with zeros where a row has no token."""
        if len(self.rows) == self.height * self.width:
            return states.reshape(self.height, self.width, *states.shape[1:])
        padded = states.new_zeros(self.height, self.width, *states.shape[1:])
        padded[self.rows, self.offsets] = states
        return padded

    def flat(self, padded: Tensor) -> Tensor:
        """The reverse of `pad`."""
        if len(self.rows) == self.height * self.width:
            return padded.flatten(0, 1)
        return padded[self.rows, self.offsets]

    def fold(self, mask: Tensor, group: int) -> Tensor:
        """A mask (height, 1, width, reach) for `group` heads as one: (height, 1, group * width,
        reach).
        """
        if group == 1:
            return mask
        if self.width == 1:
            return mask.expand(-1, -1, group, -1)
        key = (id(mask), group)
        if key not in self.folded:
            self.folded[key] = mask.repeat(1, 1, group, 1)
        return self.folded[key]


_LAYOUT: ContextVar[Layout] = ContextVar("layout")


def layout_of(starts: Sequence[int], counts: Sequence[int], device: torch.device) -> Layout:
    """The layout of a step: row by row, tokens in the cache and new tokens (at least one)."""
    count = np.array(counts)
    rows = np.repeat(np.arange(len(count)), count)
    offsets = np.arange(len(rows)) - (count.cumsum() - count)[rows]
    columns = np.array(starts)[rows] + offsets
    places = torch.from_numpy(np.stack([rows, columns, offsets])).to(device)
    return Layout(
        rows=places[0],
        columns=places[1],
        offsets=places[2],
        starts=torch.tensor(starts, device=device),
        height=len(count),
        width=int(count.max()),
        reach=int(columns.max()) + 1,
    )


def current() -> Layout:
    """The layout of the step under way."""
    return _LAYOUT.get()


@contextmanager
def laid_out(layout: Layout) -> Iterator[None]:
    """Within it, attention follows `layout`."""
    token = _LAYOUT.set(layout)
    try:
        yield
    finally:
        _LAYOUT.reset(token)


def _mask(
    *,
    mask_function: Callable[..., Tensor],
    dtype: torch.dtype,
    attention_mask: Tensor | None = None,
    use_vmap: bool = False,
    **_: Any,
) -> Tensor:
    """What each query may see, to be added to the scores: (height, 1, width, reach)."""
    if attention_mask is not None or use_vmap:
        raise NotImplementedError("a mask that is no function of positions")
    layout = current()
    device = layout.starts.device
    queries = layout.starts[:, None] + torch.arange(layout.width, device=device)
    seen = mask_function(
        torch.arange(layout.height, device=device)[:, None, None, None],
        torch.zeros(1, 1, 1, 1, dtype=torch.long, device=device),
        queries[:, None, :, None],
        torch.arange(layout.reach, device=device)[None, None, None, :],
    )
    mask = torch.zeros(seen.shape, dtype=dtype, device=device)
    return mask.masked_fill_(~seen, -torch.inf)


def _attention(
    module: torch.nn.Module,  # noqa: ARG001 - the interface's
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float | None = None,
    softcap: float | None = None,
    s_aux: Tensor | None = None,
    **asked: Any,
) -> tuple[Tensor, None]:
    """Attention of the queries (1, heads, tokens, width) to keys and values (height, key heads,
    reach, width). Heads that share keys become more queries of one head, so nothing is copied.

    `softcap` bounds the scores (Gemma 2), and `s_aux` (heads) is a score of nothing, which takes
    its share of each head's attention (a sink, as in gpt-oss).
    """
    unknown = [name for name in UNKNOWN if asked.get(name) is not None]
    if attention_mask is None or unknown:
        raise NotImplementedError(f"an attention with {', '.join(unknown) or 'no mask'}")
    layout = current()
    heads, shared = query.shape[1], key.shape[1]
    group = heads // shared
    padded = layout.pad(query[0].transpose(0, 1))
    height, width = layout.height, layout.width
    grouped = padded.reshape(height, width, shared, group, -1).permute(0, 2, 3, 1, 4)
    queries, mask = grouped.flatten(2, 3), layout.fold(attention_mask, group)
    if softcap is None and s_aux is None:
        output = torch.nn.functional.scaled_dot_product_attention(
            queries, key, value, attn_mask=mask, scale=scaling
        )
    else:
        scores = queries @ key.mT * (queries.shape[-1] ** -0.5 if scaling is None else scaling)
        if softcap is not None:
            scores = torch.tanh(scores / softcap) * softcap
        # A sink a query: its own head's.
        sinks = None if s_aux is None else s_aux.view(shared, group).repeat_interleave(width, 1)
        output = _shares(scores + mask, sinks) @ value
    apart = output.reshape(height, shared, group, width, -1).permute(0, 3, 1, 2, 4)
    return layout.flat(apart.flatten(2, 3))[None], None


def _shares(scores: Tensor, sinks: Tensor | None) -> Tensor:
    """Softmax of `scores` (height, heads, queries, reach) beside `sinks` (heads, queries)."""
    if sinks is None:
        return scores.softmax(-1, dtype=torch.float32).to(scores.dtype)
    sink = sinks[None, :, :, None].expand(len(scores), -1, -1, -1).to(scores.dtype)
    shares = torch.cat([scores, sink], dim=-1).softmax(-1, dtype=torch.float32)
    return shares[..., :-1].to(scores.dtype)


AttentionInterface.register(RAGGED, _attention)
AttentionMaskInterface.register(RAGGED, _mask)
