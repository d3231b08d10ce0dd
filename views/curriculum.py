"""Curriculum: what to train on next, by how well each difficulty goes at each checkpoint.

The rule is in views.advice. An example that stands in two validation suites counts once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from sqlalchemy import Column as SqlColumn
from sqlalchemy import Connection, Index, PrimaryKeyConstraint, Table, select

from settings import DIFFICULTIES, CurriculumSettings, Difficulty, Settings
from store.lifecycle import CHECKPOINT, EVALUATION
from store.projections import Projection
from store.schema import INTEGER, JSON, REAL_NUMBER, TEXT, derived
from views.advice import Advice, Strategy, advise
from views.answers import VALIDATION, Answers
from views.blocks import answers_of, ending_of
from views.measures import measure
from views.scope import (
    CHANGES,
    EASY_FIRST,
    SUBJECT,
    ended_of,
    per_evaluation,
    per_run,
    rewrite,
    settings_text,
)
from views.view import Column, View

# What one evaluation measured of each difficulty that its validation suites have. Progress is told
# only between checkpoints that answered the same `suites`.
DIFFICULTY: Table = derived(
    "difficulty_tally",
    SqlColumn("evaluation_id", TEXT, nullable=False),
    SqlColumn("difficulty", TEXT, nullable=False),
    SqlColumn("loss", REAL_NUMBER),
    SqlColumn("accuracy", REAL_NUMBER),
    SqlColumn("suites", JSON, nullable=False),
    SqlColumn("reason", TEXT),
    PrimaryKeyConstraint("evaluation_id", "difficulty"),
)

CURRICULUM: Table = derived(
    "curriculum_advice",
    SqlColumn("run", TEXT, nullable=False),
    SqlColumn("evaluation_id", TEXT, nullable=False),
    SqlColumn("difficulty", TEXT, nullable=False),
    SqlColumn("loss", REAL_NUMBER),
    SqlColumn("accuracy", REAL_NUMBER),
    SqlColumn("progress", REAL_NUMBER),
    SqlColumn("recommended_share", INTEGER),
    SqlColumn("strategy", TEXT),
    SqlColumn("reason", TEXT, nullable=False),
    PrimaryKeyConstraint("evaluation_id", "difficulty"),
    Index(None, "run"),
)


@dataclass(frozen=True)
class Tally:
    """What was measured of a difficulty: `suites` are the ids of those that it was asked in."""

    difficulty: str
    loss: float | None
    accuracy: float | None
    suites: tuple[str, ...]
    reason: str | None


@dataclass(frozen=True)
class Advised:
    """A row of `curriculum_advice`, without its run."""

    evaluation_id: str
    difficulty: Difficulty
    loss: float | None
    accuracy: float | None
    progress: float | None
    recommended_share: int | None
    strategy: Strategy | None
    reason: str


def tallies(answers: Answers) -> list[Tally]:
    """What the answers, one an example, say of each difficulty, by its name."""
    found = []
    for difficulty in answers.difficulty.present():
        own = answers.of_difficulty(difficulty)
        measures = measure(own)
        suites = tuple(str(one) for one in own.suite_id.present())
        tally = Tally(str(difficulty), measures.loss, measures.accuracy, suites, measures.reason)
        found.append(tally)
    return found


def derive_tallies(connection: Connection, evaluation_id: str) -> None:
    """Writes the tallies of one evaluation anew; none while only its quick tier is in."""
    ended = ending_of(connection, evaluation_id) is not None
    answers = answers_of(connection, evaluation_id) if ended else Answers.none()
    answers = answers.of_role(VALIDATION).once()
    rewrite(connection, DIFFICULTY, {"evaluation_id": evaluation_id}, tallies(answers))


class Point(NamedTuple):
    """An evaluated checkpoint: what it measured, by difficulty."""

    step: int
    tallies: Mapping[str, Tally]


def advise_checkpoint(
    evaluation_id: str, point: Point, before: Sequence[Point], settings: CurriculumSettings
) -> list[Advised]:
    """The rows of one checkpoint; `before` are those at earlier steps of the run, by step."""
    measured = {one: point.tallies.get(one) for one in DIFFICULTIES}
    accuracy = {
        name: one.accuracy
        for name, one in measured.items()
        if one is not None and one.accuracy is not None
    }
    advice: Advice | None = None
    if len(accuracy) == len(DIFFICULTIES):
        advice = advise(accuracy, settings)
        reason = advice.reason
    else:
        missing = [_missing(name, one) for name, one in measured.items() if name not in accuracy]
        reason = " ".join(["No shares to recommend.", *missing])
    rows = []
    for name, one in measured.items():
        progress, why_not = _progress(name, point, before)
        left_out = one.reason if one and name in accuracy else None
        rows.append(
            Advised(
                evaluation_id=evaluation_id,
                difficulty=name,
                loss=one.loss if one else None,
                accuracy=one.accuracy if one else None,
                progress=progress,
                recommended_share=advice.shares[name] if advice else None,
                strategy=advice.strategy if advice else None,
                reason=" ".join(filter(None, (reason, left_out, why_not))),
            )
        )
    return rows


def _missing(name: str, tally: Tally | None) -> str:
    if tally is None:
        return f"{name}: no validation suite of this evaluation has such examples."
    return f"{name}: {tally.reason}"


def _progress(
    name: Difficulty, point: Point, before: Sequence[Point]
) -> tuple[float | None, str | None]:
    """The change of accuracy in 1,000 steps since it was last measured, or why there is none."""
    now = point.tallies.get(name)
    if now is None or now.accuracy is None:
        return None, None
    for earlier in reversed(before):
        then = earlier.tallies.get(name)
        if earlier.step == point.step or then is None or then.accuracy is None:
            continue
        if then.suites != now.suites:
            return None, f"No progress to tell: step {earlier.step} was asked other suites."
        change = (now.accuracy - then.accuracy) / (point.step - earlier.step)
        return 1000 * change, None
    return None, "No progress to tell: no earlier step measured it."


def derive(settings: CurriculumSettings, connection: Connection, run: str) -> None:
    """Writes the curriculum of one run anew."""
    measured = _tallies_of(connection, run)
    points: list[Point] = []
    rows: list[Advised] = []
    for one in ended_of(connection, run):
        if one.completed:
            point = Point(one.step, measured.get(one.evaluation_id, {}))
            rows += advise_checkpoint(one.evaluation_id, point, points, settings)
            points.append(point)
        else:
            assert one.reason is not None
            rows += [_unmeasured(one.evaluation_id, name, one.reason) for name in DIFFICULTIES]
    rewrite(connection, CURRICULUM, {"run": run}, rows)


def _unmeasured(evaluation_id: str, difficulty: Difficulty, reason: str) -> Advised:
    return Advised(evaluation_id, difficulty, None, None, None, None, None, reason)


def _tallies_of(connection: Connection, run: str) -> dict[str, dict[str, Tally]]:
    """The tallies of a run's evaluations, by evaluation id and difficulty."""
    found: dict[str, dict[str, Tally]] = defaultdict(dict)
    rows = connection.execute(
        select(DIFFICULTY)
        .join(EVALUATION, EVALUATION.c.evaluation_id == DIFFICULTY.c.evaluation_id)
        .join(CHECKPOINT, CHECKPOINT.c.checkpoint_id == EVALUATION.c.checkpoint_id)
        .where(CHECKPOINT.c.run == run, EVALUATION.c.current == 1)
        .order_by(DIFFICULTY.c.evaluation_id, DIFFICULTY.c.difficulty)
    )
    for evaluation_id, difficulty, loss, accuracy, suites, reason in rows:
        tally = Tally(difficulty, loss, accuracy, tuple(suites), reason)
        found[evaluation_id][difficulty] = tally
    return found


