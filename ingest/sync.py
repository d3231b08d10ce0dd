"""Pulls checkpoints from the trainer's folder, newest first, each whole or not at all.

A checkpoint is assembled in a staging folder, judged there, compared once more with its source,
and then renamed into the watched folder in one step. What has been taken once is never fetched
again, also not when it has been deleted here since.
"""

from __future__ import annotations

import errno
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import Engine

from errors import SettingsError
from ingest.arrival import Complete, judge
from ingest.candidates import Candidate, find_candidates, is_text
from ingest.fingerprint import snapshot
from ingest.journal import Journal
from ingest.ledger import Taken
from ingest.remedies import Answer, answer_to, explain, is_gone, tells, words
from ingest.rsync import VANISHED, Ended, Entry, Pending, Rsync, Speed, is_remote
from ingest.staging import alone, clear, drop, drop_partials, publish, size_of
from settings import FILE_NAME, SyncSettings, Workspace
from store.engine import reading
from store.events import SyncCompleted, SyncFailed

# A checkpoint that has not changed for this long is taken without the trainer_state.json that
# Trainer writes last: someone has deleted or excluded it.
TRAINER_SECONDS = 600.0

# A connection that breaks is tried again within the round, after pauses that double; what a try
# adds to the staging folder gives it the whole number again.
TRIES = 4
FIRST_PAUSE_SECONDS = 1.0

# After a round that failed comes the next one sooner, and then ever later, up to the interval.
FIRST_WAIT_SECONDS = 10.0


class Moving(NamedTuple):
    """The transfer under way: checkpoint `number` of `total`, and how far it is.

    `bytes` of `total_bytes` are here; `bytes_per_second` is None before it is known.
    """

    run: str
    name: str
    number: int
    total: int
    bytes: int
    total_bytes: int
    bytes_per_second: float | None

    @property
    def percent(self) -> int:
        """Rounded down: 100 is all of it."""
        return 100 * self.bytes // self.total_bytes if self.total_bytes else 100

    @property
    def seconds_left(self) -> float | None:
        """At the present speed; None before that is known."""
        if self.bytes_per_second is None:
            return None
        return (self.total_bytes - self.bytes) / self.bytes_per_second


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
    failures = 0
    taken = Taken()
    while not stop.is_set():
        ended = pull(
            source,
            workspace.checkpoints,
            workspace.staging,
            settings,
            engine,
            stop=stop,
            on_progress=on_progress,
            taken=taken,
        )
        on_round(ended)
        if once:
            return
        failures = failures + 1 if ended.failed else 0
        stop.wait(pause_after(failures, settings.interval_seconds))


def pause_after(failures: int, interval: float) -> float:
    """Seconds to the next round after so many that failed in a row."""
    if failures == 0:
        return interval
    # Months of failures would make a number that no float can hold.
    return min(interval, FIRST_WAIT_SECONDS * 2.0 ** min(failures - 1, 30))


def pull(
    source: str,
    checkpoints: Path,
    staging: Path,
    settings: SyncSettings,
    engine: Engine,
    *,
    stop: threading.Event | None = None,
    on_progress: Progress | None = None,
    taken: Taken | None = None,
) -> Round:
    """One look at `source`, a run's folder or a folder of runs, taking what is new and whole.

    A failure, of rsync or of the disk here, stands in the log. `taken` remembers from round to
    round what the log says. Raises SyncFault when rsync is not installed.
    """
    stop = threading.Event() if stop is None else stop
    source = source.rstrip("/") if not source.endswith(":") else f"{source}."
    journal = Journal(engine, source)
    began = time.monotonic()
    try:
        with alone(staging, stop) as lock:
            if lock is None:
                return Round((), (), (), time.monotonic() - began)
            rsync = Rsync(settings, stop, lock)
            puller = _Puller(
                source,
                checkpoints,
                staging,
                settings,
                journal,
                stop,
                on_progress,
                rsync,
                taken or Taken(),
            )
            return puller.round()
    except OSError as error:
        failed = _fail_here(journal, None, error, time.monotonic() - began)
        return Round((), (), (failed,), time.monotonic() - began)


