"""`milepost prune` and `milepost pin`: what is deleted to make room, and what never is."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, Engine, select, text

from commands.bootstrap import opened
from commands.checkpoints import find, of_run
from commands.output import Format, emit
from commands.progress import say
from errors import PruneFault, UsageError
from ingest import retention
from ingest.retention import Decision
from settings import Workspace
from store import log
from store.engine import reading
from store.events import BaselinePinned
from store.lifecycle import BASELINE, LIFECYCLE
from store.projections import bring_up_to_date
from views import registry
from views.words import count, size

COLUMNS = ("run", "step", "does", "reason", "bytes", "arrived_at", "paths")
BRIEF = ("run", "step", "does", "reason", "bytes", "arrived_at")


def decide(engine: Engine, workspace: Workspace) -> list[Decision]:
    """What becomes of each checkpoint in the watched folder, with the views up to date."""
    bring_up_to_date(engine, registry.projections(workspace.settings))
    settings = workspace.settings.retention
    with reading(engine) as connection:
        return retention.plan(
            retention.held(connection, workspace.checkpoints),
            _best(connection, settings.keep_best),
            settings,
            log.now(),
        )


def report(workspace: Workspace, form: Format, *, yes: bool) -> None:
    """Prints what would go, or deletes it. Raises UsageError for `yes` without any limit."""
    settings = workspace.settings.retention
    if yes and not settings.limited:
        raise UsageError(
            "milepost.toml sets no limit under [retention], so nothing may be deleted. Set "
            "max_count, max_age_days or max_bytes."
        )
    with opened(workspace) as engine:
        decisions = decide(engine, workspace)
        if yes:
            carry_out(engine, workspace, decisions)
            return
    emit(
        [_row(one) for one in decisions],
        BRIEF if form is Format.table else COLUMNS,
        form,
        empty=f"No checkpoint lies in {workspace.checkpoints}.",
    )
    going = [one.held for one in decisions if one.prune]
    if form is Format.table and going:
        total = size(sum(one.bytes_on_disk for one in going))
        say(f"`milepost prune --yes` would delete {count(len(going), 'checkpoint')}, {total}.")
    elif form is Format.table and not settings.limited:
        say("Nothing would go: no limit is set under [retention] in milepost.toml.")


def carry_out(engine: Engine, workspace: Workspace, decisions: Sequence[Decision]) -> None:
    """Deletes what was decided, and says each. Raises PruneFault at the first that cannot go."""
    try:
        retention.sweep(workspace.checkpoints)
        for one in decisions:
            if one.prune:
                for removed in retention.prune(engine, workspace.checkpoints, one):
                    say(f"deleted {removed.path}: {one.reason}")
    except OSError as error:
        raise PruneFault(
            f"{error.filename} cannot be deleted: {error.strerror}. Mend that, and run "
            "`milepost prune --yes` again."
        ) from error


def prune_automatically(engine: Engine, workspace: Workspace) -> None:
    """Prunes if milepost.toml says so; nothing else."""
    settings = workspace.settings.retention
    if settings.automatic and settings.limited:
        try:
            carry_out(engine, workspace, decide(engine, workspace))
        except PruneFault as fault:
            say(f"FAILED: {fault}")


def pin(workspace: Workspace, word: str | None, run: str | None, note: str | None) -> None:
    """Pins a checkpoint as its run's baseline; lists the pinned ones when none is named."""
    with opened(workspace) as engine:
        bring_up_to_date(engine, [LIFECYCLE])
        if word is None:
            _list_pinned(engine)
            return
        with reading(engine) as connection:
            known = find(connection, workspace, word, run)
        log.append(
            engine,
            BaselinePinned(
                run=known.run,
                checkpoint_id=known.checkpoint_id,
                step=known.step,
                note=note,
                at=log.now(),
            ),
        )
    say(f"{known.name} is the baseline of its run: it is never pruned.")


def unpin(workspace: Workspace, run: str | None) -> None:
    """Takes a run's baseline back. Raises UsageError if it has none, or several runs have one."""
    with opened(workspace) as engine:
        bring_up_to_date(engine, [LIFECYCLE])
        with reading(engine) as connection:
            if run is not None:
                of_run(connection, run)
            pinned = list(connection.scalars(select(BASELINE.c.run).order_by(BASELINE.c.run)))
        chosen = [one for one in pinned if run in (None, one)]
        if len(chosen) != 1:
            listing = ", ".join(pinned) or "none"
            raise UsageError(f"name the run with --run. Runs with a baseline: {listing}.")
        (name,) = chosen
        event = BaselinePinned(run=name, checkpoint_id=None, step=None, note=None, at=log.now())
        log.append(engine, event)
    say(f"{name} has no baseline any more.")


def _list_pinned(engine: Engine) -> None:
    query = select(
        BASELINE.c.run, BASELINE.c.step, BASELINE.c.checkpoint_id, BASELINE.c.pinned_at,
        BASELINE.c.note,
    ).order_by(BASELINE.c.run)  # fmt: skip
    with reading(engine) as connection:
        rows = [dict(row) for row in connection.execute(query).mappings()]
    empty = "No baseline is pinned. `milepost pin STEP` pins one."
    emit(rows, ("run", "step", "checkpoint_id", "pinned_at", "note"), Format.table, empty=empty)


# Which checkpoints does the ranking put first in each run?
_BEST = text("SELECT checkpoint_id FROM rankings WHERE rank <= :last")


def _best(connection: Connection, last: int) -> frozenset[str]:
    return frozenset(connection.scalars(_BEST, {"last": last}))


def _row(one: Decision) -> dict[str, object]:
    return {
        "run": one.held.run,
        "step": one.held.step,
        "does": "would go" if one.prune else "stays",
        "reason": one.reason,
        "bytes": one.held.bytes_on_disk,
        "arrived_at": one.held.arrived_at,
        "paths": list(one.held.paths),
    }
