"""Brings the next checkpoint's files into the page cache while this one is evaluated.

A help and no more: what it does not read, or cannot, the load reads for itself and names.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

# Linux reads a few MB for one call of posix_fadvise, however much it is told.
CHUNK_BYTES = 1 << 20
# Of the memory that is available, this much may be filled: the cache would push itself out.
SHARE = 0.5

# What a trainer keeps for itself beside the model.
TRAINING_STATE = ("optimizer*", "scheduler*", "scaler*", "rng_state*", "training_args.bin")


class ReadAhead:
    """Reads one folder in a thread of its own, until it is through or the `with` block ends.

    `read` counts the bytes that were asked for. For no folder, and where the system has no
    posix_fadvise, it does nothing.
    """

    def __init__(self, folder: Path | None) -> None:
        self.read = 0
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        if folder is not None and hasattr(os, "posix_fadvise"):
            self._thread = threading.Thread(
                target=self._run, args=(folder,), name="read ahead", daemon=True
            )

    def __enter__(self) -> Self:
        if self._thread is not None:
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        self.join()

    def join(self) -> None:
        """Waits until it is through."""
        if self._thread is not None:
            self._thread.join()

    def _run(self, folder: Path) -> None:
        limit = int(psutil.virtual_memory().available * SHARE)
        for file in files_of(folder):
            try:
                self._read(file, limit)
            except OSError:
                return  # gone or not readable, which the load says with its reason

    def _read(self, file: Path, limit: int) -> None:
        descriptor = os.open(file, os.O_RDONLY)
        try:
            for start, length in _chunks(os.fstat(descriptor).st_size):
                if self._ended.is_set() or self.read + length > limit:
                    return
                os.posix_fadvise(descriptor, start, length, os.POSIX_FADV_WILLNEED)
                # Its last byte comes when the chunk is in, so that one chunk at a time is on its
                # way, and whoever else waits for the disk gets a turn.
                os.pread(descriptor, 1, start + length - 1)
                self.read += length
        finally:
            os.close(descriptor)


def files_of(folder: Path) -> list[Path]:
    """The files in `folder` that a load reads, small ones first. None if it is gone."""
    try:
        found = [
            (one.stat().st_size, one.name)
            for one in os.scandir(folder)
            if one.is_file() and not any(fnmatch(one.name, state) for state in TRAINING_STATE)
        ]
    except OSError:
        return []
    return [folder / name for _, name in sorted(found)]


def _chunks(size: int) -> Iterator[tuple[int, int]]:
    """(start, length) of each chunk of a file of `size` bytes."""
    for start in range(0, size, CHUNK_BYTES):
        yield start, min(CHUNK_BYTES, size - start)
