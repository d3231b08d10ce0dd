"""Hard examples: what the newest checkpoint of a run gets wrong or is unsure of.

Each example that was asked at the newest evaluated checkpoint has at most one type, the first that
fits; `wrong` and `right` mean at that checkpoint:

| type              | when                                                                       |
|-------------------|----------------------------------------------------------------------------|
| not_scored        | there is an error in place of an answer                                    |
| forgotten         | wrong, and right at an earlier checkpoint                                  |
| confidently_wrong | wrong, with a confidence that is not low                                   |
| never_learned     | wrong at every one of three or more checkpoints                            |
| incorrect         | wrong, for any other reason                                                |
| unstable          | right, and changed sides at least twice on the way                         |
| low_confidence    | right, with a confidence below [hard_examples] low_confidence              |
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Column as SqlColumn
from sqlalchemy import Connection, PrimaryKeyConstraint, Table

from settings import HardExampleSettings, Settings
from store.projections import Projection
from store.schema import INTEGER, REAL_NUMBER, TEXT, derived
from views.answers import NOTHING_GRADED, Answers, number
from views.blocks import answers_of
from views.history import HISTORY, Histories, histories_of, steps_of
from views.scope import CHANGES, SUBJECT, Ended, ended_of, per_run, rewrite, settings_text
from views.view import Column, View

Type = Literal[
    "not_scored",
    "forgotten",
    "confidently_wrong",
    "never_learned",
    "incorrect",
    "unstable",
    "low_confidence",
]
TYPES: tuple[Type, ...] = get_args(Type)

NOT_HARD = -1
ALWAYS_WRONG = 3  # checkpoints, all wrong, before an example counts as never learned
UNSTABLE = 2  # flips

HARD_EXAMPLE: Table = derived(
    "hard_example",
    SqlColumn("run", TEXT, nullable=False),
    SqlColumn("rank", INTEGER, nullable=False),
    SqlColumn("evaluation_id", TEXT, nullable=False),
    SqlColumn("suite_id", TEXT),
    SqlColumn("example_id", TEXT),
    SqlColumn("sample", INTEGER),
    SqlColumn("role", TEXT),
    SqlColumn("difficulty", TEXT),
    SqlColumn("skill", TEXT),
    SqlColumn("type", TEXT),
    SqlColumn("correct", INTEGER),
    SqlColumn("confidence", REAL_NUMBER),
    SqlColumn("loss", REAL_NUMBER),
    SqlColumn("error_class", TEXT),
    SqlColumn("times_right", INTEGER),
    SqlColumn("times_seen", INTEGER),
    SqlColumn("first_right_step", INTEGER),
    SqlColumn("last_right_step", INTEGER),
    SqlColumn("reason", TEXT),
    PrimaryKeyConstraint("run", "rank"),
)


@dataclass(frozen=True)
class HardExample:
    """A row of `hard_example`: an example, or an evaluation that gave none and the reason."""

    rank: int
    evaluation_id: str
    suite_id: str | None = None
    example_id: str | None = None
    sample: int | None = None
    role: str | None = None
    difficulty: str | None = None
    skill: str | None = None
    type: Type | None = None
    correct: bool | None = None
    confidence: float | None = None
    loss: float | None = None
    error_class: str | None = None
    times_right: int | None = None
    times_seen: int | None = None
    first_right_step: int | None = None
    last_right_step: int | None = None
    reason: str | None = None


def types_of(
    answers: Answers, histories: Histories, settings: HardExampleSettings
) -> NDArray[np.int64]:
    """Why each example is hard, as an index into TYPES, or NOT_HARD.

    By its newest answer and the history up to it, which stands in the same row.
    """
    wrong, right = answers.graded & ~answers.right, answers.right
    # Comparisons with NaN are false: a confidence that was not measured is neither low nor high.
    low = answers.confidence < settings.low_confidence
    high = answers.confidence >= settings.low_confidence
    when: dict[Type, NDArray[np.bool_]] = {
        "not_scored": ~answers.scored,
        "forgotten": wrong & (histories.times_right > 0),
        "confidently_wrong": wrong & high,
        "never_learned": wrong & (histories.times_seen >= ALWAYS_WRONG),
        "incorrect": wrong,
        "unstable": right & (histories.flips >= UNSTABLE),
        "low_confidence": right & low,
    }
    return np.select([when[one] for one in TYPES], range(len(TYPES)), NOT_HARD)


def hard_ones(
    evaluation_id: str, answers: Answers, histories: Histories, settings: HardExampleSettings
) -> list[HardExample]:
    """The hard ones of an evaluation's answers, one an example, by type and then by example id."""
    answers = answers[np.argsort(answers.example_id, kind="stable")]
    histories = histories.of(answers.example_id)
    types = types_of(answers, histories, settings)
    order = np.argsort(types, kind="stable")
    first, last = steps_of(histories.first_right_step), steps_of(histories.last_right_step)
    return [
        HardExample(
            rank=rank,
            evaluation_id=evaluation_id,
            suite_id=answers.suite_id.at(row),
            example_id=answers.example_id[row].decode(),
            sample=int(answers.sample[row]),
            role=answers.role.at(row),
            difficulty=answers.difficulty.at(row),
            skill=answers.skill.at(row),
            type=TYPES[types[row]],
            correct=bool(answers.right[row]) if answers.graded[row] else None,
            confidence=number(answers.confidence[row]),
            loss=number(answers.loss[row]),
            error_class=answers.error_class.at(row),
            times_right=int(histories.times_right[row]),
            times_seen=int(histories.times_seen[row]),
            first_right_step=first[row],
            last_right_step=last[row],
            reason=answers.error.at(row),
        )
        for rank, row in enumerate(order[types[order] != NOT_HARD].tolist(), start=1)
    ]


