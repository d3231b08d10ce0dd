"""What the two sides of a comparison are asked, and what each says it took.

Each side runs in a fresh process of its own, so that neither finds memory or caches of the other.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, ParamSpec, TypeVar

from store.records import Example

P = ParamSpec("P")
T = TypeVar("T")


class Machine(NamedTuple):
    """What both sides run on."""

    device: str = "cpu"
    dtype: str = "float32"
    threads: int = 2


@dataclass(frozen=True)
class Work:
    """A checkpoint and its rows. `drafts` are what an earlier checkpoint wrote, by example id."""

    model: Path
    examples: tuple[Example, ...]
    max_new_tokens: int
    stop: tuple[str, ...] = ()
    drafts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


class Request(NamedTuple):
    """A row as the model is given it: ids, so that both sides run the same tokens."""

    example_id: str
    prompt: tuple[int, ...]
    targets: tuple[tuple[int, ...], ...]
    answer: int
    generates: bool


@dataclass(frozen=True)
class Took:
    """What a side gave, and what it took: seconds for loading and for the pass, and peak bytes.

    `processor_seconds` are the pass's over all threads: on a machine that does other work too they
    say more than the clock.
    `scores` has the sum of log-probabilities (nats) of each target; `texts` what was written.
    `plan` is the engine's own account of its plan.
    """

    load_seconds: float
    seconds: float
    processor_seconds: float
    peak_bytes: int
    scores: dict[str, tuple[float, ...]]
    texts: dict[str, str]
    written_tokens: int = 0
    plan: dict[str, Any] = field(default_factory=dict)

    @property
    def whole_seconds(self) -> float:
        """Loading included."""
        return self.load_seconds + self.seconds


def fresh(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What the function returns when a new process calls it. Raises what it raises."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(function, *args, **kwargs).result()


def peak_bytes() -> int:
    """The most memory that this process held: VmHWM of Linux's /proc (`man 5 proc`).

    Unlike getrusage's, it does not begin with what the parent process held.
    """
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise OSError("/proc/self/status has no VmHWM")
