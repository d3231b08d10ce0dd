"""Opens a workspace's database and brings its views up to date: what every command starts with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from sqlalchemy import Engine

from settings import Workspace
from store.engine import connect
from store.projections import bring_up_to_date
from views import registry

errors = Console(stderr=True)


@contextmanager
def opened(workspace: Workspace, *, read_only: bool = False) -> Iterator[Engine]:
    """The workspace's database, closed at the end. Raises StoreError as `connect` does."""
    engine = connect(workspace.database_url, read_only=read_only)
    try:
        yield engine
    finally:
        engine.dispose()


def deriver(engine: Engine, workspace: Workspace) -> Callable[[], None]:
    """A function that brings every view up to date and says, once each, which stand still."""
    projections = registry.projections(workspace.settings)
    said: set[str] = set()

    def derive() -> None:
        for state in bring_up_to_date(engine, projections):
            if state.name not in said:
                said.add(state.name)
                errors.print(f"view {state.name} stands still: {state.error}", style="red")

    return derive
