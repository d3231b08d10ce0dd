"""Runs the whole for a while under fire: `python -m tests.soak --minutes 60`.

A trainer saves real tiny models, file by file, and deletes its oldest; `milepost up` pulls,
watches and evaluates them, while its children are killed at random. Then the killing stops, all
catches up, and it is counted: every checkpoint that stood whole at the source for long enough was
evaluated once, and what lived through it holds no more memory and no more files than early on.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import subprocess
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import psutil
import torch

from commands import roster
from commands.supervisor import free_port, milepost
from data.workspace import make
from settings import Workspace
from tests.evaluators.checkpoints import make_model, save

RUN = "run"
KEEP = 8
SAVE_SECONDS = 3.0
# A checkpoint is owed when it stood whole at the source for this long while one and the same sync
# ran: some rounds of a second, and the transfers of those that are newer, on a busy machine.
OWED_SECONDS = 10.0
# The last part of the time is without kills, so that every process lives long enough to be weighed.
CALM_SHARE = 0.4
WEIGHED_SECONDS = 60.0
KILL_SECONDS = (4.0, 9.0)
CATCH_UP_SECONDS = 180.0
VICTIMS = ("evaluate", "evaluate", "evaluate", "watch", "sync")
ROWS = [{"prompt": f"{n} plus {n}?", "answer": str(2 * n)} for n in range(8)]


class Sample(NamedTuple):
    """What one process held at one moment."""

    seconds: float
    name: str
    pid: int
    rss: int
    files: int


class Growth(NamedTuple):
    """What one process held early and late in its life: medians of bytes and of open files."""

    name: str
    pid: int
    seconds: float
    early_bytes: float
    late_bytes: float
    early_files: float
    late_files: float


@dataclass
class Trainer:
    """Saves as transformers' Trainer does: files one after another, and the oldest deleted."""

    source: Path
    model: torch.nn.Module = field(default_factory=lambda: make_model("llama"))
    whole: dict[int, float] = field(default_factory=dict)
    gone: dict[int, float] = field(default_factory=dict)

    def save(self, step: int) -> None:
        """Writes checkpoint `step` with weights of its own, then keeps only the newest KEEP."""
        torch.manual_seed(step)
        with torch.no_grad():
            for weight in self.model.parameters():
                weight.add_(0.01 * torch.randn_like(weight))
        save(self.source / RUN / f"checkpoint-{step}", self.model)  # type: ignore[arg-type]
        self.whole[step] = time.monotonic()
        for old in [one for one in self.whole if one not in self.gone][:-KEEP]:
            self.gone[old] = time.monotonic()
            shutil.rmtree(self.source / RUN / f"checkpoint-{old}")

    def run(self, stop: threading.Event) -> None:
        """Saves until told to stop."""
        step = 0
        while not stop.wait(SAVE_SECONDS):
            step += 1
            self.save(step)

    @property
    def left(self) -> set[int]:
        """The steps that are still at the source."""
        return set(self.whole) - set(self.gone)


def owed(trainer: Trainer, samples: Sequence[Sample]) -> set[int]:
    """The steps that one sync had the time to take; `samples` are of the clock of `trainer`."""
    lives: dict[int, list[float]] = {}
    for one in samples:
        if one.name == "sync":
            lives.setdefault(one.pid, []).append(one.seconds)
    found = set(trainer.left)
    for step, since in trainer.whole.items():
        until = trainer.gone.get(step, since)
        for life in lives.values():
            if min(until, life[-1]) - max(since, life[0]) >= OWED_SECONDS:
                found.add(step)
    return found


