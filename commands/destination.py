"""Where an export goes: a file that is there whole or not at all, standard output, or a pipe."""

from __future__ import annotations

import errno
import os
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from errors import ExportFault, UsageError

STANDARD_OUTPUT = "-"

NO_ROOM = "Make room, or name another disk with --out."
NOT_ALLOWED = "Name a folder that you may write to with --out."
REMEDIES = {
    errno.ENOSPC: NO_ROOM,
    errno.EDQUOT: NO_ROOM,
    errno.EFBIG: NO_ROOM,
    errno.EACCES: NOT_ALLOWED,
    errno.EPERM: NOT_ALLOWED,
    errno.EROFS: NOT_ALLOWED,
    errno.ENOENT: "Make its folder first.",
    errno.EPIPE: "Whoever read it has stopped, so it is not whole.",
}


def is_regular(out: str) -> bool:
    """Whether `out` is, or will be, a file that can be replaced."""
    return out != STANDARD_OUTPUT and (not os.path.exists(out) or os.path.isfile(out))


@contextmanager
def opened(out: str, *, force: bool) -> Iterator[BinaryIO]:
    """A binary file to write to; it is at `out` when all is written and safe on the disk.

    Until then it stands beside it under another name, and goes when anything fails. What is not a
    regular file, such as a pipe, is written to directly. Raises UsageError where `out` exists and
    `force` is not set, ExportFault where it cannot be written.
    """
    if out == STANDARD_OUTPUT:
        with _faults("standard output"), os.fdopen(os.dup(sys.stdout.fileno()), "wb") as pipe:
            yield pipe
    elif not is_regular(out):
        with _faults(out), open(out, "wb") as device:
            yield device
    elif os.path.exists(out) and not force:
        raise UsageError(f"{out} exists. --force replaces it.")
    else:
        with _faults(out), replacement(Path(os.path.realpath(out))) as file:
            yield file


@contextmanager
def _faults(name: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        remedy = REMEDIES.get(error.errno or 0, "Name another place with --out.")
        raise ExportFault(f"cannot write {name}: {error.strerror or error}. {remedy}") from error


@contextmanager
def replacement(target: Path) -> Iterator[BinaryIO]:
    """A binary file that takes the place of `target` once it is whole and on the disk.

    Raises OSError where it cannot be written; what was at `target` stays then.
    """
    part = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    try:
        with part.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(target)
    except BaseException:
        with suppress(FileNotFoundError):
            part.unlink()
        raise
    _sync_folder(target.parent)


def _sync_folder(folder: Path) -> None:
    """The new name survives a power cut as well."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
