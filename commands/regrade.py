"""`milepost regrade`: grades anew, from the stored texts, by a grader version that a person chose.

The choice is a fact in the log, so a replay comes to the same grades.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from rich.console import Console
from sqlalchemy import Connection, Engine, func, select

from commands.bootstrap import opened
from errors import ProjectionStopped, SettingsError, UsageError
from settings import Workspace
from store import log
from store.engine import appending, reading
from store.events import SuiteRegistered
from store.lifecycle import CHECKPOINT, EVALUATION
from store.projections import bring_up_to_date
from views import grading, registry
from views.tallies import GRADE
from views.words import count, percent

WRONG, RIGHT, NOT_GRADED = 0, 1, 2

# (suite id, evaluation id) -> one byte an answer, in the order of its example and sample.
Sides = dict[tuple[str, str], bytes]


class Place(NamedTuple):
    """A checkpoint, by the name that people know it by."""

    run: str
    step: int
    evaluation_id: str


class Change(NamedTuple):
    """What became of the answers to one suite. Those not graded before or after are no part of
    `answers`; `gained` and `lost` count the ones that are graded only after or only before.
    """

    answers: int
    to_right: int
    to_wrong: int
    gained: int
    lost: int


def regrade(workspace: Workspace, grader: str, names: Sequence[str]) -> None:
    """Chooses `grader`, NAME@VERSION, for suites; a NAME alone takes the choice back.

    The suites are those named, or else those for which milepost.toml names a grader NAME. Raises
    UsageError for an unknown grader or suite, and where the choice would not last.
    """
    own = workspace.settings.own_graders
    full_name = grading.resolve(grader, own)
    with opened(workspace) as engine:
        _derive(engine, workspace)
        with reading(engine) as connection:
            registered = registered_suites(connection)
            _refuse_what_will_not_last(registered, grader, names, workspace)
            chosen = choose(registered, grader, full_name, names)
            before = sides(connection, [one.suite_id for one in chosen])
        after = {one.suite_id: _append(engine, one, grader) for one in chosen}
        _derive(engine, workspace)
        with reading(engine) as connection:
            now = sides(connection, list(after))
            places = newest_first(connection)
    for name in sorted({one.name for one in chosen}):
        same = [one for one in chosen if one.name == name]
        was = " and ".join(sorted({_in_force(one, own) for one in same}))
        # All that share a name get the same choice, and then follow it alike.
        new = " and ".join(sorted({_in_force(after[one.suite_id], own) for one in same}))
        print(f"{name}: {was} → {new}" if was != new else f"{name}: {was} as before")
        for line in _report({one.suite_id for one in same}, before, now, places):
            print(f"  {line}")


def registered_suites(connection: Connection) -> list[SuiteRegistered]:
    """The newest registration of each suite id, in the order of these."""
    found: dict[str, SuiteRegistered] = {}
    for recorded in log.read(connection, types=(SuiteRegistered,)):
        assert isinstance(recorded.event, SuiteRegistered)
        found.pop(recorded.event.suite_id, None)
        found[recorded.event.suite_id] = recorded.event
    return list(found.values())


def choose(
    registered: Sequence[SuiteRegistered], grader: str, full_name: str, names: Collection[str]
) -> list[SuiteRegistered]:
    """The suites that a choice of `grader` is for; `full_name` has its version.

    Raises UsageError when there are none.
    """
    listing = ", ".join(sorted({f"{one.name} ({one.grader})" for one in registered}))
    listing = listing or "none; `milepost evaluate` brings those of milepost.toml there"
    unknown = [name for name in names if name not in {one.name for one in registered}]
    if unknown:
        raise UsageError(f"the log has no suite {unknown[0]!r}. It has: {listing}.")
    of_kind = [one for one in registered if _kind(one.grader) == _kind(grader)]
    if not names:
        if not of_kind:
            raise UsageError(
                f"no suite is graded by {_kind(grader)!r} in milepost.toml. The log has: "
                f"{listing}. --suite NAME chooses one whatever its grader."
            )
        return of_kind
    chosen = [one for one in registered if one.name in names]
    strange = [one for one in chosen if one not in of_kind]
    if strange and "@" not in grader:
        raise UsageError(
            f"suite {strange[0].name!r} is graded by {strange[0].grader!r} in milepost.toml. That "
            f"name takes a choice back; to choose, name a version: {full_name}."
        )
    return chosen


def _refuse_what_will_not_last(
    registered: Sequence[SuiteRegistered], grader: str, names: Collection[str], place: Workspace
) -> None:
    """Raises UsageError where milepost.toml has a new grader that the log does not know of yet."""
    # Of several contents of one suite, the newest is what milepost.toml is compared with.
    newest = {one.name: one.grader for one in registered}
    for suite in place.settings.suite:
        known = newest.get(suite.name, suite.grader)
        meant = (
            suite.name in names if names else _kind(grader) in (_kind(known), _kind(suite.grader))
        )
        if meant and known != suite.grader:
            raise UsageError(
                f"milepost.toml names the grader {suite.grader!r} for suite {suite.name!r} now, "
                f"and the log still {known!r}. Run `milepost evaluate --once` first, or the next "
                "evaluation ends the choice."
            )


def _kind(grader: str) -> str:
    """A grader's name without its version."""
    return grader.partition("@")[0]


