"""Runs rsync and reads what it says: the one place that knows its options and its output.

A source is a local folder, HOST:FOLDER over ssh, or an rsync server's (HOST::MODULE or rsync://);
rsync makes little difference between them, and Milepost makes none.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import threading
import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import psutil
import sh

from errors import SyncFault
from settings import SyncSettings

if TYPE_CHECKING:
    from typing_extensions import Buffer

# Some files vanished while they were read. (man rsync, EXIT VALUES)
VANISHED = 24

PARTIAL_FOLDER = ".rsync-partial"
LAST_WORDS = 2000
POLL_SECONDS = 0.05
# What rsync gets between SIGTERM and SIGKILL, to put aside what has come of a file.
GRACE_SECONDS = 10.0
# What ssh gets after rsync has ended, to say why.
WORDS_SECONDS = 1.0
# So many unanswered questions of ssh within the time limit, and the host counts as gone.
PROBES = 3

# Not --archive: owners, groups and rights are the trainer's own business, and a link comes as what
# it points to, because the blob that it points to is not at this end. Not --delay-updates: the
# staging folder is renamed as a whole, and a second place for half a transfer would be in the way.
_COPY = (
    *("--recursive", "--times", "--copy-links"),
    "--delete",
    # What a broken transfer brought is gone on with, not begun again.
    f"--partial-dir={PARTIAL_FOLDER}",
    # Compares times to the nanosecond: a file may change twice in a second.
    "--modify-window=-1",
    "--no-human-readable",
)
_UNITS = {b"k": 1024, b"M": 1024**2, b"G": 1024**3, b"T": 1024**4}
_PROGRESS = re.compile(rb"(\d+)\s+\d+%\s+([\d.]+)([kMGT])B/s")
_ENTRY = re.compile(r"(.)\S{9}\S*\s+[\d,.]+\s+(\d{4}/\d\d/\d\d \d\d:\d\d:\d\d) (.*)")
_CHANGE = re.compile(r"(.{11}) (\d+) .*")


class Ended(NamedTuple):
    """How rsync ended; below zero `exit_code` is the signal that ended it.

    `last_words` is the end of what it and ssh wrote to stderr.
    """

    exit_code: int
    output: str
    last_words: str


class Entry(NamedTuple):
    """A folder at the source; `path` is relative to it.

    `mtime` is as rsync writes it, such as 2026/11/24 10:24:57: to the second, and in order as text.
    """

    path: str
    mtime: str


class Pending(NamedTuple):
    """What a copy would still have to do: changes of every kind, and the size of the new files."""

    changes: int
    bytes: int


class Speed(NamedTuple):
    """How far a copy is. `bytes_per_second` is rsync's own figure, None before it has one."""

    bytes: int
    bytes_per_second: float | None


Progress = Callable[[Speed], None]


class Rsync:
    """rsync with a time limit for a transfer that stalls; ended early when `stop` is set.

    `lock` is a file descriptor that every rsync holds open too: a lock on it outlives this process
    for as long as one of them does. Raises SyncFault when rsync is not installed.
    """

    def __init__(
        self, settings: SyncSettings, stop: threading.Event, lock: int | None = None
    ) -> None:
        try:
            self._command = sh.Command("rsync")
        except sh.CommandNotFound as error:
            raise SyncFault(
                "rsync is not installed. Install it (apt-get install rsync, dnf install rsync or "
                "brew install rsync), here and on the trainer's host."
            ) from error
        self._settings = settings
        self._stop = stop
        self._held = set() if lock is None else {lock}
        self._environment = {**os.environ, "LC_ALL": "C.UTF-8"}
        if settings.ssh_options or "RSYNC_RSH" not in os.environ:
            self._environment["RSYNC_RSH"] = remote_shell(settings)

    def folders(self, source: str) -> tuple[Ended, list[Entry]]:
        """The folders in `source` and the folders in those."""
        ended = self._run(
            source,
            "--list-only",
            *("--recursive", "--copy-dirlinks", "--exclude=/*/*/*"),
            *("--no-human-readable", "--8-bit-output"),
            *("--", f"{source}/"),
        )
        found = (_ENTRY.fullmatch(line) for line in ended.output.splitlines())
        entries = [Entry(one[3], one[2]) for one in found if one is not None and one[1] == "d"]
        return ended, [one for one in entries if one.path != "."]

    def pending(self, source: str, target: Path) -> tuple[Ended, Pending]:
        """What `copy` would still have to do; nothing is copied."""
        ended = self._run(
            source,
            *_COPY,
            *("--dry-run", "--out-format=%i %l %n"),
            *self._excluding(),
            *("--", f"{source}/", f"{target}/"),
        )
        changes = (_CHANGE.fullmatch(line) for line in ended.output.splitlines())
        # Of a folder that is here only its time can differ, and that says nothing.
        found = [one for one in changes if one is not None and not one[1].startswith(".d")]
        files = [int(one[2]) for one in found if one[1].startswith(">f")]
        return ended, Pending(len(found), sum(files))

    def copy(self, source: str, target: Path, progress: Progress) -> Ended:
        """Makes `target` hold what the folder `source` holds, without what the settings exclude."""
        limit = self._settings.bandwidth_limit
        return self._run(
            source,
            *_COPY,
            "--info=progress2",
            *(() if limit is None else (f"--bwlimit={1000 * limit:.3f}KB",)),
            *self._excluding(),
            *("--", f"{source}/", f"{target}/"),
            progress=progress,
        )

    def _excluding(self) -> list[str]:
        return [f"--exclude={pattern}" for pattern in self._settings.exclude]

    def _run(self, source: str, *arguments: str, progress: Progress | None = None) -> Ended:
        output = BytesIO() if progress is None else _End()
        errors = _End()
        seconds = self._settings.timeout_seconds
        process = self._command(
            f"--timeout={seconds}",
            *((f"--contimeout={seconds}",) if is_server(source) else ()),
            *arguments,
            _bg=True,
            _bg_exc=False,
            _tty_out=False,
            _out=output,
            _err=errors,
            _out_bufsize=0,
            _no_out=True,
            _no_err=True,
            _ok_code=list(range(-64, 256)),
            _encoding="utf-8",
            _env=self._environment,
            _pass_fds=self._held,
            # Ctrl-C reaches this process alone, and no ssh finds a terminal to ask on.
            _new_session=True,
        )
        while process.is_alive():
            if self._stop.wait(POLL_SECONDS):
                _end_group(process.pid)
                break
            if progress is not None:
                _report(output.getvalue(), progress)
        if process.process.exit_code != 0:
            # Of rsync's processes one may outlive another that was killed, and write on; and ssh
            # may be about to say why it ended.
            _end_group(process.pid, WORDS_SECONDS)
        process.wait()
        if progress is not None:
            _report(output.getvalue(), progress)
        return Ended(
            int(process.exit_code),
            _text(output.getvalue()),
            _text(errors.getvalue()).strip()[-LAST_WORDS:],
        )