@dataclass(frozen=True)
class Report:
    """The counts of a soak. `evaluations` is by step how many were completed."""

    seconds: float
    saved: int
    owed: set[int]
    kills: Counter[str]
    evaluations: Counter[int]
    doubled: int
    torn: int
    check: str
    growth: list[Growth]

    @property
    def missed(self) -> set[int]:
        """Steps that are owed an evaluation and have none."""
        return self.owed - set(self.evaluations)

    @property
    def faults(self) -> list[str]:
        """What is wrong, a sentence each."""
        twice = [step for step, times in self.evaluations.items() if times > 1]
        found = [
            (bool(self.missed), f"never evaluated: {sorted(self.missed)}"),
            (bool(twice), f"evaluated more than once: {sorted(twice)}"),
            (self.doubled > 0, f"{self.doubled} examples were recorded twice"),
            (self.torn > 0, f"{self.torn} completed evaluations lack examples"),
            (bool(self.check), f"the check found: {self.check}"),
            (not self.evaluations, "nothing was evaluated"),
        ]
        return [words for wrong, words in found if wrong] + [
            f"{one.name} ({one.pid}) grew: {one}" for one in self.growth if grew(one)
        ]

    def __str__(self) -> str:
        kills = ", ".join(f"{name} {times}" for name, times in sorted(self.kills.items()))
        lines = [
            f"{self.seconds:.0f} s; {self.saved} saved, {len(self.owed)} owed, "
            f"{len(self.evaluations)} evaluated ({self.evaluations.total()} evaluations)",
            f"killed: {kills or 'none'}",
            f"missed {len(self.missed)}, examples twice {self.doubled}, torn {self.torn}",
            *(
                f"{one.name} ({one.pid}) over {one.seconds:.0f} s: "
                f"{one.early_bytes / 1e6:.1f} to {one.late_bytes / 1e6:.1f} MB, "
                f"{one.early_files:.0f} to {one.late_files:.0f} open files"
                for one in self.growth
            ),
            *(f"WRONG: {one}" for one in self.faults),
        ]
        return "\n".join(lines)


def grew(one: Growth) -> bool:
    """Whether a process holds more late than early beyond what noise explains.

    Allocators keep freed pages and caches fill: a tenth and 20 MB are let pass, which a leak of
    1 MB a checkpoint passes within minutes. Files come and go with a connection or a scan: 4.
    """
    return one.late_bytes > 1.1 * one.early_bytes + 20e6 or one.late_files > one.early_files + 4


def soak(folder: Path, seconds: float, seed: int = 0) -> Report:
    """Runs for `seconds` under fire, lets all catch up, and counts."""
    chance = random.Random(seed)
    workspace = _workspace(folder)
    trainer, stop = Trainer(folder / "trainer"), threading.Event()
    saving = threading.Thread(target=trainer.run, args=(stop,), name="trainer", daemon=True)
    kills: Counter[str] = Counter()
    samples: list[Sample] = []
    log = folder / "up.txt"
    with log.open("wb") as output:
        port = str(free_port(0))
        command = milepost("up", "--port", port, workspace=workspace.root)
        up = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        try:
            begun = time.monotonic()
            saving.start()
            due = begun + chance.uniform(*KILL_SECONDS)
            while (spent := time.monotonic() - begun) < seconds:
                assert up.poll() is None, log.read_text(encoding="utf-8")
                samples += _samples(workspace, up.pid)
                if time.monotonic() >= due and spent < (1 - CALM_SHARE) * seconds:
                    kills.update(_kill(workspace, chance.choice(VICTIMS)))
                    due = time.monotonic() + chance.uniform(*KILL_SECONDS)
                stop.wait(0.5)
            stop.set()
            saving.join()
            _catch_up(workspace, trainer)
        finally:
            stop.set()
            up.terminate()
            up.wait(60)
    return _count(workspace, trainer, kills, samples, seconds)


def _workspace(folder: Path) -> Workspace:
    suite = folder / "sums.jsonl"
    suite.write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")
    settings = (
        f"[sync]\nsource = {json.dumps(str(folder / 'trainer'))}\ninterval_seconds = 1.0\n"
        "[watch]\ninterval_seconds = 1.0\n"
        "[evaluation]\nthreads = 1\nmax_new_tokens = 4\ninterval_seconds = 1.0\n"
        f"[[suite]]\nname = 'sums'\npath = {json.dumps(str(suite))}\n"
    )
    (folder / "trainer").mkdir()
    return make(folder / "workspace", text=settings)


