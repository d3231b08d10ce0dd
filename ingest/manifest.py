"""Reads the manifest that ingest/trainer_callback.py leaves in a checkpoint, last of all its files.

With it, a checkpoint is whole exactly when every file that it names is there with its size.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from errors import Unfinished, Unusable
from ingest.documents import read_object
from ingest.files import printable

FILE_NAME = "milepost-manifest.json"
VERSION = 1

_DIGEST = re.compile(r"[0-9a-f]{64}")
_LONGEST_NAME = 200


class Listed(NamedTuple):
    """A file of the manifest: `size` in bytes; `sha256` of its content, in hex, if it was taken."""

    size: int
    sha256: str | None


def read_manifest(folder: Path) -> Mapping[str, Listed]:
    """What the manifest in `folder` lists, by relative name; nothing when there is none.

    Raises Unfinished for one that is half written, Unusable for one that is no manifest.
    """
    if not (folder / FILE_NAME).exists():
        return {}
    files = read_object(folder / FILE_NAME).get("files")
    if not isinstance(files, dict):
        raise Unusable(f"{FILE_NAME} names no files")
    return {name: _listed(name, entry) for name, entry in files.items()}


def require_listed(folder: Path, manifest: Mapping[str, Listed]) -> None:
    """Raises Unfinished for a file that is not there with the size listed."""
    for name, listed in manifest.items():
        try:
            size = (folder / name).stat().st_size
        except FileNotFoundError as error:
            raise Unfinished(f"{name}, which {FILE_NAME} names, is not there") from error
        # A larger file is of another save than the manifest: the folder is being written over.
        if size != listed.size:
            raise Unfinished(f"{name} has {size} bytes, and {FILE_NAME} says {listed.size}")


def _listed(name: str, entry: object) -> Listed:
    match entry:
        case {"size": int(size), "sha256": str(digest)} if _DIGEST.fullmatch(digest):
            listed = Listed(size, digest)
        case {"size": int(size), "sha256": None}:
            listed = Listed(size, None)
        case _:
            raise Unusable(f"{FILE_NAME} gives {_shown(name)} no size and sha256")
    parts = Path(name).parts
    if not parts or ".." in parts or Path(name).is_absolute() or "\0" in name:
        raise Unusable(f"{FILE_NAME} names {_shown(name)}, which is not in this folder")
    return listed


def _shown(name: str) -> str:
    return printable(repr(name), _LONGEST_NAME)