@dataclass(frozen=True)
class _Puller:
    """One round while it runs."""

    source: str
    checkpoints: Path
    staging: Path
    settings: SyncSettings
    journal: Journal
    stop: threading.Event
    on_progress: Progress | None
    rsync: Rsync
    taken: Taken

    def round(self) -> Round:
        began = time.monotonic()
        pulled: list[SyncCompleted] = []
        waiting: list[Waiting] = []
        failed: list[SyncFailed] = []
        folders: list[Entry] = []

        def look() -> Ended:
            ended, folders[:] = self.rsync.folders(self.source)
            return ended

        ended = self._patiently(look, lambda: 0)
        # One folder that cannot be listed does not keep the others from coming.
        if ended.exit_code not in (0, VANISHED) and not self.stop.is_set():
            failed.append(self._fail(ended, None, began))
        found = find_candidates(self.source, folders)
        unnamed = [one for one in found if not is_text(one.path)]
        waiting += [Waiting(ascii(one.run), one.name, "its path is not UTF-8") for one in unnamed]
        wanted = self._not_taken([one for one in found if one not in unnamed])
        if ended.exit_code == 0:
            clear(self.staging, {(one.run, one.name) for one in wanted})
        for number, candidate in enumerate(wanted, start=1):
            if self.stop.is_set():
                break
            match self._take(candidate, number, len(wanted)):
                case SyncCompleted() as event:
                    pulled.append(event)
                case Waiting() as one:
                    waiting.append(one)
                case _Failed(event, ends_round):
                    failed.append(event)
                    if ends_round:
                        break
                case None:
                    break
        if ended.exit_code == 0 and not pulled and not failed and not self.stop.is_set():
            self.journal.recovered(time.monotonic() - began)
        return Round(tuple(pulled), tuple(waiting), tuple(failed), time.monotonic() - began)

    def _not_taken(self, candidates: list[Candidate]) -> list[Candidate]:
        with reading(self.journal.engine) as connection:
            known = self.taken.read(connection)
        return [
            one
            for one in candidates
            if (one.run, one.name) not in known
            and not (self.checkpoints / one.run / one.name).exists()
        ]

    def _take(
        self, candidate: Candidate, number: int, total: int
    ) -> SyncCompleted | _Failed | Waiting | None:
        """Brings one checkpoint; None when `stop` was set meanwhile."""
        began = time.monotonic()
        staged = self.staging / candidate.run / candidate.name
        try:
            return self._bring(candidate, staged, number, total, began)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                drop(staged)
            seconds = time.monotonic() - began
            return _Failed(_fail_here(self.journal, candidate, error, seconds), ends_round=True)

    def _bring(
        self, candidate: Candidate, staged: Path, number: int, total: int, began: float
    ) -> SyncCompleted | _Failed | Waiting | None:
        run, name = candidate.run, candidate.name
        source = f"{self.source}/{candidate.path}"
        staged.mkdir(parents=True, exist_ok=True)

        def copy() -> Ended:
            ended, pending = self._measure(source, staged)
            if ended.exit_code != 0 or pending.changes == 0:
                return ended

            def progress(speed: Speed) -> None:
                if self.on_progress is not None:
                    done = min(speed.bytes, pending.bytes)
                    rate = speed.bytes_per_second
                    self.on_progress(Moving(run, name, number, total, done, pending.bytes, rate))

            progress(Speed(0, None))
            return self.rsync.copy(source, staged, progress)

        try:
            copied = self._patiently(copy, lambda: size_of(staged))
        except _NoRoom as error:
            drop(staged)
            seconds = time.monotonic() - began
            return _Failed(self.journal.failed(candidate, None, str(error), seconds), False)
        if self.stop.is_set():
            return None
        match answer_to(copied):
            case Answer.DONE:
                drop_partials(staged)
            case Answer.NOT_YET:
                return self._not_yet(candidate, source, staged, copied)
            case answer:
                if answer is Answer.FULL:
                    # The log and the evaluator are on that disk too.
                    drop(staged)
                event = self._fail(copied, candidate, began)
                return _Failed(event, ends_round=answer is not Answer.SKIP)
        found = snapshot(staged).entries
        newest = max((entry.mtime for entry in found), default=0) / 1e9
        judgement = judge(staged, await_trainer=time.time() - newest < TRAINER_SECONDS)
        if not isinstance(judgement, Complete):
            return Waiting(run, name, judgement.reason)
        compared, pending = self.rsync.pending(source, staged)
        if self.stop.is_set():
            return None
        if compared.exit_code != 0:
            return self._not_yet(candidate, source, staged, compared)
        if pending.changes:
            return Waiting(run, name, "it changed at the source while it was copied")
        target = self.checkpoints / run / name
        if not publish(staged, target):
            drop(staged)
            return Waiting(run, name, "it came into the watched folder in another way")
        size = sum(entry.size for entry in found)
        return self.journal.took(candidate, target, len(found), size, time.monotonic() - began)

    def _measure(self, source: str, staged: Path) -> tuple[Ended, Pending]:
        """What is to be copied. Raises _NoRoom when it is more than the disk here can take."""
        ended, pending = self.rsync.pending(source, staged)
        if pending.bytes > shutil.disk_usage(staged).free and size_of(staged):
            # A file that came halfway is written anew beside its half.
            shutil.rmtree(staged)
            staged.mkdir()
            ended, pending = self.rsync.pending(source, staged)
        free = shutil.disk_usage(staged).free
        if pending.bytes > free:
            raise _NoRoom(
                f"{source} has {pending.bytes:,} bytes to copy, and {staged} has room for "
                f"{free:,}. Free some space here."
            )
        return ended, pending

    def _not_yet(self, candidate: Candidate, source: str, staged: Path, ended: Ended) -> Waiting:
        """Why the checkpoint must wait; one that is gone leaves nothing behind."""
        run, name = candidate.run, candidate.name
        gone = is_gone(ended) or is_gone(self.rsync.pending(source, staged)[0])
        if gone and not self.stop.is_set():
            drop(staged)
            return Waiting(run, name, "it was deleted at the source")
        return Waiting(run, name, words(ended))

    def _patiently(self, attempt: Callable[[], Ended], got: Callable[[], int]) -> Ended:
        """How `attempt` ended; one whose connection broke is made again.

        `got` is how much is here: as long as that grows, the source is given another chance. Of
        attempts that all broke, the last that says why is what comes back.
        """
        tries, most, told = 0, got(), None
        while True:
            ended = attempt()
            tries += 1
            if answer_to(ended) is not Answer.AGAIN or self.stop.is_set():
                return ended
            told = ended if tells(ended) else told
            if (now := got()) > most:
                tries, most = 1, now
            if tries == TRIES or self.stop.wait(FIRST_PAUSE_SECONDS * 2 ** (tries - 1)):
                return told or ended

    def _fail(self, ended: Ended, candidate: Candidate | None, began: float) -> SyncFailed:
        seconds = time.monotonic() - began
        return self.journal.failed(candidate, ended.exit_code, explain(ended), seconds)


class _Failed(NamedTuple):
    """A checkpoint that could not be brought, and whether the next one is to be tried."""

    event: SyncFailed
    ends_round: bool


class _NoRoom(Exception):
    """The checkpoint is larger than the free space."""


def _fail_here(
    journal: Journal, candidate: Candidate | None, error: OSError, seconds: float
) -> SyncFailed:
    """The failure of this machine's own disk."""
    message = f"{error.filename}: {error.strerror}" if error.filename else str(error)
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        message += "\nFree some space here."
    elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        message += "\nLet the user that runs Milepost write there."
    return journal.failed(candidate, None, message, seconds)
