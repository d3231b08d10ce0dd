"""Curriculum: what to train on next, by how well each difficulty goes at each checkpoint.

The rule is in views.advice, its measures are in views.standing. A new checkpoint costs a few
evaluations however long the run is: only checkpoints at or after the earliest step that an event
touches are derived again, each from itself and the few before it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from sqlalchemy import Column as SqlColumn
from sqlalchemy import Connection, Index, PrimaryKeyConstraint, Table, delete, func, insert, select

from settings import DIFFICULTIES, CurriculumSettings, Difficulty, Settings
from store.lifecycle import CHECKPOINT, EVALUATION
from store.log import Recorded
from store.projections import Projection
from store.schema import INTEGER, JSON, REAL_NUMBER, TEXT, derived
from views import standing
from views.advice import Advice, Prospects, Strategy, advise
from views.groups import GROUPS, Group, tallies_of
from views.scope import CHANGES, EASY_FIRST, SUBJECT, ended_of, settings_text, touched
from views.standing import NO_STANDING, Ask, Point, Standing, Stood, asker, stand
from views.view import Column, View
from views.words import count

CURRICULUM: Table = derived(
    "curriculum_advice",
    SqlColumn("run", TEXT, nullable=False),
    SqlColumn("evaluation_id", TEXT, nullable=False),
    SqlColumn("difficulty", TEXT, nullable=False),
    *standing.sql_columns(),
    SqlColumn("gain", REAL_NUMBER),
    SqlColumn("recommended_share", INTEGER),
    SqlColumn("share_low", INTEGER),
    SqlColumn("share_high", INTEGER),
    SqlColumn("strategy", TEXT),
    SqlColumn("support", REAL_NUMBER),
    SqlColumn("strategies", JSON),
    SqlColumn("reason", TEXT, nullable=False),
    PrimaryKeyConstraint("evaluation_id", "difficulty"),
    Index(None, "run"),
)

SKILL: Table = derived(
    "skill_standing",
    SqlColumn("run", TEXT, nullable=False),
    SqlColumn("evaluation_id", TEXT, nullable=False),
    SqlColumn("skill", TEXT, nullable=False),
    *standing.sql_columns(),
    SqlColumn("reason", TEXT),
    PrimaryKeyConstraint("evaluation_id", "skill"),
    Index(None, "run"),
)


@dataclass(frozen=True)
class Advised:
    """A row of `curriculum_advice`, without its run."""

    evaluation_id: str
    difficulty: Difficulty
    standing: Standing
    reason: str
    gain: float | None = None
    recommended_share: int | None = None
    share_low: int | None = None
    share_high: int | None = None
    strategy: Strategy | None = None
    support: float | None = None
    strategies: Mapping[Strategy, Any] | None = None


@dataclass(frozen=True)
class Skilled:
    """A row of `skill_standing`, without its run."""

    evaluation_id: str
    skill: str
    standing: Standing
    reason: str | None


def advise_checkpoint(
    point: Point, before: Sequence[Point], settings: CurriculumSettings, ask: Ask
) -> list[Advised]:
    """The rows of one checkpoint; `before` are the last ones at earlier steps, in order."""
    stood = {one: stand(Group("difficulty", one), point, before, ask) for one in DIFFICULTIES}
    missing = _missing(point, stood, before, settings)
    advice = None if missing else _advice(stood, settings)
    why = " ".join(missing) if advice is None else advice.reason
    strategies = advice and {name: plan._asdict() for name, plan in advice.plans.items()}
    rows = []
    for name, one in stood.items():
        tally = point.tallies.get(Group("difficulty", name))
        graded = tally is not None and tally.accuracy is not None
        left_out = tally.reason if tally is not None and graded else None
        no_pace = one.reason if before else None
        reason = " ".join(filter(None, (why, left_out, no_pace)))
        row = Advised(point.evaluation_id, name, one.standing, reason)
        if advice is not None:
            row = replace(
                row,
                gain=advice.gains[name],
                recommended_share=advice.shares[name],
                share_low=advice.bounds[name].low,
                share_high=advice.bounds[name].high,
                strategy=advice.strategy,
                support=advice.support,
                strategies=strategies,
            )
        rows.append(row)
    return rows


def _advice(stood: Mapping[Difficulty, Stood], settings: CurriculumSettings) -> Advice:
    """From the histories of all three difficulties, which were all graded."""
    histories = [one.history for one in stood.values() if one.history is not None]
    accuracy = [one.standing.accuracy for one in stood.values()]
    # The last column of a history is this checkpoint, the only one where suites have changed.
    measured = Prospects(
        np.array(accuracy, np.float64),
        np.array([one.moved(one.slope) if one.moves else 0.0 for one in histories]),
    )
    resampled = Prospects(
        np.stack([one.resamples[:, -1] for one in histories], axis=-1),
        np.stack(
            [
                one.moved(one.slopes) if one.moves else np.zeros(standing.RESAMPLES)
                for one in histories
            ],
            axis=-1,
        ),
    )
    return advise(measured, resampled, settings)


def _missing(
    point: Point,
    stood: Mapping[Difficulty, Stood],
    before: Sequence[Point],
    settings: CurriculumSettings,
) -> list[str]:
    """Why nothing is recommended, in sentences; none if something is."""
    found = []
    for name, one in stood.items():
        tally = point.tallies.get(Group("difficulty", name))
        if tally is None:
            found.append(f"{name}: no validation suite of this evaluation has such examples.")
        elif tally.accuracy is None:
            found.append(f"{name}: {tally.reason}")
        elif one.standing.n_graded < settings.min_examples:
            found.append(
                f"{name}: {count(one.standing.n_graded, 'answer')} could be graded, fewer than "
                f"the {settings.min_examples} that [curriculum] min_examples asks for."
            )
    if found:
        return ["No shares to recommend.", *found]
    if not before:
        return [
            "Not enough checkpoints yet: no earlier step of the run is evaluated, and shares need "
            "two."
        ]
    return []


def skills_of(point: Point, before: Sequence[Point], ask: Ask) -> list[Skilled]:
    """The rows of each skill that one checkpoint was asked, by name."""
    rows = []
    for group, tally in point.tallies.items():
        if group.kind == "skill":
            one = stand(group, point, before, ask)
            reason = " ".join(filter(None, (tally.reason, one.reason)))
            rows.append(Skilled(point.evaluation_id, group.name, one.standing, reason or None))
    return rows


def derive(
    settings: CurriculumSettings, connection: Connection, events: Sequence[Recorded]
) -> None:
    """Writes the checkpoints anew that the events touch, and those of later steps."""
    new = touched(connection, events)
    earliest = connection.execute(
        select(CHECKPOINT.c.run, func.min(CHECKPOINT.c.step))
        .join(EVALUATION, EVALUATION.c.checkpoint_id == CHECKPOINT.c.checkpoint_id)
        .where(EVALUATION.c.evaluation_id.in_(new.evaluations))
        .group_by(CHECKPOINT.c.run)
        .order_by(CHECKPOINT.c.run)
    )
    for run, step in earliest.all():
        _derive_from(settings, connection, run, step)


def _derive_from(
    settings: CurriculumSettings, connection: Connection, run: str, first: int
) -> None:
    """The rows of a run from step `first` on."""
    ended = ended_of(connection, run)
    completed = [one for one in ended if one.completed]
    earlier = [one for one in completed if one.step < first][1 - settings.trend_checkpoints :]
    needed = [*earlier, *(one for one in completed if one.step >= first)]
    measured = tallies_of(connection, [one.evaluation_id for one in needed])
    points = [
        Point(one.step, one.evaluation_id, measured.get(one.evaluation_id, {})) for one in needed
    ]
    ask = asker(connection)
    advised: list[Advised] = []
    skilled: list[Skilled] = []
    for point in points[len(earlier) :]:
        before = [one for one in points if one.step < point.step][1 - settings.trend_checkpoints :]
        advised += advise_checkpoint(point, before, settings, ask)
        skilled += skills_of(point, before, ask)
    for one in ended:
        if not one.completed and one.step >= first:
            assert one.reason is not None
            advised += [
                Advised(one.evaluation_id, name, NO_STANDING, one.reason) for name in DIFFICULTIES
            ]
    kept = (
        select(EVALUATION.c.evaluation_id)
        .join(CHECKPOINT, CHECKPOINT.c.checkpoint_id == EVALUATION.c.checkpoint_id)
        .where(CHECKPOINT.c.run == run, CHECKPOINT.c.step < first, EVALUATION.c.current == 1)
    )
    for table, rows in ((CURRICULUM, advised), (SKILL, skilled)):
        stale = table.c.evaluation_id.not_in(kept)
        connection.execute(delete(table).where(table.c.run == run, stale))
        if rows:
            connection.execute(insert(table), [_flat(run, row) for row in rows])


def _flat(run: str, row: Advised | Skilled) -> dict[str, Any]:
    values = {"run": run, **vars(row), **vars(row.standing)}
    del values["standing"]
    return values


COLUMNS = (
    *SUBJECT,
    Column("difficulty", "Difficulty", "text", "easy, medium or hard, in validation suites."),
    *standing.COLUMNS,
    Column("gain", "May gain", "number", "Accuracy that training on it may gain, by the model."),
    Column("recommended_share", "Share", "number", "Per cent of the next training data."),
    Column("share_low", "Share, low", "number", "Lower end of its 95 % bootstrap interval."),
    Column("share_high", "Share, high", "number", "Upper end of its 95 % bootstrap interval."),
    Column("strategy", "Strategy", "text", "progressive, mixed, hard-focused or adaptive."),
    Column("support", "Support", "share", "Resamples of the examples with the same strategy."),
    Column("strategies", "Strategies", "json", "The score and the shares of each strategy."),
    Column("reason", "Reason", "text", "The numbers behind it, or why something is missing."),
)


def projections(settings: Settings) -> tuple[Projection, ...]:
    """What the curriculum and the skills are made of."""
    return (
        GROUPS,
        Projection(
            name="curriculum",
            version=2,
            tables=(CURRICULUM, SKILL),
            listens=CHANGES,
            derive=partial(derive, settings.curriculum),
            reads=("lifecycle", "results", "groups"),
            settings=settings_text(settings.curriculum),
        ),
    )


def view(settings: Settings) -> View:
    """The curriculum at every evaluated checkpoint."""
    return View(
        name="curriculum",
        title="Curriculum",
        question="What should the next steps of training be made of?",
        sql_view="curriculum",
        columns=COLUMNS,
        order=f"run, step, checkpoint_id, {EASY_FIRST}",
        brief=(
            "run",
            "step",
            "difficulty",
            "loss",
            "accuracy",
            "trend",
            "recommended_share",
            "share_low",
            "share_high",
            "strategy",
            "reason",
        ),
        projections=projections(settings),
    )
