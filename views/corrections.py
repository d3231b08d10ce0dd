"""Corrections: the patterns in what each checkpoint gets wrong, with one sample of each.

A pattern is an error class within a role, difficulty and skill. What was not scored is neither
right nor wrong: it makes patterns of its own, which have no share of the mistakes.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import Column as SqlColumn
from sqlalchemy import Connection, PrimaryKeyConstraint, Table

from settings import DIFFICULTIES, Settings
from store.projections import Projection
from store.schema import INTEGER, REAL_NUMBER, TEXT, derived
from views.answers import NOTHING_GRADED, VALIDATION, Answer, answers_of, ending_of, nothing_graded
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


class _Group(NamedTuple):
    role: str
    difficulty: str
    skill: str | None


def patterns(answers: Sequence[Answer]) -> list[Pattern]:
    """The patterns in an evaluation's answers: validation first, the most frequent first.

    `share` is of the role's wrong answers; `of_examples` counts the answers of the pattern's role,
    difficulty and skill that were graded or not scored. The sample is the smallest example id.
    """
    counted = [one for one in answers if one.correct is not None or one.error is not None]
    sizes = Counter(_group(one) for one in counted)
    wrong = Counter(one.role for one in counted if one.correct is False)
    members: dict[tuple[_Group, str], list[Answer]] = defaultdict(list)
    for one in counted:
        if one.error_class is not None:
            members[_group(one), one.error_class].append(one)
    found: list[Pattern] = []
    for (group, error_class), own in sorted(members.items(), key=_most_frequent_first):
        sample = min(own, key=lambda one: one.example_id)
        scored = sample.error is None
        found.append(
            Pattern(
                rank=len(found) + 1,
                role=group.role,
                difficulty=group.difficulty,
                skill=group.skill,
                error_class=error_class,
                n=len(own),
                share=len(own) / wrong[group.role] if scored else None,
                of_examples=sizes[group],
                suite_id=sample.suite_id,
                example_id=sample.example_id,
                sample=sample.sample,
                reason=sample.error,
            )
        )
    return found


def _group(answer: Answer) -> _Group:
    return _Group(answer.role, answer.difficulty, answer.skill)


def _most_frequent_first(
    one: tuple[tuple[_Group, str], list[Answer]],
) -> tuple[bool, int, int, str, str, str]:
    (group, error_class), own = one
    easy_first = (*DIFFICULTIES, group.difficulty).index(group.difficulty)
    return (
        group.role != VALIDATION,
        -len(own),
        easy_first,
        group.difficulty,
        group.skill or "",
        error_class,
    )


def derive(connection: Connection, evaluation_id: str) -> None:
    """Writes the error patterns of one evaluation anew."""
    ending = ending_of(connection, evaluation_id)
    rows: list[Pattern] = []
    if ending is not None and ending.completed:
        answers = answers_of(connection, evaluation_id)
        rows = patterns(answers)
        if nothing_graded(answers):
            rows = [Pattern(rank=1, reason=NOTHING_GRADED)]
    elif ending is not None:
        rows = [Pattern(rank=1, reason=ending.reason)]
    rewrite(connection, ERROR_PATTERN, {"evaluation_id": evaluation_id}, rows)


PATTERNS = Projection(
    name="corrections",
    version=1,
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