def _children(workspace: Workspace) -> dict[str, int]:
    """The process ids of the children that run, by name."""
    found = roster.read(workspace.logs)
    entries = [] if found is None else found.entries
    return {one.name: one.pid for one in entries if one.pid is not None}


def _samples(workspace: Workspace, up: int) -> list[Sample]:
    taken = []
    for name, pid in {"up": up, **_children(workspace)}.items():
        try:
            process = psutil.Process(pid)
            rss, files = process.memory_info().rss, process.num_fds()
        except (psutil.NoSuchProcess, psutil.ZombieProcess, psutil.AccessDenied):
            continue  # it died between the two looks
        taken.append(Sample(time.monotonic(), name, pid, rss, files))
    return taken


def _kill(workspace: Workspace, name: str) -> list[str]:
    """Kills the named child; returns its name, or nothing when it was down already."""
    pid = _children(workspace).get(name)
    if pid is None:
        return []
    try:
        psutil.Process(pid).kill()
    except psutil.NoSuchProcess:
        return []
    return [name]


def _ask(workspace: Workspace, query: str) -> list[dict[str, Any]]:
    ran = subprocess.run(
        milepost("sql", query, "--format", "json", workspace=workspace.root),
        capture_output=True,
        text=True,
        check=True,
    )
    rows: list[dict[str, Any]] = json.loads(ran.stdout)
    return rows


def _catch_up(workspace: Workspace, trainer: Trainer) -> None:
    """Waits until all that is left at the source is evaluated, and nothing waits."""
    deadline = time.monotonic() + CATCH_UP_SECONDS
    pause = threading.Event()
    while time.monotonic() < deadline:
        rows = _ask(workspace, "SELECT step, status FROM checkpoints")
        steps = {row["step"] for row in rows if row["status"] == "evaluated"}
        if trainer.left <= steps and all(row["status"] == "evaluated" for row in rows):
            return
        pause.wait(1.0)


def _count(
    workspace: Workspace,
    trainer: Trainer,
    kills: Counter[str],
    samples: list[Sample],
    seconds: float,
) -> Report:
    completed = _ask(workspace, "SELECT step FROM evaluations WHERE status = 'completed'")
    twice = _ask(
        workspace,
        "SELECT step FROM predictions GROUP BY step, suite, example_id, sample HAVING COUNT(*) > 1",
    )
    torn = _ask(
        workspace,
        "SELECT e.step FROM evaluations AS e LEFT JOIN predictions AS p USING (evaluation_id) "
        "GROUP BY e.evaluation_id, e.step, e.status, e.examples "
        f"HAVING e.status <> 'completed' OR COUNT(p.example_id) <> {len(ROWS)}",
    )
    check = subprocess.run(
        milepost("db", "check", workspace=workspace.root), capture_output=True, text=True
    )
    return Report(
        seconds,
        len(trainer.whole),
        owed(trainer, samples),
        kills,
        Counter(row["step"] for row in completed),
        len(twice),
        len(torn),
        "" if check.returncode == 0 else check.stdout + check.stderr,
        growths(samples),
    )


def growths(samples: Sequence[Sample]) -> list[Growth]:
    """Early and late of each process that lived for WEIGHED_SECONDS.

    Early is the second quarter of its life (the first is for imports and first caches), late the
    last.
    """
    lives: dict[tuple[str, int], list[Sample]] = {}
    for one in samples:
        lives.setdefault((one.name, one.pid), []).append(one)
    found = []
    for (name, pid), life in lives.items():
        quarter, seconds = len(life) // 4, life[-1].seconds - life[0].seconds
        if seconds < WEIGHED_SECONDS or quarter == 0:
            continue
        early, late = life[quarter : 2 * quarter], life[-quarter:]
        found.append(
            Growth(
                name,
                pid,
                seconds,
                median(one.rss for one in early),
                median(one.rss for one in late),
                median(one.files for one in early),
                median(one.files for one in late),
            )
        )
    return found


def main() -> None:
    """Soaks in a temporary folder; exit code 1 when something is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        report = soak(Path(folder), 60 * given.minutes, given.seed)
    print(report)
    raise SystemExit(1 if report.faults else 0)


if __name__ == "__main__":
    main()
