"""Makes a workspace: milepost.toml, the database, the folder that checkpoints arrive in."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from settings import FILE_NAME, Workspace, load_workspace
from store.migrations import upgrade_safely

TEMPLATE = Path(__file__).with_name("milepost.toml")


def make(
    root: Path,
    *,
    source: str = "",
    text: str | None = None,
    say: Callable[[str], None] = lambda _line: None,
) -> Workspace:
    """Makes `root` a workspace, or brings the one that it is up to date; returns it.

    `text` is the milepost.toml to write, the commented template when left out. A milepost.toml
    that is there stays as it is. A database that had to be upgraded has a backup, which `say` is
    told of. Raises StoreError where `store.migrations.upgrade_safely` does.
    """
    root.mkdir(parents=True, exist_ok=True)
    file = root / FILE_NAME
    if not file.exists():
        content = text if text is not None else TEMPLATE.read_text(encoding="utf-8")
        if source:
            content = content.replace('source = ""', f"source = {json.dumps(source)}", 1)
        file.write_text(content, encoding="utf-8")
    workspace = load_workspace(root)
    workspace.checkpoints.mkdir(parents=True, exist_ok=True)
    done = upgrade_safely(workspace.database_url)
    if done.backup is not None:
        say(done.words)
    return workspace
