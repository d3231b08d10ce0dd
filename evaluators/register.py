"""Brings the suites of milepost.toml into the log, once each."""

from __future__ import annotations

from collections.abc import Callable, Collection

from sqlalchemy import Connection, Engine

from errors import UsageError
from evaluators.suites import Suite, read_suite
from settings import SuiteSettings, Workspace
from store import log
from store.engine import appending
from store.events import SuiteRegistered
from store.log import Rows

Say = Callable[[str], None]


def register_suites(
    engine: Engine,
    workspace: Workspace,
    names: Collection[str] = (),
    *,
    say: Say = lambda _line: None,
) -> list[Suite]:
    """Reads the suites named, all when none is, and appends SuiteRegistered for what is new.

    A suite whose role, grader or difficulty changed is registered again under the same id; its
    examples are in the log already. The grader that `milepost regrade` chose stays, also for new
    examples, until milepost.toml names another one: then the choice ends, and `say` is told so.
    Raises UsageError for a name that is not in milepost.toml, and SuiteError for a file that
    cannot be read.
    """
    suites = [
        read_suite(
            one.name,
            workspace.resolve(one.path),
            difficulty=one.difficulty,
            role=one.role,
            grader=one.grader,
        )
        for one in chosen(workspace.settings.suite, names)
    ]
    for suite in suites:
        _register(engine, suite, say)
    return suites


def chosen(suites: Collection[SuiteSettings], names: Collection[str]) -> list[SuiteSettings]:
    """The suites of these names, in milepost.toml's order; all of them for no name.

    Raises UsageError for a name that none has.
    """
    known = [one.name for one in suites]
    for name in names:
        if name not in known:
            raise UsageError(
                f"milepost.toml names no suite {name!r}. It names: {', '.join(known) or 'none'}."
            )
    return [one for one in suites if not names or one.name in names]


def _register(engine: Engine, suite: Suite, say: Say) -> None:
    event = SuiteRegistered(
        suite_id=suite.suite_id,
        revision=1,
        name=suite.name,
        path=str(suite.path),
        difficulty=suite.difficulty,
        role=suite.role,
        grader=suite.grader,
        graded_by=None,
        rows_read=suite.rows_read,
        examples=len(suite.examples),
        duplicates=suite.duplicates,
        refused=suite.refused,
    )
    with appending(engine) as connection:
        event = event.model_copy(update={"graded_by": _choice(connection, suite, say)})
        newest = log.latest(connection, event.stream)
        if newest is None:
            log.append_in(connection, event, rows=Rows(examples=suite.examples))
            return
        assert isinstance(newest.event, SuiteRegistered)
        event = event.model_copy(update={"revision": newest.event.revision})
        if event != newest.event:
            log.append_in(
                connection, event.model_copy(update={"revision": newest.event.revision + 1})
            )


def _choice(connection: Connection, suite: Suite, say: Say) -> str | None:
    """The grader that a person chose for the suite of this name, if it still holds."""
    newest: SuiteRegistered | None = None
    for recorded in log.read(connection, types=(SuiteRegistered,)):
        assert isinstance(recorded.event, SuiteRegistered)
        if recorded.event.name == suite.name:
            newest = recorded.event
    if newest is None or newest.graded_by is None:
        return None
    if newest.grader == suite.grader:
        return newest.graded_by
    say(
        f"suite {suite.name}: milepost.toml names the grader {suite.grader} now, in place of "
        f"{newest.grader}, so the choice of {newest.graded_by} ends."
    )
    return None
