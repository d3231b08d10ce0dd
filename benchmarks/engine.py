"""The evaluation pass beside lm-evaluation-harness: `python -m benchmarks.engine`

Both sides run the same model on the same rows as the same token ids, each in a fresh process with
as many threads, lm-eval at the batch size that is fastest here within 8 GB of memory, Milepost with
its defaults. `--quick` takes a few rows only. Exits with 1 when a bar is missed.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from benchmarks import flops, gemm, gemma, ours, overhead, publish, training
from benchmarks.overhead import Overhead
from benchmarks.report import Bar, Line, heading, line, say
from benchmarks.rows import scored_alone
from benchmarks.sides import Machine, Request, Took, Work, fresh

LIMIT_BYTES = 8 * 10**9
DAEMONS = 8
# What a text may be long, and what ends it.
SHORT = 16, ("\n",)
LONG = 128, ()

SCORES = Bar(2.5, "at least")
WRITING = {"short": Bar(3, "at least"), "long": Bar(2, "at least")}
LATER = Bar(3, "at least")
MEMORY = Bar(0.5, "at most")
LIMIT = Bar(0.5, "at least")
BESIDE = Bar(0.05, "at most")
EQUAL = Bar(1, "at least")


class Size(NamedTuple):
    """How many rows of each kind."""

    short: int
    long: int


FULL = Size(short=32, long=16)
QUICK = Size(short=12, long=6)


class Compared(NamedTuple):
    """One kind of rows on both sides: scores alone, scores and texts, and a later checkpoint."""

    requests: Sequence[Request]
    scores: Took
    their_scores: Took
    texts: Took
    their_texts: Took
    later: Took
    their_later: Took
    sizes: tuple[int, int]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few rows")
    parser.add_argument("--device", default="cpu", help="such as cuda")
    parser.add_argument("--dtype", default="float32", help="such as bfloat16")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--kind", choices=["short", "long"], help="only these rows")
    parser.add_argument("--record", action="store_true", help="keep the numbers for the docs")
    chosen = parser.parse_args()
    machine = Machine(chosen.device, chosen.dtype, chosen.threads)
    began = time.perf_counter()
    size = QUICK if chosen.quick else FULL
    first, second = training.gemma_checkpoints()
    wanted = map(ours.Wanted, (size.short, size.long, 0))
    kinds = fresh(ours.rows_of, gemma.folder(), *wanted)
    found: list[Line] = []
    for name, examples, (tokens, stop) in (
        ("short", kinds.short, SHORT),
        ("long", kinds.long, LONG),
    ):
        if chosen.kind in (None, name):
            work = Work(first, tuple(examples), tokens, stop)
            compared = compare(work, second, machine)
            rate = fresh(gemm.rate, flops.shape_of(first), machine)
            found += kept(f"{name} answers", show(name, compared, rate, first), chosen.record)
    if chosen.kind in (None, "short"):
        say("the worker, with log and views")
        work = Work(first, tuple(kinds.short), *SHORT)
        beside = show_overhead(fresh(overhead.measure, work, machine))
        found += kept("log and views", beside, chosen.record)
    print(f"\n{time.perf_counter() - began:,.0f} s in all, on {machine.threads} threads.")
    missed = [one for one in found if one.bar and not one.bar.holds(one.values[-1])]
    sys.exit(1 if missed else 0)


def kept(part: str, found: list[Line], recording: bool) -> list[Line]:
    """The lines as they are; what they measured is kept for the docs if that is wanted."""
    if recording:
        publish.record(part, {one.name.strip(): one.values[-1] for one in found})
    return found


def compare(work: Work, later: Path, machine: Machine) -> Compared:
    """Runs both sides, taking turns, on a checkpoint and on a later one of its series."""
    from benchmarks import peer

    alone = replace(work, examples=tuple(scored_alone(work.examples)))
    requests = fresh(ours.requests, work, machine)
    say("lm-eval's best batch size")
    sizes = fresh(peer.best_sizes, work, machine, requests, LIMIT_BYTES)
    say("scores alone, Milepost")
    scores = fresh(ours.run, alone, machine)
    say("lm-eval")
    their_scores, their_texts = fresh(peer.run, work, machine, requests, sizes)
    say("a series of two, Milepost")
    then = replace(work, model=later)
    texts, our_later = fresh(ours.series, [work, then], machine)
    say("the later checkpoint, lm-eval")
    _, their_later = fresh(peer.run, then, machine, requests, sizes)
    say("")
    return Compared(
        requests, scores, their_scores, texts, their_texts, our_later, their_later, sizes
    )


def show(name: str, compared: Compared, rate: float, model: Path) -> list[Line]:
    """Prints what was measured, and returns it."""
    shape = flops.shape_of(model)
    prompts = [
        flops.Scored(len(one.prompt), [len(target) for target in one.targets])
        for one in compared.requests
    ]
    found = list(lines(name, compared, flops.scoring_flops(shape, prompts), rate))
    print(heading(f"{name} answers", ["Milepost/lm-eval"]))
    for one in found:
        print(line(one), flush=True)
    print()
    return found


def lines(name: str, one: Compared, operations: float, rate: float) -> Iterator[Line]:
    """The measures of one kind of rows. `operations` are those of its scores, `rate` a second."""
    tokens = sum(len(row.prompt) + sum(map(len, row.targets)) for row in one.requests)
    later = one.later.plan
    yield Line(f"{name}: rows", [len(one.requests)])
    yield Line(f"{name}: lm-eval's batch, scoring", [one.sizes[0]])
    yield Line(f"{name}: lm-eval's batch, writing", [one.sizes[1]])
    yield Line(f"{name}: scores, s", [one.scores.seconds])
    yield Line(f"{name}: scores, lm-eval, s", [one.their_scores.seconds])
    yield Line(f"{name}: scores, ratio", [ratio(one.their_scores, one.scores)], SCORES)
    yield Line(f"{name}: scores, ratio with load", [with_load(one.their_scores, one.scores)])
    yield Line(f"{name}: scores, ratio of CPU time", [processor(one.their_scores, one.scores)])
    yield Line(f"{name}: scores, tokens/s", [tokens / one.scores.seconds])
    limit = operations / rate / one.scores.seconds
    yield Line(f"{name}: GEMM rate, GFLOP/s", [rate / 1e9])
    yield Line(f"{name}: scores, share of that limit", [limit], LIMIT)
    yield Line(f"{name}: scores, peak MB", [one.scores.peak_bytes / 1e6])
    yield Line(f"{name}: scores, peak, share", [memory(one.scores, one.their_scores)], MEMORY)
    yield Line(f"{name}: with text, s", [one.texts.seconds])
    yield Line(f"{name}: with text, lm-eval, s", [one.their_texts.seconds])
    yield Line(f"{name}: with text, ratio", [ratio(one.their_texts, one.texts)], WRITING[name])
    yield Line(f"{name}: with text, ratio with load", [with_load(one.their_texts, one.texts)])
    yield Line(f"{name}: with text, ratio of CPU time", [processor(one.their_texts, one.texts)])
    yield Line(f"{name}: with text, tokens written", [one.texts.written_tokens])
    yield Line(f"{name}: with text, tokens/s", [tokens_of(tokens, one.texts)])
    yield Line(f"{name}: with text, peak MB", [one.texts.peak_bytes / 1e6])
    yield Line(f"{name}: with text, peak, share", [memory(one.texts, one.their_texts)], MEMORY)
    eight = DAEMONS * one.their_texts.whole_seconds / one.texts.whole_seconds
    yield Line(f"{name}: against 8 loads and passes", [eight])
    yield Line(f"{name}: later checkpoint, s", [one.later.seconds])
    yield Line(f"{name}: later, ratio", [ratio(one.their_later, one.later)], LATER)
    yield Line(f"{name}: later, ratio with load", [with_load(one.their_later, one.later)])
    yield Line(f"{name}: later, ratio of CPU time", [processor(one.their_later, one.later)])
    offered = later["draft_tokens_offered"]
    if offered:
        yield Line(f"{name}: later, drafts accepted", [later["draft_tokens_accepted"] / offered])
    yield Line(f"{name}: equal texts", [equal(one.texts, one.their_texts)], EQUAL)
    yield Line(f"{name}: later, equal texts", [equal(one.later, one.their_later)], EQUAL)


def show_overhead(one: Overhead) -> list[Line]:
    """Prints what log and views cost, and returns it."""
    say("")
    found = [
        Line("a worker's pass, s", [one.pass_seconds]),
        Line("  of it the log, s", [one.log_seconds]),
        Line("  of it the views, s", [one.view_seconds]),
        Line("  log and views, share", [one.share], BESIDE),
    ]
    for each in found:
        print(line(each))
    return found


def ratio(theirs: Took, mine: Took) -> float:
    """How many times as long theirs took, loading left out."""
    return theirs.seconds / mine.seconds


def processor(theirs: Took, mine: Took) -> float:
    """The ratio of the seconds that the processors worked, over all threads."""
    return theirs.processor_seconds / mine.processor_seconds


def with_load(theirs: Took, mine: Took) -> float:
    """How many times as long theirs took, loading included."""
    return theirs.whole_seconds / mine.whole_seconds


def memory(mine: Took, theirs: Took) -> float:
    """Our peak as a share of theirs."""
    return mine.peak_bytes / theirs.peak_bytes


def tokens_of(scored: int, took: Took) -> float:
    """Tokens a second, read and written."""
    return (scored + took.written_tokens) / took.seconds


def equal(mine: Took, theirs: Took) -> float:
    """The share of texts that are the same, letter for letter."""
    same = sum(mine.texts[name] == text for name, text in theirs.texts.items())
    return same / len(theirs.texts)


if __name__ == "__main__":
    main()
