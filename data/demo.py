"""The demo: a small model trains, its checkpoints arrive by rsync, are evaluated, and are judged.

Nothing in it is staged but the training run itself, which takes one step with a learning rate far
too high on purpose, so that there is a real regression to find. The processes are the ones that
`milepost up` runs.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

from rich.console import Console
from sqlalchemy import Connection, Engine

from commands.bootstrap import deriver, opened
from commands.supervisor import Child, Supervisor, milepost, stop_on_signals
from data.claims import claims, line, measured, reasons, summary
from data.workspace import make
from errors import MilepostError
from settings import Settings, Workspace
from store.engine import reading
from views import registry

HERE = Path(__file__).resolve().parent
SUITES = ("easy_50", "medium_50", "hard_50", "mining_200")
PATIENCE_SECONDS = 120.0
POLL_SECONDS = 0.5

TOML = """\
# The demo's workspace. `milepost init` in another folder writes all keys with their defaults.

[database]
url = "sqlite:///milepost.db"

[sync]
source = {source}
interval_seconds = 2.0

[watch]
interval_seconds = 2.0

[evaluation]
threads = 1
max_new_tokens = 32

[[suite]]
name = "easy_50"
path = "suites/easy_50.jsonl"
difficulty = "easy"
pass_threshold = 0.8

[[suite]]
name = "medium_50"
path = "suites/medium_50.jsonl"
difficulty = "medium"
pass_threshold = 0.2

[[suite]]
name = "hard_50"
path = "suites/hard_50.jsonl"
difficulty = "hard"

[[suite]]
name = "mining_200"
path = "suites/mining_200.jsonl"
role = "mining"
"""


def run_demo(root: Path, *, seed: int | None = None, database: str = "") -> bool:
    """Runs the whole demo in `root` and prints a summary. Returns whether every claim holds.

    A second demo in the same workspace trains another run beside the first.
    Raises MilepostError when the training or an evaluation breaks down.
    """
    console = Console(highlight=False)
    workspace = make_workspace(root, database)
    number = 1 + len(list(_source(workspace).glob("demo-*")))
    run = f"demo-{number}"
    folder = _source(workspace) / run
    folder.mkdir(parents=True)
    began = time.monotonic()
    console.print(
        f"Training a small model from scratch; its checkpoints are evaluated as they arrive.\n"
        f"About two minutes. Workspace: {workspace.root}"
    )
    children = [
        Child(name, milepost(name, workspace=workspace.root), workspace.logs / f"{name}.log")
        for name in ("sync", "watch", "evaluate")
    ]
    with (
        stop_on_signals() as stop,
        opened(workspace) as engine,
        Supervisor(children, report=console.print, stop=stop) as running,
        Training(folder, seed if seed is not None else number, workspace.logs) as trainer,
    ):
        _follow(engine, workspace, run, folder, trainer, running, console)
        if stop.is_set():
            raise MilepostError("the demo was stopped before its end")
        with reading(engine) as connection:
            found = measured(connection, workspace.settings, run)
    console.print(summary(found))
    for reason in reasons(found):
        console.print(reason, markup=False, soft_wrap=True)
    made = claims(found)
    for claim in made:
        mark, style = ("✓", "green") if claim.holds else ("✗", "bold red")
        console.print(f"{mark} {claim.text}", style=style)
    console.print(
        f"{len(found)} checkpoints in {time.monotonic() - began:.0f} s. "
        f"Look around: {_milepost()} dashboard --workspace {root}",
        soft_wrap=True,
    )
    return all(claim.holds for claim in made)


def _milepost() -> str:
    """How to type the command: by its name if a shell finds it, else by its path."""
    return "milepost" if shutil.which("milepost") else str(Path(sys.executable).parent / "milepost")


def make_workspace(root: Path, database: str = "") -> Workspace:
    """A workspace with the demo's suites, which syncs from `root`/trainer."""
    root = root.absolute()
    text = TOML.format(source=json.dumps(str(root / "trainer")))
    suites = root / "suites"
    suites.mkdir(parents=True, exist_ok=True)
    for name in SUITES:
        shutil.copy(HERE / f"{name}.jsonl", suites)
    workspace = make(root, text=text, database=database)
    _source(workspace).mkdir(exist_ok=True)
    return workspace


def _source(workspace: Workspace) -> Path:
    return workspace.root / "trainer"


class Training:
    """The training process, ended at the latest when the block is left."""

    def __init__(self, folder: Path, seed: int, logs: Path) -> None:
        self._command = [
            *(sys.executable, "-m", "data.trainer"),
            *("--out", str(folder), "--seed", str(seed)),
        ]
        self.log = logs / "trainer.log"
        self.process: subprocess.Popen[bytes]

    def __enter__(self) -> Training:
        with self.log.open("ab") as file:
            self.process = subprocess.Popen(
                self._command, stdout=file, stderr=subprocess.STDOUT, start_new_session=True
            )
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait()


def _follow(
    engine: Engine,
    workspace: Workspace,
    run: str,
    folder: Path,
    trainer: Training,
    running: Supervisor,
    console: Console,
) -> None:
    """Waits until the training has ended and every checkpoint has been judged; says each one."""
    derive = deriver(engine, workspace)
    said: set[int] = set()
    changed = time.monotonic()
    with console.status("training …") as status:
        while not running.stop.wait(POLL_SECONDS):
            running.check()
            derive()
            with reading(engine) as connection:
                failed = _failures(connection, workspace.settings, run)
                judged = measured(connection, workspace.settings, run)
            for one in judged:
                if one.step not in said:
                    said.add(one.step)
                    changed = time.monotonic()
                    console.print(line(one), style="bold red" if one.verdict == "REGRESSED" else "")
            saved = len(list(folder.glob("checkpoint-*")))
            status.update(f"{saved} checkpoints saved, {len(judged)} evaluated")
            ended = trainer.process.poll() is not None
            _refuse_trouble(failed, trainer, time.monotonic() - changed, workspace.logs)
            if ended and len(judged) == len(list(folder.glob("checkpoint-*"))):
                return


def _refuse_trouble(failed: list[str], trainer: Training, quiet_seconds: float, logs: Path) -> None:
    """Raises MilepostError for what would keep the demo from ever ending well."""
    if failed:
        raise MilepostError(f"{failed[0]} FAILED. `milepost status` says more.")
    code = trainer.process.poll()
    if code not in (None, 0):
        raise MilepostError(f"the training ended with exit code {code}. See {trainer.log}")
    if quiet_seconds > PATIENCE_SECONDS:
        raise MilepostError(f"nothing was evaluated for {PATIENCE_SECONDS:.0f} s. See {logs}")


def _failures(connection: Connection, settings: Settings, run: str) -> list[str]:
    rows = registry.find("checkpoints", registry.views(settings)).rows(connection, run=run)
    return [
        f"step {row['step']}: {row['reason']}"
        for row in rows
        if row["status"] in ("failed", "rejected")
    ]
