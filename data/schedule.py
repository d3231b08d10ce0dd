"""The learning rate over a run: warm-up, a power law down, and one spike taken on purpose.

The spike stands just before a save, so that one checkpoint of the run is truly worse than the one
before it, by the damage that too high a learning rate really does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

WARMUP_SHARE = 0.05
LAST_FACTOR = 0.02
POWER = 1.5


@dataclass(frozen=True)
class Schedule:
    """The learning rates, as factors of the peak, of a run of `steps` optimizer steps.

    The `spike_steps` steps up to and with step number `spike_end` run at `spike_factor`; the steps
    after them are as if there had been no spike.
    """

    steps: int
    spike_end: int
    spike_steps: int
    spike_factor: float

    def factor(self, done: int) -> float:
        """The factor for the step that comes when `done` steps are done."""
        if self.spike_end - self.spike_steps <= done < self.spike_end:
            return self.spike_factor
        warmup = max(1, round(WARMUP_SHARE * self.steps))
        if done < warmup:
            return (done + 1) / warmup
        share = min(1.0, (done - warmup) / max(1, self.steps - warmup))
        return LAST_FACTOR + (1 - LAST_FACTOR) * math.pow(1 - share, POWER)
