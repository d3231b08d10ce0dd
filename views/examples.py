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
from views.grading import CHOICE, CHOICE_GRADERS, CHOICE_TEXT, Grading, Own
from views.labels import Labels
from views.measures import UNREADABLE, WITHOUT_CHOICES

UNSPECIFIED = "unspecified"


@dataclass(frozen=True)
class Suite:
    """A suite and its examples by id, in columns of equal length.

    `grader` has its version and is None where it is not known; `ungraded` says why, should nothing
    be graded. `role` is None and there are no examples if the log does not hold the suite.
    `difficulties` are the examples' own, or else the suite's `difficulty`. `own` are the user's own
    graders.
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
    own: Own

    @cached_property
    def index(self) -> dict[str, int]:
        """The place of each example, by its id."""
        return {one: place for place, one in enumerate(self.example_ids)}

    @property
    def choice_grader(self) -> str:
        """What grades the rows with choices: the suite's grader, if it can, or else CHOICE."""
        return self.grader if self.grader in CHOICE_GRADERS else CHOICE

    @cached_property
    def gradings(self) -> list[Grading | None]:
        """How the text of each example is graded.

        None for bare text, without a grader, and where choices are graded by their likelihood.
        """
        return [self._grading(place) for place in range(len(self.kinds))]

    def _grading(self, place: int) -> Grading | None:
        kind, target = self.kinds[place], self.targets[place]
        if kind == "choice":
            choices = self.choices[place]
            assert choices is not None
            by_name = self.choice_grader == CHOICE_TEXT
            return grading.grading_by_name(choices, target) if by_name else None
        if self.grader is None or kind == "text":
            return None
        return grading.grading(self.grader, target, self.own)


def read_suite(connection: Connection, suite_id: str, own: Own) -> Suite:
    """The suite as it was registered last; `own` are the graders of the user's own."""
    registered = connection.execute(
        select(SUITE.c.name, SUITE.c.role, SUITE.c.difficulty, SUITE.c.grader).where(
            SUITE.c.suite_id == suite_id
        )
    ).one_or_none()
    name, role, difficulty, grader_asked = registered or (suite_id, None, None, None)
    difficulty = difficulty or UNSPECIFIED
    grader, ungraded = _resolve(grader_asked, own)
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
        own=own,
    )


def _resolve(grader: str | None, own: Own) -> tuple[str | None, str]:
    """A suite's grader with its version, or None; and why, should nothing be graded."""
    if grader is None:
        return None, "the suite is not in the log"
    try:
        name = grading.resolve(grader, own)
    except SettingsError as error:
        return None, str(error).rstrip(".")
    return name, WITHOUT_CHOICES if name in CHOICE_GRADERS else UNREADABLE
