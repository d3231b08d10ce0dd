"""The log's benchmark: appending, deriving, following, looking at it, and its size.

`python -m benchmarks.store` makes a log of a million predictions in a temporary folder (about a
gigabyte, some minutes); `--quick` makes one of 50,000. Each measure has a bar.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks import appending, growth
from benchmarks.growth import Costs
from benchmarks.report import Bar, Line, heading, line, say

APPEND_RATIO = Bar(0.5, "at least")
FOLLOW_SECONDS = Bar(3, "at most")
PAGE_MS = Bar(100, "at most")
REPLAY_RATE = Bar(50_000, "at least")
MEMORY_MB = Bar(2_000, "at most")
SHOWN = 0.02  # of the bytes or seconds: what has less goes into "the rest"


class Plan(NamedTuple):
    """How large: `sizes` count checkpoints, each evaluated on `examples`."""

    sizes: tuple[int, ...]
    examples: int
    rounds: int


FULL = Plan((10, 100), 10_000, rounds=7)
QUICK = Plan((10, 50), 1_000, rounds=3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="50,000 predictions, not a million")
    plan = QUICK if parser.parse_args().quick else FULL
    began = time.perf_counter()
    print(heading("Appending", ["predictions/s"]))
    for name, traced in (("without token traces", False), ("with token traces", True)):
        say(f"appending {name}")
        with tempfile.TemporaryDirectory() as folder:
            rates = appending.compare(Path(folder), traced=traced, rounds=plan.rounds)
        say("")
        print(line(Line(name, [rates.ours])))
        print(line(Line("  bare sqlite3", [rates.peers])))
        print(line(Line("  ratio", [rates.ratio], APPEND_RATIO)), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        costs = list(growth.measure(Path(folder), plan.sizes, plan.examples))
    say("")
    print()
    print(heading("A log of predictions", [f"{one.predictions:,}" for one in costs]))
    for one in _lines(costs):
        print(line(one))
    print(line(Line("this process's peak memory, MB", [_peak_mb()], MEMORY_MB)))
    load, processors = os.getloadavg()[0], os.cpu_count()
    print(f"\n{time.perf_counter() - began:,.0f} s in all.", end=" ")
    print(f"The machine's load was {load:.1f} at the end, on {processors} processors.")


def _lines(costs: Sequence[Costs]) -> Iterator[Line]:
    yield Line("appended, predictions/s", [one.append_rate for one in costs])
    yield Line("built (made up, appended), /s", [one.build_rate for one in costs])
    yield Line("one more checkpoint, s", [one.follow_seconds for one in costs], FOLLOW_SECONDS)
    yield Line("replay, predictions/s", [one.replay_rate for one in costs], REPLAY_RATE)
    yield from _parts("s", [one.replay_seconds for one in costs])
    yield Line("bare sqlite3: read all, s", [one.read_seconds for one in costs])
    yield Line("bare sqlite3: insert grades, s", [one.insert_seconds for one in costs])
    yield Line(
        "replay, as multiple of both",
        [
            sum(one.replay_seconds.values()) / (one.read_seconds + one.insert_seconds)
            for one in costs
        ],
    )
    yield Line("a page's queries, p95, ms")
    for path in costs[0].pages:
        yield Line(f"  {path}", [one.pages[path] for one in costs], PAGE_MS)
    yield Line("bytes per prediction", [one.bytes / one.predictions for one in costs])
    per_prediction = [
        {table: n / one.predictions for table, n in one.bytes_by_table.items()} for one in costs
    ]
    yield from _parts("bytes", per_prediction)


def _parts(unit: str, parts: Sequence[dict[str, float]]) -> Iterator[Line]:
    """The parts of a sum, the largest first; the small ones together."""
    last = parts[-1]
    total = sum(last.values())
    large = [
        name for name in sorted(last, key=lambda one: -last[one]) if last[name] > SHOWN * total
    ]
    for name in large:
        yield Line(f"  {name}, {unit}", [one.get(name, 0.0) for one in parts])
    if last:
        rest = [sum(n for name, n in one.items() if name not in large) for one in parts]
        yield Line(f"  the rest, {unit}", rest)


def _peak_mb() -> float:
    """The process's most resident memory; the system counts in kB, macOS in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak / 1e3


if __name__ == "__main__":
    main()
