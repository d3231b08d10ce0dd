"""`milepost export junit`: the test results of checkpoints for a CI system."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple
from xml.etree.ElementTree import ElementTree, indent

from rich.console import Console
from sqlalchemy import Connection, select, text

from commands import destination
from commands.bootstrap import opened
from commands.checkpoints import find, of_run
from commands.encoding import Encoding
from commands.gate import asked, bring_tests_up_to_date, parts_of
from errors import ExportFault, UsageError
from settings import Workspace
from store.engine import reading
from store.lifecycle import EVALUATION
from views.junit import Tested, document
from views.scope import EVALUATED
from views.view import View
from views.words import count

WRONG_SHOWN = 10

# Which checkpoints were tested last, each run for itself?
NEWEST = text(
    "SELECT DISTINCT run, step, checkpoint_id FROM test_results AS one "
    "WHERE status <> 'UNTESTED' AND step = (SELECT max(step) FROM test_results AS other "
    "WHERE other.run = one.run AND other.status <> 'UNTESTED') ORDER BY run, step, checkpoint_id"
)
# What did it get wrong in a suite?
WRONG = text(
    "SELECT line, target, generated_text, error_class FROM predictions "
    "WHERE checkpoint_id = :checkpoint_id AND suite = :suite AND correct = 0 "
    "ORDER BY line, sample LIMIT :limit"
)


def export(
    workspace: Workspace,
    out: str,
    *,
    encoding: Encoding | None,
    run: str | None,
    checkpoint: str | None,
    force: bool,
) -> None:
    """Writes the tests of one checkpoint, or of each run's newest tested one.

    Raises UsageError for an unknown run or checkpoint and for any `encoding`, ExportFault where
    nothing was tested or `out` cannot be written, ProjectionStopped if the tests could not be
    derived.
    """
    if encoding is not None:
        raise UsageError("JUnit is XML: --format does not go with it.")
    with opened(workspace) as engine:
        tests, _ = bring_tests_up_to_date(engine, workspace.settings)
        with reading(engine) as connection:
            chosen = _chosen(connection, workspace, run, checkpoint)
            found = [_tested(connection, one, tests, asked(workspace.settings)) for one in chosen]
    cases = sum(len(one.tests) + len(one.missing) for one in found)
    if not cases:
        raise ExportFault(
            "nothing was tested, and an empty report would read as all well. `pass_threshold` in a "
            "[[suite]] of milepost.toml makes a test, and `milepost evaluate` takes it."
        )
    tree = ElementTree(document(found))
    indent(tree)
    with destination.opened(out, force=force) as file:
        tree.write(file, encoding="utf-8", xml_declaration=True)
    console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
    console.print(f"exported {count(cases, 'test')} of {count(len(found), 'checkpoint')} to {out}")


class _Subject(NamedTuple):
    run: str
    step: int
    checkpoint_id: str


def _chosen(
    connection: Connection, workspace: Workspace, run: str | None, checkpoint: str | None
) -> list[_Subject]:
    if checkpoint is not None:
        known = find(connection, workspace, checkpoint, run)
        return [_Subject(known.run, known.step, known.checkpoint_id)]
    if run is not None:
        of_run(connection, run)
    newest = [_Subject(*row) for row in connection.execute(NEWEST)]
    return [one for one in newest if run in (None, one.run)]


def _tested(
    connection: Connection, subject: _Subject, tests: View, asked_for: Collection[str]
) -> Tested:
    rows = tests.rows(connection, only={"checkpoint_id": [subject.checkpoint_id]})
    ended = connection.execute(
        select(EVALUATION.c.seconds, EVALUATION.c.finished_at).where(
            EVALUATION.c.checkpoint_id == subject.checkpoint_id,
            EVALUATION.c.current == 1,
            EVALUATION.c.status == EVALUATED,
        )
    ).one_or_none()
    wrong = {
        row["suite"]: [
            dict(one)
            for one in connection.execute(
                WRONG,
                {
                    "checkpoint_id": subject.checkpoint_id,
                    "suite": row["suite"],
                    "limit": WRONG_SHOWN,
                },
            ).mappings()
        ]
        for row in rows
        if row["status"] == "FAIL"
    }
    return Tested(
        **subject._asdict(),
        tests=rows,
        parts=parts_of(connection, subject.checkpoint_id),
        wrong=wrong,
        missing=sorted({*asked_for} - {row["suite"] for row in rows}),
        seconds=ended.seconds if ended else None,
        ended_at=ended.finished_at if ended else None,
    )
