"""How often is a run called REGRESSED without a reason, and how often is a real change missed?

`python -m benchmarks.false_alarms` simulates runs through the code that judges real ones and prints
the rates, those of the bare limits beside them. They stand in docs/views.md.

Each example has its own chance of a right answer and its own loss. From one checkpoint to the next
the weights jitter: answers flip both ways and losses move, each example (or source) by itself. The
pinned baseline is one draw of this like any other, and the whole run is held against that one draw.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from benchmarks.report import say
from settings import RegressionSettings
from views.answers import Answers
from views.blocks import bytes_of
from views.judging import Group, Other, Subject, clusters, judge
from views.labels import Labels
from views.regression import PINNED, PREVIOUS, Against
from views.ruling import Change
from views.scope import Ended

TOKENS = 8
LOSS = 1.0  # nats a token, on average
SPREAD = 0.6  # of the examples' own losses: the standard deviation of their logarithm
ACCURACY = 0.6
WORSE = ("SUSPECT", "REGRESSED")


@dataclass(frozen=True)
class World:
    """A run's examples, and how its checkpoints differ by chance alone.

    `flips` is the share of answers that differ between two checkpoints of equal quality; `jitter`
    the standard deviation of how an example's loss changes between them, as a share of it. The
    examples are in `suites` of equal size and a difficulty each; `per_source` jitter together.
    """

    examples: int = 200
    suites: int = 1
    flips: float = 0.10
    jitter: float = 0.20
    per_source: int = 1


class Effect(NamedTuple):
    """A true change: by how much of itself the loss rises, and the accuracy falls, as shares."""

    loss: float = 0.0
    drop: float = 0.0

    def __str__(self) -> str:
        return f"loss +{self.loss:.0%}" if self.loss else f"accuracy −{100 * self.drop:g} points"


QUIET = Effect()


class Examples(NamedTuple):
    """A drawn set of examples: chances of a right answer, nats of the target, and labels."""

    right: NDArray[np.float64]
    nats: NDArray[np.float64]
    source: NDArray[np.int64]
    answers: Answers
    cluster: NDArray[np.int64]
    reasons: dict[Group, str | None]


class Rates(NamedTuple):
    """How many of `of` runs, or of single comparisons, had at least one such verdict."""

    of: int
    regressed: int
    worse: int
    beyond_limit: int
    ok: int


def draw(world: World, random: Generator) -> Examples:
    """A set of examples.

    Chances are from the beta distribution whose mean is ACCURACY and in which two answers to one
    example differ as often as `world.flips` says.
    """
    n = world.examples
    most = 2 * ACCURACY * (1 - ACCURACY)
    weight = world.flips / (most - world.flips)
    source = np.arange(n) // world.per_source
    suite = [f"suite {k * world.suites // n}" for k in range(n)]
    sources = (
        {f"{k:06}".encode(): str(own) for k, own in enumerate(source.tolist())}
        if world.per_source > 1
        else {}
    )
    ids = bytes_of([f"{k:06}" for k in range(n)])
    blank = Labels.alike(None, n)
    names = Labels.of(suite)
    answers = replace(
        Answers.none(),
        suite_id=names,
        suite=names,
        role=Labels.alike("validation", n),
        difficulty=names,
        skill=blank,
        grader=Labels.alike("exact@1", n),
        error_class=blank,
        error=blank,
        example_id=ids,
        sample=np.zeros(n, np.int64),
        counts=np.ones(n, np.bool_),
        score=np.zeros(n),
        confidence=np.zeros(n),
        target_tokens=np.full(n, TOKENS),
        target_bytes=np.full(n, TOKENS),
        target_top1=np.zeros(n, np.int64),
    )
    spread = random.lognormal(-(SPREAD**2) / 2, SPREAD, n)
    return Examples(
        random.beta(weight * ACCURACY, weight * (1 - ACCURACY), n),
        TOKENS * LOSS * spread,
        source,
        answers,
        clusters(ids, sources),
        {Group(name, name): None for name in dict.fromkeys(suite)},
    )


def checkpoint(
    examples: Examples, world: World, random: Generator, effect: Effect = QUIET
) -> Answers:
    """What a checkpoint makes of the examples: one more draw, with a true change in it."""
    chances = examples.right * (1 - effect.drop / ACCURACY)
    sources = int(examples.source[-1]) + 1
    luck = random.random(sources)[examples.source]
    sway = world.jitter / np.sqrt(2)
    moved = np.exp(sway * random.standard_normal(sources) - sway**2 / 2)[examples.source]
    return replace(
        examples.answers,
        correct=(luck < chances).astype(np.int8),
        target_logprob=-examples.nats * moved * (1 + effect.loss),
    )


def verdicts(
    examples: Examples, now: Answers, before: Answers, settings: RegressionSettings
) -> list[Change]:
    """The verdicts of the real rule on one checkpoint against another."""
    one = Ended("now", 2, "now", completed=True, reason=None)
    other = Ended("before", 1, "before", completed=True, reason=None)
    subject = Subject(one, examples.reasons, now, examples.cluster, None)
    return list(judge(subject, Other(other, before, ""), settings).values())


def beyond_limit(changes: list[Change], settings: RegressionSettings) -> bool:
    """Whether the bare limits, without any evidence, would call it a regression."""
    return any(
        (one.loss_change or 0.0) > settings.loss_increase
        or -(one.accuracy_change or 0.0) > settings.accuracy_drop + 1e-9
        for one in changes
    )


def quiet_runs(
    world: World,
    runs: int,
    random: Generator,
    settings: RegressionSettings,
    *,
    checkpoints: int,
    against: Against = PINNED,
) -> Rates:
    """How many runs without a true change have a false alarm; the first checkpoint is pinned."""
    found = []
    for _ in range(runs):
        examples = draw(world, random)
        baseline = checkpoint(examples, world, random)
        changes: list[Change] = []
        for _ in range(checkpoints):
            now = checkpoint(examples, world, random)
            changes += verdicts(examples, now, baseline, settings)
            if against == PREVIOUS:
                baseline = now
        found.append(changes)
    return _rates(found, settings)


def changed(
    world: World, effect: Effect, times: int, random: Generator, settings: RegressionSettings
) -> Rates:
    """How many single comparisons find a true change; fresh examples each time."""
    found = []
    for _ in range(times):
        examples = draw(world, random)
        before = checkpoint(examples, world, random)
        now = checkpoint(examples, world, random, effect)
        found.append(verdicts(examples, now, before, settings))
    return _rates(found, settings)


def _rates(found: list[list[Change]], settings: RegressionSettings) -> Rates:
    return Rates(
        of=len(found),
        regressed=sum(any(one.verdict == "REGRESSED" for one in own) for own in found),
        worse=sum(any(one.verdict in WORSE for one in own) for own in found),
        beyond_limit=sum(beyond_limit(own, settings) for own in found),
        ok=sum(all(one.verdict == "OK" for one in own) for own in found),
    )


# Without a true change: one suite or three, calm and restless, alone and four of a source.
QUIET_RUNS = (
    (World(200, 1, 0.10, 0.2), PINNED),
    (World(200, 1, 0.30, 0.6), PINNED),
    (World(200, 3, 0.10, 0.2), PINNED),
    (World(200, 3, 0.20, 0.4), PINNED),
    (World(200, 3, 0.20, 0.4), PREVIOUS),
    (World(200, 3, 0.20, 0.4, per_source=4), PINNED),
    (World(1000, 3, 0.10, 0.2), PINNED),
    (World(1000, 3, 0.30, 0.6), PINNED),
)
CHANCES = ((0.02, 0.1), (0.05, 0.2), (0.10, 0.4), (0.20, 0.6), (0.30, 0.6))
EFFECTS = (Effect(loss=0.15), Effect(drop=0.10), Effect(loss=0.20), Effect(drop=0.15))


def print_quiet(runs: int, random: Generator, settings: RegressionSettings) -> None:
    """The chance of any false alarm in a run, as a table in Markdown."""
    print(
        "| Examples | Suites | Answers that flip | Loss moves | A source | Against | Limits alone "
        "| REGRESSED | SUSPECT or REGRESSED |\n|---|---|---|---|---|---|---|---|---|"
    )
    for world, against in QUIET_RUNS:
        say(f"{world}, {against}")
        rates = quiet_runs(
            world, runs, random, settings, checkpoints=settings.checkpoints, against=against
        )
        print(
            f"| {world.examples:,} | {world.suites} | {world.flips:.0%} | {world.jitter:.0%} "
            f"| {world.per_source} | {against} | {_share(rates.beyond_limit, rates.of)} "
            f"| {_share(rates.regressed, rates.of)} | {_share(rates.worse, rates.of)} |",
            flush=True,
        )


def print_changed(times: int, random: Generator, settings: RegressionSettings) -> None:
    """How often a true change is found, as a table in Markdown."""
    print(
        "| True change | Answers that flip | Loss moves | Limits alone | REGRESSED "
        "| SUSPECT or REGRESSED | OK |\n|---|---|---|---|---|---|---|"
    )
    for effect in EFFECTS:
        for flips, jitter in CHANCES:
            world = World(200, 1, flips, jitter)
            say(f"{effect}, {world}")
            rates = changed(world, effect, times, random, settings)
            print(
                f"| {effect} | {flips:.0%} | {jitter:.0%} | {_share(rates.beyond_limit, rates.of)} "
                f"| {_share(rates.regressed, rates.of)} | {_share(rates.worse, rates.of)} "
                f"| {_share(rates.ok, rates.of)} |",
                flush=True,
            )


def _share(part: int, of: int) -> str:
    return f"{100 * part / of:.1f} %"


def main() -> None:
    """Prints both tables."""
    parser = argparse.ArgumentParser(description="False alarms of runs, and changes found.")
    parser.add_argument("--runs", type=int, default=200, help="runs without a change, a row")
    parser.add_argument("--times", type=int, default=1000, help="comparisons with one, a row")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    random, settings = np.random.default_rng(asked.seed), RegressionSettings()
    if asked.runs:
        print_quiet(asked.runs, random, settings)
        print()
    if asked.times:
        print_changed(asked.times, random, settings)
    say("")


if __name__ == "__main__":
    main()
