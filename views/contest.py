"""Which checkpoint is the best beyond chance? Answers by resampling the examples that all share.

Every resample draws the same examples for all checkpoints, and as many of each suite and difficulty
as there are, so that the composite score is defined in each of them. What an easy resample gives to
one it gives to all, and only what tells them apart is left.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from settings import RankingSettings
from views.answers import VALIDATION, Answers
from views.bootstrap import (
    chances_of_being_first,
    generator,
    may_be_best,
    percentiles,
    places,
    resampled_sums,
)
from views.composite import Cell, Reals, composites, easy_first
from views.labels import groups

# Draws of an example: with more examples there are fewer resamples, so that time stays bounded.
DRAWS = 20_000_000
FEWEST_RESAMPLES = 200
# Losses are taken in steps of 2⁻²⁰ nats, so that their sums are exact in any order.
STEPS = 2.0**20
NLL, TOKENS, SCORED, RIGHT, GRADED = range(5)
WIDTH = 5


class Standing(NamedTuple):
    """What the resamples say of one checkpoint.

    Its rank lies between `rank_low` and `rank_high` in 95 % of them, and is 1 in the share
    `p_best`. `tie` says that it may be the best: it is in the 95 % confidence set.
    """

    rank_low: int
    rank_high: int
    p_best: float
    tie: bool


class Contest(NamedTuple):
    """Standings, in the order of the checkpoints, from so many resamples of so many examples."""

    standings: list[Standing]
    examples: int
    resamples: int


class Tally(NamedTuple):
    """What a checkpoint did with the examples of a cell, by example id; `sums` is (n, WIDTH)."""

    example_id: NDArray[np.bytes_]
    sums: Reals


class Stratum(NamedTuple):
    """Examples of one cell that all checkpoints measured alike; `sums` is (n, K · WIDTH)."""

    cell: Cell
    example_id: NDArray[np.bytes_]
    sums: Reals


def tally(answers: Answers) -> dict[Cell, Tally]:
    """What a checkpoint did with the validation examples, each counted in one suite."""
    counting = answers.of_role(VALIDATION)
    counting = counting[counting.counts]
    if not len(counting):
        return {}
    starts = np.flatnonzero(counting.starts)
    has_loss = counting.has_target & (counting.target_tokens > 0)
    nll = np.where(has_loss, -counting.target_logprob, 0.0)
    columns = (
        np.rint(nll * STEPS) / STEPS,
        np.where(has_loss, counting.target_tokens, 0),
        counting.scored,
        counting.right,
        counting.graded,
    )
    sums = np.add.reduceat(np.array(columns, np.float64), starts, axis=1).T
    firsts = counting[starts]
    found = {}
    for rows in groups([firsts.suite, firsts.difficulty]):
        cell = Cell(str(firsts.suite.at(rows[0])), str(firsts.difficulty.at(rows[0])))
        found[cell] = Tally(firsts.example_id[rows], sums[rows])
    return found


def hold(several: Sequence[Answers], settings: RankingSettings, run: str) -> Contest | str:
    """The contest between checkpoints of a run, by their answers; or why there is none, in words.

    The resamples are seeded from the run's name and the examples' ids.
    """
    tallies = [tally(one) for one in several]
    strata = _strata(tallies)
    n = sum(len(one.example_id) for one in strata)
    if n < settings.min_examples:
        return (
            f"too few examples to resample: the checkpoints share {n}, and "
            f"{settings.min_examples} are needed"
        )
    for what, column, weight in (
        ("loss", TOKENS, settings.loss_weight + settings.consistency_weight),
        ("grade", GRADED, settings.balance_weight),
    ):
        cells = {cell for one in tallies for cell, own in one.items() if own.sums[:, column].any()}
        shared = {one.cell for one in strata if one.sums[:, column].any()}
        missing = sorted(cells - shared)
        if missing and weight > 0.0:
            return f"the checkpoints share no example of {' '.join(missing[0])} that has a {what}"
    resamples = min(settings.resamples, max(FEWEST_RESAMPLES, DRAWS // n))
    ids = (example_id for one in strata for example_id in one.example_id.tolist())
    random = generator([run.encode(), *ids])
    seen, drawn = _sums(strata, resamples, random)
    k = len(several)
    scores = _scores(seen, k, settings)[0]
    resampled = _scores(drawn, k, settings)
    ranks = places(resampled)
    spans = [percentiles(column.astype(np.float64)) for column in ranks.T]
    standings = [
        Standing(int(span.low), int(span.high), chance, tie)
        for span, chance, tie in zip(
            spans,
            chances_of_being_first(ranks),
            may_be_best(scores.tolist(), resampled),
            strict=True,
        )
    ]
    return Contest(standings, n, resamples)


def _strata(tallies: Sequence[dict[Cell, Tally]]) -> list[Stratum]:
    """The shared examples: by suite and difficulty, and by whether they have a loss and a grade."""
    found = []
    for cell in sorted(set[Cell].intersection(*map(set[Cell], tallies))):
        own = _shared([one[cell] for one in tallies])
        ids, sums = own[0].example_id, np.stack([one.sums for one in own])
        has = sums[:, :, TOKENS].astype(bool) * 2 + sums[:, :, GRADED].astype(bool)
        alike = (has == has[0]).all(axis=0)
        for kind in (1, 2, 3):
            rows = np.flatnonzero(alike & (has[0] == kind))
            if len(rows):
                columns = sums[:, rows].transpose(1, 0, 2).reshape(len(rows), -1)
                found.append(Stratum(cell, ids[rows], columns))
    return found


def _shared(tallies: Sequence[Tally]) -> list[Tally]:
    """The examples that every tally has, in order of their ids."""
    first = tallies[0].example_id
    if all(np.array_equal(one.example_id, first) for one in tallies):
        return list(tallies)
    common = first
    for one in tallies[1:]:
        common = np.intersect1d(common, one.example_id, assume_unique=True)
    return [
        Tally(common, one.sums[np.isin(one.example_id, common, assume_unique=True)])
        for one in tallies
    ]


def _sums(
    strata: Sequence[Stratum], resamples: int, random: np.random.Generator
) -> tuple[dict[Cell, Reals], dict[Cell, Reals]]:
    """Each cell's sums of all examples (1, K · WIDTH), and of resamples (resamples, K · WIDTH)."""
    seen: dict[Cell, Reals] = {}
    drawn: dict[Cell, Reals] = {}
    for one in strata:
        whole = one.sums.sum(axis=0, keepdims=True)
        resampled = resampled_sums(one.sums, resamples, random)
        if one.cell in seen:
            whole, resampled = seen[one.cell] + whole, drawn[one.cell] + resampled
        seen[one.cell], drawn[one.cell] = whole, resampled
    return seen, drawn


def _scores(sums: dict[Cell, Reals], k: int, settings: RankingSettings) -> Reals:
    """The composite scores (resamples, K)."""
    parts = {cell: one.reshape(len(one), k, WIDTH) for cell, one in sums.items()}
    losses, accuracies = [], []
    for difficulty in sorted({cell.difficulty for cell in parts}, key=easy_first):
        here = [one for cell, one in parts.items() if cell.difficulty == difficulty]
        with_loss = [one for one in here if one[..., TOKENS].all()]
        if with_loss:
            scored = np.array([one[..., SCORED] for one in with_loss])
            by_suite = np.array([one[..., NLL] / one[..., TOKENS] for one in with_loss])
            losses.append((scored * by_suite).sum(axis=0) / scored.sum(axis=0))
        whole = np.sum(here, axis=0)
        if whole[..., GRADED].all():
            accuracies.append(whole[..., RIGHT] / whole[..., GRADED])
    shape = next(iter(parts.values())).shape[:2]
    return composites(_stacked(losses, shape), _stacked(accuracies, shape), settings)


def _stacked(means: Sequence[Reals], shape: tuple[int, ...]) -> Reals:
    return np.stack(means, axis=-1) if means else np.zeros((*shape, 0))
