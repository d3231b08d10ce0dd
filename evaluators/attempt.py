"""One attempt at an evaluation: all that a worker appends to the evaluation's stream, in order.

Each append expects the version that the one before it left. So an attempt that was overtaken by
another worker's ends with ConcurrencyError at its next append, and adds nothing to it.
"""

from __future__ import annotations

import hashlib
import os
import resource
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import Engine

from evaluators import engine as passes
from evaluators.claims import AGAIN, Task, Wanted, host
from evaluators.endings import errors_of
from store import log
from store.engine import reading
from store.events import (
    EvaluationCompleted,
    EvaluationStarted,
    Event,
    PredictionsRecorded,
    QuickTierCompleted,
)
from store.log import NO_ROWS, Rows

TOKEN_COUNTS = ("prompt_tokens", "target_tokens", "generated_tokens")


@dataclass
class Attempt:
    """An attempt at `task` on `examples` examples, which `began` at that time.monotonic().

    `recorded` counts the examples that this attempt has recorded.
    """

    engine: Engine
    task: Task
    wanted: Wanted
    loaded: passes.Engine
    examples: int
    began: float
    recorded: int = 0
    _tokens: Counter[str] = field(default_factory=Counter)
    _version: int = field(init=False)

    def __post_init__(self) -> None:
        self._version = self.task.version

    def start(self, plan: passes.Plan, quick: int | None) -> None:
        """Claims the evaluation; `quick` is how many examples are a quick tier, if there is one."""
        task, loaded = self.task, self.loaded
        self._append(
            EvaluationStarted(
                evaluation_id=task.evaluation_id,
                attempt=task.attempt,
                checkpoint_id=task.checkpoint_id,
                suites=self.wanted.suites,
                examples=self.examples,
                evaluator_version=passes.EVALUATOR_VERSION,
                host=host(),
                pid=os.getpid(),
                device=loaded.device,
                dtype=loaded.dtype,
                attention=loaded.attention,
                prompt_format=loaded.prompt_format,
                libraries=loaded.libraries,
                plan=plan.summary,
                settings={**self.wanted.numbers, **({AGAIN: task.again} if task.again else {})},
                fallback=loaded.fallback,
                quick=quick,
            )
        )

    def record(self, outcomes: Sequence[passes.Outcome]) -> None:
        """Appends what came of some examples, with its rows."""
        predictions = [row for one in outcomes for row in one.predictions]
        failed = sum(one.prediction.error is not None for one in outcomes)
        ids = "\n".join(sorted(f"{one.example_id} {one.sample}" for one in predictions))
        event = PredictionsRecorded(
            evaluation_id=self.task.evaluation_id,
            batch=hashlib.sha256(ids.encode()).hexdigest()[:32],
            scored=len(outcomes) - failed,
            failed=failed,
        )
        traces = [trace for one in outcomes for trace in one.traces]
        self._append(event, Rows(predictions=predictions, traces=traces))
        self.recorded += len(outcomes)
        for name in TOKEN_COUNTS:
            self._tokens[name] += sum(getattr(one, name) or 0 for one in predictions)

    def end_quick_tier(self, first: frozenset[str]) -> None:
        """Says that the examples of the quick tier, by id, are all recorded."""
        with reading(self.engine) as connection:
            failed = len(first.intersection(errors_of(connection, self.task.evaluation_id)))
        self._append(
            QuickTierCompleted(
                evaluation_id=self.task.evaluation_id,
                checkpoint_id=self.task.checkpoint_id,
                suites=self.wanted.suites,
                examples=self.examples,
                scored=len(first) - failed,
                failed=failed,
                seconds=time.monotonic() - self.began,
            )
        )

    def complete(self, *, failed: int, load_seconds: float) -> None:
        """Says that every example is recorded, `failed` of them as errors, by all attempts."""
        self._append(
            EvaluationCompleted(
                evaluation_id=self.task.evaluation_id,
                checkpoint_id=self.task.checkpoint_id,
                scored=self.examples - failed,
                failed=failed,
                seconds=time.monotonic() - self.began,
                load_seconds=load_seconds,
                peak_bytes=peak_bytes(),
                device_peak_bytes=self.loaded.device_peak_bytes(),
                **{name: self._tokens[name] for name in TOKEN_COUNTS},
            )
        )

    def _append(self, event: Event, rows: Rows = NO_ROWS) -> None:
        recorded = log.append(self.engine, event, expected_version=self._version, rows=rows)
        self._version = recorded.version


def peak_bytes() -> int:
    """This process's peak resident memory, in bytes (getrusage: kB on Linux, bytes on macOS)."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
