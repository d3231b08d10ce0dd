"""The processes that run on: sync, watch, evaluate and the dashboard. Each ends on Ctrl-C.

`milepost notify`, which `up` runs as well where a place is named, has a module of its own.
"""

from __future__ import annotations

import os
import runpy
import sys
from collections.abc import Sequence
from pathlib import Path

from commands.bootstrap import deriver, opened
from commands.checkpoints import find, of_run
from commands.evaluation import evaluate_one
from commands.progress import Evaluations, News, Transfers, at_speed, say, time_left
from commands.retention import prune_automatically
from commands.roster import Entry, forget, write
from commands.status_files import keeper
from commands.supervisor import Child, Supervisor, free_port, milepost, stop_on_signals
from errors import SettingsError, SyncFault, UsageError
from settings import Workspace
from store.engine import reading
from store.liveness import Pulse, when_orphaned
from views.words import size

APP = Path(__file__).resolve().parent.parent / "streamlit_app.py"


def sync(workspace: Workspace, *, once: bool) -> None:
    """Pulls what is new at the trainer's; unless `once`, again every interval.

    Raises SyncFault when `once` and rsync could not do it.
    """
    from ingest.sync import Moving, Round, run_sync

    news = News()
    with stop_on_signals() as stop, opened(workspace) as engine:
        derive = deriver(engine, workspace)
        with Pulse(engine, "sync", on_orphaned=stop.set) as pulse, Transfers() as transfers:
            pulse.doing = f"looking at {workspace.settings.sync.source}"

            def on_progress(moving: Moving) -> None:
                name = f"{moving.run}/{moving.name}"
                speed = at_speed(moving.bytes_per_second) + time_left(moving.seconds_left)
                pulse.doing = (
                    f"pulling {name} ({moving.number} of {moving.total}): "
                    f"{moving.percent} % of {size(moving.total_bytes)}{speed}"
                )
                transfers.show(name, moving.bytes, moving.total_bytes, moving.bytes_per_second)

            def on_round(ended: Round) -> None:
                transfers.clear()
                for taken in ended.pulled:
                    rate = at_speed(taken.bytes / taken.seconds)
                    name = f"{taken.run}/{taken.name}"
                    say(f"pulled {name}: {size(taken.bytes)} in {taken.seconds:.1f} s{rate}")
                troubles = [
                    *(f"FAILED: {one.message}" for one in ended.failed),
                    *(
                        f"not complete yet: {one.run}/{one.name}: {one.reason}"
                        for one in ended.waiting
                    ),
                ]
                news.tell(troubles)
                pulse.doing = "waiting for the next round"
                if troubles:
                    pulse.doing += f"; {' '.join(troubles[0].split())}"
                if len(troubles) > 1:
                    pulse.doing += f" (and {len(troubles) - 1} more)"
                derive()
                if once and ended.failed:
                    raise SyncFault(ended.failed[0].message)

            run_sync(workspace, engine, stop, once=once, on_progress=on_progress, on_round=on_round)


def watch(workspace: Workspace, *, once: bool) -> None:
    """Notices arrivals; unless `once`, until it is told to stop."""
    from ingest import watcher

    with stop_on_signals() as stop, opened(workspace) as engine:
        derive = deriver(engine, workspace)
        with Pulse(engine, "watch", on_orphaned=stop.set) as pulse:

            def on_scan(found: watcher.Scan) -> None:
                pulse.doing = f"watching {workspace.checkpoints}"
                for arrived in found.arrived:
                    say(f"arrived: {arrived.run} step {arrived.step}, {size(arrived.bytes)}")
                for known in found.found:
                    say(f"a known checkpoint is now at {known.path}")
                for rejected in found.rejected:
                    say(f"rejected: {rejected.path}: {rejected.reason}")
                for removed in found.removed:
                    say(f"removed: {removed.path}: {removed.reason}")
                for one in found.waiting if once else ():
                    say(f"not complete yet: {one.path}: {one.reason}")
                derive()
                if found.arrived or found.found:
                    prune_automatically(engine, workspace)

            watcher.watch(workspace, engine, stop, on_scan, once=once)


