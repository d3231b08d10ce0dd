"""The options that several commands take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from commands.output import Format

WorkspaceOption = Annotated[
    Path | None,
    typer.Option(
        "--workspace",
        help="The folder with milepost.toml. Left out: MILEPOST_WORKSPACE, or the nearest upward.",
    ),
]
FormatOption = Annotated[Format, typer.Option("--format", help="How to print.")]
OnceOption = Annotated[bool, typer.Option("--once", help="Do it once and end.")]
DatabaseOption = Annotated[
    str,
    typer.Option(
        "--database",
        help="Where the log lives: sqlite:///FILE, or postgresql+psycopg://USER@HOST/NAME. Keep a "
        "password out of milepost.toml: in MILEPOST_DATABASE__URL or in ~/.pgpass.",
    ),
]
PortOption = Annotated[int, typer.Option("--port", help="The dashboard's port on this machine.")]
