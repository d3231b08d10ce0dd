"""Watches the folder where checkpoints appear, and puts their arrivals into the log.

Everything is decided in `scan`, one pass over all folders. What the file system reports and the
timer only say when to scan again, so a lost hint costs seconds and nothing else.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import Engine

from errors import SettingsError, Unusable
from ingest.absence import Home, holds_anything, home_of, reason_gone
from ingest.admission import refusal
from ingest.arrival import Broken, Complete, Incomplete, NotACheckpoint, judge
from ingest.files import printable
from ingest.fingerprint import Digests, Snapshot, fingerprint, snapshot
from ingest.hints import Hints
from ingest.known_folders import KnownFolders, now_ns
from ingest.layout import run_of, step_of, survey
from ingest.ledger import Arrival, Ledger
from settings import Trust, WatchSettings, Workspace
from store import log
from store.engine import appending
from store.events import (
    CheckpointArrived,
    CheckpointFound,
    CheckpointRejected,
    CheckpointRemoved,
)

# How long a folder must look the same before it is judged.
SETTLE_SECONDS = 0.75
# How long an incomplete folder may stand still before it is rejected.
LIMIT_SECONDS = WatchSettings().incomplete_after_seconds

NO_TRUST = Trust()

# In the workspace: what need not be read again after a restart.
KNOWN_FOLDERS = Path(".cache/known-folders")

_logger = logging.getLogger(__name__)


class Waiting(NamedTuple):
    """A folder that is not a whole checkpoint yet, and why."""

    path: Path
    reason: str


class Scan(NamedTuple):
    """What one pass put into the log, and what it left.

    `settling` counts the folders that must be looked at again before anything can be said.
    """

    arrived: tuple[CheckpointArrived, ...]
    found: tuple[CheckpointFound, ...]
    rejected: tuple[CheckpointRejected, ...]
    removed: tuple[CheckpointRemoved, ...]
    waiting: tuple[Waiting, ...]
    settling: int


@dataclass
class Folder:
    """A folder as it was last seen; it looks so `since` this monotonic time, in seconds.

    Once `judged` it is left alone until it changes: `checkpoint_id` is what it holds, or None
    with the `reason` why it holds none.
    """

    seen: Snapshot
    since: float
    judged: bool = False
    checkpoint_id: str | None = None
    reason: str | None = None


@dataclass
class State:
    """What is remembered from one scan to the next: of folders that are there, or should be.

    `homes` says where each was, `absent` since when one is missed, `unreachable` which ones are
    neither there nor gone; `links` are the runs that are links to folders.
    """

    folders: dict[Path, Folder] = field(default_factory=dict)
    homes: dict[Path, Home] = field(default_factory=dict)
    absent: dict[Path, float] = field(default_factory=dict)
    unreachable: set[Path] = field(default_factory=set)
    links: list[Path] = field(default_factory=list)
    digests: Digests = field(default_factory=Digests)
    known: KnownFolders = field(default_factory=KnownFolders)
    ledger: Ledger = field(default_factory=Ledger)


def watch(
    workspace: Workspace,
    engine: Engine,
    stop: threading.Event,
    on_scan: Callable[[Scan], None],
    *,
    once: bool = False,
) -> None:
    """Scans now, when something changes and every interval, until `stop` is set.

    `on_scan` is called after each scan. With `once` it ends as soon as nothing is settling.
    Makes the watched folder if it is missing at the start. Raises SettingsError if it cannot.
    """
    root, settings = workspace.checkpoints, workspace.settings.watch
    _make(root)
    state = State(known=KnownFolders(workspace.root / KNOWN_FOLDERS))
    was_there = True
    with Hints(settings.observer) as hints:
        hints.follow([root])
        while not stop.is_set():
            if root.is_dir() != was_there:
                was_there = not was_there
                _logger.warning("%s is %s", root, "there again" if was_there else "not there")
            found = scan(
                root,
                engine,
                state,
                limit_seconds=settings.incomplete_after_seconds,
                run=settings.run,
                trust=workspace.trust,
                stop=stop,
            )
            state.known.save()
            on_scan(found)
            if once and not found.settling:
                return
            hints.follow([root, *state.links])
            seconds = SETTLE_SECONDS if found.settling else settings.interval_seconds
            hints.wait(stop, seconds, settings.debounce_seconds)


def _make(root: Path) -> None:
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        # A link to a disk that is not mounted yet is waited for.
        if not root.is_symlink():
            raise SettingsError(
                f"[watch] path is {root}, where no folder can be made: {error.strerror}. "
                "Name another one, or make it."
            ) from error


def scan(
    checkpoints: Path,
    engine: Engine,
    state: State,
    *,
    settle_seconds: float = SETTLE_SECONDS,
    limit_seconds: float = LIMIT_SECONDS,
    run: str | None = None,
    trust: Trust = NO_TRUST,
    stop: threading.Event | None = None,
) -> Scan:
    """One pass over RUN/checkpoint-N under `checkpoints`, newest first.

    A folder is judged when a second look, `settle_seconds` after the first or later, sees the
    same; one that stays incomplete and the same for `limit_seconds` is rejected. `run` names the
    run of checkpoints right in `checkpoints`. `stop` ends the pass between two folders.
    """
    state.ledger.refresh(engine)
    paths, state.links = survey(checkpoints)
    state.folders = {path: state.folders[path] for path in paths if path in state.folders}
    this = _Pass(checkpoints, engine, state, settle_seconds, limit_seconds, run, trust)
    for path in paths:
        if stop is not None and stop.is_set():
            return this.result()
        this.visit(path)
    state.ledger.refresh(engine)
    this.look_for_gone(checkpoints)
    return this.result()


@dataclass
class _Pass:
    """One scan while it runs."""

    root: Path
    engine: Engine
    state: State
    settle_seconds: float
    limit_seconds: float
    run: str | None
    trust: Trust
    arrived: list[CheckpointArrived] = field(default_factory=list)
    found: list[CheckpointFound] = field(default_factory=list)
    rejected: list[CheckpointRejected] = field(default_factory=list)
    removed: list[CheckpointRemoved] = field(default_factory=list)
    waiting: list[Waiting] = field(default_factory=list)
    settling: int = 0

    def result(self) -> Scan:
        """What was found."""
        return Scan(
            tuple(self.arrived),
            tuple(self.found),
            tuple(self.rejected),
            tuple(self.removed),
            tuple(self.waiting),
            self.settling,
        )

    def visit(self, path: Path) -> None:
        """Looks at one folder, and judges it if it has settled."""
        folder, is_new_look = self._look(path)
        if folder.judged:
            return
        still = time.monotonic() - folder.since
        if is_new_look or still < self.settle_seconds:
            self.settling += 1
            return
        late = still >= self.limit_seconds
        match judge(path, await_trainer=not late, run=self._run_of(path)):
            case Complete() as complete:
                self._take_in(complete, folder)
            case NotACheckpoint(reason=reason):
                folder.judged, folder.reason = True, reason
            case Incomplete(reason=reason) if not late:
                self._wait_for(path, reason)
            case Incomplete(reason=reason) | Broken(reason=reason):
                self._reject(path, folder, reason)

    def look_for_gone(self, root: Path) -> None:
        """Reports the checkpoints whose folder is gone, or now holds something else."""
        state = self.state
        present = state.ledger.present
        paths = {arrival.path for arrival in present}
        state.absent = {path: at for path, at in state.absent.items() if path in paths}
        state.homes = {
            path: home
            for path, home in state.homes.items()
            if path in paths or path in state.folders
        }
        if not holds_anything(root):
            return
        unreachable = set()
        for arrival in present:
            folder = state.folders.get(arrival.path)
            if folder is None:
                if arrival.path.is_relative_to(root) and not self._miss(arrival):
                    unreachable.add(arrival.path)
                continue
            state.absent.pop(arrival.path, None)
            if folder.judged and folder.checkpoint_id != arrival.checkpoint_id:
                holds = (
                    f"holds checkpoint {folder.checkpoint_id} now"
                    if folder.checkpoint_id is not None
                    else f"is no whole checkpoint any more: {folder.reason}"
                )
                self._remove(arrival, f"the folder {holds}")
        for path in sorted(unreachable - state.unreachable)[:1]:
            _logger.warning(
                "%d checkpoints cannot be reached, such as %s: they are not taken for gone",
                len(unreachable),
                path,
            )
        state.unreachable = unreachable

    def _look(self, path: Path) -> tuple[Folder, bool]:
        """The folder as it is known, and whether it looks new or different now."""
        seen = snapshot(path)
        known = self.state.folders.get(path)
        if known is not None and known.seen.entries == seen.entries:
            return known, False
        folder = Folder(seen, since=time.monotonic())
        if known is None:
            # After a start, what was read before and looks the same need not be read again.
            checkpoint_id = self.state.known.id_of(seen)
            if checkpoint_id is not None and self.state.ledger.holds(path, checkpoint_id):
                folder.judged, folder.checkpoint_id = True, checkpoint_id
        self.state.folders[path] = folder
        if (home := home_of(path)) is not None:
            self.state.homes[path] = home
        return folder, True

    def _take_in(self, complete: Complete, folder: Folder) -> None:
        """Reads the content and appends the arrival, unless the log knows the content."""
        if (reason := refusal(complete, self.trust)) is not None:
            self._reject(complete.folder, folder, reason)
            return
        read_at = now_ns()
        try:
            event = complete.arrived(self.state.digests.of)
        except Unusable as error:
            self._reject(complete.folder, folder, printable(str(error)))
            return
        except OSError as error:
            self._wait_for(complete.folder, f"{complete.folder.name} cannot be read: {error}")
            return
        if snapshot(complete.folder).entries != folder.seen.entries:
            # It changed while it was read, so the digest may be of a mixture.
            self.settling += 1
            return
        with appending(self.engine) as connection:
            # Another watcher may have been faster.
            self.state.ledger.read(connection)
            if log.version_of(connection, event.stream) == 0:
                log.append_in(connection, event)
                self.arrived.append(event)
            elif not self.state.ledger.holds(complete.folder, event.checkpoint_id):
                found = CheckpointFound(
                    checkpoint_id=event.checkpoint_id,
                    run=event.run,
                    step=event.step,
                    path=event.path,
                    at=log.now(),
                )
                log.append_in(connection, found)
                self.found.append(found)
        folder.judged, folder.checkpoint_id = True, event.checkpoint_id
        self.state.known.learn(folder.seen, event.checkpoint_id, read_at)

    def _wait_for(self, path: Path, reason: str) -> None:
        # Both are for people to read, on a terminal that may take UTF-8 alone.
        self.waiting.append(Waiting(Path(printable(str(path))), printable(reason)))

    def _reject(self, path: Path, folder: Folder, reason: str) -> None:
        folder.judged, folder.reason = True, reason
        event = CheckpointRejected(
            run=printable(self._run_of(path)),
            path=printable(str(path)),
            step=step_of(path.name),
            reason=reason,
            fingerprint=fingerprint(folder.seen),
        )
        if log.append(self.engine, event).new:
            self.rejected.append(event)

    def _run_of(self, path: Path) -> str:
        return run_of(path, self.root, self.run)

    def _miss(self, arrival: Arrival) -> bool:
        """Reports a folder as gone at the second look that does not find it.

        Returns False if nobody can say whether it is gone.
        """
        reason = reason_gone(arrival.path, self.root, self.state.homes.get(arrival.path))
        if reason is None:
            self.state.absent.pop(arrival.path, None)
            return False
        now = time.monotonic()
        first = self.state.absent.setdefault(arrival.path, now)
        if first < now and now - first >= self.settle_seconds:
            self._remove(arrival, reason)
        else:
            self.settling += 1
        return True

    def _remove(self, arrival: Arrival, reason: str) -> None:
        self.state.absent.pop(arrival.path, None)
        event = CheckpointRemoved(
            checkpoint_id=arrival.checkpoint_id,
            path=str(arrival.path),
            reason=reason,
            at=log.now(),
        )
        with appending(self.engine) as connection:
            # Another watcher, or a prune, may have said so already.
            self.state.ledger.read(connection)
            if self.state.ledger.holds(arrival.path, arrival.checkpoint_id):
                log.append_in(connection, event)
                self.removed.append(event)
