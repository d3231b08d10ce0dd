"""Sync over ssh from a real sshd: whatever breaks on the way, a checkpoint comes whole, once."""

from __future__ import annotations

import os
import shutil
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from sqlalchemy import Engine

from ingest.rsync import PARTIAL_FOLDER
from ingest.sync import Moving, Round
from settings import SyncSettings
from store.events import SyncCompleted, SyncFailed
from tests.ingest.ends import LEFT, Ends, digests, names
from tests.ingest.sshd import Sshd, needs_sshd, serving

pytestmark = needs_sshd

# A second for the large checkpoint: long enough to break something on the way.
MEGABYTES, LIMIT = 2.0, 2.0


@pytest.fixture(scope="module")
def trainer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with serving(tmp_path_factory.mktemp("sshd")) as server:
        yield server


@pytest.fixture
def ends(tmp_path: Path, engine: Engine, trainer: Sshd, monkeypatch: pytest.MonkeyPatch) -> Ends:
    monkeypatch.delenv("RSYNC_RSH", raising=False)
    monkeypatch.setattr("ingest.sync.FIRST_PAUSE_SECONDS", 0.01)
    both = Ends(tmp_path, engine, f"{trainer.host}:")
    both.settings = SyncSettings(
        bandwidth_limit=LIMIT, timeout_seconds=20, ssh_options=trainer.ssh_options
    )
    both.runs.mkdir()
    return both


def rsyncs() -> list[psutil.Process]:
    """The rsync processes at this end, that which started the others first."""
    here = psutil.Process()
    found = [
        one
        for one in here.children(recursive=True)
        if one.name() == "rsync" and one.status() != "zombie" and "--server" not in one.cmdline()
    ]
    return sorted(found, key=lambda one: one.ppid() != here.pid)


def assert_whole_and_once(ends: Ends, step: int, source: Path) -> None:
    assert digests(ends.target(step)) == digests(source)
    taken = [one.name for one in ends.events() if isinstance(one, SyncCompleted)]
    assert taken.count(f"checkpoint-{step}") == 1
    assert not (ends.staging / "run").exists()


def test_a_checkpoint_comes_over_ssh_equal_to_the_last_byte(ends: Ends) -> None:
    source = ends.save(10)
    found = ends.pull()
    assert names(found) == ["run/checkpoint-10"]
    assert found.pulled[0].source == ends.source
    assert not LEFT & {file.name for file in ends.target(10).iterdir()}
    assert_whole_and_once(ends, 10, source)


def test_the_optimizer_comes_too_when_nothing_is_excluded(ends: Ends) -> None:
    ends.save(10)
    ends.settings = ends.settings.model_copy(update={"exclude": ()})
    ends.pull()
    assert {file.name for file in ends.target(10).iterdir()} >= LEFT


def test_the_bandwidth_limit_holds_and_progress_says_how_long_it_takes(ends: Ends) -> None:
    source = ends.save_large(10, 2 * MEGABYTES)
    seen: list[Moving] = []
    (event,) = ends.pull(on_progress=seen.append).pulled
    assert event.seconds > 0.8 * 2 * MEGABYTES / LIMIT
    assert [one.bytes for one in seen] == sorted(one.bytes for one in seen)
    assert seen[0].bytes_per_second is None
    assert seen[0].seconds_left is None
    assert {one.total_bytes for one in seen} == {event.bytes}
    assert seen[-1].bytes == event.bytes
    under_way = [one for one in seen if one.bytes_per_second is not None]
    assert under_way
    assert under_way[-1].bytes_per_second == pytest.approx(LIMIT * 1e6, rel=0.35)
    assert under_way[-1].seconds_left == 0.0
    assert_whole_and_once(ends, 10, source)


def test_a_killed_sshd_is_tried_again_in_the_same_round(ends: Ends, trainer: Sshd) -> None:
    source = ends.save_large(10, MEGABYTES)
    found = ends.pull_and(trainer.cut)
    assert names(found) == ["run/checkpoint-10"]
    assert found.failed == ()
    assert_whole_and_once(ends, 10, source)
    assert ends.pull()[:3] == ((), (), ())


def test_a_broken_transfer_is_gone_on_with_not_begun_again(ends: Ends, trainer: Sshd) -> None:
    source = ends.save_large(10, 2 * MEGABYTES)
    staged = ends.staging / "run" / "checkpoint-10"
    halves: list[int] = []

    def measure(moving: Moving) -> None:
        partial = staged / PARTIAL_FOLDER / "model.safetensors"
        if moving.bytes == 0 and partial.exists():
            halves.append(partial.stat().st_size)

    ends.pull_and(trainer.cut, on_progress=measure)
    assert halves[0] > 100_000
    assert_whole_and_once(ends, 10, source)


