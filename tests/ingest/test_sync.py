"""Sync takes whole checkpoints, newest first, each once, with the real rsync."""

from __future__ import annotations

import os
import shutil
import threading
from pathlib import Path

import pytest
from safetensors.numpy import save_file
from sqlalchemy import Engine

from errors import SettingsError, SyncFault
from ingest.arrival import Complete, judge
from ingest.candidates import Candidate, find_candidates
from ingest.rsync import Entry
from ingest.sync import Moving, Round, Waiting, run_sync
from settings import Settings, SyncSettings, Workspace
from store.events import SyncCompleted, SyncFailed
from tests import logs
from tests.ingest.ends import Ends, names
from tests.ingest.folders import tensors, wait_for, write_trainer_state

# What ssh does, without the network: leaves out its options and the host, and runs the rest.
REMOTE_SHELL = """#!/bin/sh
while [ "${1#-}" != "$1" ]; do
    case "$1" in -l|-o|-p) shift ;; esac
    shift
done
shift
exec sh -c "$*"
"""


@pytest.fixture
def remote_shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    script = tmp_path / "remote-shell"
    script.write_text(REMOTE_SHELL)
    script.chmod(0o755)
    monkeypatch.setenv("RSYNC_RSH", str(script))
    return script


@pytest.fixture(params=["", "trainer:"], ids=["local", "remote"])
def ends(
    request: pytest.FixtureRequest, tmp_path: Path, engine: Engine, remote_shell: Path
) -> Ends:
    assert remote_shell.exists()
    both = Ends(tmp_path, engine, request.param)
    both.runs.mkdir()
    return both


@pytest.fixture
def remote(tmp_path: Path, engine: Engine, remote_shell: Path) -> Ends:
    assert remote_shell.exists()
    both = Ends(tmp_path, engine, "trainer:")
    both.runs.mkdir()
    return both


@pytest.fixture
def local(tmp_path: Path, engine: Engine) -> Ends:
    both = Ends(tmp_path, engine, "")
    both.runs.mkdir()
    return both


def test_a_whole_checkpoint_is_taken_without_what_evaluating_does_not_need(ends: Ends) -> None:
    source = ends.save(10)
    found = ends.pull()
    target = ends.checkpoints / "run" / "checkpoint-10"
    assert isinstance(judge(target), Complete)
    wanted = {file.name for file in source.iterdir()}
    wanted -= {"optimizer.pt", "scheduler.pt", "rng_state.pth"}
    assert {file.name for file in target.iterdir()} == wanted
    for name in wanted:
        assert (target / name).read_bytes() == (source / name).read_bytes()
    (event,) = found.pulled
    assert ends.events() == [event]
    assert (event.source, event.run, event.name) == (
        f"{ends.prefix}{ends.runs}",
        "run",
        "checkpoint-10",
    )
    assert (event.path, event.files) == (str(target), len(wanted))
    assert event.bytes == found.bytes == sum((source / name).stat().st_size for name in wanted)
    assert 0 < event.seconds <= found.seconds
    assert (found.waiting, found.failed) == ((), ())


def test_the_newest_is_taken_first_over_all_runs(local: Ends) -> None:
    for run, step, age in (("a", 10, 300), ("a", 100, 200), ("a", 20, 50), ("b", 5, 100)):
        os.utime(local.save(step, run), (1_700_000_000 - age, 1_700_000_000 - age))
    assert names(local.pull()) == [
        "a/checkpoint-20",
        "b/checkpoint-5",
        "a/checkpoint-100",
        "a/checkpoint-10",
    ]


def test_within_one_second_the_greater_step_is_newer() -> None:
    at = "2026/11/24 10:24:57"
    folders = [Entry("r", at), *(Entry(f"r/checkpoint-{step}", at) for step in (9, 100, 20))]
    found = find_candidates("host:/runs", folders)
    assert [one.name for one in found] == ["checkpoint-100", "checkpoint-20", "checkpoint-9"]


def test_a_source_that_is_a_run_gives_its_own_name(ends: Ends) -> None:
    ends.save(10, "my run")
    assert names(ends.pull(ends.runs / "my run")) == ["my run/checkpoint-10"]


