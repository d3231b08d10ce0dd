"""Whether a checkpoint that is not seen any more is gone, or only out of reach."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

GONE = "the folder is gone"
NO_LONGER_ONE = "the folder is there, but no longer as a checkpoint of its own"


class Home(NamedTuple):
    """Where a folder stood when it was last seen: its path without links, and its device."""

    real: Path
    device: int


def home_of(folder: Path) -> Home | None:
    """None for a folder that cannot be reached."""
    real = Path(os.path.realpath(folder))
    try:
        return Home(real, os.stat(real).st_dev)
    except OSError:
        return None


def reason_gone(folder: Path, root: Path, home: Home | None) -> str | None:
    """Why `folder`, which no look below `root` finds any more, is gone; None if nobody can say.

    Nobody can where a permission is missing or a server does not answer, and where something else
    stands in place of the disk it was on, as an empty mount point does. Without a `home`, as after
    a restart, the file system's word that there is no such folder is enough.
    """
    try:
        os.stat(folder)
    except (FileNotFoundError, NotADirectoryError):
        return GONE if home is None or _is_mounted(home) else None
    except OSError:
        return None
    above = [one for one in folder.parents if one.is_relative_to(root)]
    return NO_LONGER_ONE if all(map(_may_list, above)) else None


def holds_anything(root: Path) -> bool:
    """Whether a folder that can be listed holds more than dot files, such as sync's staging.

    An empty one is more likely an unmounted disk than every run deleted.
    """
    try:
        with os.scandir(root) as listed:
            return any(not one.name.startswith(".") for one in listed)
    except OSError:
        return False


def _is_mounted(home: Home) -> bool:
    """Whether the nearest folder above that is there is on the device that the folder was on."""
    for path in (home.real, *home.real.parents):
        try:
            return os.stat(path).st_dev == home.device
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError:
            return False
    return False


def _may_list(folder: Path) -> bool:
    try:
        with os.scandir(folder):
            return True
    except OSError:
        return False
