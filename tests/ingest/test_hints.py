"""Hints come from what a scan would see, and end a wait."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from watchdog.events import FileSystemEvent

from ingest.hints import Hints
from tests.ingest.folders import wait_for

LONG, SHORT = 20.0, 0.3


class Recording(Hints):
    """Keeps the paths that the file system reports."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.paths: list[str] = []

    def on_any_event(self, event: FileSystemEvent) -> None:
        super().on_any_event(event)
        self.paths.append(str(event.src_path))


def waited(hints: Hints, seconds: float, debounce_seconds: float = 0.05) -> float:
    began = time.monotonic()
    hints.wait(threading.Event(), seconds, debounce_seconds)
    return time.monotonic() - began


def test_reading_gives_no_hint(tmp_path: Path) -> None:
    file, later = tmp_path / "file", tmp_path / "later"
    file.write_text("content")
    with Recording(tmp_path) as hints:
        file.read_text()
        list(tmp_path.iterdir())
        # Reports come in order, so all that reading causes would be there before this one.
        later.touch()
        wait_for(lambda: str(later) in hints.paths)
    assert set(hints.paths) == {str(later)}


def test_a_change_ends_the_wait(tmp_path: Path) -> None:
    with Hints(tmp_path) as hints:
        (tmp_path / "run").mkdir()
        assert waited(hints, LONG) < LONG / 2


def test_a_change_in_staging_does_not_but_the_rename_out_of_it_does(tmp_path: Path) -> None:
    staged = tmp_path / ".staging" / "run" / "checkpoint-10"
    staged.mkdir(parents=True)
    (tmp_path / "run").mkdir()
    with Recording(tmp_path) as hints:
        (staged / "model.safetensors").touch()
        wait_for(lambda: str(staged / "model.safetensors") in hints.paths)
        assert waited(hints, SHORT) >= SHORT
        staged.rename(tmp_path / "run" / "checkpoint-10")
        assert waited(hints, LONG) < LONG / 2


def test_a_burst_is_waited_out_but_not_for_ever(tmp_path: Path) -> None:
    with Recording(tmp_path) as hints:
        (tmp_path / "file").touch()
        wait_for(lambda: hints.paths)
        assert SHORT / 2 <= waited(hints, LONG, debounce_seconds=SHORT) < LONG / 2
        (tmp_path / "other").touch()
        wait_for(lambda: len(hints.paths) > 1)
        assert waited(hints, SHORT, debounce_seconds=LONG) < LONG / 2


def test_stopping_ends_the_wait(tmp_path: Path) -> None:
    stop = threading.Event()
    stop.set()
    with Hints(tmp_path) as hints:
        began = time.monotonic()
        hints.wait(stop, LONG, 0.05)
        assert time.monotonic() - began < LONG / 2
