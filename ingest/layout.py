"""Where runs and checkpoints stand below the watched folder, and what their names say.

A run is a folder that holds checkpoints. Its name is its path below the watched folder, so
RUN/checkpoint-10 belongs to RUN and SWEEP/RUN/checkpoint-10 to SWEEP/RUN. Checkpoints right in the
watched folder make that folder the run, under its own name or the one that [watch] run gives it.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

# Longer numbers are no step, and no column of the log could hold them.
_DIGITS = "([0-9]{1,18})"
STEP_LIMIT = 10**18

_NAMES = [
    re.compile(pattern)
    for pattern in (
        rf"checkpoint[-_]{_DIGITS}(?:-[0-9]{{8}}-[0-9]{{4}})?",
        rf"step[-_]{_DIGITS}",
        rf"global_step[-_]?{_DIGITS}",
        rf"iter[-_]{_DIGITS}",
        # Lightning: epoch=3-step=1200, with other key=value parts, -v1 for a second one, .ckpt.
        rf"(?:[A-Za-z_]\w*=[^=]+-)*step={_DIGITS}(?:-[A-Za-z_]\w*=[^=]+)*(?:-v[0-9]+)?(?:\.ckpt)?",
    )
]

TRAINER_STATE = "trainer_state.json"

# SWEEP/GROUP/RUN/checkpoint-N, and no deeper.
DEEPEST_RUN = 3


def step_of(name: str) -> int | None:
    """The step that a folder's name gives.

    checkpoint-N, checkpoint-N-YYYYMMDD-HHMM, step-N, step_N, global_stepN, iter_N, and
    epoch=E-step=N with what Lightning adds.
    """
    for pattern in _NAMES:
        if found := pattern.fullmatch(name):
            return int(found[1])
    return None


def run_of(folder: Path, root: Path, own: str | None = None) -> str:
    """The run of the checkpoint in `folder` below the watched folder `root`.

    `own` is the name of `root` as a run; None takes the folder's.
    """
    if folder.parent == root:
        return own or root.name
    return folder.parent.relative_to(root).as_posix()


def candidates(root: Path) -> list[Path]:
    """The folders below `root` that may be checkpoints, newest first; dot folders are left out.

    They are named as one, or hold a trainer_state.json and no checkpoints. Each is given once: of
    RUN/checkpoint-10 and a link RUN/latest to it the first, and a link that leads back above
    itself is not followed.
    """
    found: dict[Path, int] = {}
    seen = {_identity(folder) for folder in (root, *root.resolve().parents)}
    pending, links = [(root, 0)], list[tuple[Path, int]]()
    while pending or links:
        # What stands there itself goes before all links to it.
        folder, depth = (pending or links).pop()
        key = _identity(folder)
        if depth and (key is None or key in seen):
            continue
        seen.add(key)
        if depth and step_of(folder.name) is not None:
            found[folder] = _mtime(folder)
            continue
        inner = _subfolders(folder)
        if depth > 1 and _is_bare(folder, inner):
            found[folder] = _mtime(folder)
        elif depth <= DEEPEST_RUN:
            for one in inner:
                (links if one.is_symlink() else pending).append((one, depth + 1))
    return sorted(found, key=lambda path: (found[path], path), reverse=True)


def _is_bare(folder: Path, inner: list[Path]) -> bool:
    """Whether this is a checkpoint whose name says no step, not a run with what it ended with."""
    # Not Path.exists, which raises where the folder may not be searched.
    return os.path.exists(folder / TRAINER_STATE) and all(
        step_of(one.name) is None for one in inner
    )


def _subfolders(folder: Path) -> list[Path]:
    """The folders in `folder`; none of one that cannot be read."""
    try:
        return [one for one in folder.iterdir() if not one.name.startswith(".") and one.is_dir()]
    except OSError:
        return []


def _identity(folder: Path) -> tuple[int, int] | None:
    """Device and inode; None for a folder that has just gone."""
    try:
        found = folder.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _mtime(path: Path) -> int:
    """In nanoseconds; 0 for a folder that has just gone."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0
