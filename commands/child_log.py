"""What a child process prints, line by line into a file that is rotated.

The child writes into a pipe and a thread reads it to its end, so a line that was printed is kept
even when the child is killed, and the file can change under a child that knows nothing of it.
"""

from __future__ import annotations

import logging
import re
import threading
from datetime import datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import IO

from store.log import now

LARGEST_BYTES = 10_000_000
GENERATIONS = 5
STAMP = re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d")
# Colours and cursor moves, which some libraries print without asking for a terminal.
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
ERROR = re.compile(r"^(\S+ \S+ )?(milepost: |[\w.]*(Error|Exception|Fault|Interrupt)\b|FAILED)")


class ChildLog:
    """A rotated file of stamped lines: `file`, then `file.1` … `file.5`, oldest last.

    `last_error` is the newest line that tells of an error, and `last_error_at` when (UTC).
    `final_error` and `last_line` are of the stream that is followed now.
    """

    def __init__(self, file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        self.last_line: str | None = None
        self.final_error: str | None = None
        self.last_error: str | None = None
        self.last_error_at: str | None = None
        self._handler = RotatingFileHandler(
            file, maxBytes=LARGEST_BYTES, backupCount=GENERATIONS, encoding="utf-8"
        )
        self._reader: threading.Thread | None = None

    def follow(self, stream: IO[bytes]) -> None:
        """Copies `stream` from a thread until its end, and closes it."""
        self.last_line = self.final_error = None
        self._reader = threading.Thread(
            target=self._copy, args=(stream,), name="child's log", daemon=True
        )
        self._reader.start()

    def finish(self, seconds: float) -> None:
        """Waits for the stream's end; not longer, for a child's child may hold it open."""
        if self._reader is not None:
            self._reader.join(seconds)

    def close(self) -> None:
        """Closes the file."""
        self._handler.close()

    def _copy(self, stream: IO[bytes]) -> None:
        with stream:
            for raw in stream:
                self.write(raw.decode("utf-8", errors="replace"))

    def write(self, text: str) -> None:
        """One line, stamped with the local time unless it brings a stamp of its own."""
        line = plain(text)
        if not line.strip():
            return
        self.last_line = line
        if ERROR.search(line):
            self.last_error = self.final_error = line
            self.last_error_at = now()
        if not STAMP.match(line):
            line = f"{datetime.now():%Y-%m-%d %H:%M:%S} {line}"
        self._handler.handle(logging.makeLogRecord({"msg": line}))


def plain(text: str) -> str:
    """A line as a person would see it: without colours, and what was overwritten left out."""
    return ESCAPES.sub("", text).rstrip().rpartition("\r")[2]
