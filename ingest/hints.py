"""Hints from the file system that something changed. They may be lost; they decide nothing."""

from __future__ import annotations

import logging
import threading
import time
import warnings
from pathlib import Path
from types import TracebackType
from typing import Self

from watchdog.events import (
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer

# Signals set `stop` from outside: it is looked at this often.
POLL_SECONDS = 0.1

# Not among them: opening and reading, which scanning itself does.
_CHANGES: list[type[FileSystemEvent]] = [
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
]

_logger = logging.getLogger(__name__)


class Hints(FileSystemEventHandler):
    """Listens for changes below `root`, outside dot folders, while the `with` block runs."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._observer = Observer()
        self._running = False
        self._last: float | None = None

    def __enter__(self) -> Self:
        # A folder moved into one that has just been made is registered twice, with one effect.
        warnings.filterwarnings("ignore", "Callback with id", RuntimeWarning, "watchdog")
        try:
            self._observer.schedule(self, self._root, recursive=True, event_filter=_CHANGES)
            self._observer.start()
            self._running = True
        except OSError as error:
            # For instance when the system's inotify watches are used up.
            _logger.warning(
                "%s gives no hints (%s): changes are found by the timer only", self._root, error
            )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._running:
            self._observer.stop()
            self._observer.join()

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Notes the time of a change that a scan would see."""
        if any(self._is_visible(str(path)) for path in (event.src_path, event.dest_path) if path):
            self._last = time.monotonic()

    def wait(self, stop: threading.Event, seconds: float, debounce_seconds: float) -> None:
        """Returns when a burst of changes has ended, after `seconds`, or when `stop` is set.

        A burst that does not end is cut off after `seconds` too.
        """
        deadline = time.monotonic() + seconds
        while not stop.is_set() and (left := deadline - time.monotonic()) > 0:
            last = self._last
            if last is None:
                stop.wait(min(left, POLL_SECONDS))
            elif (quiet := time.monotonic() - last) < debounce_seconds:
                stop.wait(min(left, debounce_seconds - quiet))
            else:
                break
        self._last = None

    def _is_visible(self, path: str) -> bool:
        if not Path(path).is_relative_to(self._root):
            return True
        parts = Path(path).relative_to(self._root).parts
        return not any(part.startswith(".") for part in parts[:2])