def derive(settings: HardExampleSettings, connection: Connection, run: str) -> None:
    """Writes the hard examples of one run anew.

    Checkpoints that failed after the newest evaluated one follow with their reason, so that its
    examples are not taken for theirs.
    """
    rows: list[HardExample] = []
    failed: list[Ended] = []
    for one in reversed(ended_of(connection, run)):
        if one.completed:
            answers = answers_of(connection, one.evaluation_id).once()
            histories = histories_of(connection, run)
            rows = hard_ones(one.evaluation_id, answers, histories, settings)
            if answers.nothing_graded:
                rows = [HardExample(1, one.evaluation_id, reason=NOTHING_GRADED)]
            break
        failed.append(one)
    for one in reversed(failed):
        rows.append(HardExample(len(rows) + 1, one.evaluation_id, reason=one.reason))
    rewrite(connection, HARD_EXAMPLE, {"run": run}, rows)


COLUMNS = (
    *SUBJECT,
    Column("rank", "Rank", "number", "Its place in the run's list, which goes by type."),
    Column("example_id", "Example", "id", "Digest of what the model sees and what it should say."),
    Column("suite", "Suite", "text", "The suite's name in milepost.toml."),
    Column("role", "Role", "text", "validation measures; mining is the pool for new data."),
    Column("difficulty", "Difficulty", "text", "The example's own, or else the suite's."),
    Column("skill", "Skill", "text", "The skill that the suite's row names."),
    Column(
        "type",
        "Type",
        "text",
        "Why it is hard: not_scored, forgotten (was right at an earlier checkpoint), "
        "confidently_wrong, never_learned (wrong at three checkpoints or more, always), incorrect, "
        "unstable (right, after changing sides twice or more) or low_confidence (right, unsure).",
    ),
    Column("prompt", "Prompt", "text", "The last thing that the user says."),
    Column("target", "Target", "text", "The answer that it should give."),
    Column("generated_text", "Answer", "text", "What it wrote, or the option that it chose."),
    Column("correct", "Right", "flag", "What the grader says; NULL if it was not scored."),
    Column("confidence", "Confidence", "share", "The probability of the answer."),
    Column("loss", "Loss", "nats", "Mean negative log-likelihood of a token of the target."),
    Column("error_class", "Error", "text", "What kind of mistake it is."),
    Column("times_right", "Times right", "count", "Checkpoints of the run that had it right."),
    Column("times_seen", "Times seen", "count", "Checkpoints of the run at which it was graded."),
    Column("first_right_step", "First right", "step", "The first step at which it was right."),
    Column("last_right_step", "Last right", "step", "The last step at which it was right."),
    Column("reason", "Reason", "text", "Why the example, or the whole checkpoint, has no answer."),
)


def view(settings: Settings) -> View:
    """The hard examples of every run, at its newest evaluated checkpoint."""
    return View(
        name="hard-examples",
        title="Hard examples",
        question="What does the newest checkpoint still get wrong, and did it ever get it right?",
        sql_view="hard_examples",
        columns=COLUMNS,
        order="run, rank",
        brief=(
            "run",
            "type",
            "difficulty",
            "skill",
            "prompt",
            "target",
            "generated_text",
            "confidence",
            "times_right",
            "times_seen",
        ),
        projections=(
            HISTORY,
            Projection(
                name="hard_examples",
                version=2,
                tables=(HARD_EXAMPLE,),
                listens=CHANGES,
                derive=per_run(partial(derive, settings.hard_examples)),
                reads=("lifecycle", "results", "history"),
                settings=settings_text(settings.hard_examples),
            ),
        ),
    )
