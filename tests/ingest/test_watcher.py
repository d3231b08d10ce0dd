"""A checkpoint arrives once, when it is whole, and not before."""

from __future__ import annotations

import logging
import os
import random
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from safetensors.numpy import save_file
from sqlalchemy import Engine, select
from watchdog.observers import Observer

from errors import SettingsError
from ingest.arrival import Complete, judge
from ingest.fingerprint import Digests, snapshot
from ingest.known_folders import FINE_NS, KnownFolders
from ingest.trainer_callback import write_manifest
from ingest.watcher import Scan, State, Waiting, scan, watch
from settings import Settings, Trust, WatchSettings, Workspace
from store import log
from store.events import CheckpointArrived, CheckpointRejected, CheckpointRemoved, Event
from store.lifecycle import CHECKPOINT, LIFECYCLE
from store.projections import bring_up_to_date
from tests import logs
from tests.ingest.folders import (
    CONFIG,
    make_checkpoint,
    tensors,
    wait_for,
    write_json,
    write_trainer_state,
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "checkpoints"
    root.mkdir()
    return root


def look(root: Path, engine: Engine, state: State, *, limit_seconds: float = 600.0) -> Scan:
    """One scan in which a second look at an unchanged folder is enough to judge it."""
    return scan(root, engine, state, settle_seconds=0.0, limit_seconds=limit_seconds)


def settle(root: Path, engine: Engine, state: State, *, limit_seconds: float = 600.0) -> Scan:
    """Two scans; returns the second, which judges."""
    look(root, engine, state, limit_seconds=limit_seconds)
    return look(root, engine, state, limit_seconds=limit_seconds)


def events(engine: Engine) -> list[Event]:
    with engine.connect() as connection:
        return [recorded.event for recorded in log.read(connection)]


def replace_weights(folder: Path, value: float) -> None:
    """Puts other weights in, of the same size, in one step."""
    save_file(tensors(value), folder / "new")
    os.replace(folder / "new", folder / "model.safetensors")


def test_a_folder_is_judged_at_the_second_look_and_arrives_once(root: Path, engine: Engine) -> None:
    folder = make_checkpoint(root / "run" / "checkpoint-10")
    state = State()
    first, second, third = (look(root, engine, state) for _ in range(3))
    assert (first.arrived, first.settling) == ((), 1)
    assert [(one.run, one.step, one.path) for one in second.arrived] == [("run", 10, str(folder))]
    assert (third.arrived, third.settling, third.waiting) == ((), 0, ())
    assert events(engine) == list(second.arrived)


def test_a_second_look_that_comes_too_soon_settles_nothing(root: Path, engine: Engine) -> None:
    make_checkpoint(root / "run" / "checkpoint-10")
    state = State()
    for _ in range(3):
        found = scan(root, engine, state, settle_seconds=3600.0)
        assert (found.arrived, found.settling) == ((), 1)


# Whatever comes last of these, the folder without it is not whole.
NEEDED = ("config.json", "model.safetensors", "trainer_state.json")


@pytest.mark.parametrize("seed", range(8))
def test_files_in_any_order_and_pieces_arrive_after_the_last_byte(
    tmp_path: Path, root: Path, engine: Engine, seed: int
) -> None:
    dice = random.Random(seed)
    whole = make_checkpoint(tmp_path / "whole" / "checkpoint-10")
    others = [file.name for file in whole.iterdir() if file.name not in NEEDED]
    order = [*dice.sample(others, len(others)), *dice.sample(NEEDED, len(NEEDED))]
    folder = root / "run" / "checkpoint-10"
    folder.mkdir(parents=True)
    state = State()
    for name in order:
        content = (whole / name).read_bytes()
        cuts = sorted({0, *dice.choices(range(len(content)), k=2), len(content)})
        for begin, end in pairwise(cuts):
            with (folder / name).open("ab") as file:
                file.write(content[begin:end])
            if (name, end) != (order[-1], len(content)):
                # Also a pause of any length between two pieces must not look like the end.
                assert settle(root, engine, state).arrived == ()
    assert len(settle(root, engine, state).arrived) == 1
    assert settle(root, engine, state).arrived == ()
    (arrived,) = events(engine)
    assert isinstance(arrived, CheckpointArrived)
    assert (arrived.step, arrived.train_loss) == (10, 2.5)


def test_the_same_content_under_another_path_is_no_second_arrival(
    root: Path, engine: Engine
) -> None:
    folder = make_checkpoint(root / "run" / "checkpoint-10")
    state = State()
    settle(root, engine, state)
    copy = root / "copy" / "checkpoint-10"
    shutil.copytree(folder, copy)
    scanned = settle(root, engine, state)
    (found,) = scanned.found
    assert (scanned.arrived, found.path, found.run, found.step) == ((), str(copy), "copy", 10)
    for again in (state, State()):
        assert settle(root, engine, again) == ((), (), (), (), (), 0)
    assert len(events(engine)) == 2
    assert paths_of(engine) == [str(folder), str(copy)]


def paths_of(engine: Engine) -> list[str]:
    """The folders of the one checkpoint, by the log."""
    bring_up_to_date(engine, [LIFECYCLE])
    with engine.connect() as connection:
        row = connection.execute(select(CHECKPOINT)).one()
    assert (row.removed_at is None) == bool(row.paths)
    assert row.path == row.paths[0] if row.paths else True
    return list(row.paths)


def test_a_checkpoint_that_moves_comes_back_or_loses_a_copy_stays_one(
    root: Path, engine: Engine
) -> None:
    first, second = root / "run" / "checkpoint-10", root / "kept" / "checkpoint-10"
    make_checkpoint(first)
    make_checkpoint(root / "run" / "checkpoint-20", 2.0)
    state = State()
    assert len(settle(root, engine, state).arrived) == 2
    second.parent.mkdir()
    first.rename(second)
    moved = settle(root, engine, state)
    assert [one.path for one in moved.found] == [str(second)]
    assert [one.path for one in moved.removed] == [str(first)]
    shutil.rmtree(root / "run" / "checkpoint-20")
    settle(root, engine, state)
    second.rename(root / "run" / ".hidden")
    assert [one.path for one in settle(root, engine, state).removed] == [str(second)]
    (root / "run" / ".hidden").rename(first)
    back = settle(root, engine, State())
    assert [one.path for one in back.found] == [str(first)]
    assert back.arrived == ()
    types = [type(one).__name__ for one in events(engine)]
    assert types.count("CheckpointArrived") == 2


def test_a_folder_written_over_is_a_new_checkpoint_and_the_old_one_is_gone(
    root: Path, engine: Engine
) -> None:
    folder = make_checkpoint(root / "run" / "checkpoint-10", 1.0)
    state = State()
    (old,) = settle(root, engine, state).arrived
    replace_weights(folder, 2.0)
    found = settle(root, engine, state)
    (new,) = found.arrived
    assert new.checkpoint_id != old.checkpoint_id
    (removed,) = found.removed
    assert (removed.checkpoint_id, removed.path) == (old.checkpoint_id, str(folder))
    assert removed.reason == f"the folder holds checkpoint {new.checkpoint_id} now"
    assert settle(root, engine, state) == ((), (), (), (), (), 0)


def rewrite_unseen(folder: Path) -> None:
    """Writes other weights of the same size into the same file, and sets the mtime back."""
    file = folder / "model.safetensors"
    before = file.stat()
    # The kernel's clock for files ticks every few milliseconds.
    wait_for(lambda: time.time_ns() - before.st_ctime_ns > 20_000_000)
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    with file.open("r+b") as stream:
        stream.write(content)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_a_change_that_hides_its_time_is_seen_too(root: Path, engine: Engine) -> None:
    folder = make_checkpoint(root / "run" / "checkpoint-10")
    state = State()
    (old,) = settle(root, engine, state).arrived
    rewrite_unseen(folder)
    (new,) = settle(root, engine, state).arrived
    assert new.checkpoint_id != old.checkpoint_id


class Meddling(Digests):
    """Puts other weights into the folder while it is read, once."""

    meddled = False

    def of(self, file: Path) -> str:
        digest = super().of(file)
        if not self.meddled:
            self.meddled = True
            replace_weights(file.parent, 2.0)
        return digest


def test_a_folder_that_changes_while_it_is_read_is_judged_again(
    tmp_path: Path, root: Path, engine: Engine
) -> None:
    make_checkpoint(root / "run" / "checkpoint-10", 1.0)
    state = State(digests=Meddling())
    found = settle(root, engine, state)
    assert (found.arrived, found.settling) == ((), 1)
    (arrived,) = settle(root, engine, state).arrived
    expected = judge(make_checkpoint(tmp_path / "elsewhere" / "checkpoint-10", 2.0))
    assert isinstance(expected, Complete)
    assert arrived.checkpoint_id == expected.arrived(Digests().of).checkpoint_id


def test_what_does_not_make_the_identity_may_change_afterwards(root: Path, engine: Engine) -> None:
    folder = make_checkpoint(root / "run" / "checkpoint-10", loss=2.5)
    state = State()
    settle(root, engine, state)
    (folder / "optimizer.pt").unlink()
    write_trainer_state(folder, loss=9.0)
    assert settle(root, engine, state) == ((), (), (), (), (), 0)
    assert len(events(engine)) == 1


class Unread(Digests):
    """Fails when a file would be read."""

    def of(self, file: Path) -> str:
        raise AssertionError(f"{file} is read again")


def rested(folder: Path) -> None:
    """Waits until a reading of the folder would be remembered."""
    wait_for(lambda: time.time_ns() - snapshot(folder).changed > 1.2 * FINE_NS)


def test_after_a_restart_only_what_changed_is_read_again(
    tmp_path: Path, root: Path, engine: Engine
) -> None:
    file = tmp_path / "known"
    folder = make_checkpoint(root / "run" / "checkpoint-10")
    rested(folder)
    state = State(known=KnownFolders(file))
    settle(root, engine, state)
    state.known.save()
    restarted = State(digests=Unread(), known=KnownFolders(file))
    assert look(root, engine, restarted) == ((), (), (), (), (), 0)
    replace_weights(folder, 2.0)
    os.utime(folder / "model.safetensors", (1, 1))
    assert len(settle(root, engine, State(known=KnownFolders(file))).arrived) == 1


def test_a_workspace_on_another_disk_is_read_again_once(
    tmp_path: Path, root: Path, engine: Engine
) -> None:
    file = tmp_path / "known"
    folder = make_checkpoint(root / "run" / "checkpoint-10")
    rested(folder)
    state = State(known=KnownFolders(file))
    settle(root, engine, state)
    state.known.save()
    subprocess.run(["cp", "-a", root, tmp_path / "copy"], check=True)
    shutil.rmtree(root)
    (tmp_path / "copy").rename(root)
    rested(folder)
    moved = State(digests=Counting(), known=KnownFolders(file))
    assert settle(root, engine, moved) == ((), (), (), (), (), 0)
    moved.known.save()
    assert isinstance(moved.digests, Counting)
    assert moved.digests.read == 6
    again = State(digests=Unread(), known=KnownFolders(file))
    assert look(root, engine, again) == ((), (), (), (), (), 0)


class Counting(Digests):
    """Counts the files that are read."""

    read = 0

    def of(self, file: Path) -> str:
        self.read += 1
        return super().of(file)


def test_two_runs_that_change_names_during_a_pause_are_not_taken_for_each_other(
    tmp_path: Path, root: Path, engine: Engine
) -> None:
    file = tmp_path / "known"
    folders = {
        name: make_checkpoint(root / name / "checkpoint-10", value)
        for name, value in (("a", 1.0), ("b", 2.0))
    }
    for folder in folders.values():
        rested(folder)
    state = State(known=KnownFolders(file))
    ids = {one.run: one.checkpoint_id for one in settle(root, engine, state).arrived}
    state.known.save()
    # No file is touched by this, so no time of any file says so.
    for old, new in (("a", "c"), ("b", "a"), ("c", "b")):
        (root / old).rename(root / new)
    found = settle(root, engine, State(known=KnownFolders(file)))
    assert {one.run: one.checkpoint_id for one in found.found} == {"a": ids["b"], "b": ids["a"]}
    assert {one.path: one.checkpoint_id for one in found.removed} == {
        str(folders[name]): ids[name] for name in ("a", "b")
    }


def test_the_log_is_believed_whatever_the_clock_said(
    root: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_checkpoint(root / "run" / "checkpoint-10", 1.0)
    tomorrow = time.time() + 86_400
    os.utime(folder / "model.safetensors", (tomorrow, tomorrow))
    state = State()
    with monkeypatch.context() as jumped:
        jumped.setattr(log, "now", lambda: "2099-01-01T00:00:00.000Z")
        (old,) = settle(root, engine, state).arrived
    replace_weights(folder, 2.0)
    (new,) = settle(root, engine, State()).arrived
    assert new.checkpoint_id != old.checkpoint_id
    with monkeypatch.context() as jumped:
        jumped.setattr(log, "now", lambda: "1999-01-01T00:00:00.000Z")
        replace_weights(folder, 3.0)
        assert len(settle(root, engine, State()).arrived) == 1


def test_an_incomplete_folder_waits_with_its_reason(root: Path, engine: Engine) -> None:
    folder = make_checkpoint(root / "run" / "checkpoint-10")
    (folder / "config.json").unlink()
    found = settle(root, engine, State())
    assert found.waiting == (Waiting(folder, "config.json is not there"),)
    assert events(engine) == []


def test_a_folder_incomplete_for_too_long_is_rejected_once_and_can_still_arrive(
    root: Path, engine: Engine
) -> None:
    folder = make_checkpoint(root / "run" / "checkpoint-10")
    config = (folder / "config.json").read_bytes()
    (folder / "config.json").unlink()
    state = State()
    (rejected,) = settle(root, engine, state, limit_seconds=0.0).rejected
    assert (rejected.run, rejected.step, rejected.path) == ("run", 10, str(folder))
    assert rejected.reason == "config.json is not there"
    assert settle(root, engine, state, limit_seconds=0.0).rejected == ()
    assert settle(root, engine, State(), limit_seconds=0.0).rejected == ()
    assert events(engine) == [rejected]
    (folder / "config.json").write_bytes(config)
    (arrived,) = settle(root, engine, state).arrived
    assert events(engine) == [rejected, arrived]


def test_a_broken_folder_is_rejected_at_once_and_again_when_it_has_changed(
    root: Path, engine: Engine
) -> None:
    folder = make_checkpoint(root / "run" / "checkpoint-10")
    (folder / "config.json").write_text("{}")
    state = State()
    (first,) = settle(root, engine, state).rejected
    (folder / "config.json").write_text('{"model_type": 1}')
    (second,) = settle(root, engine, state).rejected
    assert first.reason == second.reason == "config.json names neither architectures nor model_type"
    assert first.fingerprint != second.fingerprint
    assert settle(root, engine, state).rejected == ()


def test_trainers_last_file_is_not_waited_for_for_ever(root: Path, engine: Engine) -> None:
    folder = make_checkpoint(root / "run" / "checkpoint-10")
    (folder / "trainer_state.json").unlink()
    state = State()
    assert len(settle(root, engine, state).waiting) == 1
    found = look(root, engine, state, limit_seconds=0.0)
    assert [one.train_loss for one in found.arrived] == [None]
    assert found.rejected == ()


def test_a_checkpoint_whose_folder_is_gone_is_removed_once(root: Path, engine: Engine) -> None:
    folder = make_checkpoint(root / "run" / "checkpoint-10")
    state = State()
    (arrived,) = settle(root, engine, state).arrived
    shutil.rmtree(folder)
    assert look(root, engine, state).removed == ()
    (removed,) = look(root, engine, state).removed
    assert removed.checkpoint_id == arrived.checkpoint_id
    assert (removed.path, removed.reason) == (str(folder), "the folder is gone")
    assert settle(root, engine, state).removed == ()
    assert settle(root, engine, State()).removed == ()


def test_a_folder_that_is_back_at_the_second_look_is_not_removed(
    root: Path, engine: Engine
) -> None:
    folder = make_checkpoint(root / "run" / "checkpoint-10")
    state = State()
    settle(root, engine, state)
    for _ in range(2):
        away = folder.rename(root.with_name("away"))
        assert look(root, engine, state).removed == ()
        away.rename(folder)
        assert look(root, engine, state).removed == ()


def test_a_checkpoint_that_arrived_in_another_folder_is_not_missed(
    root: Path, engine: Engine
) -> None:
    logs.arrive(engine, 10)
    (root / "run").mkdir()
    assert settle(root, engine, State()) == ((), (), (), (), (), 0)


def test_an_arrived_checkpoint_that_is_no_longer_whole_is_removed_with_the_reason(
    root: Path, engine: Engine
) -> None:
    folder = make_checkpoint(root / "run" / "checkpoint-10")
    state = State()
    settle(root, engine, state)
    (folder / "model.safetensors").unlink()
    found = settle(root, engine, state, limit_seconds=0.0)
    assert [one.reason for one in found.rejected] == ["model.safetensors is not there"]
    assert [one.reason for one in found.removed] == [
        "the folder is no whole checkpoint any more: model.safetensors is not there"
    ]


@pytest.mark.parametrize("unmounted", ["missing", "empty"])
def test_an_unmounted_disk_does_not_remove_every_checkpoint(
    root: Path, engine: Engine, unmounted: str
) -> None:
    make_checkpoint(root / "run" / "checkpoint-10")
    state = State()
    settle(root, engine, state)
    disk = root.rename(root.with_name("disk"))
    if unmounted == "empty":
        root.mkdir()
    assert settle(root, engine, state).removed == ()
    if unmounted == "empty":
        root.rmdir()
    disk.rename(root)
    assert settle(root, engine, state) == ((), (), (), (), (), 0)
    assert [type(event) for event in events(engine)] == [CheckpointArrived]


def test_dot_folders_and_other_folders_are_left_alone(root: Path, engine: Engine) -> None:
    make_checkpoint(root / ".staging" / "run" / "checkpoint-10")
    make_checkpoint(root / "run" / ".checkpoint-10")
    (root / "run" / "runs" / "Nov24").mkdir(parents=True)
    (root / "run" / "trainer.log").touch()
    found = settle(root, engine, State(), limit_seconds=0.0)
    assert found == ((), (), (), (), (), 0)
    assert events(engine) == []


def test_a_watched_folder_that_is_itself_a_run_works_too(tmp_path: Path, engine: Engine) -> None:
    make_checkpoint(tmp_path / "my-run" / "checkpoint-10", 1.0)
    make_checkpoint(tmp_path / "my-run" / "group" / "b" / "epoch=1-step=20", 2.0)
    found = settle(tmp_path / "my-run", engine, State())
    assert {(one.run, one.step) for one in found.arrived} == {("my-run", 10), ("group/b", 20)}


def test_the_settings_say_the_runs_name_the_limit_and_what_is_trusted(
    tmp_path: Path, engine: Engine
) -> None:
    settings = Settings(
        watch=WatchSettings(run="llama", incomplete_after_seconds=0.01, allow_pickle=True)
    )
    workspace = Workspace(tmp_path, settings)
    pickled(make_checkpoint(workspace.checkpoints / "checkpoint-10"))
    (make_checkpoint(workspace.checkpoints / "checkpoint-20") / "config.json").unlink()
    watch(workspace, engine, threading.Event(), lambda _: None, once=True)
    told = [(type(one), one.run, one.step) for one in events(engine)]  # type: ignore[attr-defined]
    assert sorted(told, key=lambda one: one[2]) == [
        (CheckpointArrived, "llama", 10),
        (CheckpointRejected, "llama", 20),
    ]


def pickled(folder: Path) -> Path:
    """The same weights as a pickle."""
    held = {name: torch.from_numpy(one) for name, one in tensors().items()}
    torch.save(held, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    return folder


def coded(folder: Path) -> Path:
    """Names code of its own."""
    write_json(folder / "config.json", {**CONFIG, "auto_map": {"AutoModel": "model.Model"}})
    return folder


@pytest.mark.parametrize(
    ("harm", "trust", "words"),
    [
        (pickled, Trust(allow_pickle=True), "set allow_pickle = true under [watch]"),
        (coded, Trust(own_code=(Path("run"),)), 'trust_remote_code = ["run"] under [evaluation]'),
        (coded, Trust(own_code=(Path("run/checkpoint-10"),)), "config.json names code (auto_map)"),
    ],
)
def test_what_could_run_code_is_rejected_until_it_is_allowed(
    root: Path, engine: Engine, harm: Callable[[Path], Path], trust: Trust, words: str
) -> None:
    harm(make_checkpoint(root / "run" / "checkpoint-10"))
    (rejected,) = settle(root, engine, State()).rejected
    assert words in rejected.reason
    allowed = Trust(trust.allow_pickle, tuple(root / one for one in trust.own_code))
    state = State()
    found = [scan(root, engine, state, settle_seconds=0.0, trust=allowed) for _ in range(2)]
    assert [one.step for one in found[1].arrived] == [10]
    other = Trust(own_code=(root / "run" / "checkpoint-1", root / "ru"))
    assert not other.runs_code_of(root / "run" / "checkpoint-10")


def test_a_name_that_is_not_utf8_is_rejected_and_ends_nothing(root: Path, engine: Engine) -> None:
    make_checkpoint(Path(os.fsdecode(bytes(root) + b"/r\xffn")) / "checkpoint-10")
    make_checkpoint(root / "run" / "checkpoint-20")
    found = settle(root, engine, State())
    assert [one.step for one in found.arrived] == [20]
    assert [(one.run, one.step) for one in found.rejected] == [("r\\udcffn", 10)]
    assert settle(root, engine, State()).rejected == ()


def test_content_that_is_not_what_the_manifest_lists_is_rejected(
    root: Path, engine: Engine
) -> None:
    folder = make_checkpoint(root / "run" / "checkpoint-10", 1.0)
    write_manifest(folder)
    replace_weights(folder, 2.0)
    state = State()
    (rejected,) = settle(root, engine, state).rejected
    assert rejected.reason.startswith("model.safetensors does not hold what milepost-manifest.json")
    replace_weights(folder, 1.0)
    assert len(settle(root, engine, state).arrived) == 1


def test_the_newest_folder_comes_first(root: Path, engine: Engine) -> None:
    for step, age in ((10, 300), (20, 100), (30, 200)):
        folder = make_checkpoint(root / "run" / f"checkpoint-{step}", float(step))
        os.utime(folder, (1_700_000_000 - age, 1_700_000_000 - age))
    found = settle(root, engine, State())
    assert [one.step for one in found.arrived] == [20, 30, 10]


@contextmanager
def watching(workspace: Workspace, engine: Engine) -> Iterator[list[Scan]]:
    """A watcher in a thread; gives the scans that it has made."""
    stop, scans = threading.Event(), list[Scan]()
    thread = threading.Thread(target=watch, args=(workspace, engine, stop, scans.append))
    thread.start()
    try:
        wait_for(lambda: scans)
        yield scans
    finally:
        stop.set()
        thread.join()


def workspace_of(tmp_path: Path, interval_seconds: float) -> Workspace:
    settings = Settings(watch=WatchSettings(interval_seconds=interval_seconds))
    return Workspace(tmp_path, settings)


def arrivals(scans: list[Scan]) -> list[int]:
    return [one.step for found in scans for one in found.arrived]


def test_a_rename_into_the_folder_is_noticed_by_its_hint_in_a_few_scans(
    tmp_path: Path, engine: Engine
) -> None:
    # The timer would come in an hour, so seconds are the hints' work; a loaded machine takes some.
    workspace = workspace_of(tmp_path, interval_seconds=3600.0)
    staged = make_checkpoint(workspace.staging / "run" / "checkpoint-10")
    with watching(workspace, engine) as scans:
        (workspace.checkpoints / "run").mkdir()
        staged.rename(workspace.checkpoints / "run" / "checkpoint-10")
        wait_for(lambda: arrivals(scans))
        assert len(scans) <= 8
        shutil.rmtree(workspace.checkpoints / "run" / "checkpoint-10")
        wait_for(lambda: any(found.removed for found in scans))
    assert [type(event) for event in events(engine)] == [CheckpointArrived, CheckpointRemoved]


def test_a_watched_folder_that_is_replaced_while_it_runs_is_followed(
    tmp_path: Path, engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    workspace = workspace_of(tmp_path, interval_seconds=0.2)
    root = workspace.checkpoints
    with watching(workspace, engine) as scans:
        make_checkpoint(root / "run" / "checkpoint-10", 1.0)
        wait_for(lambda: arrivals(scans) == [10])
        root.rename(tmp_path / "old")
        wait_for(lambda: f"{root} is not there" in caplog.messages)
        make_checkpoint(root / "run" / "checkpoint-20", 2.0)
        wait_for(lambda: arrivals(scans) == [10, 20])
        wait_for(lambda: [one.path for found in scans for one in found.removed])
    assert caplog.messages == [f"{root} is not there", f"{root} is there again"]
    kinds = [type(event) for event in events(engine)]
    assert kinds == [CheckpointArrived, CheckpointArrived, CheckpointRemoved]


def test_a_link_to_a_disk_that_is_not_mounted_yet_is_waited_for(
    tmp_path: Path, engine: Engine
) -> None:
    workspace = workspace_of(tmp_path, interval_seconds=0.2)
    workspace.checkpoints.symlink_to(tmp_path / "disk")
    with watching(workspace, engine) as scans:
        make_checkpoint(tmp_path / "disk" / "run" / "checkpoint-10")
        wait_for(lambda: arrivals(scans) == [10])
    (arrived,) = events(engine)
    assert isinstance(arrived, CheckpointArrived)
    assert arrived.path == str(workspace.checkpoints / "run" / "checkpoint-10")


def test_a_link_that_leads_back_to_itself_is_waited_for_too(tmp_path: Path, engine: Engine) -> None:
    workspace = workspace_of(tmp_path, interval_seconds=3600.0)
    workspace.checkpoints.symlink_to(workspace.checkpoints)
    scans: list[Scan] = []
    watch(workspace, engine, threading.Event(), scans.append, once=True)
    assert scans == [((), (), (), (), (), 0)]


def test_a_file_in_place_of_the_watched_folder_is_an_error_with_its_name(
    tmp_path: Path, engine: Engine
) -> None:
    workspace = workspace_of(tmp_path, interval_seconds=3600.0)
    workspace.checkpoints.write_text("no folder")
    with pytest.raises(SettingsError, match="no folder can be made: File exists") as caught:
        watch(workspace, engine, threading.Event(), lambda _: None, once=True)
    assert str(workspace.checkpoints) in str(caught.value)


def test_a_restarted_watcher_reads_no_weights_again(
    tmp_path: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = workspace_of(tmp_path, interval_seconds=3600.0)
    rested(make_checkpoint(workspace.checkpoints / "run" / "checkpoint-10"))
    watch(workspace, engine, threading.Event(), lambda _: None, once=True)
    assert len(events(engine)) == 1
    monkeypatch.setattr(Digests, "of", Unread.of)
    scans: list[Scan] = []
    watch(workspace, engine, threading.Event(), scans.append, once=True)
    assert scans == [((), (), (), (), (), 0)]


def test_what_came_and_went_leaves_nothing_in_memory(root: Path, engine: Engine) -> None:
    make_checkpoint(root / "run" / "checkpoint-1", 1.0)
    state = State()
    settle(root, engine, state)
    for step in range(2, 12):
        folder = make_checkpoint(root / f"run-{step}" / f"checkpoint-{step}", float(step))
        (make_checkpoint(root / "run" / f"checkpoint-{step}") / "config.json").unlink()
        assert len(settle(root, engine, state).arrived) == 1
        for gone in (folder.parent, root / "run" / f"checkpoint-{step}"):
            shutil.rmtree(gone)
        assert len(settle(root, engine, state).removed) == 1
    assert look(root, engine, state) == ((), (), (), (), (), 0)
    kept = [root / "run" / "checkpoint-1"]
    assert list(state.folders) == list(state.homes) == kept
    assert [one.path for one in state.ledger.present] == kept
    assert (state.absent, state.unreachable, state.links) == ({}, set(), [])


def test_without_hints_the_timer_finds_what_came(
    tmp_path: Path,
    engine: Engine,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def refuse(_: object) -> None:
        raise OSError(28, "inotify watch limit reached")

    monkeypatch.setattr(Observer, "start", refuse)
    workspace = workspace_of(tmp_path, interval_seconds=0.05)
    with caplog.at_level(logging.WARNING), watching(workspace, engine) as scans:
        make_checkpoint(workspace.checkpoints / "run" / "checkpoint-10")
        wait_for(lambda: arrivals(scans))
    assert "inotify watch limit reached" in caplog.text
    assert len(events(engine)) == 1


def test_once_ends_when_everything_has_settled(tmp_path: Path, engine: Engine) -> None:
    workspace = workspace_of(tmp_path, interval_seconds=3600.0)
    make_checkpoint(workspace.checkpoints / "run" / "checkpoint-10", 1.0)
    broken = make_checkpoint(workspace.checkpoints / "run" / "checkpoint-20", 2.0)
    (broken / "config.json").write_text("{}")
    scans: list[Scan] = []
    watch(workspace, engine, threading.Event(), scans.append, once=True)
    assert arrivals(scans) == [10]
    assert {type(event) for event in events(engine)} == {CheckpointArrived, CheckpointRejected}


def test_a_watcher_that_is_told_to_stop_ends_between_two_folders(
    root: Path, engine: Engine
) -> None:
    for step in (10, 20, 30):
        make_checkpoint(root / "run" / f"checkpoint-{step}", float(step))
    state, stop = State(), threading.Event()
    look(root, engine, state)
    stop.set()
    assert scan(root, engine, state, settle_seconds=0.0, stop=stop).arrived == ()
    assert events(engine) == []
