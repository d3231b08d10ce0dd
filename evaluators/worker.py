"""The worker: claims a checkpoint, runs the one pass over it, appends what it saw batch by batch.

The pass has two parts: the quick tier, which views show as soon as it is in, and the rest.

What is appended stays. A worker that takes over from a dead one scores only the examples that are
not in the log yet; a worker whose evaluation was taken over notices at its next append and lets go.
The engine stays in memory for the next checkpoint, whose files are read ahead meanwhile.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import Connection, Engine

from errors import ConcurrencyError, EventConflict, StoreError
from evaluators import engine as passes
from evaluators.attempt import Attempt
from evaluators.claims import (
    Standing,
    Task,
    Wanted,
    living,
    pending,
    recorded_examples,
    standing,
)
from evaluators.earlier import texts
from evaluators.endings import ending, errors_of, refuse_empty, refuse_unscored
from evaluators.keeper import Keeper
from evaluators.loading import NO_TRUST
from evaluators.quick import quick_tier
from evaluators.readahead import ReadAhead
from evaluators.suites import Suite
from settings import EvaluationSettings, Trust
from store import log
from store.engine import reading
from store.events import QuickTierCompleted
from store.lifecycle import LIFECYCLE
from store.projections import bring_up_to_date
from store.records import Example

Progress = Callable[[Task, int, int], None]


@dataclass(frozen=True)
class Worker:
    """Evaluates what is pending, one checkpoint at a time.

    A database that cannot be written (DiskFull, DatabaseBusy …) ends it with that error; what it
    had recorded stays, and the next worker goes on from there.

    `derive` is called after each append, so that whoever derives views can; `progress` with the
    task, the number of examples recorded, and the number in all.
    """

    engine: Engine
    suites: Sequence[Suite]
    settings: EvaluationSettings
    stop: threading.Event
    derive: Callable[[], None]
    progress: Progress
    trust: Trust = NO_TRUST
    keeper: Keeper = field(default_factory=Keeper)

    @property
    def wanted(self) -> Wanted:
        """What it evaluates on, and how."""
        suites = tuple(sorted(suite.suite_id for suite in self.suites))
        return Wanted(suites, passes.EVALUATOR_VERSION, passes.numbers(self.settings))

    def run_task(self, task: Task) -> Standing:
        """Evaluates one checkpoint, again while that can help. Returns how it stands then."""
        while True:
            with suppress(ConcurrencyError):  # another worker has it: what it does is seen below
                self._evaluate(task)
            self.derive()
            with reading(self.engine) as connection:
                stands = standing(connection, task.evaluation_id, task.again)
                alive = living(connection)
            if self.stop.is_set() or not stands.waits(alive):
                return stands
            task = task._replace(version=stands.version, attempt=stands.attempt + 1)

    def run_pending(self, *, run: str | None = None, uncovered: bool = False) -> int:
        """Evaluates until nothing is pending or `stop` is set. Returns how many it ended.

        `run` and `uncovered` are those of `pending`.
        """
        ended = 0
        while not self.stop.is_set() and (tasks := self._pending(run, uncovered)):
            following = tasks[1].path if len(tasks) > 1 else None
            try:
                self._evaluate(tasks[0], following)
            except ConcurrencyError:
                # Another worker has it, so it is not ours to end.
                continue
            ended += 1
            self.derive()
        if ended:
            self.keeper.used()
        self.keeper.rest(self.settings.unload_after_seconds)
        return ended

    def _pending(self, run: str | None, uncovered: bool) -> list[Task]:
        bring_up_to_date(self.engine, [LIFECYCLE])
        with reading(self.engine) as connection:
            return pending(
                connection, self.wanted, run=run, uncovered=uncovered, order=self.settings.order
            )

    def _evaluate(self, task: Task, following: Path | None = None) -> None:
        """One checkpoint, to its end: completed, failed, abandoned, or left for the next start.

        `following` is the folder of the one that is likely next.
        """
        try:
            self._run(task, following)
        except Exception as error:
            if isinstance(error, StoreError) and not isinstance(error, EventConflict):
                raise  # no fault of the checkpoint, and no place to put a failure
            self.keeper.let_go()  # what it holds may be a part of the fault
            log.append(self.engine, ending(task, self.wanted.suites, error))

    def _run(self, task: Task, following: Path | None) -> None:
        refuse_empty(self.suites)
        began = time.monotonic()
        loaded = self.keeper.load(task.path, self.settings, self.trust)
        load_seconds = time.monotonic() - began
        examples = distinct(self.suites)
        with reading(self.engine) as connection:
            done = recorded_examples(connection, task.evaluation_id)
            first = self._quick_tier(connection, task, done)
            drafts = texts(connection, task, self.wanted.suites)
        waiting = [one for one in examples if one.example_id not in done]
        quick = loaded.plan([one for one in waiting if one.example_id in first], drafts)
        rest = loaded.plan([one for one in waiting if one.example_id not in first], drafts)
        attempt = Attempt(self.engine, task, self.wanted, loaded, len(examples), began)
        attempt.start(quick.then(rest), len(first) or None)
        self.progress(task, len(done), len(examples))
        with ReadAhead(following):
            for part in (quick, rest):
                for outcomes in loaded.run(part, task.evaluation_id):
                    if outcomes:
                        attempt.record(outcomes)
                        self.derive()
                        self.progress(task, len(done) + attempt.recorded, len(examples))
                    if self.stop.is_set() and attempt.recorded < len(waiting):
                        return
                if part is quick and first:
                    attempt.end_quick_tier(first)
                    self.derive()
        with reading(self.engine) as connection:
            errors = errors_of(connection, task.evaluation_id)
        refuse_unscored(self.suites, errors)
        attempt.complete(failed=len(errors), load_seconds=load_seconds)

    def _quick_tier(
        self, connection: Connection, task: Task, done: frozenset[str]
    ) -> frozenset[str]:
        """The examples that come first, by id; none if there is no quick tier, or no more.

        An evaluation that has recorded others already goes on without one.
        """
        first = quick_tier(self.suites, self.settings.quick_examples)
        stream = f"evaluation/{task.evaluation_id}"
        if any(log.read(connection, types=(QuickTierCompleted,), stream=stream)):
            return frozenset()
        return first if done <= first else frozenset()


def distinct(suites: Sequence[Suite]) -> list[Example]:
    """The examples of all suites, each content once, in the order in which they first come."""
    found: dict[str, Example] = {}
    for suite in suites:
        for one in suite.examples:
            found.setdefault(one.example_id, one)
    return list(found.values())
