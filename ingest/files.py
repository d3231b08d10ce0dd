"""Opens the files of a checkpoint, which anyone may have made, and words what is said of them."""

from __future__ import annotations

import errno
import os
import stat
from io import BufferedReader
from pathlib import Path

from errors import Unfinished, Unusable

# Longer than any message needs to be; a name in a file may be of any length.
LONGEST_TEXT = 2_000

_KINDS = {
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFDIR: "a folder",
}


def open_file(file: Path) -> BufferedReader:
    """Opens `file` for reading. Raises FileNotFoundError, OSError, or Unusable for no file.

    It never waits, as opening a FIFO without a writer would, and never touches a device.
    """
    _require_file(file.name, file.stat())
    # Between the two looks another kind may have taken the name.
    descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        _require_file(file.name, os.fstat(descriptor))
        return open(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def require_own(name: str, folder: Path, inside: tuple[Path, ...]) -> None:
    """Raises Unusable or Unfinished unless `folder`/`name` is a file that ends inside one of these.

    `inside` are resolved folders: what a link of the checkpoint may lead to.
    """
    file = folder / name
    try:
        found = file.stat()
    except FileNotFoundError as error:
        if file.is_symlink():
            raise Unfinished(f"{name} is a link to {os.readlink(file)}, which is not there") from (
                error
            )
        raise Unfinished(f"{name} is not there") from error
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise Unusable(f"{name} is a link that leads back to itself") from error
        raise
    _require_file(name, found)
    target = file.resolve()
    if not any(target.is_relative_to(place) for place in inside):
        raise Unusable(
            f"{name} leads to {target}, outside of its run: put the file itself there, not a link"
        )


def printable(text: str, longest: int = LONGEST_TEXT) -> str:
    """`text` as UTF-8 can hold it, cut to `longest` characters; other bytes become \\udcXX."""
    shown = text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")
    return shown if len(shown) <= longest else f"{shown[: longest - 1]}…"


def is_printable(text: str) -> bool:
    """Whether UTF-8 can hold `text`."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _require_file(name: str, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        kind = _KINDS.get(stat.S_IFMT(found.st_mode), "something else")
        raise Unusable(f"{name} is {kind} where a file should be")
