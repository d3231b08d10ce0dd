"""What the documentation says is what the code does."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from sqlalchemy import Engine, inspect

import cli
from docs import make
from docs.status_files import status_files_page
from errors import MilepostError
from settings import Settings
from views import registry
from views.relations import RELATIONS

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("events.md", make.events_page()),
        ("sql.md", make.sql_page()),
        ("status-files.md", status_files_page(registry.views(Settings()))),
    ],
)
def test_generated_pages_are_current(name: str, text: str) -> None:
    written = (ROOT / "docs" / name).read_text(encoding="utf-8")
    assert written == text, f"docs/{name} is old: run `python -m docs.make`"


def test_the_readme_lists_every_command() -> None:
    listed = re.findall(r"^\| `milepost (\w+)`", README, flags=re.MULTILINE)
    commands = [one.callback.__name__ for one in cli.app.registered_commands if one.callback]
    assert listed == commands


def test_the_readme_and_the_help_list_every_view() -> None:
    for view in registry.views(Settings()):
        assert view.name in README
        assert view.name in (cli.show.__doc__ or "")


def test_every_view_has_columns_with_help_and_a_query() -> None:
    for view in registry.views(Settings()):
        assert view.name in make.QUERIES
        assert all(column.label and column.help for column in view.columns)


def test_every_column_of_every_sql_view_is_documented(engine: Engine) -> None:
    documented = {view.sql_view: view.columns for view in registry.views(Settings())}
    documented |= {one.name: one.columns for one in RELATIONS}
    inspector = inspect(engine)
    assert set(inspector.get_view_names()) | {"event"} == set(documented)
    for name, columns in documented.items():
        found = [column["name"] for column in inspector.get_columns(name)]
        assert sorted(found) == sorted(column.name for column in columns), name
        assert all(column.help.endswith(".") for column in columns), name


def test_links_in_the_documentation_lead_somewhere() -> None:
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_error_tree_in_the_docstring_is_the_real_one() -> None:
    import errors

    def names(error: type[MilepostError]) -> set[str]:
        return {error.__name__}.union(*(names(one) for one in error.__subclasses__()))

    drawn = set(re.findall(r"^[│├└─ ]*([A-Z]\w+)", errors.__doc__ or "", flags=re.MULTILINE))
    assert names(MilepostError) <= drawn


def test_brief_tables_show_declared_columns() -> None:
    for view in registry.views(Settings()):
        assert view.brief
        assert set(view.brief) <= {column.name for column in view.columns}


UNITS = re.findall(
    r"^```ini\n(.*?)^```",
    (ROOT / "docs" / "running.md").read_text(encoding="utf-8"),
    flags=re.MULTILINE | re.DOTALL,
)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not here")
@pytest.mark.parametrize(("scope", "unit"), list(zip(("--user", "--system"), UNITS, strict=True)))
def test_the_units_for_systemd_are_accepted(tmp_path: Path, scope: str, unit: str) -> None:
    file = tmp_path / "milepost.service"
    # The command must exist for systemd, and need not do anything here.
    text, times = re.subn(r"^ExecStart=\S+", "ExecStart=/bin/true", unit, flags=re.MULTILINE)
    assert times == 1
    file.write_text(text, encoding="utf-8")
    checked = subprocess.run(
        ["systemd-analyze", "verify", scope, str(file)],
        env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert (checked.returncode, checked.stderr) == (0, "")
