"""How much memory a pass may take beside the weights, and what it does when there is less."""

from __future__ import annotations

from dataclasses import dataclass

import psutil
import torch

# Of what is free, so that there is room for what is not counted and for others.
SHARE = 0.5

GIB = 2**30

# On a CPU, larger steps are hardly faster: more would only be held.
ENOUGH = {"cpu": GIB}

# Rows of the pool of texts beyond which a step is no faster a token, by kind of device.
POOL_ROWS = {"cpu": 48, "cuda": 512}


@dataclass(frozen=True)
class Budget:
    """Bytes that a pass may take beside the weights.

    The logits of a chunk come first; of the rest, half is for a batch that is scored, and half for
    the texts under way. `batch_tokens` and `pool_rows` are the most of either, whatever the bytes.
    One example at least is always tried: where that alone needs more, the bound is what it needs.
    """

    bytes: int
    batch_tokens: int
    pool_rows: int

    @property
    def halved(self) -> Budget:
        """Half of everything, and at least one of each."""
        return Budget(
            max(1, self.bytes // 2), max(1, self.batch_tokens // 2), max(1, self.pool_rows // 2)
        )

    def tokens(self, token_bytes: int, head_bytes: int) -> int:
        """The tokens of a batch, at `token_bytes` each; at least one."""
        return max(1, min(self.batch_tokens, self._half(head_bytes) // token_bytes))

    def room(self, token_bytes: int, head_bytes: int) -> int:
        """The tokens that the texts under way have room for, at `token_bytes` each."""
        return self._half(head_bytes) // token_bytes

    def _half(self, head_bytes: int) -> int:
        return max(0, self.bytes - head_bytes) // 2


def budget_of(device: torch.device, wanted: int | None, batch_tokens: int) -> Budget:
    """The budget of `wanted` bytes; without it, of a share of what is free now on the device."""
    if wanted is None:
        free = (
            torch.cuda.mem_get_info(device)[0]
            if device.type == "cuda"
            else psutil.virtual_memory().available
        )
        wanted = min(int(SHARE * free), ENOUGH.get(device.type, free))
    return Budget(wanted, batch_tokens, POOL_ROWS.get(device.type, POOL_ROWS["cuda"]))
