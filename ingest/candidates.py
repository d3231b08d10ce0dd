"""Finds the checkpoints among the folders that rsync lists at the source."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import NamedTuple

from errors import SettingsError
from ingest.arrival import step_of
from ingest.rsync import Entry


class Candidate(NamedTuple):
    """A checkpoint's folder at the source; `path` is relative to it."""

    run: str
    name: str
    path: str


def find_candidates(source: str, folders: Collection[Entry]) -> list[Candidate]:
    """The checkpoints among `folders`, newest first.

    A source with checkpoints right in it is a run itself, named as its folder. Raises
    SettingsError when that folder has no name of its own.
    """
    own = [one for one in folders if step_of(one.path) is not None]
    newest_first = sorted(folders, key=_age, reverse=True)
    if own:
        run = re.split(r"[/:]", source)[-1]
        if run in ("", ".", ".."):
            raise SettingsError(
                f"[sync] source {source!r} is the folder of a run, and its name would be the "
                "run's name. Write the folder's whole path."
            )
        return [Candidate(run, one.path, one.path) for one in newest_first if one in own]
    found = []
    for one in newest_first:
        run, _, name = one.path.partition("/")
        if not run.startswith(".") and step_of(name) is not None:
            found.append(Candidate(run, name, one.path))
    return found


def is_text(path: str) -> bool:
    """Whether `path` can stand in the log: a file system takes any bytes."""
    try:
        path.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _age(folder: Entry) -> tuple[str, int]:
    """Sorts by time, and within one second by step."""
    return folder.mtime, step_of(folder.path.rpartition("/")[2]) or 0