def _append(engine: Engine, suite: SuiteRegistered, grader: str) -> SuiteRegistered:
    """The suite with the choice made, in the log."""
    choice = grader if "@" in grader else None
    with appending(engine) as connection:
        newest = log.latest(connection, suite.stream)
        assert newest is not None
        assert isinstance(newest.event, SuiteRegistered)
        if newest.event.graded_by == choice:
            return newest.event
        revision = newest.event.revision + 1
        event = newest.event.model_copy(update={"revision": revision, "graded_by": choice})
        log.append_in(connection, event)
    return event


def _derive(engine: Engine, workspace: Workspace) -> None:
    """Brings all views up to date. Raises ProjectionStopped for one that stands still."""
    with Console(file=sys.stderr).status("") as status:

        def progress(name: str, position: int, end: int) -> None:
            status.update(f"deriving {name}: {position} of {end} events")

        projections = registry.projections(workspace.settings)
        for state in bring_up_to_date(engine, projections, progress):
            raise ProjectionStopped(
                f"view {state.name} stands still: {state.error}. When it is mended, "
                f"`milepost replay {state.name}` derives it again."
            )


def _in_force(suite: SuiteRegistered, own: grading.Own) -> str:
    grader = suite.graded_by or suite.grader
    try:
        return grading.resolve(grader, own)
    except SettingsError:
        return f"{grader} (unknown)"


def sides(connection: Connection, suite_ids: Sequence[str]) -> Sides:
    """Which side each answer is on, in every evaluation that views show."""
    query = (
        select(GRADE.c.suite_id, GRADE.c.evaluation_id, GRADE.c.correct)
        .join(EVALUATION, EVALUATION.c.evaluation_id == GRADE.c.evaluation_id)
        .where(GRADE.c.suite_id.in_(suite_ids), EVALUATION.c.current == 1)
        .order_by(GRADE.c.evaluation_id, GRADE.c.suite_id, GRADE.c.example_id, GRADE.c.sample)
    )
    found: dict[tuple[str, str], bytearray] = {}
    for suite_id, evaluation_id, correct in connection.execute(query):
        side = NOT_GRADED if correct is None else int(correct)
        found.setdefault((suite_id, evaluation_id), bytearray()).append(side)
    return {key: bytes(one) for key, one in found.items()}


def change(before: Sides, after: Sides) -> Change:
    """Compares the answers of the evaluations that both have."""
    pairs = [
        pair
        for key in before.keys() & after.keys()
        for pair in zip(before[key], after[key], strict=True)
    ]
    return Change(
        answers=sum(NOT_GRADED not in pair for pair in pairs),
        to_right=pairs.count((WRONG, RIGHT)),
        to_wrong=pairs.count((RIGHT, WRONG)),
        gained=sum(was == NOT_GRADED != now for was, now in pairs),
        lost=sum(was != NOT_GRADED == now for was, now in pairs),
    )


def newest_first(connection: Connection) -> list[Place]:
    """What views show: of the run with the newest arrival first, by falling step."""
    query = (
        select(CHECKPOINT.c.run, CHECKPOINT.c.step, EVALUATION.c.evaluation_id)
        .join(EVALUATION, EVALUATION.c.checkpoint_id == CHECKPOINT.c.checkpoint_id)
        .where(EVALUATION.c.current == 1)
        .order_by(
            func.max(CHECKPOINT.c.arrived_at).over(partition_by=CHECKPOINT.c.run).desc(),
            CHECKPOINT.c.run,
            CHECKPOINT.c.step.desc(),
            CHECKPOINT.c.arrived_at.desc(),
        )
    )
    return [Place(*row) for row in connection.execute(query)]


def _report(
    suite_ids: Collection[str], before: Sides, after: Sides, places: Sequence[Place]
) -> list[str]:
    """What changed for the suites of one name, in a few lines."""
    was = {key: side for key, side in before.items() if key[0] in suite_ids}
    now = {key: side for key, side in after.items() if key[0] in suite_ids}
    if not now:
        return ["no evaluation of it is complete, so there is nothing to grade yet"]
    found = change(was, now)
    changed = found.to_right + found.to_wrong
    lines = [
        f"{changed:,} of {count(found.answers, 'answer')} changed sides: {found.to_right:,} to "
        f"right, {found.to_wrong:,} to wrong"
        if found.answers
        else "no answer was graded both before and after"
    ]
    if found.gained:
        lines.append(f"{count(found.gained, 'answer')} graded that could not be graded before")
    if found.lost:
        lines.append(f"{count(found.lost, 'answer')} not graded any more")
    evaluated = {evaluation_id for _, evaluation_id in now}
    newest = next(place for place in places if place.evaluation_id in evaluated)
    old, new = (_accuracy(one, newest.evaluation_id) for one in (was, now))
    return [*lines, f"accuracy of {newest.run} step {newest.step}: {old} → {new}"]


def _accuracy(answers: Mapping[tuple[str, str], bytes], evaluation_id: str) -> str:
    """The share of right answers in one evaluation, or the words that nothing was graded."""
    side = b"".join(one for key, one in answers.items() if key[1] == evaluation_id)
    right, graded = side.count(RIGHT), len(side) - side.count(NOT_GRADED)
    return f"{percent(right / graded)} of {count(graded, 'answer')}" if graded else "nothing graded"
