"""The commands on PostgreSQL, from `init --database` on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from settings import load_workspace
from store.engine import connect
from tests.postgres import Server
from tests.test_cli import Milepost, fill


@pytest.fixture
def milepost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Milepost:
    """The command line in a folder that is no workspace yet."""
    return Milepost(tmp_path / "workspace", monkeypatch, capsys)


def init(milepost: Milepost, database: str, code: int = 0) -> str:
    ran = milepost("init", "--workspace", str(milepost.root), "--database", database)
    assert ran.code == code, ran
    return ran.err


def test_init_makes_the_schema_and_every_command_finds_it(
    milepost: Milepost, postgres: Server
) -> None:
    with postgres.copy_of("template0") as name:
        url = postgres.url(name)
        init(milepost, url)
        init(milepost, url)
        assert load_workspace(milepost.root).settings.database.url == url
        assert not (milepost.root / "milepost.db").exists()
        engine = connect(url)
        fill(engine)
        engine.dispose()
        rows = json.loads(milepost("show", "regression", "--format", "json").out)
        assert {"REGRESSED"} <= {row["verdict"] for row in rows}
        assert milepost("replay").out.endswith("events.\n")
        assert json.loads(milepost("show", "regression", "--format", "json").out) == rows
        assert len(json.loads(milepost("show", "events", "--format", "json").out)) > 5
        assert "checkpoints" in milepost("status").out
        counted = milepost("sql", "SELECT count(*) AS n FROM event", "--format", "json")
        assert json.loads(counted.out)[0]["n"] > 5


def test_a_database_that_is_not_there_leaves_no_workspace_behind(
    milepost: Milepost, postgres: Server
) -> None:
    said = init(milepost, postgres.url("none"), code=3)
    assert 'database "none" does not exist' in said
    assert not (milepost.root / "milepost.toml").exists()


def test_a_workspace_keeps_its_database(milepost: Milepost, postgres_url: str) -> None:
    init(milepost, "sqlite:///milepost.db")
    before = (milepost.root / "milepost.toml").read_text(encoding="utf-8")
    assert "names another database" in init(milepost, postgres_url, code=2)
    assert (milepost.root / "milepost.toml").read_text(encoding="utf-8") == before


def test_the_url_may_stand_in_the_environment_alone(
    milepost: Milepost, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MILEPOST_DATABASE__URL", postgres_url)
    assert milepost("init", "--workspace", str(milepost.root)).code == 0
    assert postgres_url not in (milepost.root / "milepost.toml").read_text(encoding="utf-8")
    assert milepost("show", "events").out == "The log is empty.\n"
    assert not (milepost.root / "milepost.db").exists()
