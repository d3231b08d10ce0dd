"""The mining pool as a checkpoint answered it: what can be exported to be trained on."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, Select, and_, func, select

from store.lifecycle import SUITE
from store.schema import EXAMPLE, PREDICTION
from store.tuples import fetch
from views.answers import VALIDATION
from views.blocks import answers_of
from views.hard_examples import HARD_EXAMPLE, TYPES
from views.tallies import GRADE
from views.training_rows import Answered, Question, Turn

MINING = "mining"
# What was not scored has no answer to learn from.
HARD_TYPES = tuple(one for one in TYPES if one != "not_scored")
CHUNK = 500


def is_mined(connection: Connection, evaluation_id: str) -> bool:
    """Whether the evaluation asked anything that is in no validation suite of its own."""
    answers = answers_of(connection, evaluation_id)
    return bool((answers.counts & answers.role.are(MINING)).any())


def hard_ones(connection: Connection, run: str, evaluation_id: str) -> list[Answered]:
    """The run's hard examples of the mining pool, by rank; those that have an answer."""
    rows = connection.execute(
        select(HARD_EXAMPLE.c.example_id, HARD_EXAMPLE.c.suite_id, HARD_EXAMPLE.c.type)
        .where(
            HARD_EXAMPLE.c.run == run,
            HARD_EXAMPLE.c.evaluation_id == evaluation_id,
            HARD_EXAMPLE.c.role == MINING,
            HARD_EXAMPLE.c.type.in_(HARD_TYPES),
        )
        .order_by(HARD_EXAMPLE.c.rank)
    )
    wanted = {(row.suite_id, row.example_id): str(row.type) for row in rows}
    answered = _answered(connection, evaluation_id, wanted)
    return [answered[key] for key in wanted if key in answered]


def wrong_ones(connection: Connection, evaluation_id: str, role: str = MINING) -> list[Answered]:
    """The wrong answers of an evaluation to the suites of a role, by example id."""
    answers = answers_of(connection, evaluation_id).once().of_role(role)
    wrong = answers[answers.graded & ~answers.right]
    wanted: dict[tuple[str | None, str], str | None] = {
        (wrong.suite_id.at(row), wrong.example_id[row].decode()): None for row in range(len(wrong))
    }
    answered = _answered(connection, evaluation_id, wanted)
    found = [answered[key] for key in wanted if key in answered]
    return sorted(found, key=lambda one: one.example_id)


def validation_questions(connection: Connection) -> list[Question]:
    """The questions of every suite that measures, each once, by example id."""
    rows = fetch(
        connection,
        _questions()
        .join(SUITE, SUITE.c.suite_id == EXAMPLE.c.suite_id)
        .where(SUITE.c.role == VALIDATION),
    )
    return _each_once(rows)


def questions_of(connection: Connection, example_ids: Collection[str]) -> list[Question]:
    """The questions with these ids, each once, by example id."""
    ids = sorted(example_ids)
    rows: list[Sequence[Any]] = []
    for at in range(0, len(ids), CHUNK):
        chosen = EXAMPLE.c.example_id.in_(ids[at : at + CHUNK])
        rows.extend(fetch(connection, _questions().where(chosen)))
    return _each_once(rows)


def _questions() -> Select[Any]:
    return select(EXAMPLE.c.example_id, EXAMPLE.c.messages, EXAMPLE.c.choices)


def _each_once(rows: Iterable[Sequence[Any]]) -> list[Question]:
    found = {row[0]: row for row in rows}
    return [_question(*found[one]) for one in sorted(found)]


def _question(example_id: str, messages: str, choices: str | None) -> Question:
    turns = tuple(Turn(one["role"], one["content"]) for one in json.loads(messages))
    return Question(example_id, turns, tuple(json.loads(choices)) if choices else ())


def _answered(
    connection: Connection,
    evaluation_id: str,
    wanted: dict[tuple[Any, str], str] | dict[tuple[Any, str], str | None],
) -> dict[tuple[Any, str], Answered]:
    """The first answers of an evaluation by suite and example; `wanted` has each one's type."""
    suites = sorted({suite_id for suite_id, _ in wanted})
    query = (
        select(
            EXAMPLE.c.suite_id,
            EXAMPLE.c.example_id,
            EXAMPLE.c.messages,
            EXAMPLE.c.choices,
            EXAMPLE.c.target,
            func.coalesce(PREDICTION.c.generated_text, GRADE.c.parsed),
            SUITE.c.name,
            GRADE.c.grader,
            func.coalesce(EXAMPLE.c.difficulty, SUITE.c.difficulty),
            EXAMPLE.c.skill,
            GRADE.c.error_class,
            GRADE.c.confidence,
        )
        .select_from(GRADE)
        .join(SUITE, SUITE.c.suite_id == GRADE.c.suite_id)
        .join(
            EXAMPLE,
            and_(
                EXAMPLE.c.suite_id == GRADE.c.suite_id,
                EXAMPLE.c.example_id == GRADE.c.example_id,
            ),
        )
        .join(
            PREDICTION,
            and_(
                PREDICTION.c.evaluation_id == GRADE.c.evaluation_id,
                PREDICTION.c.example_id == GRADE.c.example_id,
                PREDICTION.c.sample == GRADE.c.sample,
            ),
        )
        .where(
            GRADE.c.evaluation_id == evaluation_id,
            GRADE.c.suite_id.in_(suites),
        )
        .order_by(GRADE.c.suite_id, GRADE.c.example_id, GRADE.c.sample)
    )
    found: dict[tuple[Any, str], Answered] = {}
    for row in fetch(connection, query):
        key = (row[0], row[1])
        # A wrong choice among options that none of the graders could read has no text.
        if key in wanted and key not in found and row[5] is not None:
            question = _question(row[1], row[2], row[3])
            found[key] = Answered(
                question=question,
                target=row[4],
                answer=row[5],
                suite=row[6],
                grader=row[7],
                difficulty=row[8],
                skill=row[9],
                error_class=row[10],
                confidence=row[11],
                type=wanted[key],
            )
    return found
