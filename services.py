"""The processes that run on: sync, watch, evaluate and the dashboard. Each ends on Ctrl-C."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from bootstrap import deriver, opened
from errors import SettingsError
from settings import Workspace
from store.liveness import Pulse
from supervisor import stop_on_signals

APP = Path(__file__).resolve().parent / "streamlit_app.py"


def evaluate(workspace: Workspace, *, once: bool) -> None:
    """Evaluates what waits; unless `once`, goes on looking until it is told to stop."""
    if not workspace.settings.suite:
        raise SettingsError(
            f"{workspace.root / 'milepost.toml'} names no suite, so there is nothing to evaluate "
            "on. Add a [[suite]] block with name and path."
        )
    from evaluators.claims import Task
    from evaluators.register import register_suites
    from evaluators.worker import Worker

    with stop_on_signals() as stop, opened(workspace) as engine:
        suites = register_suites(engine, workspace)
        derive = deriver(engine, workspace)
        derive()
        with Pulse(engine, "evaluate", on_orphaned=stop.set) as pulse, Shown() as shown:

            def progress(task: Task, recorded: int, examples: int) -> None:
                name = f"{task.run} step {task.step}"
                pulse.doing = f"evaluating {name}: {recorded} of {examples} examples"
                shown.show(name, recorded, examples)

            worker = Worker(engine, suites, workspace.settings.evaluation, stop, derive, progress)
            while not stop.is_set():
                pulse.doing = "waiting for a checkpoint"
                worker.run_pending()
                if once:
                    return
                stop.wait(workspace.settings.evaluation.interval_seconds)


def dashboard(workspace: Workspace, port: int) -> None:
    """Becomes the Streamlit server, on loopback."""
    with opened(workspace):
        pass  # a missing or foreign database is said here, not on a page
    os.environ["MILEPOST_WORKSPACE"] = str(workspace.root)
    os.chdir(APP.parent)  # where .streamlit/config.toml is
    command = [
        *(sys.executable, "-m", "streamlit", "run", str(APP)),
        *("--server.port", str(port), "--server.address", "127.0.0.1"),
        *("--server.headless", "true", "--browser.gatherUsageStats", "false"),
    ]
    os.execv(sys.executable, command)


class Shown:
    """Progress over examples: a bar in a terminal, a plain line a checkpoint elsewhere."""

    def __init__(self) -> None:
        self._console = Console()
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._name: str | None = None
        self._began = 0.0
        self._first = 0

    def __enter__(self) -> Shown:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def show(self, name: str, done: int, total: int) -> None:
        """`done` of `total` examples of `name` are recorded."""
        if name != self._name:
            self._name, self._began, self._first = name, time.monotonic(), done
            for old in self._bar.task_ids:
                self._bar.remove_task(old)
            self._bar.add_task(f"evaluating {name}", total=total, rate="")
        seconds = time.monotonic() - self._began
        rate = f"{(done - self._first) / seconds:.0f} examples/s" if done > self._first else ""
        self._bar.update(self._bar.task_ids[-1], completed=done, rate=rate)
        if done == total:
            self._console.print(f"{name}: {total} examples in {seconds:.1f} s", highlight=False)
