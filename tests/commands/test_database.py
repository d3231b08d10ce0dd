"""`milepost db` as a person or a script runs it."""

from __future__ import annotations

import json
import shutil
import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import Engine

import cli
from commands import database, db
from errors import UsageError
from settings import Workspace, parse
from store.engine import SCHEMA_NUMBER, bare_engine, connect
from store.liveness import Pulse
from store.migrations import downgrade
from tests import logs
from tests.logs import Seen
from tests.test_cli import Milepost, milepost

__all__ = ["milepost"]

OLDER = SCHEMA_NUMBER - 1


def database_of(milepost: Milepost) -> Path:
    return milepost.root / "milepost.db"


def fill(milepost: Milepost) -> None:
    """A log of 4 events and 2 predictions."""
    engine = connect(f"sqlite:///{database_of(milepost)}")
    examples = logs.questions("easy", 2)
    logs.register_suite(engine, examples, suite_id="easy")
    checkpoint = logs.arrive(engine, 1)
    evaluation = logs.start(engine, checkpoint, ["easy"], examples=2)
    logs.record(engine, evaluation, [(one, Seen(one.target)) for one in examples])
    engine.dispose()


def make_older(milepost: Milepost) -> None:
    downgrade(f"sqlite:///{database_of(milepost)}", f"{OLDER:04}")


def events(file: Path) -> list[tuple[object, ...]]:
    with sqlite3.connect(file) as client:
        return client.execute("SELECT position, event_id, payload FROM event").fetchall()


@pytest.mark.parametrize("name", ["upgrade", "check", "backup"])
def test_each_answers_help_with_an_example(milepost: Milepost, name: str) -> None:
    ran = milepost("db", name, "--help")
    assert ran.code == 0
    assert f"Example: milepost db {name}" in " ".join(ran.out.split())


def test_a_backup_says_what_it_holds(milepost: Milepost, tmp_path: Path) -> None:
    fill(milepost)
    ran = milepost("db", "backup", str(tmp_path / "copy.db"))
    assert ran.code == 0
    assert f"{tmp_path / 'copy.db'}: " in ran.out
    assert "4 events, 2 predictions, checked" in ran.out
    assert events(tmp_path / "copy.db") == events(database_of(milepost))


def test_a_backup_that_is_there_is_replaced_only_by_force(
    milepost: Milepost, tmp_path: Path
) -> None:
    file = tmp_path / "copy.db"
    assert milepost("db", "backup", str(file)).code == 0
    fill(milepost)
    refused = milepost("db", "backup", str(file))
    assert refused.code == 3
    assert "is there already" in " ".join(refused.err.split())
    assert events(file) == []
    assert milepost("db", "backup", str(file), "--force").code == 0
    assert len(events(file)) == 4


def test_a_backup_restores_a_lost_workspace(milepost: Milepost, tmp_path: Path) -> None:
    fill(milepost)
    assert milepost("db", "backup", str(tmp_path / "copy.db")).code == 0
    before = events(database_of(milepost))
    for lost in milepost.root.glob("milepost.db*"):
        lost.unlink()
    shutil.copy(tmp_path / "copy.db", database_of(milepost))
    assert milepost("db", "check").code == 0
    assert events(database_of(milepost)) == before


def test_postgresql_is_sent_to_pg_dump(tmp_path: Path) -> None:
    settings = parse("[database]\nurl = 'postgresql://localhost/milepost'", tmp_path / "m.toml")
    with pytest.raises(UsageError, match="pg_dump"):
        database.back_up(Workspace(tmp_path, settings), tmp_path / "copy.db", replace=False)


def test_a_check_of_a_sound_database_is_one_line(milepost: Milepost) -> None:
    fill(milepost)
    ran = milepost("db", "check")
    assert ran.code == 0
    (line,) = ran.out.splitlines()
    assert line.startswith("All is well: 4 events, 2 predictions, looked through in ")


def test_a_check_of_a_changed_database_names_place_and_remedy(milepost: Milepost) -> None:
    fill(milepost)
    with sqlite3.connect(database_of(milepost)) as client:
        client.execute("DROP TRIGGER event_refuses_update")
        client.execute("UPDATE event SET recorded_at = '2020-01-01' WHERE position = 2")
    ran = milepost("db", "check")
    assert ran.code == 1
    guard, link = ran.out.splitlines()
    assert guard.startswith("trigger event_refuses_update is missing. Remedy: restore a backup")
    assert link.startswith("position 2: CheckpointArrived (checkpoint/")
    as_json = milepost("db", "check", "--format", "json")
    assert as_json.code == 1
    found = json.loads(as_json.out)
    assert (found["well"], found["events"], found["predictions"]) == (False, 4, 2)
    assert [one["position"] for one in found["findings"]] == [None, 2]
    assert found["findings"][0]["sql"].startswith("CREATE TRIGGER event_refuses_update ")
    as_csv = milepost("db", "check", "--format", "csv").out.splitlines()
    assert as_csv[0] == "what,remedy,position,name,sql"
    assert len(as_csv) == 3


