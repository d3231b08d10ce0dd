"""Pulls checkpoints from the trainer's folder, newest first, each whole or not at all.

A checkpoint is assembled in a staging folder, judged there, compared once more with its source,
and then renamed into the watched folder in one step. What has been taken once is never fetched
again, also not when it has been deleted here since.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import Engine

from errors import SettingsError
from ingest.arrival import Complete, judge, step_of
from ingest.fingerprint import snapshot
from ingest.ledger import taken
from ingest.rsync import PARTIAL, POLL_SECONDS, VANISHED, Ended, Entry, Rsync
from settings import FILE_NAME, SyncSettings, Workspace
from store import log
from store.engine import reading
from store.events import SyncCompleted, SyncFailed

# A checkpoint that has not changed for this long is taken without the trainer_state.json that
# Trainer writes last: someone has deleted or excluded it.
TRAINER_SECONDS = 600.0


class Moving(NamedTuple):
    """The transfer under way: checkpoint `number` of `total`, and how far it is."""

    run: str
    name: str
    number: int
    total: int
    bytes: int
    percent: int


class Waiting(NamedTuple):
    """A checkpoint that could not be taken yet, and why."""

    run: str
    name: str
    reason: str


class Round(NamedTuple):
    """What one look at the source came to."""

    pulled: tuple[SyncCompleted, ...]
    waiting: tuple[Waiting, ...]
    failed: tuple[SyncFailed, ...]
    seconds: float

    @property
    def bytes(self) -> int:
        """The size of the checkpoints pulled."""
        return sum(one.bytes for one in self.pulled)


Progress = Callable[[Moving], None]


def run_sync(
    workspace: Workspace,
    engine: Engine,
    stop: threading.Event,
    *,
    once: bool,
    on_progress: Progress | None,
    on_round: Callable[[Round], None],
) -> None:
    """Pulls every interval, or `once`, until `stop` is set; `on_round` is called after each.

    Raises SettingsError when no source is set, SyncFault when rsync is not installed.
    """
    settings = workspace.settings.sync
    if not settings.source:
        raise SettingsError(
            f"{workspace.root / FILE_NAME} says no [sync] source, so there is nothing to pull. "
            'Set source = "HOST:FOLDER", or a folder on this machine.'
        )
    source = settings.source
    if not is_remote(source):
        source = str(workspace.resolve(Path(source)))
    while not stop.is_set():
        on_round(
            pull(
                source,
                workspace.checkpoints,
                workspace.staging,
                settings,
                engine,
                stop=stop,
                on_progress=on_progress,
            )
        )
        if once:
            return
        stop.wait(settings.interval_seconds)


def pull(
    source: str,
    checkpoints: Path,
    staging: Path,
    settings: SyncSettings,
    engine: Engine,
    *,
    stop: threading.Event | None = None,
    on_progress: Progress | None = None,
) -> Round:
    """One look at `source`, a run's folder or a folder of runs, taking what is new and whole.

    A failure of rsync ends the round and stands in the log. Raises SyncFault when rsync is not
    installed.
    """
    stop = threading.Event() if stop is None else stop
    with _alone(staging, stop):
        puller = _Puller(
            source.rstrip("/") if not source.endswith(":") else f"{source}.",
            checkpoints,
            staging,
            settings,
            engine,
            stop,
            on_progress,
            Rsync(settings.timeout_seconds, stop),
        )
        return puller.round()


def is_remote(source: str) -> bool:
    """Whether rsync would read `source` as HOST:FOLDER: a colon comes before any slash."""
    return ":" in source.split("/", 1)[0]


class Candidate(NamedTuple):
    """A checkpoint's folder at the source; `path` is relative to it."""

    run: str
    name: str
    path: str


def find_candidates(source: str, folders: Collection[Entry]) -> list[Candidate]:
    """The checkpoints among `folders`, newest first.

    A source with checkpoints right in it is a run itself, named as its folder. Raises
    SettingsError when that folder has no name of its own.
    """
    own = [one for one in folders if step_of(one.path) is not None]
    newest_first = sorted(folders, key=_age, reverse=True)
    if own:
        run = re.split(r"[/:]", source)[-1]
        if run in ("", ".", ".."):
            raise SettingsError(
                f"[sync] source {source!r} is the folder of a run, and its name would be the "
                "run's name. Write the folder's whole path."
            )
        return [Candidate(run, one.path, one.path) for one in newest_first if one in own]
    found = []
    for one in newest_first:
        run, _, name = one.path.partition("/")
        if not run.startswith(".") and step_of(name) is not None:
            found.append(Candidate(run, name, one.path))
    return found


def _age(folder: Entry) -> tuple[str, int]:
    """Sorts by time, and within one second by step."""
    return folder.mtime, step_of(folder.path.rpartition("/")[2]) or 0


