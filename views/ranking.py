"""Ranking: which checkpoint of a run is the best, over all its difficulties?

With L and A the loss (nats a token) and accuracy of each difficulty of the run's validation suites,
the score is the weighted mean of three parts, each between 0 and 1, higher being better:

- loss: exp(−mean L), the geometric mean of a target token's probability;
- balance: the harmonic mean of A, which a single weak difficulty pulls down (0 if one has 0);
- consistency: exp(−max L), how well the checkpoint holds up on its worst difficulty.

None of them falls when a loss falls or an accuracy rises, so getting better on anything never costs
a checkpoint its rank. Suites of one difficulty are averaged with their numbers of examples as
weights. A checkpoint that lacks a difficulty that another one of the run has is not comparable: it
has no score and no rank. Equal scores share a rank.

Quick tiers are not ranked beside full evaluations, which saw other examples; they are ranked among
each other as long as the run has nothing else.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from sqlalchemy import Column as SqlColumn
from sqlalchemy import Connection, Index, Table

from settings import DIFFICULTIES, RankingSettings, Settings
from store.projections import Derive, Projection
from store.schema import INTEGER, REAL_NUMBER, TEXT, derived
from views.answers import VALIDATION
from views.scope import (
    EARLY_CHANGES,
    SUBJECT,
    TIER,
    Ended,
    Result,
    Tier,
    ended_of,
    per_run,
    results_of,
    rewrite,
    settings_text,
)
from views.view import Column, View

RANKING: Table = derived(
    "ranking",
    SqlColumn("checkpoint_id", TEXT, primary_key=True),
    SqlColumn("run", TEXT, nullable=False),
    SqlColumn("step", INTEGER, nullable=False),
    SqlColumn("rank", INTEGER),
    SqlColumn("score", REAL_NUMBER),
    SqlColumn("loss", REAL_NUMBER),
    SqlColumn("accuracy", REAL_NUMBER),
    SqlColumn("balance", REAL_NUMBER),
    SqlColumn("consistency", REAL_NUMBER),
    SqlColumn("reason", TEXT),
    SqlColumn("tier", TEXT),
    Index(None, "run"),
)


@dataclass(frozen=True)
class Standing:
    """A checkpoint's place. `loss` and `accuracy` are means over the difficulties."""

    checkpoint_id: str
    step: int
    rank: int | None = None
    score: float | None = None
    loss: float | None = None
    accuracy: float | None = None
    balance: float | None = None
    consistency: float | None = None
    reason: str | None = None
    tier: Tier | None = None


class Cell(NamedTuple):
    """A suite, by name, and a difficulty."""

    suite: str
    difficulty: str


class Measured(NamedTuple):
    """A result's loss or accuracy, None if not measured, and its number of examples."""

    cell: Cell
    value: float | None
    n: int


def rank(
    ended: Sequence[Ended], results: Sequence[Result], settings: RankingSettings
) -> list[Standing]:
    """The standings of a run's checkpoints, in the order of `ended`.

    `results` are those of the validation suites, of which an example in several counts in one.
    """
    losses: dict[str, list[Measured]] = defaultdict(list)
    accuracies: dict[str, list[Measured]] = defaultdict(list)
    waiting = _waiting(ended)
    for one in results:
        if one.completed and one.counts and one.evaluation_id not in waiting:
            cell = Cell(one.suite, one.difficulty)
            n, n_graded = one.once_n or 0, one.once_n_graded or 0
            losses[one.evaluation_id].append(Measured(cell, one.once_loss, n))
            accuracies[one.evaluation_id].append(Measured(cell, one.once_accuracy, n_graded))
    loss_cells, accuracy_cells = measured_cells(losses), measured_cells(accuracies)
    standings = [
        Standing(one.checkpoint_id, one.step, reason=waiting[one.evaluation_id], tier=one.tier)
        if one.evaluation_id in waiting
        else _stand(
            one,
            by_difficulty(losses[one.evaluation_id], loss_cells),
            by_difficulty(accuracies[one.evaluation_id], accuracy_cells),
            settings,
        )
        for one in ended
    ]
    scores = [one.score for one in standings if one.score is not None]
    return [
        one
        if one.score is None
        else replace(one, rank=1 + sum(score > one.score for score in scores))
        for one in standings
    ]


def _waiting(ended: Sequence[Ended]) -> dict[str, str]:
    """Why quick tiers are not ranked, by evaluation id; none where the run has nothing else."""
    if not any(one.tier == "full" for one in ended):
        return {}
    return {
        one.evaluation_id: f"{one.quick.words} It is ranked when all of them are measured."
        for one in ended
        if one.completed and one.quick is not None
    }


def measured_cells(found: Mapping[str, Sequence[Measured]]) -> frozenset[Cell]:
    """What some checkpoint of the run measured; bare text, say, never has an accuracy."""
    return frozenset(
        one.cell for several in found.values() for one in several if one.value is not None
    )


