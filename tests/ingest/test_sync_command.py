"""`milepost sync` as it runs for months: over ssh, killed, ended, and started again."""

from __future__ import annotations

import fcntl
import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from sqlalchemy import Engine

from commands.supervisor import milepost
from data.workspace import make
from ingest.rsync import PARTIAL_FOLDER
from settings import load_workspace
from store.engine import connect
from store.events import SyncCompleted
from tests.ingest.ends import Ends, digests
from tests.ingest.folders import wait_for
from tests.ingest.sshd import Sshd, needs_sshd, serving

MEGABYTES, LIMIT = 3.0, 2.0


@pytest.fixture(scope="module")
def trainer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with serving(tmp_path_factory.mktemp("sshd")) as server:
        yield server


@pytest.fixture
def ends(tmp_path: Path, trainer: Sshd, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ends]:
    monkeypatch.delenv("RSYNC_RSH", raising=False)
    text = (
        f"[watch]\npath = {json.dumps(str(tmp_path / 'checkpoints'))}\n[sync]\n"
        f"source = {json.dumps(f'{trainer.host}:{tmp_path}/runs of trainer')}\n"
        f"ssh_options = {json.dumps(trainer.ssh_options)}\n"
        f"bandwidth_limit = {LIMIT}\n"
    )
    workspace = load_workspace(make(tmp_path / "workspace", text=text).root)
    engine = connect(workspace.database_url)
    both = Ends(tmp_path, engine, f"{trainer.host}:", workspace.settings.sync, "runs of trainer")
    both.runs.mkdir()
    yield both
    engine.dispose()


@contextmanager
def syncing(ends: Ends, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """`milepost sync` in a process of its own."""
    with subprocess.Popen(
        milepost("sync", *arguments, workspace=ends.tmp_path / "workspace"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@needs_sshd
def test_it_says_what_it_pulled_and_what_it_could_not(ends: Ends, trainer: Sshd) -> None:
    source = ends.save(10)
    with syncing(ends, "--once") as process:
        said, _ = process.communicate()
    assert process.returncode == 0, said
    assert "pulled run/checkpoint-10: " in said
    assert "/s" in said
    assert digests(ends.target(10)) == digests(source)
    (trainer.folder / "user").rename(trainer.folder / "away")
    try:
        with syncing(ends, "--once") as process:
            said, _ = process.communicate()
    finally:
        (trainer.folder / "away").rename(trainer.folder / "user")
    assert process.returncode == 3, said
    assert "Permission denied (publickey)" in said
    assert "ssh-copy-id" in said


@needs_sshd
def test_killed_outright_its_rsync_ends_before_the_next_begins(ends: Ends) -> None:
    source = ends.save_large(10, MEGABYTES)
    with syncing(ends) as process:
        wait_for(ends.under_way)
        children = psutil.Process(process.pid).children(recursive=True)
        orphans = [one for one in children if one.name() == "rsync"]
        for one in orphans:
            one.suspend()
        process.kill()
        process.wait()
        try:
            with (ends.staging / ".lock").open() as lock, pytest.raises(BlockingIOError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        finally:
            for one in orphans:
                one.resume()
        assert len(ends.pull().pulled) == 1
    assert len(orphans) == 2
    assert not any(runs(one) for one in orphans)
    assert digests(ends.target(10)) == digests(source)
    assert [type(one) for one in ends.events()] == [SyncCompleted]
    assert ends.pull()[:3] == ((), (), ())


@needs_sshd
def test_told_to_end_it_keeps_what_has_come(ends: Ends) -> None:
    ends.save_large(10, MEGABYTES)
    with syncing(ends) as process:
        wait_for(ends.under_way)
        children = psutil.Process(process.pid).children(recursive=True)
        process.terminate()
        assert process.wait(20) == 0
        assert not any(runs(one) for one in children)
    partial = ends.staging / "run" / "checkpoint-10" / PARTIAL_FOLDER / "model.safetensors"
    assert partial.stat().st_size > 0
    assert ends.events() == []


def test_round_after_round_leaves_nothing_open(tmp_path: Path, engine: Engine) -> None:
    ends = Ends(tmp_path, engine, "")
    ends.save(10)
    (ends.save(20) / "config.json").unlink()
    ends.pull()
    here = psutil.Process()
    files, threads = here.num_fds(), here.num_threads()
    for _ in range(10):
        assert len(ends.pull().waiting) == 1
    # The threads that read what rsync prints end a moment after it.
    wait_for(lambda: here.num_fds() <= files and here.num_threads() <= threads)
