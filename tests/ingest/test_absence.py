"""What is out of reach is not gone, and what is gone is."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Engine

from ingest import watcher
from ingest.absence import GONE, NO_LONGER_ONE, Home, holds_anything, home_of, reason_gone
from ingest.fingerprint import Digests
from ingest.watcher import Scan, State, scan
from store import log
from store.engine import reading
from store.events import CheckpointArrived, CheckpointFound, CheckpointRemoved
from tests.ingest.folders import make_checkpoint
from tests.privileges import none_over_permissions

NOTHING = ((), (), (), (), (), 0)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "checkpoints"
    root.mkdir()
    return root


@pytest.fixture
def permissions() -> Iterator[None]:
    """Permissions stop this process, also when root runs it."""
    with none_over_permissions():
        yield


def settle(root: Path, engine: Engine, state: State) -> Scan:
    """Two scans; returns the second, which judges."""
    scan(root, engine, state, settle_seconds=0.0)
    return scan(root, engine, state, settle_seconds=0.0)


@contextmanager
def disk(point: Path) -> Iterator[None]:
    """Another file system at `point`."""
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(point)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode != 0:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", str(point)], check=True)


def test_a_run_on_a_disk_that_is_unmounted_is_not_gone(
    root: Path, engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    make_checkpoint(root / "here" / "checkpoint-10", 1.0)
    there = root / "there"
    there.mkdir()
    state = State()
    with disk(there):
        folder = make_checkpoint(there / "checkpoint-20", 2.0)
        make_checkpoint(there / "checkpoint-30", 3.0)
        assert len(settle(root, engine, state).arrived) == 3
        shutil.rmtree(there / "checkpoint-30")
        assert [one.reason for one in settle(root, engine, state).removed] == [GONE]
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            assert settle(root, engine, state) == NOTHING
    (said,) = caplog.messages
    assert said == f"1 checkpoints cannot be reached, such as {folder}: they are not taken for gone"


def test_a_watched_folder_that_is_unmounted_over_other_files_is_not_gone(
    root: Path, engine: Engine
) -> None:
    make_checkpoint(root / "below" / "checkpoint-1", 9.0)
    (root / ".staging").mkdir()
    state = State()
    with disk(root):
        make_checkpoint(root / "run" / "checkpoint-10", 1.0)
        assert len(settle(root, engine, state).arrived) == 1
    found = settle(root, engine, state)
    assert ([one.step for one in found.arrived], found.removed) == ([1], ())


def test_what_sync_stages_on_the_empty_mount_point_takes_nothing_away(
    root: Path, engine: Engine
) -> None:
    make_checkpoint(root / "run" / "checkpoint-10")
    state = State()
    settle(root, engine, state)
    (root / "run").rename(root.with_name("disk"))
    (root / ".staging").mkdir()
    for one in (state, State()):
        assert settle(root, engine, one) == NOTHING


def test_a_watched_folder_made_again_goes_on(root: Path, engine: Engine) -> None:
    make_checkpoint(root / "run" / "checkpoint-10", 1.0)
    state = State()
    settle(root, engine, state)
    shutil.rmtree(root)
    assert settle(root, engine, state) == NOTHING
    root.mkdir()
    assert settle(root, engine, state) == NOTHING
    make_checkpoint(root / "run" / "checkpoint-20", 2.0)
    found = settle(root, engine, state)
    assert [one.step for one in found.arrived] == [20]
    assert [one.reason for one in found.removed] == [GONE]


def test_another_folder_in_place_of_the_watched_one_is_another_content(
    root: Path, engine: Engine
) -> None:
    make_checkpoint(root / "run" / "checkpoint-10", 1.0)
    state = State()
    (old,) = settle(root, engine, state).arrived
    root.rename(root.with_name("old"))
    make_checkpoint(root / "run" / "checkpoint-10", 2.0)
    found = settle(root, engine, state)
    assert len(found.arrived) == 1
    assert [one.checkpoint_id for one in found.removed] == [old.checkpoint_id]
    shutil.rmtree(root)
    root.with_name("old").rename(root)
    back = settle(root, engine, state)
    assert [one.checkpoint_id for one in back.found] == [old.checkpoint_id]
    assert [one.checkpoint_id for one in back.removed] == [found.arrived[0].checkpoint_id]


@pytest.mark.parametrize("linked", ["watched folder", "run", "checkpoint"])
def test_a_link_may_lead_elsewhere_dangle_and_go(
    tmp_path: Path, root: Path, engine: Engine, linked: str
) -> None:
    make_checkpoint(root / "other" / "checkpoint-1", 9.0)
    name = {"watched folder": "", "run": "run", "checkpoint": "run/checkpoint-10"}[linked]
    first, second = tmp_path / "first", tmp_path / "second"
    for place, value in ((first, 1.0), (second, 2.0)):
        make_checkpoint(place / "run" / "checkpoint-10", value)
    if not name:
        root = tmp_path / "link"
    link = root / name
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(first / name)
    state = State()
    old = next(one for one in settle(root, engine, state).arrived if one.step == 10)
    assert old.path == str(root / "run" / "checkpoint-10")
    link.unlink()
    link.symlink_to(second / name)
    found = settle(root, engine, state)
    assert [one.path for one in found.arrived] == [old.path]
    assert [one.checkpoint_id for one in found.removed] == [old.checkpoint_id]
    link.unlink()
    left = settle(root, engine, state).removed
    # Without its link the watched folder itself is not there, and nothing is said of it.
    assert len(left) == (1 if name else 0)


def test_a_run_link_to_a_disk_that_is_unmounted_is_not_gone(
    tmp_path: Path, root: Path, engine: Engine
) -> None:
    make_checkpoint(root / "other" / "checkpoint-1", 9.0)
    point = tmp_path / "point"
    point.mkdir()
    (root / "run").symlink_to(point / "run")
    state = State()
    with disk(point):
        make_checkpoint(point / "run" / "checkpoint-10")
        assert len(settle(root, engine, state).arrived) == 2
        assert state.links == [root / "run"]
    assert settle(root, engine, state) == NOTHING


def test_hard_links_are_copies_that_cost_no_identity(root: Path, engine: Engine) -> None:
    folder = make_checkpoint(root / "run" / "checkpoint-10")
    state = State()
    settle(root, engine, state)
    copy = root / "kept" / "checkpoint-10"
    shutil.copytree(folder, copy, copy_function=os.link)
    found = settle(root, engine, state)
    assert [one.path for one in found.found] == [str(copy)]
    assert (found.arrived, found.removed) == ((), ())
    shutil.rmtree(folder)
    assert [one.path for one in settle(root, engine, state).removed] == [str(folder)]


class Overtaken(Digests):
    """Lets another watcher look while this one reads."""

    def __init__(self, other: Callable[[], object]) -> None:
        super().__init__()
        self._other = other

    def of(self, file: Path) -> str:
        self._other()
        return super().of(file)


def test_of_two_watchers_the_slower_says_nothing(
    root: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = make_checkpoint(root / "a" / "checkpoint-10"), root / "b" / "checkpoint-10"
    faster = State()
    said: list[Scan] = []

    def overtake() -> None:
        said.extend(settle(root, engine, faster) for _ in range(2))

    slower = State(digests=Overtaken(overtake))
    assert settle(root, engine, slower) == NOTHING
    shutil.copytree(first, second)
    assert settle(root, engine, slower) == NOTHING
    shutil.rmtree(first)

    def reason(folder: Path, root: Path, home: Home | None) -> str | None:
        monkeypatch.setattr(watcher, "reason_gone", reason_gone)
        overtake()
        return reason_gone(folder, root, home)

    scan(root, engine, slower, settle_seconds=0.0)
    monkeypatch.setattr(watcher, "reason_gone", reason)
    assert settle(root, engine, slower) == NOTHING
    with reading(engine) as connection:
        kinds = [type(recorded.event) for recorded in log.read(connection)]
    assert kinds == [CheckpointArrived, CheckpointFound, CheckpointRemoved]


def test_a_name_that_is_not_utf8_is_neither_found_again_nor_gone(
    root: Path, engine: Engine
) -> None:
    folder = make_checkpoint(root / "run" / "checkpoint-10")
    copy = Path(os.fsdecode(bytes(root) + b"/r\xffn")) / "checkpoint-10"
    state = State()
    settle(root, engine, state)
    shutil.copytree(folder, copy)
    assert [one.path for one in settle(root, engine, state).rejected] == [
        str(root / "r\\udcffn" / "checkpoint-10")
    ]
    for one in (state, State()):
        assert settle(root, engine, one) == NOTHING
    (folder / os.fsdecode(b"n\xf6te.txt")).touch()
    for one in (state, State()):
        assert settle(root, engine, one) == NOTHING


@pytest.mark.usefixtures("permissions")
@pytest.mark.parametrize("name", ["run", "run/checkpoint-10", "run/checkpoint-10/config.json"])
def test_a_permission_that_is_denied_and_granted_again_changes_nothing(
    root: Path, engine: Engine, name: str
) -> None:
    make_checkpoint(root / "run" / "checkpoint-10", 1.0)
    make_checkpoint(root / "other" / "checkpoint-20", 2.0)
    state = State()
    assert len(settle(root, engine, state).arrived) == 2
    (root / name).chmod(0)
    for one in (state, State()):
        found = settle(root, engine, one)
        assert (found.rejected, found.removed) == ((), ())
        assert len(found.waiting) == (0 if name == "run" else 1)
    (root / name).chmod(0o755)
    for one in (state, State()):
        assert settle(root, engine, one) == NOTHING


@pytest.mark.usefixtures("permissions")
def test_a_permission_that_comes_late_still_lets_a_checkpoint_arrive(
    root: Path, engine: Engine
) -> None:
    folder = make_checkpoint(root / "run" / "checkpoint-10")
    folder.chmod(0)
    state = State()
    scan(root, engine, state, settle_seconds=0.0)
    late = scan(root, engine, state, settle_seconds=0.0, limit_seconds=0.0)
    assert [one.reason for one in late.rejected] == [
        "checkpoint-10 cannot be read: Permission denied"
    ]
    folder.chmod(0o755)
    assert len(settle(root, engine, state).arrived) == 1


def test_what_waits_under_a_name_that_is_not_utf8_can_be_printed(
    root: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_checkpoint(Path(os.fsdecode(bytes(root) + b"/r\xffn")) / "checkpoint-10")

    def refuse(path: Path) -> list[str]:
        raise PermissionError(13, "Permission denied", str(path))

    state = State()
    scan(root, engine, state, settle_seconds=0.0)
    monkeypatch.setattr(os, "listdir", refuse)
    (waiting,) = scan(root, engine, state, settle_seconds=0.0).waiting
    assert str(waiting.path) == str(root / "r\\udcffn" / "checkpoint-10")
    assert waiting.reason == "checkpoint-10 cannot be read: Permission denied"


@pytest.mark.parametrize("denied", ["stat", "scandir"])
def test_a_run_that_may_not_be_looked_into_is_not_gone(
    root: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch, denied: str
) -> None:
    make_checkpoint(root / "run" / "checkpoint-10", 1.0)
    make_checkpoint(root / "other" / "checkpoint-20", 2.0)
    state = State()
    settle(root, engine, state)
    with monkeypatch.context() as refused:
        deny(refused, root / "run", denied)
        for one in (state, State()):
            assert settle(root, engine, one).removed == ()
    assert settle(root, engine, state) == NOTHING


def deny(monkeypatch: pytest.MonkeyPatch, folder: Path, denied: str) -> None:
    """What chmod does to everyone but root: no listing, and for "stat" no search either."""
    scandir, stat = os.scandir, os.stat

    def refuse_listing(path: str) -> object:
        if Path(path).is_relative_to(folder):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    def refuse_search(path: str, **options: object) -> os.stat_result:
        if folder in Path(path).parents:
            raise PermissionError(13, "Permission denied", str(path))
        return stat(path, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "scandir", refuse_listing)
    if denied == "stat":
        monkeypatch.setattr(os, "stat", refuse_search)


def test_a_folder_that_is_there_but_no_candidate_says_so(tmp_path: Path) -> None:
    folder = tmp_path / "run" / "final"
    folder.mkdir(parents=True)
    assert reason_gone(folder, tmp_path, home_of(folder)) == NO_LONGER_ONE
    assert reason_gone(folder / "inner", tmp_path, None) == GONE


def test_a_home_on_a_device_that_is_not_there_is_out_of_reach(tmp_path: Path) -> None:
    device = tmp_path.stat().st_dev
    folder = tmp_path / "run" / "checkpoint-10"
    assert reason_gone(folder, tmp_path, Home(folder, device)) == GONE
    assert reason_gone(folder, tmp_path, Home(folder, device + 1)) is None
    assert home_of(folder) is None


def test_dot_files_alone_are_nothing(tmp_path: Path) -> None:
    (tmp_path / ".staging").mkdir()
    assert not holds_anything(tmp_path)
    assert not holds_anything(tmp_path / "missing")
    (tmp_path / "run").mkdir()
    assert holds_anything(tmp_path)
