"""Where runs and checkpoints stand below the watched folder, and what their names say.

A run is a folder that holds checkpoints. Its name is its path below the watched folder, so
RUN/checkpoint-10 belongs to RUN and SWEEP/RUN/checkpoint-10 to SWEEP/RUN. Checkpoints right in the
watched folder make that folder the run, under its own name or the one that [watch] run gives it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

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


class Survey(NamedTuple):
    """The folders that may be checkpoints, newest first, and the links to where others may be."""

    candidates: list[Path]
    links: list[Path]


def candidates(root: Path) -> list[Path]:
    """The folders below `root` that may be checkpoints, newest first; dot folders are left out.

    They are named as one, or hold a trainer_state.json and no checkpoints. Each is given once: of
    RUN/checkpoint-10 and a link RUN/latest to it the first, and a link that leads back above
    itself is not followed.
    """
    return survey(root).candidates


def survey(root: Path) -> Survey:
    """`candidates`, with the links to runs and groups of runs."""
    found: list[tuple[int, str]] = []
    followed: list[Path] = []
    top = os.fspath(root)
    seen = {_identity(path) for path in (top, *_above(top))}
    pending, links = [(top, 0)], list[tuple[str, int]]()
    while pending or links:
        # What stands there itself goes before all links to it.
        is_link = not pending
        path, depth = (pending or links).pop()
        status = _status(path)
        if status is None:
            continue
        key = (status.st_dev, status.st_ino)
        if depth and key in seen:
            continue
        seen.add(key)
        if depth and step_of(os.path.basename(path)) is not None:
            found.append((status.st_mtime_ns, path))
            continue
        inner = _subfolders(path)
        if depth > 1 and _is_bare(path, inner):
            found.append((status.st_mtime_ns, path))
            continue
        if is_link:
            followed.append(Path(path))
        if depth <= DEEPEST_RUN:
            for one in inner:
                (links if one.is_symlink() else pending).append((one.path, depth + 1))
    return Survey([Path(path) for _, path in sorted(found, reverse=True)], followed)


def _above(path: str) -> Iterator[str]:
    """The folders above the real one at `path`."""
    real = os.path.realpath(path)
    while (above := os.path.dirname(real)) != real:
        real = above
        yield real


def _is_bare(folder: str, inner: list[os.DirEntry[str]]) -> bool:
    """Whether this is a checkpoint whose name says no step, not a run with what it ended with."""
    # Not Path.exists, which raises where the folder may not be searched.
    return os.path.exists(os.path.join(folder, TRAINER_STATE)) and all(
        step_of(one.name) is None for one in inner
    )


def _subfolders(folder: str) -> list[os.DirEntry[str]]:
    """The folders in `folder`; none of one that cannot be read."""
    try:
        with os.scandir(folder) as listed:
            return [one for one in listed if not one.name.startswith(".") and _is_folder(one)]
    except OSError:
        return []


def _is_folder(one: os.DirEntry[str]) -> bool:
    try:
        return one.is_dir()
    except OSError:
        # For instance a link that leads back to itself.
        return False


def _identity(path: str) -> tuple[int, int] | None:
    """Device and inode; None for a folder that has just gone."""
    found = _status(path)
    return None if found is None else (found.st_dev, found.st_ino)


def _status(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)
    except OSError:
        return None
