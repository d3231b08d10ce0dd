"""`milepost gate CHECKPOINT`: PASS, WARN, BLOCK or INCONCLUSIVE, and an exit code to rest on."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from typing import Any

from rich.console import Console
from rich.text import Text
from sqlalchemy import Connection, Engine, select, text

from commands.bootstrap import opened
from commands.checkpoints import Known, find
from commands.output import VERDICT_STYLES, Format, as_csv, as_json
from errors import ProjectionStopped
from settings import Settings, Workspace
from store.engine import reading
from store.lifecycle import EVALUATION
from store.projections import bring_up_to_date
from views import registry
from views.gate import COMPLETED, Decision, Evaluation, decide
from views.view import View

PASSING = ("PASS", "WARN")
LOOKS_EVERY_SECONDS = 1.0

Rows = list[dict[str, Any]]


def gate(
    workspace: Workspace,
    word: str,
    run: str | None,
    form: Format,
    *,
    strict: bool = False,
    wait: float = 0.0,
) -> int:
    """Prints the verdict on a checkpoint and each reason; returns the exit code.

    0 is PASS or WARN, unless `strict` takes only PASS; 1 is anything else. Waits up to `wait`
    seconds for an evaluation to end. Raises UsageError for an unknown checkpoint,
    ProjectionStopped if what the verdict rests on could not be derived.
    """
    until = time.monotonic() + wait
    with opened(workspace) as engine:
        while True:
            known, evaluation, decision = _decide(engine, workspace, word, run)
            if _has_ended(evaluation) or time.monotonic() >= until:
                break
            time.sleep(LOOKS_EVERY_SECONDS)
    _print(known, decision, form)
    return 0 if decision.verdict in (PASSING[:1] if strict else PASSING) else 1


def asked(settings: Settings) -> Collection[str]:
    """The suites that are tests: those that validate and have a threshold."""
    return {
        one.name
        for one in settings.suite
        if one.role == "validation" and one.pass_threshold is not None
    }


def bring_tests_up_to_date(engine: Engine, settings: Settings) -> tuple[View, View]:
    """Derives tests and regression, and returns them. Raises ProjectionStopped if one cannot be."""
    views = registry.views(settings)
    tests, regression = (registry.find(name, views) for name in ("tests", "regression"))
    known = registry.projections(settings)
    needed = {one.name for view in (tests, regression) for one in registry.needed_by(view, known)}
    for state in bring_up_to_date(engine, known):
        if state.name in needed:
            raise ProjectionStopped(
                f"view {state.name} stands still: {state.error}. When it is mended, "
                f"`milepost replay {state.name}` derives it again."
            )
    return tests, regression


def _decide(
    engine: Engine, workspace: Workspace, word: str, run: str | None
) -> tuple[Known, Evaluation | None, Decision]:
    tests, regression = bring_tests_up_to_date(engine, workspace.settings)
    with reading(engine) as connection:
        known = find(connection, workspace, word, run)
        only = {"checkpoint_id": [known.checkpoint_id]}
        evaluation = _evaluation(connection, known.checkpoint_id)
        return (
            known,
            evaluation,
            decide(
                evaluation,
                tests.rows(connection, only=only),
                parts_of(connection, known.checkpoint_id),
                regression.rows(connection, only=only),
                asked=asked(workspace.settings),
                gone=known.removed_reason,
            ),
        )


# How did each difficulty of each suite do at one checkpoint?
PARTS = text(
    "SELECT * FROM test_difficulties WHERE checkpoint_id = :checkpoint_id "
    "ORDER BY suite, difficulty"
)


def parts_of(connection: Connection, checkpoint_id: str) -> list[Mapping[str, Any]]:
    """The rows of test_difficulties of one checkpoint."""
    found = connection.execute(PARTS, {"checkpoint_id": checkpoint_id})
    return [dict(row) for row in found.mappings()]


def _evaluation(connection: Connection, checkpoint_id: str) -> Evaluation | None:
    columns = EVALUATION.c
    row = connection.execute(
        select(
            columns.status,
            columns.examples,
            columns.scored + columns.failed,
            columns.error,
            columns.message,
            columns.retriable,
        ).where(columns.checkpoint_id == checkpoint_id, columns.current == 1)
    ).one_or_none()
    return None if row is None else Evaluation(*row)


def _has_ended(evaluation: Evaluation | None) -> bool:
    """Whether waiting brings nothing more."""
    if evaluation is None or evaluation.status == "started":
        return False
    return evaluation.status == COMPLETED or not evaluation.retriable


def _print(known: Known, decision: Decision, form: Format) -> None:
    reasons = [one._asdict() for one in decision.reasons]
    match form:
        case Format.json:
            subject = {"run": known.run, "step": known.step, "checkpoint_id": known.checkpoint_id}
            print(as_json({"verdict": decision.verdict, **subject, "reasons": reasons}))
        case Format.csv:
            print(as_csv(reasons, ("verdict", "about", "reason")), end="")
        case Format.table:
            console = Console(highlight=False, soft_wrap=True)
            console.print(_styled(decision.verdict), Text(known.name))
            for one in decision.reasons:
                console.print(Text(" "), _styled(one.verdict), Text(f"{one.about}: {one.reason}"))


def _styled(verdict: str) -> Text:
    return Text(verdict, style=VERDICT_STYLES.get(verdict, ""))
