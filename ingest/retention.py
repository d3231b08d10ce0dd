"""Which checkpoints may be deleted to make room, and the deleting. Predictions stay for ever.

Kept whatever the limits say: the newest and the best ones of each run, a pinned baseline, the base
of an adapter, and whatever has not been evaluated to the end. Of the others the oldest go, until
each limit that is set holds.
"""

from __future__ import annotations

import os
import shutil
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import Connection, Engine, select

from settings import RetentionSettings
from store import log
from store.events import CheckpointRemoved
from store.lifecycle import BASELINE, CHECKPOINT, EVALUATION

SECONDS_A_DAY = 86_400.0
# A folder on its way out; dot folders are no checkpoints to anyone.
PRUNED = ".pruned-"


@dataclass(frozen=True)
class Held:
    """A checkpoint that has folders under the watched one. `evaluated`: completed, none running."""

    checkpoint_id: str
    run: str
    step: int
    arrived_at: str
    bytes: int
    paths: tuple[str, ...]
    evaluated: bool
    pinned: bool
    base: bool

    @property
    def bytes_on_disk(self) -> int:
        """All copies together."""
        return self.bytes * len(self.paths)


class Decision(NamedTuple):
    """What becomes of a checkpoint, and why."""

    held: Held
    prune: bool
    reason: str


def held(connection: Connection, root: Path) -> list[Held]:
    """The checkpoints that lie under `root`, oldest first. `lifecycle` must be up to date."""
    pinned = set(connection.scalars(select(BASELINE.c.checkpoint_id)))
    completed, running = (
        set(
            connection.scalars(
                select(EVALUATION.c.checkpoint_id).where(EVALUATION.c.status == status)
            )
        )
        for status in ("completed", "started")
    )
    rows = connection.execute(
        select(CHECKPOINT)
        .where(CHECKPOINT.c.removed_at.is_(None))
        .order_by(CHECKPOINT.c.arrived_at, CHECKPOINT.c.step, CHECKPOINT.c.checkpoint_id)
    ).all()
    bases = {row.architecture.partition(" on ")[2] for row in rows if row.kind == "adapter"}
    found = []
    for row in rows:
        paths = tuple(path for path in row.paths if Path(path).is_relative_to(root))
        if paths:
            found.append(
                Held(
                    checkpoint_id=row.checkpoint_id,
                    run=row.run,
                    step=row.step,
                    arrived_at=row.arrived_at,
                    bytes=row.bytes,
                    paths=paths,
                    evaluated=row.checkpoint_id in completed - running,
                    pinned=row.checkpoint_id in pinned,
                    base=not bases.isdisjoint(row.paths),
                )
            )
    return found


def plan(
    checkpoints: Sequence[Held], best: Collection[str], settings: RetentionSettings, now: str
) -> list[Decision]:
    """What to keep and what to prune, in the order given: oldest first.

    `best` holds the ids that the ranking puts first in each run; `now` is as the log writes times.
    """
    kept = _kept(checkpoints, best, settings)
    gone: dict[str, str] = {}
    for one in checkpoints:
        age = _age_days(one, now)
        if settings.max_age_days is not None and age > settings.max_age_days:
            gone.setdefault(
                one.checkpoint_id, f"older than {settings.max_age_days:g} days ({age:.1f})"
            )
    if settings.max_count is not None:
        for run in _by_run(checkpoints):
            for one in _until(run, kept, gone, settings.max_count, lambda _one: 1):
                gone[one.checkpoint_id] = f"its run has more than {settings.max_count}"
    if settings.max_bytes is not None:
        for one in _until(
            checkpoints, kept, gone, settings.max_bytes, lambda one: one.bytes_on_disk
        ):
            gone[one.checkpoint_id] = f"all together are larger than {settings.max_bytes} bytes"
    return [
        Decision(one, prune=False, reason=kept[one.checkpoint_id])
        if one.checkpoint_id in kept
        else Decision(one, one.checkpoint_id in gone, gone.get(one.checkpoint_id, "within limits"))
        for one in checkpoints
    ]


def prune(engine: Engine, root: Path, decision: Decision) -> list[CheckpointRemoved]:
    """Deletes the folders of one checkpoint, and says so in the log.

    Each is first put aside under a name that nobody takes for a checkpoint: whoever looks sees it
    whole or not at all. Killed in between, the watcher finds it gone and `sweep` deletes the rest.
    Raises OSError if a folder cannot be moved; then it stays as it is.
    """
    removed = []
    for path in map(Path, decision.held.paths):
        if not path.is_relative_to(root) or not path.exists():
            continue
        aside = path.with_name(f"{PRUNED}{path.name}-{os.getpid()}")
        path.rename(aside)
        event = CheckpointRemoved(
            checkpoint_id=decision.held.checkpoint_id,
            path=str(path),
            reason=f"pruned: {decision.reason}",
            at=log.now(),
        )
        log.append(engine, event)
        removed.append(event)
        _delete(aside)
    return removed


def sweep(root: Path) -> int:
    """Deletes what an earlier prune put aside and did not get to delete. Returns how many."""
    left = [one for pattern in (f"{PRUNED}*", f"*/{PRUNED}*") for one in root.glob(pattern)]
    for folder in left:
        _delete(folder)
    return len(left)


def _kept(
    checkpoints: Sequence[Held], best: Collection[str], settings: RetentionSettings
) -> dict[str, str]:
    """Why each checkpoint that must stay must stay."""
    newest: set[str] = set()
    for run in _by_run(checkpoints):
        by_step = sorted(run, key=lambda one: (one.step, one.arrived_at))
        newest.update(one.checkpoint_id for one in by_step[-settings.keep_newest :])
    kept = {}
    for one in checkpoints:
        reasons = (
            (not one.evaluated, "not evaluated to the end yet"),
            (one.pinned, "pinned"),
            (one.base, "an adapter stands on it"),
            (one.checkpoint_id in newest, f"one of the newest {settings.keep_newest} of its run"),
            (one.checkpoint_id in best, f"one of the best {settings.keep_best} of its run"),
        )
        why = [reason for holds, reason in reasons if holds]
        if why:
            kept[one.checkpoint_id] = why[0]
    return kept


def _by_run(checkpoints: Sequence[Held]) -> list[list[Held]]:
    """Those of each run together, in the order given."""
    runs: dict[str, list[Held]] = defaultdict(list)
    for one in checkpoints:
        runs[one.run].append(one)
    return list(runs.values())


def _until(
    checkpoints: Sequence[Held],
    kept: Collection[str],
    gone: Collection[str],
    limit: int,
    size: Callable[[Held], int],
) -> Iterator[Held]:
    """The oldest that may go, until what stays is within `limit`."""
    total = sum(size(one) for one in checkpoints if one.checkpoint_id not in {*gone} - {*kept})
    for one in checkpoints:
        if total <= limit:
            return
        if one.checkpoint_id not in kept and one.checkpoint_id not in gone:
            total -= size(one)
            yield one


def _age_days(one: Held, now: str) -> float:
    passed = datetime.fromisoformat(now) - datetime.fromisoformat(one.arrived_at)
    return passed.total_seconds() / SECONDS_A_DAY


def _delete(folder: Path) -> None:
    if folder.is_symlink():
        folder.unlink()
    else:
        shutil.rmtree(folder)