@pytest.mark.parametrize(
    ("source", "run"),
    [("/data/run", "run"), ("host:run", "run"), ("host:/data/run", "run"), ("host::mod", "mod")],
)
def test_a_runs_name_is_its_folders(source: str, run: str) -> None:
    folders = [Entry("checkpoint-1", "2026"), Entry("checkpoint-1/x", "2026"), Entry("y", "2026")]
    assert find_candidates(source, folders) == [Candidate(run, "checkpoint-1", "checkpoint-1")]


def test_a_run_without_a_name_is_refused() -> None:
    with pytest.raises(SettingsError, match="Write the folder's whole path"):
        find_candidates("host:.", [Entry("checkpoint-1", "2026")])


def test_an_incomplete_checkpoint_waits_in_staging_and_is_taken_when_complete(local: Ends) -> None:
    source = local.save(20)
    config = (source / "config.json").read_bytes()
    (source / "config.json").unlink()
    local.save(10)
    found = local.pull()
    assert names(found) == ["run/checkpoint-10"]
    assert found.waiting == (Waiting("run", "checkpoint-20", "config.json is not there"),)
    assert not (local.checkpoints / "run" / "checkpoint-20").exists()
    assert (local.staging / "run" / "checkpoint-20" / "model.safetensors").exists()
    (source / "config.json").write_bytes(config)
    assert names(local.pull()) == ["run/checkpoint-20"]
    assert [type(event) for event in local.events()] == [SyncCompleted, SyncCompleted]


def test_a_file_still_being_written_at_the_source_is_not_taken(local: Ends) -> None:
    source = local.save(10)
    whole = (source / "model.safetensors").read_bytes()
    (source / "model.safetensors").write_bytes(whole[:100])
    (waiting,) = local.pull().waiting
    assert waiting.reason.startswith("model.safetensors has 100 ")
    (source / "model.safetensors").write_bytes(whole)
    assert names(local.pull()) == ["run/checkpoint-10"]
    taken = local.checkpoints / "run" / "checkpoint-10" / "model.safetensors"
    assert taken.read_bytes() == whole


def test_what_the_trainer_took_away_is_taken_away_in_staging_too(local: Ends) -> None:
    source = local.save(10)
    (source / ".model.safetensors.abc123").touch()
    (waiting,) = local.pull().waiting
    assert waiting.reason == ".model.safetensors.abc123 is a file still in transfer"
    (source / ".model.safetensors.abc123").unlink()
    assert names(local.pull()) == ["run/checkpoint-10"]


def test_a_checkpoint_that_changes_while_it_is_copied_waits(local: Ends) -> None:
    source = local.save(10)

    def write_on(moving: Moving) -> None:
        if moving.percent == 100:
            write_trainer_state(source, loss=1.25)

    (waiting,) = local.pull(on_progress=write_on).waiting
    assert waiting == ("run", "checkpoint-10", "it changed at the source while it was copied")
    assert names(local.pull()) == ["run/checkpoint-10"]
    taken = judge(local.checkpoints / "run" / "checkpoint-10")
    assert isinstance(taken, Complete)
    assert taken.state.train_loss == 1.25


def test_a_checkpoint_deleted_before_it_could_be_compared_waits(local: Ends) -> None:
    source = local.save(10)

    def rotate(moving: Moving) -> None:
        if moving.percent == 100:
            shutil.rmtree(source, ignore_errors=True)

    (waiting,) = local.pull(on_progress=rotate).waiting
    assert waiting.reason == "it was deleted at the source"
    assert not (local.checkpoints / "run").exists()
    assert not (local.staging / "run").exists()


def test_a_file_that_changes_twice_within_a_second_is_copied_anew(local: Ends) -> None:
    source = local.save(10)
    second = 1_700_000_000_000_000_000
    os.utime(source / "model.safetensors", ns=(second, second + 1))
    config = (source / "config.json").read_bytes()
    (source / "config.json").unlink()
    assert len(local.pull().waiting) == 1
    save_file(tensors(99.0), source / "model.safetensors")
    os.utime(source / "model.safetensors", ns=(second, second + 2))
    (source / "config.json").write_bytes(config)
    assert names(local.pull()) == ["run/checkpoint-10"]
    taken = local.checkpoints / "run" / "checkpoint-10" / "model.safetensors"
    assert taken.read_bytes() == (source / "model.safetensors").read_bytes()


