"""The folder where sync assembles a checkpoint, and the one step by which it leaves that folder."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from ingest.rsync import PARTIAL_FOLDER, POLL_SECONDS


@contextmanager
def alone(staging: Path, stop: threading.Event) -> Iterator[int | None]:
    """Waits until no other process pulls into `staging`: the descriptor of the lock's file.

    None when `stop` was set before that.
    """
    staging.mkdir(parents=True, exist_ok=True)
    with (staging / ".lock").open("w") as file:
        # rsync's processes inherit it: until the last of them has ended, the folder is not free.
        os.set_inheritable(file.fileno(), True)
        while not stop.is_set():
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                stop.wait(POLL_SECONDS)
            else:
                yield file.fileno()
                return
        yield None


def clear(staging: Path, keep: Collection[tuple[str, str]]) -> None:
    """Deletes every RUN/NAME from `staging` that is not in `keep`: it would stay half."""
    for run in [one for one in staging.iterdir() if one.is_dir()]:
        for folder in list(run.iterdir()):
            if (run.name, folder.name) not in keep:
                shutil.rmtree(folder)
        _drop_empty(run)


def drop(folder: Path) -> None:
    """Deletes RUN/NAME in staging, and RUN with it when nothing else is in it."""
    shutil.rmtree(folder, ignore_errors=True)
    _drop_empty(folder.parent)


def _drop_empty(run: Path) -> None:
    if run.is_dir() and not any(run.iterdir()):
        run.rmdir()


def drop_partials(folder: Path) -> None:
    """Deletes the halves of files that the trainer has taken away since."""
    for partial in list(folder.rglob(PARTIAL_FOLDER)):
        shutil.rmtree(partial)


def size_of(folder: Path) -> int:
    """Bytes of all files in `folder`, halves of files included."""
    return sum(
        (Path(path) / name).lstat().st_size for path, _, names in os.walk(folder) for name in names
    )


def publish(staged: Path, target: Path) -> bool:
    """Renames `staged` to `target`, safe on disk; False if something is there already."""
    for path, _, names in os.walk(staged):
        for name in (*names, "."):
            _flush(Path(path) / name)
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists():
        return False
    try:
        os.rename(staged, target)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            return False
        raise
    _flush(target.parent)
    _drop_empty(staged.parent)
    return True


def _flush(path: Path) -> None:
    """The log will say that it is here, also after a power cut; so it must be."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
