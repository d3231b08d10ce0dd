"""Runs rsync and reads what it says: the one place that knows its options and exit codes.

A source is a local folder or HOST:FOLDER; rsync makes no difference, and neither does Milepost.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import sh

from errors import SyncFault

# Some files could not be sent; some vanished while they were read. (man rsync, EXIT VALUES)
PARTIAL, VANISHED = 23, 24

PARTIAL_FOLDER = ".rsync-partial"
LAST_WORDS = 2000
POLL_SECONDS = 0.05

_COPY = (
    # Links come as what they point to: the blob that they point to is not at this end.
    *("--recursive", "--times", "--copy-links"),
    "--delete",
    # What a broken transfer brought is gone on with, not begun again.
    f"--partial-dir={PARTIAL_FOLDER}",
    # Compares times to the nanosecond: a file may change twice in a second.
    "--modify-window=-1",
)
_PROGRESS = re.compile(rb"(\d+)\s+(\d+)%")
_ENTRY = re.compile(r"(.)\S{9}\S*\s+[\d,.]+\s+(\d{4}/\d\d/\d\d \d\d:\d\d:\d\d) (.*)")


class Ended(NamedTuple):
    """How rsync ended. `last_words` is the end of what it wrote to stderr."""

    exit_code: int
    output: str
    last_words: str


class Entry(NamedTuple):
    """A folder at the source; `path` is relative to it.

    `mtime` is as rsync writes it, such as 2026/11/24 10:24:57: to the second, and in order as text.
    """

    path: str
    mtime: str


Progress = Callable[[int, int], None]


class Rsync:
    """rsync with a time limit for a transfer that stalls; ended early when `stop` is set.

    Raises SyncFault when rsync is not installed.
    """

    def __init__(self, timeout_seconds: int, stop: threading.Event) -> None:
        try:
            self._command = sh.Command("rsync")
        except sh.CommandNotFound as error:
            raise SyncFault(
                "rsync is not installed. Install it (apt-get install rsync, dnf install rsync or "
                "brew install rsync), here and on the trainer's host."
            ) from error
        self._timeout = f"--timeout={timeout_seconds}"
        # Nobody is there to type a password or to wait for a host that is down.
        remote_shell = f"ssh -o BatchMode=yes -o ConnectTimeout={timeout_seconds}"
        self._environment = {"RSYNC_RSH": remote_shell, **os.environ, "LC_ALL": "C.UTF-8"}
        self._stop = stop

    def folders(self, source: str) -> tuple[Ended, list[Entry]]:
        """The folders in `source` and the folders in those."""
        ended = self._run(
            "--list-only",
            *("--recursive", "--copy-dirlinks", "--exclude=/*/*/*"),
            *("--no-human-readable", "--8-bit-output"),
            *("--", f"{source}/"),
        )
        found = (_ENTRY.fullmatch(line) for line in ended.output.splitlines())
        entries = [Entry(one[3], one[2]) for one in found if one is not None and one[1] == "d"]
        return ended, [one for one in entries if one.path != "."]

    def copy(self, source: str, target: Path, exclude: Sequence[str], progress: Progress) -> Ended:
        """Makes `target` hold what the folder `source` holds, without what `exclude` names.

        `progress` is called with the bytes done and the percentage of the files known so far.
        """
        return self._run(
            *_COPY,
            *("--info=progress2", "--no-human-readable"),
            *(f"--exclude={pattern}" for pattern in exclude),
            *("--", f"{source}/", f"{target}/"),
            progress=progress,
        )

    def differences(self, source: str, target: Path, exclude: Sequence[str]) -> Ended:
        """What `copy` would still have to do, one line of output a file; nothing is copied."""
        return self._run(
            *_COPY,
            *("--dry-run", "--itemize-changes"),
            *(f"--exclude={pattern}" for pattern in exclude),
            *("--", f"{source}/", f"{target}/"),
        )

    def _run(self, *arguments: str, progress: Progress | None = None) -> Ended:
        output, errors = BytesIO(), BytesIO()
        process = self._command(
            self._timeout,
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
            _env=self._environment,
        )
        while process.is_alive():
            if self._stop.wait(POLL_SECONDS):
                process.terminate()
                break
            if progress is not None:
                _report(output.getvalue(), progress)
        process.wait()
        if progress is not None:
            _report(output.getvalue(), progress)
        return Ended(
            int(process.exit_code),
            _text(output),
            _text(errors).strip()[-LAST_WORDS:],
        )


def _report(output: bytes, progress: Progress) -> None:
    """Hands on the newest figures in rsync's output."""
    figures = _PROGRESS.findall(output[-400:])
    if figures:
        done, percent = figures[-1]
        progress(int(done), int(percent))


def _text(stream: BytesIO) -> str:
    """File names need not be UTF-8; they come through unharmed."""
    return stream.getvalue().decode("utf-8", "surrogateescape")