TALLIES = Projection(
    name="difficulties",
    version=2,
    tables=(DIFFICULTY,),
    listens=CHANGES,
    derive=per_evaluation(derive_tallies),
    reads=("lifecycle", "results"),
)

COLUMNS = (
    *SUBJECT,
    Column("difficulty", "Difficulty", "text", "easy, medium or hard, in validation suites."),
    Column("loss", "Loss", "nats", "Mean negative log-likelihood of a target token."),
    Column("accuracy", "Accuracy", "share", "Answers that the grader calls right."),
    Column("progress", "Progress", "number", "Accuracy gained in 1,000 steps since the last one."),
    Column("recommended_share", "Share", "number", "Per cent of the next training data."),
    Column("strategy", "Strategy", "text", "progressive, mixed, hard-focused or adaptive."),
    Column("reason", "Reason", "text", "The numbers behind it, or why something is missing."),
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
            "progress",
            "recommended_share",
            "strategy",
            "reason",
        ),
        projections=(
            TALLIES,
            Projection(
                name="curriculum",
                version=1,
                tables=(CURRICULUM,),
                listens=CHANGES,
                derive=per_run(partial(derive, settings.curriculum)),
                reads=("lifecycle", "results", "difficulties"),
                settings=settings_text(settings.curriculum),
            ),
        ),
    )