def test_a_link_at_the_source_comes_as_the_file_it_points_to(ends: Ends) -> None:
    source = ends.save(10)
    blob = (source / "model.safetensors").rename(ends.tmp_path / "blob")
    (source / "model.safetensors").symlink_to(blob)
    assert names(ends.pull()) == ["run/checkpoint-10"]
    taken = ends.checkpoints / "run" / "checkpoint-10" / "model.safetensors"
    assert not taken.is_symlink()
    assert taken.read_bytes() == blob.read_bytes()


def test_trainers_last_file_is_waited_for_while_the_checkpoint_is_young(local: Ends) -> None:
    source = local.save(10)
    (source / "trainer_state.json").unlink()
    (waiting,) = local.pull().waiting
    assert "which Trainer writes last" in waiting.reason
    for file in source.iterdir():
        os.utime(file, (1_700_000_000, 1_700_000_000))
    assert names(local.pull()) == ["run/checkpoint-10"]


def test_what_was_taken_is_never_fetched_again_also_when_it_was_deleted(local: Ends) -> None:
    local.save(10)
    local.pull()
    assert local.pull().pulled == ()
    shutil.rmtree(local.checkpoints / "run" / "checkpoint-10")
    found = local.pull()
    assert (found.pulled, found.waiting, found.failed) == ((), (), ())
    assert not (local.checkpoints / "run" / "checkpoint-10").exists()


def test_what_arrived_in_another_way_is_not_fetched_after_it_was_deleted(local: Ends) -> None:
    local.save(10)
    logs.arrive(local.engine, 10, run="run")
    assert local.pull()[:3] == ((), (), ())


def test_what_is_there_already_is_not_fetched(local: Ends) -> None:
    shutil.copytree(local.save(10), local.checkpoints / "run" / "checkpoint-10")
    assert local.pull().pulled == ()
    assert local.events() == []


def test_what_the_trainer_deleted_half_taken_is_cleared_from_staging(local: Ends) -> None:
    source = local.save(10)
    (source / "config.json").unlink()
    local.pull()
    assert (local.staging / "run" / "checkpoint-10").exists()
    shutil.rmtree(source)
    found = local.pull()
    assert (found.pulled, found.waiting, found.failed) == ((), (), ())
    assert not (local.staging / "run").exists()


def test_a_checkpoint_deleted_during_the_round_is_no_failure(local: Ends) -> None:
    older = local.save(10)
    os.utime(older, (1_700_000_000, 1_700_000_000))
    local.save(20)

    def rotate(moving: Moving) -> None:
        if moving.name == "checkpoint-20":
            shutil.rmtree(older, ignore_errors=True)

    found = local.pull(on_progress=rotate)
    assert names(found) == ["run/checkpoint-20"]
    (waiting,) = found.waiting
    assert waiting == ("run", "checkpoint-10", "it was deleted at the source")
    assert found.failed == ()


def test_a_missing_source_fails_with_rsyncs_own_words_and_is_logged_once(ends: Ends) -> None:
    missing = ends.tmp_path / "nowhere"
    (failed,) = ends.pull(missing).failed
    assert (failed.source, failed.run, failed.name) == (f"{ends.prefix}{missing}", None, None)
    assert failed.rsync_exit_code == 23
    assert "nowhere" in failed.message
    assert "No such file or directory" in failed.message
    assert ends.events() == [failed]
    (again,) = ends.pull(missing).failed
    assert again.message == failed.message
    assert ends.events() == [failed]


def test_a_source_that_answers_again_ends_the_failure_even_with_nothing_new(local: Ends) -> None:
    local.pull(local.tmp_path / "nowhere")
    (local.tmp_path / "nowhere").mkdir()
    for _ in range(2):
        assert local.pull(local.tmp_path / "nowhere").failed == ()
    failed, completed = local.events()
    assert isinstance(failed, SyncFailed)
    assert isinstance(completed, SyncCompleted)
    assert (completed.run, completed.name, completed.files) == (None, None, 0)
    assert completed.stream == failed.stream


