"""Groups: what an evaluation measured of each difficulty, and of each skill, in validation suites.

An example that stands in two validation suites counts once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from sqlalchemy import Column as SqlColumn
from sqlalchemy import Connection, PrimaryKeyConstraint, Table, select

from store.projections import Projection
from store.schema import INTEGER, JSON, REAL_NUMBER, TEXT, derived
from views.answers import VALIDATION, Answers
from views.blocks import answers_of, ending_of
from views.measures import measure
from views.scope import CHANGES, per_evaluation, rewrite

Kind = Literal["difficulty", "skill"]

# Progress is told only between checkpoints that answered the same `suites`.
GROUP_TALLY: Table = derived(
    "group_tally",
    SqlColumn("evaluation_id", TEXT, nullable=False),
    SqlColumn("kind", TEXT, nullable=False),
    SqlColumn("name", TEXT, nullable=False),
    SqlColumn("n", INTEGER, nullable=False),
    SqlColumn("n_graded", INTEGER, nullable=False),
    SqlColumn("loss", REAL_NUMBER),
    SqlColumn("accuracy", REAL_NUMBER),
    SqlColumn("accuracy_low", REAL_NUMBER),
    SqlColumn("accuracy_high", REAL_NUMBER),
    SqlColumn("suites", JSON, nullable=False),
    SqlColumn("reason", TEXT),
    PrimaryKeyConstraint("evaluation_id", "kind", "name"),
)


class Group(NamedTuple):
    """All examples of one difficulty, or of one skill."""

    kind: Kind
    name: str


@dataclass(frozen=True)
class Tally:
    """What was measured of a group: `suites` are the ids of those that it was asked in."""

    kind: Kind
    name: str
    n: int
    n_graded: int
    loss: float | None
    accuracy: float | None
    accuracy_low: float | None
    accuracy_high: float | None
    suites: tuple[str, ...]
    reason: str | None


def tallies(answers: Answers) -> list[Tally]:
    """What the answers, one an example, say of each difficulty and skill, by name."""
    kinds: dict[Kind, list[str | None]] = {
        "difficulty": answers.difficulty.present(),
        "skill": answers.skill.present(),
    }
    return [
        _tally(answers, Group(kind, name))
        for kind, names in kinds.items()
        for name in names
        if name is not None
    ]


def _tally(answers: Answers, group: Group) -> Tally:
    labels = answers.difficulty if group.kind == "difficulty" else answers.skill
    own = answers[labels.are(group.name)]
    measures = measure(own)
    return Tally(
        kind=group.kind,
        name=group.name,
        n=measures.n,
        n_graded=measures.n_graded,
        loss=measures.loss,
        accuracy=measures.accuracy,
        accuracy_low=measures.accuracy_low,
        accuracy_high=measures.accuracy_high,
        suites=tuple(str(one) for one in own.suite_id.present()),
        reason=measures.reason,
    )


def derive(connection: Connection, evaluation_id: str) -> None:
    """Writes the tallies of one evaluation anew; none while only its quick tier is in."""
    ended = ending_of(connection, evaluation_id) is not None
    answers = answers_of(connection, evaluation_id) if ended else Answers.none()
    answers = answers.of_role(VALIDATION).once()
    rewrite(connection, GROUP_TALLY, {"evaluation_id": evaluation_id}, tallies(answers))


def tallies_of(
    connection: Connection, evaluation_ids: Collection[str]
) -> dict[str, Mapping[Group, Tally]]:
    """The tallies of evaluations, by evaluation id and group, sorted."""
    found: dict[str, dict[Group, Tally]] = defaultdict(dict)
    rows = connection.execute(
        select(GROUP_TALLY)
        .where(GROUP_TALLY.c.evaluation_id.in_(evaluation_ids))
        .order_by(GROUP_TALLY.c.evaluation_id, GROUP_TALLY.c.kind, GROUP_TALLY.c.name)
    )
    for row in rows.mappings():
        values = dict(row)
        evaluation_id = values.pop("evaluation_id")
        tally = Tally(**{**values, "suites": tuple(values["suites"])})
        found[evaluation_id][Group(tally.kind, tally.name)] = tally
    return dict(found)


GROUPS = Projection(
    name="groups",
    version=1,
    tables=(GROUP_TALLY,),
    listens=CHANGES,
    derive=per_evaluation(derive),
    reads=("lifecycle", "results"),
)