def evaluate(
    workspace: Workspace,
    *,
    once: bool,
    checkpoint: str | None = None,
    run: str | None = None,
    names: Sequence[str] = (),
    again: bool = False,
) -> None:
    """Evaluates what waits; unless `once`, goes on looking until it is told to stop.

    `checkpoint` is the one to evaluate, and then it ends; `run` and `names` (of suites) narrow
    down; `again` makes another evaluation beside one that is there. Raises UsageError for what
    does not exist or does not fit, and EvaluationFault when the one named could not be evaluated.
    """
    if not workspace.settings.suite:
        raise SettingsError(
            f"{workspace.root / 'milepost.toml'} names no suite, so there is nothing to evaluate "
            "on. Add a [[suite]] block with name and path."
        )
    if again and checkpoint is None:
        raise UsageError("--again needs --checkpoint: say which one to evaluate once more.")
    with (
        stop_on_signals() as stop,
        opened(workspace) as engine,
        Pulse(engine, "evaluate", on_orphaned=stop.set) as pulse,
        Evaluations() as evaluations,
    ):
        bring_up_to_date, keep_status_files = deriver(engine, workspace), keeper(engine, workspace)

        def derive() -> None:
            bring_up_to_date()
            keep_status_files()

        derive()
        with reading(engine) as connection:
            if checkpoint is not None:
                known = find(connection, workspace, checkpoint, run)
            elif run is not None:
                of_run(connection, run)
        # These imports take seconds; by now `status` knows that an evaluator is on its way.
        from evaluators.claims import Task
        from evaluators.register import register_suites
        from evaluators.worker import Worker

        def progress(task: Task, recorded: int, examples: int) -> None:
            name = f"{task.run} step {task.step}"
            pulse.doing = f"evaluating {evaluations.show(name, recorded, examples)}"

        suites = register_suites(engine, workspace, names, say=say)
        derive()
        worker = Worker(
            engine, suites, workspace.settings.evaluation, stop, derive, progress, workspace.trust
        )
        if checkpoint is not None:
            evaluate_one(engine, worker, known, again=again)
            return
        while not stop.is_set():
            pulse.doing = "waiting for a checkpoint"
            worker.run_pending(run=run, uncovered=bool(names))
            if once:
                return
            stop.wait(workspace.settings.evaluation.interval_seconds)


def up(workspace: Workspace, port: int) -> None:
    """Runs all of them as child processes until it is told to stop, and then ends them.

    Raises StoreError for a database that is missing, foreign or locked, before anything starts.
    """
    address = f"http://127.0.0.1:{(chosen := free_port(port))}"
    commands = {"watch": ["watch"], "evaluate": ["evaluate"]}
    if workspace.settings.sync.source:
        commands = {"sync": ["sync"], **commands}
    else:
        say("No [sync] source is set: checkpoints must arrive in the watched folder by themselves.")
    if workspace.settings.notify.to:
        commands["notify"] = ["notify"]
    commands["dashboard"] = ["dashboard", "--port", str(chosen)]
    children = [
        Child(name, milepost(*words, workspace=workspace.root), workspace.logs / f"{name}.log")
        for name, words in commands.items()
    ]
    with (
        stop_on_signals() as stop,
        opened(workspace) as engine,
        Pulse(engine, "up", on_orphaned=stop.set) as pulse,
    ):

        def tell(entries: list[Entry]) -> None:
            down = [one.name for one in entries if one.pid is None]
            pulse.doing = f"keeping {len(entries)} processes running" + (
                f"; down: {', '.join(down)}" if down else ""
            )
            write(workspace.logs, entries, address)

        try:
            with Supervisor(children, report=say, tell=tell, stop=stop) as running:
                say(f"Running {', '.join(commands)}. The dashboard: {address}")
                say(f"Each writes to {workspace.logs}. Ctrl-C ends them all.")
                running.wait()
                say("Ending …")
        finally:
            forget(workspace.logs)


def dashboard(workspace: Workspace, port: int) -> None:
    """Becomes the Streamlit server, on loopback, on `port` or a free one if that is taken."""
    with opened(workspace):
        pass  # a missing or foreign database is said here, not on a page
    chosen = free_port(port)
    say(f"The dashboard: http://127.0.0.1:{chosen} (Ctrl-C ends it)")
    os.environ["MILEPOST_WORKSPACE"] = str(workspace.root)
    os.chdir(APP.parent)  # where .streamlit/config.toml is
    # In this process, so that it can end itself when `milepost up` is gone. At once: Streamlit's
    # handler of SIGTERM prints, fails on the pipe that nobody reads any more, and runs on.
    when_orphaned(lambda: os._exit(0))
    sys.argv = [
        *("streamlit", "run", str(APP)),
        *("--server.port", str(chosen), "--server.address", "127.0.0.1"),
        *("--server.headless", "true", "--browser.gatherUsageStats", "false"),
    ]
    runpy.run_module("streamlit", run_name="__main__", alter_sys=True)