@dataclass(frozen=True)
class _Puller:
    """One round while it runs."""

    source: str
    checkpoints: Path
    staging: Path
    settings: SyncSettings
    engine: Engine
    stop: threading.Event
    on_progress: Progress | None
    rsync: Rsync

    def round(self) -> Round:
        began = time.monotonic()
        pulled: list[SyncCompleted] = []
        waiting: list[Waiting] = []
        failed: list[SyncFailed] = []
        ended, folders = self.rsync.folders(self.source)
        if ended.exit_code not in (0, VANISHED) and not self.stop.is_set():
            failed.append(self._fail(ended, None, began))
        wanted = self._not_taken(find_candidates(self.source, folders))
        if ended.exit_code == 0:
            clear(self.staging, keep=wanted)
        for number, candidate in enumerate(wanted, start=1):
            if self.stop.is_set():
                break
            match self._take(candidate, number, len(wanted)):
                case SyncCompleted() as event:
                    pulled.append(event)
                case Waiting() as one:
                    waiting.append(one)
                case SyncFailed() as event:
                    failed.append(event)
                    break
                case None:
                    break
        if ended.exit_code == 0 and not pulled and not failed:
            self._recover(began)
        return Round(tuple(pulled), tuple(waiting), tuple(failed), time.monotonic() - began)

    def _not_taken(self, candidates: list[Candidate]) -> list[Candidate]:
        with reading(self.engine) as connection:
            known = taken(connection)
        return [
            one
            for one in candidates
            if (one.run, one.name) not in known
            and not (self.checkpoints / one.run / one.name).exists()
        ]

    def _take(
        self, candidate: Candidate, number: int, total: int
    ) -> SyncCompleted | SyncFailed | Waiting | None:
        """Brings one checkpoint; None when `stop` was set meanwhile."""
        began = time.monotonic()
        run, name = candidate.run, candidate.name
        source = f"{self.source}/{candidate.path}"
        staged = self.staging / run / name
        staged.mkdir(parents=True, exist_ok=True)

        def progress(done: int, percent: int) -> None:
            if self.on_progress is not None:
                self.on_progress(Moving(run, name, number, total, done, percent))

        progress(0, 0)
        copied = self.rsync.copy(source, staged, self.settings.exclude, progress)
        if self.stop.is_set():
            return None
        if copied.exit_code in (PARTIAL, VANISHED):
            return Waiting(run, name, copied.last_words)
        if copied.exit_code != 0:
            return self._fail(copied, candidate, began)
        found = snapshot(staged).entries
        newest = max((entry.mtime for entry in found), default=0) / 1e9
        judgement = judge(staged, await_trainer=time.time() - newest < TRAINER_SECONDS)
        if not isinstance(judgement, Complete):
            return Waiting(run, name, judgement.reason)
        compared = self.rsync.differences(source, staged, self.settings.exclude)
        if self.stop.is_set():
            return None
        if compared.exit_code != 0:
            return Waiting(run, name, compared.last_words)
        if compared.output.strip():
            return Waiting(run, name, "it changed at the source while it was copied")
        target = self.checkpoints / run / name
        target.parent.mkdir(parents=True, exist_ok=True)
        os.rename(staged, target)
        event = SyncCompleted(
            source=self.source,
            run=run,
            name=name,
            path=str(target),
            files=len(found),
            bytes=sum(entry.size for entry in found),
            seconds=time.monotonic() - began,
            at=log.now(),
        )
        log.append(self.engine, event)
        return event

    def _recover(self, began: float) -> None:
        """Says in the log that the source answers again, if it did not the last time."""
        event = SyncCompleted(
            source=self.source,
            run=None,
            name=None,
            path=None,
            files=0,
            bytes=0,
            seconds=time.monotonic() - began,
            at=log.now(),
        )
        with self.engine.begin() as connection:
            last = log.latest(connection, event.stream)
            if last is not None and isinstance(last.event, SyncFailed):
                log.append_in(connection, event)

    def _fail(self, ended: Ended, candidate: Candidate | None, began: float) -> SyncFailed:
        """Puts the failure into the log, unless it is the one that stands there last."""
        event = SyncFailed(
            source=self.source,
            run=candidate.run if candidate else None,
            name=candidate.name if candidate else None,
            rsync_exit_code=ended.exit_code,
            message=ended.last_words or f"rsync ended with exit code {ended.exit_code}",
            seconds=time.monotonic() - began,
            at=log.now(),
        )
        with self.engine.begin() as connection:
            last = log.latest(connection, event.stream)
            # A host that is down all night is one event, not one for every round.
            if last is None or not _is_same_failure(last.event, event):
                log.append_in(connection, event)
        return event


def _is_same_failure(last: object, event: SyncFailed) -> bool:
    differs = {"seconds", "at"}
    return isinstance(last, SyncFailed) and (
        last.model_dump(exclude=differs) == event.model_dump(exclude=differs)
    )


def clear(staging: Path, keep: Collection[Candidate]) -> None:
    """Deletes from `staging` what is not in `keep`: its source is gone, so it stays half."""
    kept = {(one.run, one.name) for one in keep}
    for run in [one for one in staging.iterdir() if one.is_dir()]:
        for folder in list(run.iterdir()):
            if (run.name, folder.name) not in kept:
                shutil.rmtree(folder)
        if not any(run.iterdir()):
            run.rmdir()


@contextmanager
def _alone(staging: Path, stop: threading.Event) -> Iterator[None]:
    """Waits until no other process pulls into `staging`, or until `stop` is set."""
    staging.mkdir(parents=True, exist_ok=True)
    with (staging / ".lock").open("w") as file:
        while not stop.is_set():
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                stop.wait(POLL_SECONDS)
        yield