def test_a_check_of_a_file_that_is_no_database_says_so(milepost: Milepost) -> None:
    database_of(milepost).write_bytes(b"spilled over by something else " * 500)
    ran = milepost("db", "check")
    assert ran.code == 1
    assert ran.out.startswith("the file is damaged: file is not a database. Remedy: restore")


def test_an_older_database_is_upgraded_with_a_backup_first(milepost: Milepost) -> None:
    fill(milepost)
    make_older(milepost)
    before = events(database_of(milepost))
    refused = milepost("db", "check")
    assert refused.code == 3
    assert "Run `milepost db upgrade`" in " ".join(refused.err.split())
    ran = milepost("db", "upgrade")
    assert ran.code == 0
    (backup,) = (milepost.root / "backups").iterdir()
    assert backup.name.startswith(f"milepost-schema-{OLDER}-")
    assert f"had schema {OLDER} and has {SCHEMA_NUMBER} now" in ran.out
    assert str(backup) in ran.out
    assert events(backup) == events(database_of(milepost)) == before
    with sqlite3.connect(backup) as client:
        assert client.execute("PRAGMA user_version").fetchone() == (OLDER,)
    assert milepost("db", "check").code == 0


def test_a_second_upgrade_does_nothing_and_says_so(milepost: Milepost) -> None:
    ran = milepost("db", "upgrade")
    assert ran.code == 0
    assert ran.out == f"The database is up to date: it has schema {SCHEMA_NUMBER}.\n"
    assert not (milepost.root / "backups").exists()


def test_init_upgrades_an_older_database_in_the_same_way(milepost: Milepost) -> None:
    fill(milepost)
    make_older(milepost)
    ran = milepost("init", "--workspace", str(milepost.root))
    assert ran.code == 0
    (backup,) = (milepost.root / "backups").iterdir()
    assert str(backup) in ran.out
    assert len(events(backup)) == 4


def test_an_upgrade_without_backup_leaves_none(milepost: Milepost) -> None:
    make_older(milepost)
    assert milepost("db", "upgrade", "--without-backup").code == 0
    assert not (milepost.root / "backups").exists()


def test_an_upgrade_waits_for_the_processes_of_the_older_schema(milepost: Milepost) -> None:
    make_older(milepost)
    engine: Engine = bare_engine(f"sqlite:///{database_of(milepost)}")
    with Pulse(engine, "evaluate"):
        ran = milepost("db", "upgrade")
        assert ran.code == 3
        assert "evaluate (process " in ran.err
        assert "End them first" in " ".join(ran.err.split())
    engine.dispose()
    assert not (milepost.root / "backups").exists()
    assert milepost("db", "upgrade").code == 0


def test_a_newer_database_is_left_alone(milepost: Milepost, tmp_path: Path) -> None:
    with sqlite3.connect(database_of(milepost)) as client:
        client.execute(f"PRAGMA user_version = {SCHEMA_NUMBER + 1}")
    for words in (["upgrade"], ["check"], ["backup", str(tmp_path / "copy.db")]):
        ran = milepost("db", *words)
        assert ran.code == 3
        assert "a newer Milepost made it" in " ".join(ran.err.split())
    assert not (tmp_path / "copy.db").exists()


def test_a_missing_database_is_not_made_by_the_way(milepost: Milepost, tmp_path: Path) -> None:
    database_of(milepost).unlink()
    for words in (["upgrade"], ["check"], ["backup", str(tmp_path / "copy.db")]):
        ran = milepost("db", *words)
        assert ran.code == 3
        assert "`milepost init` makes one" in " ".join(ran.err.split())
    assert not database_of(milepost).exists()


def test_the_readme_tells_of_each() -> None:
    names = [one.name for one in db.app.registered_commands]
    readme = (Path(cli.__file__).parent / "README.md").read_text(encoding="utf-8")
    assert names == ["upgrade", "check", "backup"]
    assert all(f"| `milepost db {name}" in readme for name in names)
