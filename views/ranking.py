"""Ranking: which checkpoint of a run does one keep?

Checkpoints are ranked by the composite score of views.composite. A checkpoint that lacks a
difficulty that another one of the run has is not comparable: it has no score and no rank. Equal
scores share a rank.

The evidence is that of views.contest: in what range a rank lies, how likely each is the best, and
which ones cannot be told from the best, had other examples been asked. Only the highest scores are
resampled, so that the cost does not grow with the run. A checkpoint is on the Pareto front if no
other is at least as good in loss, accuracy and expected calibration error, and better in one.

Quick tiers are not ranked beside full evaluations, which saw other examples; they are ranked among
each other as long as the run has nothing else.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Column as SqlColumn
from sqlalchemy import Connection, Index, Table

from settings import RankingSettings, Settings
from store.projections import Derive, Projection
from store.schema import INTEGER, REAL_NUMBER, TEXT, derived
from views import calibration, contest
from views.answers import VALIDATION
from views.blocks import answers_of
from views.composite import (
    Cell,
    Measured,
    by_difficulty,
    composite,
    harmonic_mean,
    measured_cells,
)
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
from views.words import count, listed, percent

# Of those that cannot be told from the best, so many are named in a sentence.
NAMED = 4

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
    SqlColumn("ece", REAL_NUMBER),
    SqlColumn("rank_low", INTEGER),
    SqlColumn("rank_high", INTEGER),
    SqlColumn("p_best", REAL_NUMBER),
    SqlColumn("tie", INTEGER),
    SqlColumn("pareto", INTEGER),
    SqlColumn("examples", INTEGER),
    SqlColumn("evidence", TEXT),
    Index(None, "run"),
)


@dataclass(frozen=True)
class Standing:
    """A checkpoint's place. `loss` and `accuracy` are means over the difficulties.

    `rank_low` to `tie` are of resamples of `examples`; `evidence` says in words what they show.
    """

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
    ece: float | None = None
    rank_low: int | None = None
    rank_high: int | None = None
    p_best: float | None = None
    tie: bool | None = None
    pareto: bool | None = None
    examples: int | None = None
    evidence: str | None = None


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
    if settings.weightless:
        return replace(standing, reason="Every weight in [ranking] is 0: give one of them more.")
    score = composite(standing.loss, standing.balance, standing.consistency, settings)
    if score is None:
        gaps = []
        if settings.loss_weight > 0.0 or settings.consistency_weight > 0.0:
            gaps += _gaps("loss", losses)
        if settings.balance_weight > 0.0:
            gaps += _gaps("accuracy", accuracies)
        return replace(standing, reason=f"It cannot be ranked: {' and '.join(gaps)}.")
    return replace(standing, score=score)


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


def with_pareto(standings: Sequence[Standing]) -> list[Standing]:
    """The standings, with whether each that has a rank is on the Pareto front.

    A measure that not every one of them has is left out; without any there is no front.
    """
    ranked = [one for one in standings if one.rank is not None]
    measures = [
        [one.loss for one in ranked],
        [None if one.accuracy is None else -one.accuracy for one in ranked],
        [one.ece for one in ranked],
    ]
    known = [values for values in measures if values and None not in values]
    if not known:
        return list(standings)
    points = dict(zip((one.checkpoint_id for one in ranked), zip(*known, strict=True), strict=True))
    front = {
        name
        for name, point in points.items()
        if not any(_dominates(other, point) for other in points.values())
    }
    return [
        replace(one, pareto=one.checkpoint_id in front) if one.checkpoint_id in points else one
        for one in standings
    ]


def _dominates(one: Sequence[Any], other: Sequence[Any]) -> bool:
    """Whether one is nowhere worse than the other, and somewhere better; less is better."""
    return one != other and all(mine <= its for mine, its in zip(one, other, strict=True))


def leader_of(standings: Sequence[Standing]) -> Standing | None:
    """The one that is ranked first; of several that share the first place the newest."""
    first = [one for one in standings if one.rank == 1]
    return max(first, key=lambda one: (one.step, one.checkpoint_id)) if first else None


def contenders(standings: Sequence[Standing], most: int) -> list[Standing]:
    """Those with the best ranks, `most` of them, in a fixed order."""
    ranked = [one for one in standings if one.rank is not None]
    return sorted(ranked, key=lambda one: (one.rank, -one.step, one.checkpoint_id))[:most]


def with_evidence(
    standings: Sequence[Standing],
    contending: Sequence[Standing],
    held: contest.Contest | str,
) -> list[Standing]:
    """The standings with what a contest between some of them shows, or why it shows nothing."""
    leader = leader_of(standings)
    if leader is None:
        return list(standings)
    if isinstance(held, str):
        answer = f"Keep step {leader.step}: it has the highest score. No more is known: {held}."
        return [replace(one, evidence=answer) if one is leader else one for one in standings]
    found = {
        one.checkpoint_id: replace(
            one,
            rank_low=its.rank_low,
            rank_high=its.rank_high,
            p_best=its.p_best,
            tie=its.tie,
            examples=held.examples,
        )
        for one, its in zip(contending, held.standings, strict=True)
    }
    told = [found.get(one.checkpoint_id, one) for one in standings]
    return [
        one if one.rank is None else replace(one, evidence=_evidence(one, leader, told, held))
        for one in told
    ]


def _evidence(
    one: Standing, leader: Standing, told: Sequence[Standing], held: contest.Contest
) -> str:
    """What the resamples say of one checkpoint, in a sentence."""
    if one.checkpoint_id == leader.checkpoint_id:
        return _answer(one, told, held)
    if one.tie is None:
        return f"Not resampled: only the {len(held.standings)} highest scores are."
    if one.tie:
        return f"It may be the best: it cannot be told from step {leader.step}."
    return "Another checkpoint is better, beyond chance."


def _answer(leader: Standing, told: Sequence[Standing], held: contest.Contest) -> str:
    """The sentence on what to keep."""
    keep = f"Keep step {leader.step}"
    if len(held.standings) == 1:
        return f"{keep}: no other checkpoint has a rank."
    others = [one.step for one in told if one.tie and one.checkpoint_id != leader.checkpoint_id]
    assert leader.p_best is not None
    base = (
        f"{keep}: best in {percent(leader.p_best)} of {count(held.resamples, 'resample')} of "
        f"{count(held.examples, 'example')}"
    )
    if not leader.tie:
        return (
            f"{keep}: it has the highest score. Of the {count(held.examples, 'example')} that all "
            "share, others do better."
        )
    if not others:
        ranked = sum(one.rank is not None for one in told)
        compared = len(held.standings)
        rest = "Each other one" if compared == ranked else f"Each of the {compared - 1} next"
        return f"{base}. {rest} is worse, beyond chance."
    named = [str(step) for step in sorted(others)]
    if len(named) > NAMED:
        named = [*named[:NAMED], f"{len(named) - NAMED} more"]
    steps = "step" if len(others) == 1 else "steps"
    return f"{base}; {steps} {listed(named)} cannot be told from it."


def derive_with(settings: RankingSettings) -> Derive:
    """The projection's `derive` under these settings."""

    def derive(connection: Connection, run: str) -> None:
        results = [one for one in results_of(connection, run, quick=True) if one.role == VALIDATION]
        ended = ended_of(connection, run, quick=True)
        errors = calibration.errors_of(connection, run)
        evaluation_of = {one.checkpoint_id: one.evaluation_id for one in ended}
        standings = with_pareto(
            [
                replace(one, ece=errors.get(evaluation_of[one.checkpoint_id]))
                for one in rank(ended, results, settings)
            ]
        )
        contending = contenders(standings, settings.contenders)
        if contending:
            several = [
                answers_of(connection, evaluation_of[one.checkpoint_id]) for one in contending
            ]
            held = contest.hold(several, settings, run)
            standings = with_evidence(standings, contending, held)
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
    Column("ece", "ECE", "share", "Expected calibration error over all its graded answers."),
    Column("rank_low", "Rank, best", "count", "Best place in 95 % of resamples of the examples."),
    Column("rank_high", "Rank, worst", "count", "Worst place in 95 % of the resamples."),
    Column("p_best", "Chance of best", "share", "Share of the resamples in which it is first."),
    Column("tie", "May be best", "flag", "Whether it is in the 95 % confidence set for the best."),
    Column("pareto", "Pareto", "flag", "Whether none is better in loss, accuracy and ECE at once."),
    Column("examples", "Resampled", "count", "Examples that all share, which are resampled."),
    Column("evidence", "Evidence", "text", "What the resamples say of its place."),
    TIER,
    Column("reason", "Reason", "text", "Why the checkpoint has no rank, or what it leaves out."),
)


def view(settings: Settings) -> View:
    """The checkpoints of each run, best first."""
    return View(
        name="ranking",
        title="Ranking",
        question="Which checkpoint do I keep?",
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
            "rank_low",
            "rank_high",
            "p_best",
            "tie",
            "pareto",
            "reason",
        ),
        projections=(
            Projection(
                name="ranking",
                version=5,
                tables=(RANKING,),
                listens=EARLY_CHANGES,
                derive=derive_with(settings.ranking),
                reads=("lifecycle", "results", "calibration"),
                settings=settings_text(settings.ranking),
            ),
        ),
    )
