"""`milepost replay`: every view derived anew from the log, without the model."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from rich.console import Console

from commands.bootstrap import opened
from errors import ProjectionStopped, UsageError
from settings import Workspace
from store import log, projections
from store.engine import reading
from views import registry


def report(workspace: Workspace, names: Sequence[str]) -> None:
    """Derives the named views, all when none is named, and what follows from them.

    Raises UsageError for an unknown name and ProjectionStopped for one that could not be derived.
    """
    known = registry.projections(workspace.settings)
    for name in names:
        if name not in {one.name for one in known}:
            listing = ", ".join(one.name for one in known)
            raise UsageError(f"nothing derived is called {name!r}. There are: {listing}.")
    said: set[str] = set()
    with opened(workspace) as engine, Console(file=sys.stderr).status("") as status:

        def progress(name: str, position: int, end: int) -> None:
            status.update(f"deriving {name}: {position} of {end} events")
            if name not in said:
                said.add(name)
                print(f"deriving {name}")

        stopped = projections.replay(engine, known, names, progress)
        with reading(engine) as connection:
            position = log.head(connection)
    for state in stopped:
        raise ProjectionStopped(f"view {state.name} stands still: {state.error}")
    print(f"Derived from {position} events.")
