"""Several processes append at once while others read: nothing is lost, doubled or seen by half.

`python -m tests.store.crowd` by hand appends 100,000 predictions each way; a test does so too, or
fewer. Readers poll all along: what they see only grows, without a gap, and in each snapshot the
table holds exactly the predictions that the events count.
"""

from __future__ import annotations

import argparse
import multiprocessing
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from multiprocessing.process import BaseProcess
from multiprocessing.queues import SimpleQueue
from multiprocessing.synchronize import Barrier, Event
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import func, select

from errors import ConcurrencyError
from store import chain, log
from store.engine import connect, reading
from store.events import PredictionsRecorded
from store.log import Rows
from store.migrations import upgrade
from store.records import Prediction
from store.schema import EVENT, PREDICTION
from tests import logs
from tests.logs import Seen

WRITERS = 4
READERS = 4
BATCH = 64
PATIENCE_SECONDS = 240.0
POLL_SECONDS = 0.05
SHARED = "shared"

Target = Callable[[str, int, int, Barrier, "SimpleQueue[int]"], None]


class Crowded(NamedTuple):
    """What a crowd did: `retries` are appends that came too late, `polls` snapshots looked at."""

    predictions: int
    seconds: float
    retries: int
    polls: int

    def __str__(self) -> str:
        return (
            f"{self.predictions:,} predictions by {WRITERS} processes in {self.seconds:.1f} s "
            f"({self.predictions / self.seconds:,.0f}/s), {self.retries:,} retries, "
            f"{READERS} readers looked {self.polls:,} times"
        )


def batches(writer: int, predictions: int, evaluation_id: str) -> Iterator[list[Prediction]]:
    """The predictions of one writer, each of its own name, a batch at a time."""
    example = logs.example("crowd", "What is it?", "an answer that is neither long nor short")
    template = logs.prediction(evaluation_id, example, Seen(example.target))
    for first in range(0, predictions, BATCH):
        numbers = range(first, min(first + BATCH, predictions))
        yield [replace(template, example_id=f"{writer} {number}") for number in numbers]


def recorded(evaluation_id: str, batch: list[Prediction]) -> PredictionsRecorded:
    """The event of a batch."""
    return PredictionsRecorded(
        evaluation_id=evaluation_id, batch=batch[0].example_id, scored=len(batch), failed=0
    )


def append_to_own(
    url: str, writer: int, predictions: int, start: Barrier, said: SimpleQueue[int]
) -> None:
    """A writer with an evaluation of its own, as each evaluator has."""
    engine = connect(url)
    evaluation_id = f"evaluation {writer}"
    start.wait()
    for version, batch in enumerate(batches(writer, predictions, evaluation_id)):
        event = recorded(evaluation_id, batch)
        log.append(engine, event, expected_version=version, rows=Rows(predictions=batch))
    engine.dispose()
    said.put(0)


def append_to_shared(
    url: str, writer: int, predictions: int, start: Barrier, said: SimpleQueue[int]
) -> None:
    """A writer that shares its stream with the others: who comes too late reads and tries again."""
    engine = connect(url)
    retries = 0
    start.wait()
    for batch in batches(writer, predictions, SHARED):
        event = recorded(SHARED, batch)
        while True:
            with reading(engine) as connection:
                version = log.version_of(connection, event.stream)
            try:
                log.append(engine, event, expected_version=version, rows=Rows(predictions=batch))
                break
            except ConcurrencyError:
                retries += 1
    engine.dispose()
    said.put(retries)


def look(url: str, start: Barrier, stop: Event, said: SimpleQueue[int]) -> None:
    """A reader: raises AssertionError at a snapshot that is not one."""
    engine = connect(url, read_only=True)
    polls, position, counted = 0, 0, 0
    start.wait()
    while True:
        last = stop.is_set()
        with reading(engine) as connection:
            for one in log.read(connection, after=position):
                position += 1
                assert one.position == position, f"{one.position} came in place of {position}"
                assert isinstance(one.event, PredictionsRecorded)
                counted += one.event.scored + one.event.failed
            there = connection.execute(select(func.count()).select_from(PREDICTION)).scalar_one()
            assert there == counted, f"{there} predictions, and the events count {counted}"
        polls += 1
        if last:
            break
        stop.wait(POLL_SECONDS)
    engine.dispose()
    said.put(polls)


def crowd(url: str, predictions: int, target: Target) -> Crowded:
    """Lets the writers append so many predictions together while the readers look on."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    each = predictions // WRITERS
    start, stop = context.Barrier(WRITERS + READERS + 1), context.Event()
    retries: SimpleQueue[int] = context.SimpleQueue()
    polls: SimpleQueue[int] = context.SimpleQueue()
    writers = [
        context.Process(target=target, args=(url, writer, each, start, retries), daemon=True)
        for writer in range(WRITERS)
    ]
    readers = [
        context.Process(target=look, args=(url, start, stop, polls), daemon=True)
        for _ in range(READERS)
    ]
    for process in (*writers, *readers):
        process.start()
    _line_up(start, (*writers, *readers))
    began = time.monotonic()
    _end_well(writers)
    seconds = time.monotonic() - began
    stop.set()
    _end_well(readers)
    verify(url, each)
    return Crowded(
        WRITERS * each,
        seconds,
        sum(retries.get() for _ in writers),
        sum(polls.get() for _ in readers),
    )


def _line_up(start: Barrier, processes: Sequence[BaseProcess]) -> None:
    """Lets all go at once; whoever dies before that is named, and not waited for."""
    while start.n_waiting < len(processes):
        for process in processes:
            if process.exitcode is not None:
                start.abort()
                raise AssertionError(f"{process.name} ended with {process.exitcode} at its start")
        processes[0].join(POLL_SECONDS)
    start.wait(PATIENCE_SECONDS)


def _end_well(processes: Sequence[BaseProcess]) -> None:
    for process in processes:
        process.join(PATIENCE_SECONDS)
        assert process.exitcode == 0, f"{process.name} ended with {process.exitcode}"


def verify(url: str, each: int) -> None:
    """Asserts that every prediction of every writer is there once, and the log is as appended."""
    engine = connect(url, read_only=True)
    with reading(engine) as connection:
        assert list(chain.breaks(connection)) == []
        names = connection.execute(select(PREDICTION.c.example_id)).scalars().all()
        assert Counter(names) == Counter(
            f"{writer} {number}" for writer in range(WRITERS) for number in range(each)
        )
        versions: dict[str, list[int]] = {}
        query = select(EVENT.c.stream, EVENT.c.version).order_by(EVENT.c.position)
        for stream, version in connection.execute(query):
            versions.setdefault(stream, []).append(version)
        assert all(found == list(range(1, len(found) + 1)) for found in versions.values())
        assert sum(map(len, versions.values())) == WRITERS * -(-each // BATCH)
    engine.dispose()


def main() -> None:
    """Both ways on SQLite, and how fast."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--predictions", type=int, default=100_000)
    chosen = parser.parse_args()
    for target in (append_to_own, append_to_shared):
        with tempfile.TemporaryDirectory() as folder:
            url = f"sqlite:///{Path(folder) / 'milepost.db'}"
            upgrade(url)
            print(f"{target.__name__}: {crowd(url, chosen.predictions, target)}", flush=True)


if __name__ == "__main__":
    main()
