"""Hints from the file system that something changed. They may be lost; they decide nothing."""

from __future__ import annotations

import logging
import os
import threading
import time
import warnings
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

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
from watchdog.observers.api import BaseObserver

from ingest.mounts import silent_mount
from settings import Observing

# Signals set `stop` from outside: it is looked at this often.
POLL_SECONDS = 0.1
# What could not be listened to is tried again this often.
RETRY_SECONDS = 60.0

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


class Place(NamedTuple):
    """A folder without links in its path, and which one it is: another may take its name."""

    path: str
    device: int
    inode: int


class Hints(FileSystemEventHandler):
    """Listens for changes below the folders it follows, outside dot folders, in a `with` block.

    "polling" listens to nothing, which leaves the timer: a second process that lists everything
    would tell no more than the scan does. "auto" is that where the file system tells only of what
    this machine changes, and "native" elsewhere.
    """

    def __init__(self, observing: Observing = "native") -> None:
        self._observing = observing
        self._observer: BaseObserver | None = None
        self._places: tuple[Place, ...] = ()
        self._said: set[str] = set()
        self._retry_at = 0.0
        self._last: float | None = None

    def __enter__(self) -> Self:
        # A folder moved into one that has just been made is registered twice, with one effect.
        warnings.filterwarnings("ignore", "Callback with id", RuntimeWarning, "watchdog")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()

    def follow(self, folders: Iterable[Path]) -> None:
        """Listens to what stands at these paths now, and again if listening has ended by itself.

        Links to folders are not followed below, so those that matter are given too. Beginning to
        listen counts as a change: what came before it was told by nobody.
        """
        places = tuple(sorted({place for one in folders if (place := self._place(one))}))
        if places == self._places:
            if self.listening or (self._observer is None and time.monotonic() < self._retry_at):
                return
            if self._observer is not None:
                self._say("the hints of changes ended by themselves: they are started anew")
        self._end()
        self._places = places
        if places and self._begin():
            self._last = time.monotonic()
        self._retry_at = time.monotonic() + RETRY_SECONDS

    @property
    def listening(self) -> bool:
        """Whether every thread that brings hints is alive."""
        return self._observer is not None and all(one.is_alive() for one in self.threads)

    @property
    def threads(self) -> list[threading.Thread]:
        """Those that bring hints; any of them may die of an error, and tells nobody."""
        if self._observer is None:
            return []
        # The one that reads from the kernel is an attribute without a public name.
        held = [one for one in vars(self._observer).values() if isinstance(one, threading.Thread)]
        return [self._observer, *self._observer.emitters, *held]

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Notes the time of a change that a scan would see."""
        paths = (os.fsdecode(path) for path in (event.src_path, event.dest_path) if path)
        if any(self._is_visible(path) for path in paths):
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

    def _place(self, folder: Path) -> Place | None:
        """None for what is no folder now, and for one whose changes are left to the timer."""
        path = os.path.realpath(folder)
        try:
            found = os.stat(path)
        except OSError:
            return None
        if self._observing == "polling" or not os.path.isdir(path):
            return None
        if self._observing == "auto" and (mount := silent_mount(folder)) is not None:
            self._say(
                f"{folder} is on {mount.kind}, which tells nothing of what other machines change: "
                "changes are found by the timer only"
            )
            return None
        return Place(path, found.st_dev, found.st_ino)

    def _begin(self) -> bool:
        """Whether listening has begun."""
        try:
            self._observer = Observer()
            for place in self._places:
                self._observer.schedule(self, place.path, recursive=True, event_filter=_CHANGES)
            self._observer.start()
        except (OSError, RuntimeError) as error:
            # For instance when the system's inotify watches are used up.
            names = ", ".join(place.path for place in self._places)
            self._say(f"{names} gives no hints ({error}): changes are found by the timer only")
            self._end()
            return False
        return True

    def _end(self) -> None:
        if self._observer is not None:
            self._observer.stop()
            if self._observer.ident is not None:
                self._observer.join()
        self._observer = None

    def _say(self, words: str) -> None:
        """Once, however often it happens."""
        if words not in self._said:
            self._said.add(words)
            _logger.warning("%s", words)

    def _is_visible(self, path: str) -> bool:
        below = [
            Path(path).relative_to(place.path).parts
            for place in self._places
            if Path(path).is_relative_to(place.path)
        ]
        # A link may lead from a run into a dot folder: what one place hides another shows.
        return not below or any(
            not any(part.startswith(".") for part in parts[:2]) for parts in below
        )