def by_difficulty(measured: Sequence[Measured], cells: Collection[Cell]) -> dict[str, float | None]:
    """One checkpoint's mean for each difficulty in `cells`, weighted by numbers of examples.

    None for a difficulty of which it has no suite, or one that was not measured.
    """
    means: dict[str, float | None] = {}
    for difficulty in sorted({cell.difficulty for cell in cells}, key=_easy_first):
        here = [one for one in measured if one.cell in cells and one.cell.difficulty == difficulty]
        weighted = [one.value * one.n for one in here if one.value is not None]
        complete = bool(here) and len(weighted) == len(here)
        means[difficulty] = math.fsum(weighted) / sum(one.n for one in here) if complete else None
    return means


def _stand(
    one: Ended,
    losses: Mapping[str, float | None],
    accuracies: Mapping[str, float | None],
    settings: RankingSettings,
) -> Standing:
    """A checkpoint's standing, yet without its rank, from its means by difficulty."""
    said = None if one.quick is None else one.quick.words
    standing = Standing(one.checkpoint_id, one.step, reason=said, tier=one.tier)
    if not one.completed:
        return replace(standing, reason=one.reason)
    loss, accuracy = whole(losses), whole(accuracies)
    if loss:
        mean = math.fsum(loss) / len(loss)
        standing = replace(standing, loss=mean, consistency=math.exp(-max(loss)))
    if accuracy:
        mean = math.fsum(accuracy) / len(accuracy)
        standing = replace(standing, accuracy=mean, balance=harmonic_mean(accuracy))
    parts = (
        (settings.loss_weight, None if standing.loss is None else math.exp(-standing.loss)),
        (settings.balance_weight, standing.balance),
        (settings.consistency_weight, standing.consistency),
    )
    weight = math.fsum(weight for weight, _ in parts)
    if weight == 0.0:
        return replace(standing, reason="Every weight in [ranking] is 0: give one of them more.")
    counted = [(weight, part) for weight, part in parts if weight > 0.0]
    scored = [weight * part for weight, part in counted if part is not None]
    if len(scored) < len(counted):
        gaps = []
        if settings.loss_weight > 0.0 or settings.consistency_weight > 0.0:
            gaps += _gaps("loss", losses)
        if settings.balance_weight > 0.0:
            gaps += _gaps("accuracy", accuracies)
        return replace(standing, reason=f"It cannot be ranked: {' and '.join(gaps)}.")
    return replace(standing, score=math.fsum(scored) / weight)


def whole(means: Mapping[str, float | None]) -> list[float]:
    """The means, if there is one for every difficulty; else nothing."""
    found = [one for one in means.values() if one is not None]
    return found if len(found) == len(means) else []


def _gaps(what: str, means: Mapping[str, float | None]) -> list[str]:
    """What is missing, as words; empty if nothing is."""
    if not means:
        return [f"no validation suite of the run has a measured {what}"]
    missing = [name for name, mean in means.items() if mean is None]
    return [f"its {what} was not measured on {', '.join(missing)}"] if missing else []


def harmonic_mean(shares: Sequence[float]) -> float:
    """The harmonic mean of one or more shares; 0 if one of them is."""
    least = min(shares)
    if least == 0.0:
        return 0.0
    # Against the least, so that the inverse of a tiny share is no infinity.
    return least * len(shares) / math.fsum(least / share for share in shares)


def _easy_first(difficulty: str) -> tuple[int, str]:
    known = [str(one) for one in DIFFICULTIES]
    return (known.index(difficulty) if difficulty in known else len(known), difficulty)


def derive_with(settings: RankingSettings) -> Derive:
    """The projection's `derive` under these settings."""

    def derive(connection: Connection, run: str) -> None:
        results = [one for one in results_of(connection, run, quick=True) if one.role == VALIDATION]
        standings = rank(ended_of(connection, run, quick=True), results, settings)
        rewrite(connection, RANKING, {"run": run}, standings)

    return per_run(derive)


COLUMNS = (
    *SUBJECT,
    Column("rank", "Rank", "count", "Place in its run; 1 is the best. Equal scores share it."),
    Column("score", "Score", "share", "Weighted mean of exp(-loss), balance and consistency."),
    Column("loss", "Loss", "nats", "Mean of the difficulties' losses."),
    Column("accuracy", "Accuracy", "share", "Mean of the difficulties' accuracies."),
    Column("balance", "Balance", "share", "Harmonic mean of the difficulties' accuracies."),
    Column("consistency", "Consistency", "share", "exp(-loss) of the worst difficulty."),
    TIER,
    Column("reason", "Reason", "text", "Why the checkpoint has no rank, or what it leaves out."),
)


def view(settings: Settings) -> View:
    """The checkpoints of each run, best first."""
    return View(
        name="ranking",
        title="Ranking",
        question="Which checkpoint is the best over all difficulties?",
        sql_view="rankings",
        columns=COLUMNS,
        order="run, rank IS NULL, rank, step, checkpoint_id",
        brief=(
            "run",
            "rank",
            "step",
            "score",
            "loss",
            "accuracy",
            "balance",
            "consistency",
            "reason",
        ),
        projections=(
            Projection(
                name="ranking",
                version=4,
                tables=(RANKING,),
                listens=EARLY_CHANGES,
                derive=derive_with(settings.ranking),
                reads=("lifecycle", "results"),
                settings=settings_text(settings.ranking),
            ),
        ),
    )
