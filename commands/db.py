"""`milepost db upgrade | check | backup`, as typed. The work stands in commands.database."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from commands.options import FormatOption, WorkspaceOption
from commands.output import Format
from settings import find_workspace

app = typer.Typer(
    help="Upgrade the database, check all of it, back it up.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command("upgrade")
def upgrade(
    workspace: WorkspaceOption = None,
    without_backup: Annotated[
        bool, typer.Option("--without-backup", help="Make no backup first.")
    ] = False,
) -> None:
    """Bring the database to the schema of this Milepost, with a backup first.

    Example: milepost db upgrade
    """
    from commands import database

    database.upgrade(find_workspace(workspace), with_backup=not without_backup)


@app.command("check")
def check(workspace: WorkspaceOption = None, form: FormatOption = Format.table) -> None:
    """Look through all of the database for damage and changes. Exit code 1: there are some.

    Example: milepost db check
    """
    from commands import database

    raise typer.Exit(database.report(find_workspace(workspace), form))


@app.command("backup")
def backup(
    file: Annotated[Path, typer.Argument(help="The file to write.")],
    workspace: WorkspaceOption = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that exists.")] = False,
) -> None:
    """Copy the database while Milepost runs, and check the copy.

    Example: milepost db backup /backups/milepost.db
    """
    from commands import database

    database.back_up(find_workspace(workspace), file, replace=force)