def test_a_host_that_falls_silent_is_given_up_and_asked_again(ends: Ends, trainer: Sshd) -> None:
    source = ends.save_large(10, MEGABYTES)
    ends.settings = ends.settings.model_copy(update={"timeout_seconds": 1})

    def freeze() -> None:
        for connection in trainer.connections():
            for process in (connection, *connection.children(recursive=True)):
                process.suspend()

    found = ends.pull_and(freeze)
    assert names(found) == ["run/checkpoint-10"]
    assert_whole_and_once(ends, 10, source)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_killed_rsync_fails_and_the_next_round_brings_the_rest(
    ends: Ends, number: signal.Signals
) -> None:
    source = ends.save_large(10, MEGABYTES)
    (failed,) = ends.pull_and(lambda: rsyncs()[0].send_signal(number)).failed
    assert failed.rsync_exit_code == (20 if number == signal.SIGTERM else -9)
    assert (failed.run, failed.name) == ("run", "checkpoint-10")
    assert rsyncs() == []
    assert not ends.target(10).exists()
    assert names(ends.pull()) == ["run/checkpoint-10"]
    assert_whole_and_once(ends, 10, source)


def test_a_receiver_that_outlives_a_killed_rsync_is_ended_too(
    ends: Ends, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingest.rsync.GRACE_SECONDS", 0.1)
    source = ends.save_large(10, MEGABYTES)

    def kill() -> None:
        first, receiver = rsyncs()
        receiver.suspend()
        first.kill()

    (failed,) = ends.pull_and(kill).failed
    assert failed.rsync_exit_code == -9
    assert rsyncs() == []
    ends.pull()
    assert_whole_and_once(ends, 10, source)


def test_stopping_keeps_what_has_come_and_leaves_no_process_behind(ends: Ends) -> None:
    source = ends.save_large(10, MEGABYTES)
    stop = threading.Event()
    found = ends.pull_and(stop.set, stop=stop)
    assert (found.pulled, found.waiting, found.failed) == ((), (), ())
    assert rsyncs() == []
    partial = ends.staging / "run" / "checkpoint-10" / PARTIAL_FOLDER / "model.safetensors"
    assert partial.stat().st_size > 0
    assert not (ends.checkpoints / "run").exists()
    assert ends.events() == []
    ends.pull()
    assert_whole_and_once(ends, 10, source)


def test_a_checkpoint_rotated_away_on_the_way_leaves_nothing_and_keeps_no_other_back(
    ends: Ends,
) -> None:
    older = ends.save(10)
    os.utime(older, (1_700_000_000, 1_700_000_000))
    newer = ends.save_large(20, MEGABYTES)
    found = ends.pull_and(lambda: shutil.rmtree(newer))
    assert found.waiting == (("run", "checkpoint-20", "it was deleted at the source"),)
    assert names(found) == ["run/checkpoint-10"]
    assert found.failed == ()
    assert not ends.target(20).exists()
    assert_whole_and_once(ends, 10, older)


def test_a_run_that_disappears_on_the_way_leaves_nothing(ends: Ends) -> None:
    ends.save_large(20, MEGABYTES)
    found = ends.pull_and(lambda: shutil.rmtree(ends.runs / "run"))
    assert found.waiting == (("run", "checkpoint-20", "it was deleted at the source"),)
    assert not (ends.checkpoints / "run").exists()
    assert not (ends.staging / "run").exists()


def test_a_file_deleted_on_the_way_is_waited_for(ends: Ends) -> None:
    source = ends.save_large(10, MEGABYTES)
    state = (source / "trainer_state.json").read_bytes()
    (waiting,) = ends.pull_and((source / "trainer_state.json").unlink).waiting
    assert "trainer_state.json" in waiting.reason
    assert not (ends.checkpoints / "run").exists()
    (source / "trainer_state.json").write_bytes(state)
    ends.pull()
    assert_whole_and_once(ends, 10, source)


def test_a_file_that_grows_on_the_way_is_taken_when_it_is_whole(ends: Ends) -> None:
    source = ends.save_large(10, MEGABYTES)
    weights = source / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:1_200_000])

    def write_on() -> None:
        with weights.open("ab") as file:
            file.write(whole[1_200_000:])

    found = ends.pull_and(write_on)
    assert (found.pulled, found.failed) == ((), ())
    assert not (ends.checkpoints / "run").exists()
    assert names(ends.pull()) == ["run/checkpoint-10"]
    assert_whole_and_once(ends, 10, source)


def test_a_checkpoint_is_seen_when_the_trainer_has_renamed_it(ends: Ends) -> None:
    being_saved = ends.save(10).rename(ends.runs / "run" / "tmp-checkpoint-10")
    assert ends.pull()[:3] == ((), (), ())
    source = being_saved.rename(ends.runs / "run" / "checkpoint-10")
    ends.pull()
    assert_whole_and_once(ends, 10, source)


def test_a_half_file_that_the_trainer_took_away_keeps_nothing_back(ends: Ends) -> None:
    source = ends.save(10)
    stray = source / "zzz.bin"
    stray.write_bytes(os.urandom(2_000_000))
    stop = threading.Event()
    ends.pull_and(stop.set, stop=stop)
    assert list(ends.staging.rglob("zzz.bin"))
    stray.unlink()
    ends.pull()
    assert_whole_and_once(ends, 10, source)


