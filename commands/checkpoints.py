"""Finds the checkpoint that a person means by an id, a step or a folder."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import Connection, select

from errors import UsageError
from settings import Workspace
from store.lifecycle import CHECKPOINT

# So many hex digits of an id are enough to name a checkpoint.
LEAST_DIGITS = 6
LISTED = 5

_ID = re.compile(rf"[0-9a-f]{{{LEAST_DIGITS},32}}", re.IGNORECASE)


class Known(NamedTuple):
    """A checkpoint that arrived.

    `path` is its folder, or the last one that it had; `paths` are all that it has now. It is there
    since `found_at`, unless `removed_reason` says why it is not.
    """

    checkpoint_id: str
    run: str
    step: int
    path: Path
    paths: tuple[Path, ...]
    found_at: str
    removed_reason: str | None

    @property
    def folders(self) -> set[Path]:
        """What people may call its folders."""
        return {name for path in (self.path, *self.paths) for name in (path, path.resolve())}

    @property
    def name(self) -> str:
        """What people call it."""
        return f"{self.run} step {self.step}"


def find(connection: Connection, workspace: Workspace, word: str, run: str | None = None) -> Known:
    """The checkpoint with this step, with an id that begins so, or in this folder.

    Only among those of `run` if it is named. Reads `lifecycle`, which must be up to date. Raises
    UsageError, naming those that are near, unless exactly one fits.
    """
    known = of_run(connection, run)
    found: list[Known] = []
    if word.isdecimal():
        found = [one for one in known if one.step == int(word)]
    if not found and _ID.fullmatch(word):
        found = [one for one in known if one.checkpoint_id.startswith(word.lower())]
    if not found:
        folders = _folders(workspace, word)
        found = [one for one in known if folders & one.folders]
        # A folder that was filled anew holds what came last.
        found = found[-1:]
    if len(found) > 1:
        found = [one for one in found if one.removed_reason is None] or found
    if len(found) == 1:
        return found[0]
    if not found:
        raise UsageError(_nothing(workspace, word, run, known))
    remedy = (
        "--run RUN says which" if len({one.run for one in found}) == len(found) else "name an id"
    )
    raise UsageError(f"{word!r} may be {_listing(found)}: {remedy}.")


def of_run(connection: Connection, run: str | None) -> list[Known]:
    """Every checkpoint, the one that came last at the end; of one run if it is named.

    Raises UsageError for a run of which nothing has arrived.
    """
    columns = [CHECKPOINT.c[name] for name in Known._fields]
    query = select(*columns).order_by(CHECKPOINT.c.found_at, CHECKPOINT.c.checkpoint_id)
    known = [
        Known(
            row.checkpoint_id,
            row.run,
            row.step,
            Path(row.path),
            tuple(map(Path, row.paths)),
            row.found_at,
            row.removed_reason,
        )
        for row in connection.execute(query)
    ]
    runs = sorted({one.run for one in known})
    if run is not None and run not in runs:
        listing = f"There are: {', '.join(runs)}" if runs else "No checkpoint has arrived at all"
        raise UsageError(f"no checkpoint of a run {run!r} has arrived. {listing}.")
    return [one for one in known if run in (None, one.run)]


def refuse_gone(known: Known) -> None:
    """Raises UsageError unless the folder still holds the checkpoint that arrived.

    Its content is read when it changed since then, or when it was missed once.
    """
    from ingest.arrival import Complete, judge
    from ingest.fingerprint import Digests, snapshot

    if not known.path.is_dir():
        raise UsageError(
            f"{known.name}: its folder {known.path} is gone. Put it back there, or name another "
            "checkpoint."
        )
    arrived = datetime.fromisoformat(known.found_at).timestamp() * 1e9
    if known.removed_reason is None and snapshot(known.path).changed < arrived:
        return
    match judge(known.path, await_trainer=False):
        case Complete() as complete:
            holds = complete.arrived(Digests().of).checkpoint_id
            what = f"checkpoint {holds} now, and {known.name} is {known.checkpoint_id}"
            if holds == known.checkpoint_id:
                return
        case other:
            what = f"no whole checkpoint: {other.reason}"
    raise UsageError(f"{known.path} holds {what}. `milepost watch --once` takes in what is there.")


def _folders(workspace: Workspace, word: str) -> set[Path]:
    """The folders that `word` may mean: from here, or from the watched one."""
    given = Path(word).expanduser()
    places = [given.absolute(), (workspace.checkpoints / given).absolute()]
    return {*places, *(one.resolve() for one in places)}


def _nothing(workspace: Workspace, word: str, run: str | None, known: Sequence[Known]) -> str:
    """Why nothing was found, and what is near."""
    where = f" of run {run!r}" if run is not None else ""
    if not known:
        return "no checkpoint has arrived yet. `milepost watch --once` takes in what is there."
    if any(one.is_dir() for one in _folders(workspace, word)):
        return (
            f"{word} is a folder, and no checkpoint{where} arrived from it. `milepost watch "
            f"--once` takes in what is in {workspace.checkpoints}."
        )
    if word.isdecimal():
        near = sorted(known, key=lambda one: abs(one.step - int(word)))
        return f"no checkpoint{where} has the step {word}. The nearest: {_listing(near)}."
    by_name = {
        name: one
        for one in known
        for name in (one.checkpoint_id, str(one.path), f"{one.run}/{one.path.name}")
    }
    close = difflib.get_close_matches(word, by_name, n=LISTED, cutoff=0.6)
    near = list(dict.fromkeys(by_name[name] for name in close))
    listing = f"The nearest: {_listing(near)}" if near else f"The newest: {_listing(known[::-1])}"
    short = (
        f" An id needs at least {LEAST_DIGITS} digits."
        if re.fullmatch(rf"[0-9a-f]{{1,{LEAST_DIGITS - 1}}}", word, re.IGNORECASE)
        else ""
    )
    return f"no checkpoint{where} has the id or the folder {word!r}.{short} {listing}."


def _listing(known: Sequence[Known]) -> str:
    named = [f"{one.name} ({one.checkpoint_id[:12]})" for one in known[:LISTED]]
    more = f" and {len(known) - LISTED:,} more" if len(known) > LISTED else ""
    return ", ".join(named) + more
