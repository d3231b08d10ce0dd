"""How full the disks are that Milepost writes to."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from views.words import size

# A checkpoint of a small model is a few GB, so less than this may not hold the next one; a large
# disk is called full earlier, by its share.
LEAST_BYTES = 2_000_000_000
SMALL_BYTES = 20_000_000_000
SMALL_SHARE = 0.05


class Disk(NamedTuple):
    """The disk that `path` is on, in bytes; None, with a `reason`, where it cannot be asked."""

    name: str
    path: str
    free: int | None
    total: int | None
    reason: str | None

    @property
    def full(self) -> bool:
        """Whether the next checkpoint may not fit."""
        if self.free is None or self.total is None:
            return False
        return self.free < LEAST_BYTES or (
            self.free < SMALL_BYTES and self.free < SMALL_SHARE * self.total
        )

    @property
    def words(self) -> str:
        """What is left, for a person."""
        if self.free is None:
            return f"not known: {self.reason}"
        return f"{size(self.free)} of {size(self.total)} free"

    @property
    def trouble(self) -> str:
        """What to do about a full one."""
        return (
            f"{size(self.free)} are left on the disk of {self.path}. `milepost prune` says which "
            "checkpoints it would delete"
        )


def disks(places: Mapping[str, Path]) -> list[Disk]:
    """The disk of each named place."""
    return [_disk(name, path) for name, path in places.items()]


def _disk(name: str, path: Path) -> Disk:
    try:
        used = shutil.disk_usage(path)
    except OSError as error:
        return Disk(name, str(path), None, None, error.strerror or str(error))
    return Disk(name, str(path), used.free, used.total, None)