def test_what_comes_in_another_way_meanwhile_is_kept(ends: Ends) -> None:
    source = ends.save_large(10, MEGABYTES)

    def copy_by_hand() -> None:
        ends.target(10).mkdir(parents=True)
        (ends.target(10) / "mine").write_text("by hand")

    (waiting,) = ends.pull_and(copy_by_hand).waiting
    assert waiting.reason == "it came into the watched folder in another way"
    assert [file.name for file in ends.target(10).iterdir()] == ["mine"]
    assert not (ends.staging / "run").exists()
    assert ends.pull()[:3] == ((), (), ())
    assert source.exists()


def test_a_host_that_is_down_all_night_is_one_event_and_then_all_comes(
    ends: Ends, tmp_path: Path
) -> None:
    source = ends.save(10)
    with serving(tmp_path / "down") as down:
        ends.settings = SyncSettings(ssh_options=down.ssh_options)
    for _ in range(3):
        (failed,) = ends.pull().failed
    assert "Connection refused" in failed.message
    assert "Does sshd run on the trainer's host" in failed.message
    assert len(ends.events()) == 1
    with serving(down.folder, down.port):
        assert names(ends.pull()) == ["run/checkpoint-10"]
        assert [type(event) for event in ends.events()] == [SyncFailed, SyncCompleted]
        assert_whole_and_once(ends, 10, source)


# ssh's own code, or rsync's for a stream that breaks off: whichever it sees first.
BROKE = {255, 12}
REFUSALS = {
    "unknown host key": (
        ("UserKnownHostsFile=/dev/null",),
        "",
        BROKE,
        ["Host key verification failed", "Connect once by hand"],
    ),
    "another host key": (
        ("UserKnownHostsFile={folder}/changed",),
        "",
        BROKE,
        ["IDENTIFICATION HAS CHANGED", "ssh-keygen -R"],
    ),
    "wrong key": (
        ("IdentityFile={folder}/host",),
        "",
        BROKE,
        ["Permission denied (publickey)", "ssh-copy-id"],
    ),
    "no such host": (
        ("HostName=trainer.invalid",),
        "",
        BROKE,
        ["Could not resolve hostname trainer.invalid", "host"],
    ),
    "no such option": (("Prot=22",), "", BROKE, ["Bad configuration option: prot", "ssh_options"]),
    "no rsync there": (
        (),
        "SetEnv PATH=/nowhere",
        {127, 12},
        ["rsync", "rsync is not installed on the trainer's host"],
    ),
    "a shell that talks": ((), "ForceCommand echo Welcome", {2}, ["is your shell clean", "quiet"]),
}


@pytest.mark.parametrize("kind", REFUSALS)
def test_what_a_person_must_mend_is_said_in_sshs_words_with_the_remedy(
    tmp_path: Path, ends: Ends, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    options, config, codes, expected = REFUSALS[kind]
    # Trying again would be no use: the test would wait for ever.
    monkeypatch.setattr("ingest.sync.FIRST_PAUSE_SECONDS", 1e6)
    folder = tmp_path / "another"
    with serving(folder, more=config) as server:
        key = (folder / "user.pub").read_text()
        (folder / "changed").write_text(f"[127.0.0.1]:{server.port} {key}")
        mine = tuple(one.format(folder=folder) for one in options)
        ends.settings = SyncSettings(ssh_options=(*mine, *server.ssh_options))
        if kind == "wrong key":
            kept = [one for one in server.ssh_options if not one.startswith("IdentityFile")]
            ends.settings = SyncSettings(ssh_options=(*mine, *kept))
        (failed,) = ends.pull().failed
    assert failed.rsync_exit_code in codes
    for words in expected:
        assert words in failed.message
    assert "connection unexpectedly closed" not in failed.message


def as_an_ordinary_user() -> str:
    """A line for sshd that takes from root the right to read what is not its own to read."""
    if os.geteuid() != 0:
        return ""
    rights = "-dac_override,-dac_read_search"
    return f'ForceCommand setpriv --bounding-set {rights} sh -c "$SSH_ORIGINAL_COMMAND"'


def test_a_file_that_may_not_be_read_is_named_and_keeps_no_other_back(
    tmp_path: Path, ends: Ends
) -> None:
    older = ends.save(10)
    os.utime(older, (1_700_000_000, 1_700_000_000))
    newer = ends.save(20)
    (newer / "model.safetensors").chmod(0)
    with serving(tmp_path / "ordinary", more=as_an_ordinary_user()) as server:
        ends.settings = SyncSettings(ssh_options=server.ssh_options)
        found: list[Round] = [ends.pull() for _ in range(2)]
        assert names(found[0]) == ["run/checkpoint-10"]
        (failed,) = found[0].failed
        assert failed.rsync_exit_code == 23
        assert f"{newer}/model.safetensors" in failed.message
        assert "Permission denied (13)" in failed.message
        assert "Let the user that ssh logs in as read this" in failed.message
        # It is said again after a success, so that the newest event is how things stand.
        kinds = [type(event) for event in ends.events()]
        assert kinds == [SyncFailed, SyncCompleted, SyncFailed]
        (newer / "model.safetensors").chmod(0o644)
        assert names(ends.pull()) == ["run/checkpoint-20"]
        assert_whole_and_once(ends, 20, newer)
