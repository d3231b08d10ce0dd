"""Where the benchmarks keep what takes long to make: models and the checkpoints of training runs.

`MILEPOST_BENCH_CACHE` names the folder; without it, it is `milepost` in the user's cache.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path


def root() -> Path:
    """The cache's folder; it need not exist yet."""
    named = os.environ.get("MILEPOST_BENCH_CACHE")
    if named:
        return Path(named)
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "milepost"


def kept(name: str, make: Callable[[Path], None]) -> Path:
    """The folder `name` of the cache, made by `make` when it is not there.

    What `make` leaves half done when it raises is never taken for the whole.
    """
    folder = root() / name
    if not folder.is_dir():
        partial = folder.with_name(f"{folder.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        make(partial)
        partial.rename(folder)
    return folder
