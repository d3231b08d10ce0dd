"""Alerts of checkpoints that are worse than the one before, or than the pinned one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, select

from store.lifecycle import BASELINE, EVALUATION
from views.alert_table import Alert, by_checkpoint, of_checkpoint
from views.judging import place
from views.regression import PINNED, REGRESSION
from views.scope import by_difficulty


def regressions_of(connection: Connection, run: str) -> list[Alert]:
    """One a checkpoint, raised when the log first held what it compares."""
    now, before = EVALUATION.alias(), EVALUATION.alias()
    pinned_at = connection.execute(
        select(BASELINE.c.pinned_at).where(BASELINE.c.run == run)
    ).scalar()
    rows = connection.execute(
        select(
            REGRESSION.c.checkpoint_id,
            REGRESSION.c.step,
            REGRESSION.c.against,
            REGRESSION.c.baseline_step,
            REGRESSION.c.baseline_evaluation_id,
            REGRESSION.c.suite,
            REGRESSION.c.difficulty,
            REGRESSION.c.reason,
            now.c.finished_at,
            before.c.finished_at.label("finished_before"),
        )
        .join(now, now.c.evaluation_id == REGRESSION.c.evaluation_id)
        .join(before, before.c.evaluation_id == REGRESSION.c.baseline_evaluation_id)
        .where(
            REGRESSION.c.run == run,
            REGRESSION.c.verdict == "REGRESSED",
            REGRESSION.c.tier == "full",
        )
        .order_by(
            REGRESSION.c.step,
            REGRESSION.c.checkpoint_id,
            REGRESSION.c.against.desc(),
            REGRESSION.c.suite,
            by_difficulty(REGRESSION.c.difficulty),
            REGRESSION.c.difficulty,
        )
    )
    return [
        of_checkpoint(
            "regression",
            run,
            group[0],
            severity="critical",
            title=f"Step {group[0].step} is worse than {_than(group)}",
            detail=" ".join(_against(rows) for rows in _by_baseline(group)),
            raised_at=min(_true_since(one, pinned_at) for one in group),
        )
        for group in by_checkpoint(rows)
    ]


def _true_since(row: Any, pinned_at: str | None) -> str:
    """When the log first held both evaluations, and the pin where one is compared with it."""
    ended: str = max(row.finished_at, row.finished_before)
    return max(ended, pinned_at or "") if row.against == PINNED else ended


def _by_baseline(group: Sequence[Any]) -> list[list[Any]]:
    """The rows of each comparison; of two with the same evaluation, the first."""
    found: dict[str, list[Any]] = {}
    for row in group:
        rows = found.setdefault(row.baseline_evaluation_id, [])
        if not rows or rows[0].against == row.against:
            rows.append(row)
    return list(found.values())


def _than(group: Sequence[Any]) -> str:
    """What a checkpoint is worse than: the step before it, the pinned one, or both."""
    baselines = {one.against: one.baseline_evaluation_id for one in group}
    steps = {one.against: one.baseline_step for one in group}
    if len(baselines) == 2 and len(set(baselines.values())) == 1:
        return f"step {group[0].baseline_step}, which is pinned"
    return " and ".join(
        f"{'the pinned step' if against == PINNED else 'step'} {step}"
        for against, step in steps.items()
    )


def _against(rows: Sequence[Any]) -> str:
    """The numbers of the first row, which is the overall one where that is worse, and the rest."""
    first, *others = rows
    against = f", against the pinned step {first.baseline_step}" if first.against == PINNED else ""
    words = f"{place(first.suite, first.difficulty)}{against}: {first.reason}"
    if others:
        named = "; ".join(place(one.suite, one.difficulty) for one in others)
        words += f" Worse as well: {named}."
    return words
