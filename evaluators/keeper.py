"""Keeps the engine from one checkpoint to the next, for as long as another one may come soon."""

from __future__ import annotations

import gc
import time
from pathlib import Path

import torch

from evaluators import engine as passes
from settings import EvaluationSettings, Trust


class Keeper:
    """Holds one engine at most."""

    def __init__(self) -> None:
        self._engine: passes.Engine | None = None
        self._used = time.monotonic()

    def load(self, path: Path, settings: EvaluationSettings, trust: Trust) -> passes.Engine:
        """The engine for the checkpoint in `path`, out of the one before where that goes.

        Raises ModelLoadFault, SettingsError, and then holds none.
        """
        standing, self._engine = self._engine, None
        self._engine = passes.load(path, settings, trust, standing)
        self._used = time.monotonic()
        return self._engine

    def used(self) -> None:
        """The engine has just been at work."""
        self._used = time.monotonic()

    def rest(self, unload_after_seconds: float) -> None:
        """Nothing waits: lets go of an engine that has had nothing to do for so long."""
        if self._engine is not None and time.monotonic() - self._used >= unload_after_seconds:
            self.let_go()

    def let_go(self) -> None:
        """Frees the engine's memory."""
        if self._engine is None:
            return
        on_cuda = self._engine.device.startswith("cuda")
        self._engine.let_go()
        self._engine = None
        gc.collect()  # a model holds itself in cycles
        if on_cuda:
            torch.cuda.empty_cache()
