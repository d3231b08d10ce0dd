"""Corrections: the patterns in what each checkpoint gets wrong, with one sample of each.

A pattern is an error class within a role, difficulty and skill. What was not scored is neither
right nor wrong: it makes patterns of its own, which have no share of the mistakes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Column as SqlColumn
from sqlalchemy import Connection, PrimaryKeyConstraint, Table

from settings import DIFFICULTIES, Settings
from store.projections import Projection
from store.schema import INTEGER, REAL_NUMBER, TEXT, derived
from views.answers import NOTHING_GRADED, VALIDATION, Answers
from views.blocks import answers_of, ending_of
from views.labels import groups
from views.scope import CHANGES, SUBJECT, per_evaluation, rewrite
from views.view import Column, View

ERROR_PATTERN: Table = derived(
    "error_pattern",
    SqlColumn("evaluation_id", TEXT, nullable=False),
    SqlColumn("rank", INTEGER, nullable=False),
    SqlColumn("role", TEXT),
    SqlColumn("difficulty", TEXT),
    SqlColumn("skill", TEXT),
    SqlColumn("error_class", TEXT),
    SqlColumn("n", INTEGER),
    SqlColumn("share", REAL_NUMBER),
    SqlColumn("of_examples", INTEGER),
    SqlColumn("suite_id", TEXT),
    SqlColumn("example_id", TEXT),
    SqlColumn("sample", INTEGER),
    SqlColumn("reason", TEXT),
    PrimaryKeyConstraint("evaluation_id", "rank"),
)


@dataclass(frozen=True)
class Pattern:
    """A row of `error_pattern`: a pattern, or the reason why there is none to find."""

    rank: int
    role: str | None = None
    difficulty: str | None = None
    skill: str | None = None
    error_class: str | None = None
    n: int | None = None
    share: float | None = None
    of_examples: int | None = None
    suite_id: str | None = None
    example_id: str | None = None
    sample: int | None = None
    reason: str | None = None


def patterns(answers: Answers) -> list[Pattern]:
    """The patterns in an evaluation's answers: validation first, the most frequent first.

    `share` is of the role's wrong answers; `of_examples` counts the answers of the pattern's role,
    difficulty and skill that were graded or not scored. The sample is the smallest example id.
    """
    counted = answers[answers.graded | ~answers.scored]
    wrong = counted.graded & ~counted.right
    wrong_of = {role: int((wrong & counted.role.are(role)).sum()) for role in counted.role.names}
    found: list[Pattern] = []
    for group in groups((counted.role, counted.difficulty, counted.skill)):
        for part in groups((counted.error_class[group],)):
            rows = group[part]
            if counted.error_class.at(rows[0]) is not None:
                found.append(_pattern(counted, rows, len(group), wrong_of))
    found.sort(key=_most_frequent_first)
    return [replace(one, rank=rank) for rank, one in enumerate(found, start=1)]


def _pattern(
    answers: Answers, rows: NDArray[np.intp], of_examples: int, wrong_of: Mapping[str | None, int]
) -> Pattern:
    """One pattern, before it has its rank, from the rows that show it."""
    sample = rows[np.argmin(answers.example_id[rows])]
    error, role = answers.error.at(sample), answers.role.at(sample)
    return Pattern(
        rank=0,
        role=role,
        difficulty=answers.difficulty.at(sample),
        skill=answers.skill.at(sample),
        error_class=answers.error_class.at(sample),
        n=len(rows),
        share=len(rows) / wrong_of[role] if error is None else None,
        of_examples=of_examples,
        suite_id=answers.suite_id.at(sample),
        example_id=answers.example_id[sample].decode(),
        sample=int(answers.sample[sample]),
        reason=error,
    )


def _most_frequent_first(one: Pattern) -> tuple[bool, int, int, str, str, str]:
    difficulty = str(one.difficulty)
    easy_first = (*DIFFICULTIES, difficulty).index(difficulty)
    return (
        one.role != VALIDATION,
        -(one.n or 0),
        easy_first,
        difficulty,
        one.skill or "",
        str(one.error_class),
    )


def derive(connection: Connection, evaluation_id: str) -> None:
    """Writes the error patterns of one evaluation anew."""
    ending = ending_of(connection, evaluation_id)
    rows: list[Pattern] = []
    if ending is not None and ending.completed:
        answers = answers_of(connection, evaluation_id).once()
        rows = patterns(answers)
        if answers.nothing_graded:
            rows = [Pattern(rank=1, reason=NOTHING_GRADED)]
    elif ending is not None:
        rows = [Pattern(rank=1, reason=ending.reason)]
    rewrite(connection, ERROR_PATTERN, {"evaluation_id": evaluation_id}, rows)


PATTERNS = Projection(
    name="corrections",
    version=2,
    tables=(ERROR_PATTERN,),
    listens=CHANGES,
    derive=per_evaluation(derive),
    reads=("lifecycle", "results"),
)

COLUMNS = (
    *SUBJECT,
    Column("rank", "Rank", "number", "Its place: validation first, the most frequent first."),
    Column("role", "Role", "text", "validation measures; mining is the pool for new data."),
    Column("difficulty", "Difficulty", "text", "The examples' own, or else their suite's."),
    Column("skill", "Skill", "text", "The skill that the suites' rows name."),
    Column("error_class", "Error", "text", "What kind of mistake it is."),
    Column("n", "Errors", "count", "Answers with this kind of mistake."),
    Column("share", "Of all mistakes", "share", "Its part of the role's wrong answers."),
    Column("of_examples", "Of examples", "count", "Answers of this role, difficulty and skill."),
    Column("example_id", "Sample", "id", "One example of it, the one with the smallest id."),
    Column("prompt", "Prompt", "text", "The last thing that the user says in the sample."),
    Column("target", "Target", "text", "The answer that it should give."),
    Column("generated_text", "Answer", "text", "What it wrote, or the option that it chose."),
    Column("reason", "Reason", "text", "Why the sample, or the whole checkpoint, has no answer."),
)


def view(settings: Settings) -> View:  # noqa: ARG001 - every view takes them
    """The error patterns of every evaluated checkpoint."""
    return View(
        name="corrections",
        title="Corrections",
        question="What kinds of mistake does each checkpoint make, and how often?",
        sql_view="corrections",
        columns=COLUMNS,
        order="run, step, checkpoint_id, rank",
        brief=(
            "run",
            "step",
            "role",
            "difficulty",
            "skill",
            "error_class",
            "n",
            "share",
            "prompt",
            "target",
            "generated_text",
        ),
        projections=(PATTERNS,),
    )
