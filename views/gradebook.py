"""Grades what one evaluation recorded, suite by suite, without reading anything twice."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, select

from store.schema import PREDICTION
from store.tuples import Tuple, fetch
from views.answers import NOT_GRADED as NO_GRADE
from views.answers import VALIDATION, Answers
from views.blocks import bytes_of
from views.examples import Suite
from views.grading import CHOICE_TEXT, NOT_GRADED, NOT_SCORED, Grade, grade_choice
from views.labels import Labels


class Marked(NamedTuple):
    """A suite's answers as columns, and as the rows of `grade`.

    `failure` is how the grader failed on the first answer of those on which it did.
    """

    suite: Suite
    answers: Answers
    grades: list[Tuple]
    failure: str | None = None


def predictions_of(
    connection: Connection, evaluation_id: str, until: int | None = None
) -> list[Tuple]:
    """What grading needs of an evaluation's predictions, by example id: of the greedy texts alone,
    which are sample 0, so that no view mixes them with drawn ones.

    Of those recorded at positions up to `until` alone, if it is given.
    """
    query = (
        select(
            PREDICTION.c.example_id,
            PREDICTION.c.sample,
            PREDICTION.c.generated_text,
            PREDICTION.c.finish_reason,
            PREDICTION.c.generated_logprob,
            PREDICTION.c.choice_logprobs,
            PREDICTION.c.error,
            PREDICTION.c.target_logprob,
            PREDICTION.c.target_tokens,
            PREDICTION.c.target_bytes,
            PREDICTION.c.target_top1,
            PREDICTION.c.prompt_truncated,
        )
        .where(PREDICTION.c.evaluation_id == evaluation_id, PREDICTION.c.sample == 0)
        .order_by(PREDICTION.c.example_id)
    )
    return fetch(
        connection, query if until is None else query.where(PREDICTION.c.position <= until)
    )


def mark(evaluation_id: str, suites: Sequence[Suite], predictions: Sequence[Tuple]) -> list[Marked]:
    """The predictions as each suite grades them; an example counts in the first that has it.

    Validation suites come before mining ones, and then suites go by name.
    """
    by_name = sorted(suites, key=lambda one: (one.role != VALIDATION, one.name, one.suite_id))
    counted: set[str] = set()
    marked = []
    for suite in by_name:
        one = _mark(evaluation_id, suite, predictions)
        if not counted.isdisjoint(suite.index):
            counts = [row[2] not in counted for row in one.grades]
            one = one._replace(answers=replace(one.answers, counts=np.array(counts, np.bool_)))
        counted.update(suite.index)
        marked.append(one)
    return marked


def truncated(suite: Suite, predictions: Sequence[Tuple]) -> Counter[str]:
    """How many examples of each difficulty of a suite had their prompts cut to fit."""
    cut = {row[0] for row in predictions if row[-1]}
    places = [suite.index[one] for one in cut if one in suite.index]
    return Counter(str(suite.difficulties.at(place)) for place in places)


def _mark(evaluation_id: str, suite: Suite, predictions: Sequence[Tuple]) -> Marked:
    suite_id, index, gradings = suite.suite_id, suite.index, suite.gradings
    rows = [row for row in predictions if row[0] in index]
    places = [index[row[0]] for row in rows]
    grades: list[Tuple] = []
    failure: str | None = None
    for place, row in zip(places, rows, strict=True):
        example_id, sample, text, finish_reason, logprob, choice_logprobs, error = row[:7]
        is_choice = suite.kinds[place] == "choice"
        grader = suite.choice_grader if is_choice else suite.grader
        grade, confidence = NOT_SCORED, None
        if error is None:
            grade = NOT_GRADED
            grade_one = gradings[place]
            if is_choice and grader != CHOICE_TEXT:
                if choice_logprobs is not None:
                    grade, confidence = _choose(suite, place, json.loads(choice_logprobs))
            elif text is not None and suite.kinds[place] != "text":
                # A sum of rounded log-probabilities can come out a hair above 0.
                confidence = min(1.0, math.exp(logprob))
                if grade_one is not None:
                    grade = grade_one(text, finish_reason == "length")
        correct, score, parsed, expected, error_class, failed = grade
        failure = failure or failed
        grades.append(
            (
                evaluation_id,
                suite_id,
                example_id,
                sample,
                grader,
                None if correct is None else int(correct),
                score,
                parsed,
                expected,
                error_class,
                confidence,
            )
        )
    return Marked(suite, _columns(suite, places, rows, grades), grades, failure)


def _choose(suite: Suite, place: int, logprobs: Sequence[float]) -> tuple[Grade, float | None]:
    """The grade of a multiple-choice row, and the chosen option's share among the options."""
    choices = suite.choices[place]
    assert choices is not None
    grade = grade_choice(choices, logprobs, suite.targets[place], suite.choice_grader)
    if grade.parsed is None:
        return grade, None
    chosen = max(one for text, one in zip(choices, logprobs, strict=True) if text == grade.parsed)
    highest = max(logprobs)
    whole = math.fsum(math.exp(one - highest) for one in logprobs)
    return grade, math.exp(chosen - highest) / whole


def _columns(
    suite: Suite, places: Sequence[int], rows: Sequence[Tuple], grades: Sequence[Tuple]
) -> Answers:
    n = len(rows)
    if not n:
        return Answers.none()
    where = np.array(places)
    recorded, graded = list(zip(*rows, strict=True)), list(zip(*grades, strict=True))
    return Answers(
        suite_id=Labels.alike(suite.suite_id, n),
        suite=Labels.alike(suite.name, n),
        role=Labels.alike(suite.role, n),
        difficulty=suite.difficulties[where],
        skill=suite.skills[where],
        grader=Labels.of(graded[4]),
        error_class=Labels.of(graded[9]),
        error=Labels.of(recorded[6]),
        example_id=bytes_of(recorded[0]),
        sample=np.array(recorded[1], np.int64),
        counts=np.ones(n, np.bool_),
        correct=np.array([NO_GRADE if one is None else one for one in graded[5]], np.int8),
        score=_reals(graded[6]),
        confidence=_reals(graded[10]),
        target_logprob=_reals(recorded[7]),
        target_tokens=_counts(recorded[8]),
        target_bytes=_counts(recorded[9]),
        target_top1=_counts(recorded[10]),
    )


def _reals(column: Sequence[float | None]) -> NDArray[np.float64]:
    """The numbers, with NaN for None."""
    return np.array(column, np.float64)


def _counts(column: Sequence[int | None]) -> NDArray[np.int64]:
    """The numbers, with 0 for None."""
    return np.nan_to_num(np.array(column, np.float64)).astype(np.int64)
