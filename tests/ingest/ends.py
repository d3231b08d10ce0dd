"""Both ends of a sync, and what is in them."""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file
from sqlalchemy import Engine

from ingest.sync import Moving, Round, pull
from settings import SyncSettings
from store import log
from store.events import Event
from tests.ingest.folders import make_checkpoint, wait_for

# What training needs and evaluating does not: left at the source unless the settings say otherwise.
LEFT = {"optimizer.pt", "scheduler.pt", "rng_state.pth"}


@dataclass
class Ends:
    """Both ends of a sync: the trainer's folder of runs, and the workspace's folders."""

    tmp_path: Path
    engine: Engine
    prefix: str
    settings: SyncSettings = field(default_factory=SyncSettings)
    folder: str = "trainer's runs"

    @property
    def runs(self) -> Path:
        return self.tmp_path / self.folder

    @property
    def checkpoints(self) -> Path:
        return self.tmp_path / "checkpoints"

    @property
    def staging(self) -> Path:
        return self.checkpoints / ".staging"

    @property
    def source(self) -> str:
        return f"{self.prefix}{self.runs}"

    def save(self, step: int, run: str = "run") -> Path:
        """The trainer saves a checkpoint whose content is its step."""
        return make_checkpoint(self.runs / run / f"checkpoint-{step}", float(step))

    def save_large(self, step: int, megabytes: float, run: str = "run") -> Path:
        """A checkpoint that takes its time; its weights are noise, made from its step."""
        folder = self.save(step, run)
        noise = np.random.default_rng(step).random(round(megabytes * 250_000), dtype=np.float32)
        save_file({"head": noise}, folder / "model.safetensors")
        return folder

    def target(self, step: int, run: str = "run") -> Path:
        """Where that checkpoint arrives."""
        return self.checkpoints / run / f"checkpoint-{step}"

    def pull(
        self,
        source: Path | None = None,
        on_progress: Callable[[Moving], None] | None = None,
        stop: threading.Event | None = None,
    ) -> Round:
        return pull(
            f"{self.prefix}{source or self.runs}",
            self.checkpoints,
            self.staging,
            self.settings,
            self.engine,
            stop=stop,
            on_progress=on_progress,
        )

    def under_way(self) -> bool:
        """Whether a good part of a large file, and not all of it, is in staging."""
        with contextlib.suppress(FileNotFoundError):
            return any(file.lstat().st_size > 200_000 for file in self.staging.rglob(".*.??????"))
        return False

    def pull_and(self, action: Callable[[], object], **given: Any) -> Round:
        """Pulls, and acts while a large file is on its way."""
        with ThreadPoolExecutor(1) as pool:
            pulling = pool.submit(self.pull, **given)
            wait_for(lambda: self.under_way() or pulling.done())
            assert not pulling.done()
            action()
            return pulling.result()

    def events(self) -> list[Event]:
        with self.engine.connect() as connection:
            return [recorded.event for recorded in log.read(connection)]


def names(found: Round) -> list[str]:
    return [f"{one.run}/{one.name}" for one in found.pulled]


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file in `folder`, by its relative name, without what sync leaves."""
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in folder.rglob("*")
        if file.is_file() and file.name not in LEFT
    }
