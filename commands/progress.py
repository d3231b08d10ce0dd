"""What a running process shows: a bar in a terminal, plain lines with the time elsewhere."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable
from datetime import datetime
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from views.words import size

WINDOW_SECONDS = 15.0

_console = Console(highlight=False, markup=False)


def say(line: str) -> None:
    """One line; with the time in front where no person watches, so that a log can be searched."""
    if _console.is_terminal:
        _console.print(line)
    else:
        print(f"{datetime.now():%Y-%m-%d %H:%M:%S} {line}", flush=True)


class _Bar:
    """One bar that moves from subject to subject; in a terminal only."""

    def __init__(
        self, *columns: TextColumn | BarColumn | MofNCompleteColumn, remaining: bool = True
    ) -> None:
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            *columns,
            *([TimeRemainingColumn()] if remaining else []),
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
    """The progress of a copy: percent, bytes, speed, time left."""

    def __init__(self) -> None:
        super().__init__(TextColumn("{task.percentage:.0f} %  {task.fields[note]}"))
        self._total = 0

    def show(self, name: str, done: int, total: int, bytes_per_second: float | None) -> None:
        """`done` of the `total` bytes of `name` are here."""
        if (name, total) != (self.name, self._total):
            self._total = total
            self.begin(name, total)
        self.move(done, f"{size(done)} of {size(total)}{at_speed(bytes_per_second)}")


class News:
    """Says what is so, each line only when it was not so the last time."""

    def __init__(self) -> None:
        self._said: frozenset[str] = frozenset()

    def tell(self, lines: Iterable[str]) -> None:
        """`lines` is all that is so now."""
        now = list(lines)
        for line in now:
            if line not in self._said:
                say(line)
        self._said = frozenset(now)


def at_speed(bytes_per_second: float | None) -> str:
    """A speed as the end of a phrase; nothing when it is not known."""
    return "" if bytes_per_second is None else f", {size(round(bytes_per_second))}/s"


def time_left(seconds: float | None) -> str:
    """A time to wait as the end of a phrase; nothing when it is not known."""
    if seconds is None:
        return ""
    hours, minutes = divmod(round(seconds) // 60, 60)
    if hours:
        return f", {hours} h {minutes} min left"
    return f", {minutes} min left" if minutes else f", {round(seconds)} s left"


class Pace:
    """How fast something goes on, over the last WINDOW_SECONDS: it comes in uneven lots."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def note(self, done: int, at: float) -> None:
        """`done` are done `at` this time, in seconds of a clock that never goes back."""
        self._seen.append((at, done))
        while len(self._seen) > 2 and self._seen[1][0] <= at - WINDOW_SECONDS:
            self._seen.popleft()

    @property
    def per_second(self) -> float | None:
        """None until something was done in some time."""
        if not self._seen:
            return None
        (began, first), (at, done) = self._seen[0], self._seen[-1]
        return (done - first) / (at - began) if done > first and at > began else None

    def seconds_left(self, total: int) -> float | None:
        """How long what is missing takes at this pace; None where that is not known."""
        rate = self.per_second
        return None if rate is None else (total - self._seen[-1][1]) / rate


class Evaluations(_Bar):
    """The progress of an evaluation: examples recorded, examples a second, time left."""

    def __init__(self) -> None:
        super().__init__(MofNCompleteColumn(), TextColumn("{task.fields[note]}"), remaining=False)
        self._began = 0.0
        self._first = 0
        self._pace = Pace()

    def show(self, name: str, done: int, total: int) -> str:
        """`done` of `total` examples of `name` are recorded. Returns that as a phrase."""
        if name != self.name:
            self._began, self._first, self._pace = time.monotonic(), done, Pace()
            self.begin(name, total)
        now = time.monotonic()
        seconds = now - self._began
        self._pace.note(done, now)
        rate = self._pace.per_second
        pace = "" if rate is None else f", {rate:.3g}/s{time_left(self._pace.seconds_left(total))}"
        self.move(done, pace.removeprefix(", "))
        if done == total:
            self.clear()
            say(f"evaluated {name}: {total - self._first} examples in {seconds:.1f} s")
        return f"{name}: {done} of {total} examples{pace}"
