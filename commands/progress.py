"""What a running process shows: a bar in a terminal, plain lines with the time elsewhere."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from views.words import size

_console = Console(highlight=False, markup=False)


def say(line: str) -> None:
    """One line; with the time in front where no person watches, so that a log can be searched."""
    if _console.is_terminal:
        _console.print(line)
    else:
        print(f"{datetime.now():%Y-%m-%d %H:%M:%S} {line}", flush=True)


class _Bar:
    """One bar that moves from subject to subject; in a terminal only."""

    def __init__(self, *columns: TextColumn | BarColumn | MofNCompleteColumn) -> None:
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            *columns,
            TimeRemainingColumn(),
            console=_console,
            disable=not _console.is_terminal,
        )
        self.name: str | None = None

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def begin(self, name: str, total: float) -> None:
        """Starts over for another subject."""
        self.clear()
        self.name = name
        self._progress.add_task(name, total=total, note="")

    def move(self, completed: float, note: str = "") -> None:
        """Sets how far the present subject is."""
        self._progress.update(self._progress.task_ids[-1], completed=completed, note=note)

    def clear(self) -> None:
        """Takes the bar away."""
        self.name = None
        for old in self._progress.task_ids:
            self._progress.remove_task(old)


class Transfers(_Bar):
    """The progress of a copy: percent, bytes, time left."""

    def __init__(self) -> None:
        super().__init__(TextColumn("{task.percentage:.0f} %  {task.fields[note]}"))

    def show(self, name: str, n: int, percent: int) -> None:
        """`n` bytes, `percent` of the whole, of `name` are here."""
        if name != self.name:
            self.begin(name, 100)
        self.move(percent, size(n))


class Evaluations(_Bar):
    """The progress of an evaluation: examples recorded, examples a second, time left."""

    def __init__(self) -> None:
        super().__init__(MofNCompleteColumn(), TextColumn("{task.fields[note]}"))
        self._began = 0.0
        self._first = 0

    def show(self, name: str, done: int, total: int) -> None:
        """`done` of `total` examples of `name` are recorded."""
        if name != self.name:
            self._began, self._first = time.monotonic(), done
            self.begin(name, total)
        seconds = time.monotonic() - self._began
        rate = f"{(done - self._first) / seconds:.0f} examples/s" if done > self._first else ""
        self.move(done, rate)
        if done == total:
            self.clear()
            say(f"evaluated {name}: {total - self._first} examples in {seconds:.1f} s")