def test_a_connection_that_stays_broken_ends_the_round_and_names_the_checkpoint(
    remote: Ends, remote_shell: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingest.sync.FIRST_PAUSE_SECONDS", 0.001)
    remote.save(10)
    remote.save(20)
    listed = remote.tmp_path / "listed"
    remote_shell.write_text(
        f"#!/bin/sh\nif [ -e '{listed}' ]; then echo 'the line is down' >&2; exit 255; fi\n"
        f"touch '{listed}'\n" + REMOTE_SHELL
    )
    found = remote.pull()
    (failed,) = found.failed
    assert (failed.run, failed.name) == ("run", "checkpoint-20")
    # The remote shell's own code, or rsync's for a stream that breaks off: whichever it sees first.
    assert failed.rsync_exit_code in {255, 12}
    assert "the line is down" in failed.message
    assert (found.pulled, found.waiting) == ((), ())
    assert [type(event) for event in remote.events()] == [SyncFailed]


def test_progress_names_the_checkpoint_and_ends_at_the_whole(local: Ends) -> None:
    local.save(10)
    local.save(20)
    seen: list[Moving] = []
    found = local.pull(on_progress=seen.append)
    first, second = found.pulled
    last = [one for one in seen if one.name == first.name][-1]
    assert last[:-1] == ("run", first.name, 1, 2, first.bytes, first.bytes)
    assert seen[-1][:-1] == ("run", second.name, 2, 2, second.bytes, second.bytes)
    assert [one.percent for one in (seen[0], seen[-1])] == [0, 100]


def test_stopping_leaves_the_rest_and_is_no_failure(local: Ends) -> None:
    local.save(10)
    local.save(20)
    stop = threading.Event()
    found = local.pull(stop=stop, on_progress=lambda _: stop.set())
    assert (found.pulled, found.waiting, found.failed) == ((), (), ())
    assert local.events() == []


class Watched(threading.Event):
    """Says that someone has begun to wait for it."""

    def __init__(self) -> None:
        super().__init__()
        self.waited_for = threading.Event()

    def wait(self, timeout: float | None = None) -> bool:
        self.waited_for.set()
        return super().wait(timeout)


def test_two_syncs_take_turns(local: Ends) -> None:
    local.save(10)
    copying, go_on, stop = threading.Event(), threading.Event(), Watched()
    copied_by_second: list[Moving] = []

    def hold(_: Moving) -> None:
        copying.set()
        go_on.wait()

    first = threading.Thread(target=local.pull, kwargs={"on_progress": hold})
    second = threading.Thread(
        target=local.pull, kwargs={"on_progress": copied_by_second.append, "stop": stop}
    )
    first.start()
    copying.wait()
    second.start()
    stop.waited_for.wait()
    go_on.set()
    first.join()
    second.join()
    assert copied_by_second == []
    assert [type(event) for event in local.events()] == [SyncCompleted]


def test_without_rsync_it_says_what_to_install(
    local: Ends, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(local.runs))
    with pytest.raises(SyncFault, match="apt-get install rsync"):
        local.pull()


def synced(ends: Ends, source: str) -> Workspace:
    settings = Settings(sync=SyncSettings(source=source, interval_seconds=0.05))
    return Workspace(ends.tmp_path, settings)


def test_run_sync_goes_on_until_it_is_stopped(local: Ends) -> None:
    stop, rounds = threading.Event(), list[Round]()
    thread = threading.Thread(
        target=run_sync,
        args=(synced(local, "trainer's runs"), local.engine, stop),
        kwargs={"once": False, "on_progress": None, "on_round": rounds.append},
    )
    thread.start()
    try:
        wait_for(lambda: len(rounds) > 1)
        local.save(10)
        wait_for(lambda: any(one.pulled for one in rounds))
    finally:
        stop.set()
        thread.join()
    assert (local.checkpoints / "run" / "checkpoint-10").is_dir()


def test_run_sync_once_is_one_round(local: Ends) -> None:
    local.save(10)
    rounds: list[Round] = []
    run_sync(
        synced(local, str(local.runs)),
        local.engine,
        threading.Event(),
        once=True,
        on_progress=None,
        on_round=rounds.append,
    )
    assert [names(one) for one in rounds] == [["run/checkpoint-10"]]


def test_without_a_source_it_says_which_key_to_set(local: Ends) -> None:
    with pytest.raises(SettingsError, match=r"\[sync\] source"):
        run_sync(
            synced(local, ""),
            local.engine,
            threading.Event(),
            once=True,
            on_progress=None,
            on_round=lambda _: None,
        )
