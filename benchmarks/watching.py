"""What watching costs: `python -m benchmarks.watching [CHECKPOINTS]`, a thousand unless told.

The floor is what the kernel takes to list the same folders and to look at each file once.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from ingest.known_folders import KnownFolders
from ingest.layout import survey
from ingest.watcher import State, scan
from settings import WatchSettings
from store.engine import connect
from store.migrations import upgrade
from tests.ingest.folders import make_checkpoint

RUNS = 5
TURNS = 10


def seconds(work: Callable[[], object], turns: int = TURNS) -> float:
    """Processor time of one turn."""
    began = time.process_time()
    for _ in range(turns):
        work()
    return (time.process_time() - began) / turns


def look_at_all(root: Path) -> None:
    """Lists each checkpoint and looks at each file, and does no more."""
    for folder in survey(root).candidates:
        with os.scandir(folder) as listed:
            for one in listed:
                one.stat()


def measure(top: Path, checkpoints: int) -> dict[str, float]:
    """Seconds of each thing that the watcher does, over so many checkpoints of 11 small files."""
    root = top / "checkpoints"
    for step in range(checkpoints):
        make_checkpoint(root / f"run-{step % RUNS}" / f"checkpoint-{step}", float(step))
    url = f"sqlite:///{top / 'milepost.db'}"
    upgrade(url)
    engine = connect(url)
    # A reading is remembered when it began a while after the last change.
    time.sleep(1.0)
    state = State(known=KnownFolders(top / "known"))

    def scan_with(state: State) -> Callable[[], object]:
        return lambda: scan(root, engine, state, settle_seconds=0.0)

    took = {
        "a first look": seconds(scan_with(state), 1),
        "reading all": seconds(scan_with(state), 1),
        "a scan when all are known": seconds(scan_with(state)),
    }
    state.known.save()
    restarted = seconds(lambda: scan_with(State(known=KnownFolders(top / "known")))(), 1)
    took["the first scan after a restart"] = restarted
    took["the floor: one look at each file"] = seconds(lambda: look_at_all(root))
    engine.dispose()
    return took


def main() -> None:
    """Prints milliseconds, and the share of a core that scanning takes at the default interval."""
    checkpoints = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    with tempfile.TemporaryDirectory() as top:
        took = measure(Path(top), checkpoints)
    for name, each in took.items():
        print(f"{name:34}{each * 1000:10.1f} ms")
    share = took["a scan when all are known"] / WatchSettings().interval_seconds
    print(f"{'of one core, every interval':34}{share:10.1%}")


if __name__ == "__main__":
    main()
