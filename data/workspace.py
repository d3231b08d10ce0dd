"""Makes a workspace: milepost.toml, the database, the folder that checkpoints arrive in."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from errors import StoreError, UsageError
from settings import FILE_NAME, Workspace, load_workspace
from store.migrations import upgrade_safely

TEMPLATE = Path(__file__).with_name("milepost.toml")
DATABASE = 'url = "sqlite:///milepost.db"'


def make(
    root: Path,
    *,
    source: str = "",
    database: str = "",
    text: str | None = None,
    say: Callable[[str], None] = lambda _line: None,
) -> Workspace:
    """Makes `root` a workspace, or brings the one that it is up to date; returns it.

    `text` is the milepost.toml to write, the commented template when left out. A milepost.toml
    that is there stays as it is. A database that had to be upgraded has a backup, which `say` is
    told of. Raises UsageError where a milepost.toml names another database, and StoreError where
    `store.migrations.upgrade_safely` does; a new milepost.toml is taken away again then.
    """
    root.mkdir(parents=True, exist_ok=True)
    file = root / FILE_NAME
    new = not file.exists()
    if new:
        content = text if text is not None else TEMPLATE.read_text(encoding="utf-8")
        for empty, value in (('source = ""', source), (DATABASE, database)):
            if value:
                filled = f"{empty.partition(' ')[0]} = {json.dumps(value)}"
                content = content.replace(empty, filled, 1)
        file.write_text(content, encoding="utf-8")
    workspace = load_workspace(root)
    try:
        if database and workspace.settings.database.url != database:
            raise UsageError(
                f"{file} or MILEPOST_DATABASE__URL names another database. Change it there."
            )
        done = upgrade_safely(workspace.database_url)
    except (StoreError, UsageError):
        if new:
            file.unlink()
        raise
    workspace.checkpoints.mkdir(parents=True, exist_ok=True)
    if done.backup is not None:
        say(done.words)
    return workspace
