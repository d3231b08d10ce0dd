"""The examples of a suite, as grading needs them: read once for many evaluations."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property

from sqlalchemy import Connection, select

from errors import SettingsError
from store.lifecycle import SUITE
from store.schema import EXAMPLE
from store.tuples import fetch
from views import grading
from views.grading import Grading
from views.labels import Labels
from views.measures import UNREADABLE

UNSPECIFIED = "unspecified"


@dataclass(frozen=True)
class Suite:
    """A suite and its examples by id, in columns of equal length.

    `grader` has its version and is None where it is not known; `ungraded` says why, should nothing
    be graded. `role` is None and there are no examples if the log does not hold the suite.
    `difficulties` are the examples' own, or else the suite's `difficulty`.
    """

    suite_id: str
    name: str
    role: str | None
    difficulty: str
    grader: str | None
    ungraded: str
    example_ids: list[str]
    kinds: list[str]
    targets: list[str]
    choices: list[list[str] | None]
    difficulties: Labels
    skills: Labels

    @cached_property
    def index(self) -> dict[str, int]:
        """The place of each example, by its id."""
        return {one: place for place, one in enumerate(self.example_ids)}

    @cached_property
    def gradings(self) -> list[Grading | None]:
        """How each example's answers are graded; None for bare text, and without a grader."""
        return [
            None if self.grader is None or kind == "text" else grading.grading(self.grader, target)
            for kind, target in zip(self.kinds, self.targets, strict=True)
        ]


def read_suite(connection: Connection, suite_id: str) -> Suite:
    """The suite as it was registered last."""
    registered = connection.execute(
        select(SUITE.c.name, SUITE.c.role, SUITE.c.difficulty, SUITE.c.grader).where(
            SUITE.c.suite_id == suite_id
        )
    ).one_or_none()
    name, role, difficulty, grader_asked = registered or (suite_id, None, None, None)
    difficulty = difficulty or UNSPECIFIED
    grader, ungraded = _resolve(grader_asked)
    rows = fetch(
        connection,
        select(
            EXAMPLE.c.example_id,
            EXAMPLE.c.kind,
            EXAMPLE.c.target,
            EXAMPLE.c.choices,
            EXAMPLE.c.difficulty,
            EXAMPLE.c.skill,
        ).where(EXAMPLE.c.suite_id == suite_id),
    )
    rows.sort()
    return Suite(
        suite_id=suite_id,
        name=name,
        role=role,
        difficulty=difficulty,
        grader=grader,
        ungraded=ungraded,
        example_ids=[row[0] for row in rows],
        kinds=[row[1] for row in rows],
        targets=[row[2] for row in rows],
        choices=[None if row[3] is None else json.loads(row[3]) for row in rows],
        difficulties=Labels.of([row[4] or difficulty for row in rows]),
        skills=Labels.of([row[5] for row in rows]),
    )


def _resolve(grader: str | None) -> tuple[str | None, str]:
    """A suite's grader with its version, or None; and why, should nothing be graded."""
    if grader is None:
        return None, "the suite is not in the log"
    try:
        return grading.resolve(grader), UNREADABLE
    except SettingsError as error:
        return None, str(error).rstrip(".")
