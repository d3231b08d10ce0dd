"""Brings the suites of milepost.toml into the log, once each."""

from __future__ import annotations

from sqlalchemy import Engine

from evaluators.suites import Suite, read_suite
from settings import Workspace
from store import log
from store.events import SuiteRegistered
from store.log import Rows


def register_suites(engine: Engine, workspace: Workspace) -> list[Suite]:
    """Reads every suite and appends SuiteRegistered for what is new or has changed.

    A suite whose role, grader or difficulty changed is registered again under the same id; its
    examples are in the log already. Raises SuiteError for a file that cannot be read.
    """
    suites = [
        read_suite(
            one.name,
            workspace.resolve(one.path),
            difficulty=one.difficulty,
            role=one.role,
            grader=one.grader,
        )
        for one in workspace.settings.suite
    ]
    for suite in suites:
        _register(engine, suite)
    return suites


def _register(engine: Engine, suite: Suite) -> None:
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
    with engine.begin() as connection:
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
