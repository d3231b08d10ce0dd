"""What the log and the views cost beside the model: the real worker on a real database."""

from __future__ import annotations

import json
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, ParamSpec, TypeVar
from unittest.mock import patch

from benchmarks.ours import settings_of
from benchmarks.sides import Machine, Work
from errors import MilepostError
from settings import SuiteSettings, Workspace
from store import log
from store.records import Example

P = ParamSpec("P")
T = TypeVar("T")


class Overhead(NamedTuple):
    """Seconds of a worker's pass, loading left out, and how many of them went beside the model."""

    pass_seconds: float
    log_seconds: float
    view_seconds: float

    @property
    def share(self) -> float:
        """Of the pass, from 0 to 1."""
        return (self.log_seconds + self.view_seconds) / self.pass_seconds


class Clock:
    """Adds up the seconds of calls."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def timed(self, function: Callable[P, T]) -> Callable[P, T]:
        """The same function, its time taken."""

        def call(*args: P.args, **kwargs: P.kwargs) -> T:
            began = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                self.seconds += time.perf_counter() - began

        return call


def measure(work: Work, machine: Machine) -> Overhead:
    """Evaluates a checkpoint as `milepost evaluate` does, in a workspace of its own."""
    with tempfile.TemporaryDirectory() as folder:
        return _evaluate(Path(folder), work, machine)


def _evaluate(root: Path, work: Work, machine: Machine) -> Overhead:
    # The views import streamlit, which has no place in the processes that are measured beside.
    from commands.bootstrap import deriver, opened
    from data.workspace import make
    from evaluators import engine as passes
    from evaluators.register import register_suites
    from evaluators.worker import Worker
    from ingest import watcher

    made = make(root, text="")
    suite = SuiteSettings(name="benchmark", path=_write(root / "rows.jsonl", work.examples))
    settings = made.settings.model_copy(
        update={"suite": (suite,), "evaluation": settings_of(work, machine)}
    )
    workspace = Workspace(made.root, settings)
    arrived = workspace.checkpoints / "run" / "checkpoint-1"
    shutil.copytree(work.model, arrived)
    writing, deriving, loading = Clock(), Clock(), Clock()
    stop = threading.Event()
    with opened(workspace) as database:
        watcher.watch(workspace, database, stop, lambda _scan: None, once=True)
        derive = deriving.timed(deriver(database, workspace))
        suites = register_suites(database, workspace)
        derive()
        deriving.seconds = 0.0
        worker = Worker(
            database, suites, settings.evaluation, stop, derive, lambda *_: None, workspace.trust
        )
        with (
            patch.object(log, "append", writing.timed(log.append)),
            patch.object(passes, "load", loading.timed(passes.load)),
        ):
            began = time.perf_counter()
            ended = worker.run_pending()
            seconds = time.perf_counter() - began
    if ended != 1:
        raise MilepostError(f"the worker ended {ended} evaluations instead of one")
    return Overhead(seconds - loading.seconds, writing.seconds, deriving.seconds)


def _write(file: Path, examples: Sequence[Example]) -> Path:
    """The rows, completions with one user turn each, as a suite's file."""
    rows = ({"prompt": one.messages[-1]["content"], "target": one.target} for one in examples)
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file