def remote_shell(settings: SyncSettings) -> str:
    """The ssh command line as rsync splits it: at spaces, outside of single quotes.

    Of an option that is given twice ssh takes the first, so the user's own come before ours, all
    but one: nobody is there to type a password.
    """
    seconds = settings.timeout_seconds
    options = (
        "BatchMode=yes",
        *settings.ssh_options,
        f"ConnectTimeout={seconds}",
        f"ServerAliveInterval={max(1, seconds // PROBES)}",
        f"ServerAliveCountMax={PROBES}",
    )
    quoted = ("'" + one.replace("'", "''") + "'" for one in options)
    return "ssh " + " ".join(f"-o {one}" for one in quoted)


def is_remote(source: str) -> bool:
    """Whether rsync would read `source` as HOST:FOLDER: a colon comes before any slash."""
    return ":" in source.split("/", 1)[0]


def is_server(source: str) -> bool:
    """Whether `source` is an rsync server's, reached without ssh."""
    return source.startswith("rsync://") or "::" in source.split("/", 1)[0]


class _End(BytesIO):
    """Keeps the end of what is written to it: a transfer of hours says a lot."""

    KEPT = 8 * LAST_WORDS

    def write(self, chunk: Buffer) -> int:
        kept = (self.getvalue() + bytes(chunk))[-self.KEPT :]
        self.seek(0)
        self.truncate()
        return super().write(kept)


def _end_group(group: int, after: float = 0.0) -> None:
    """SIGTERM `after` so many seconds, on which rsync keeps what has come of a file; then SIGKILL.

    Returns as soon as no process of the group is left.
    """
    members = _wait_for(group, after)
    for number, seconds in ((signal.SIGTERM, GRACE_SECONDS), (signal.SIGKILL, 0.0)):
        for one in members:
            with contextlib.suppress(ProcessLookupError):
                os.kill(one, number)
        members = _wait_for(group, seconds)


def _wait_for(group: int, seconds: float) -> list[int]:
    """The processes of `group` that have not ended after so long."""
    deadline = time.monotonic() + seconds
    while (members := _members(group)) and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
    return members


def _members(group: int) -> list[int]:
    """The processes of `group` that still run: one that has ended may wait for its parent."""
    found = []
    for process in psutil.process_iter(["status"]):
        with contextlib.suppress(ProcessLookupError):
            if os.getpgid(process.pid) == group and process.info["status"] != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
    return found


def _report(output: bytes, progress: Progress) -> None:
    """Hands on the newest figures in rsync's output."""
    figures = _PROGRESS.findall(output[-400:])
    if figures:
        done, number, unit = figures[-1]
        # Its first line says 0.00kB/s, because there is nothing to measure from yet.
        progress(Speed(int(done), float(number) * _UNITS[unit] or None))


def _text(written: bytes) -> str:
    """File names need not be UTF-8; they come through unharmed."""
    return written.decode("utf-8", "surrogateescape")
