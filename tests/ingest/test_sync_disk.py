"""A disk that is full here: said with its own word, nothing half is left, and then it comes."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from ingest.sync import Moving
from settings import SyncSettings
from store.events import SyncCompleted, SyncFailed
from tests.ingest.ends import Ends, digests, names
from tests.privileges import none_over_permissions

# The large checkpoint takes a second: the disk fills up on the way.
MEGABYTES, LIMIT = 2.0, 2.0
DISK = 5_000_000


@pytest.fixture
def ends(tmp_path: Path, engine: Engine) -> Ends:
    both = Ends(tmp_path, engine, "", SyncSettings(bandwidth_limit=LIMIT))
    both.runs.mkdir()
    return both


@pytest.fixture
def small_disk(ends: Ends) -> Iterator[Path]:
    """The folder of the checkpoints is a file system of its own, of 5 MB."""
    ends.checkpoints.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(ends.checkpoints)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode != 0:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
    yield ends.checkpoints
    subprocess.run(["umount", str(ends.checkpoints)], check=True)


def fill(disk: Path, leave: int) -> Path:
    """A file that leaves so many bytes free."""
    ballast = disk / "ballast"
    with ballast.open("wb") as file:
        file.write(bytes(shutil.disk_usage(disk).free - leave))
    return ballast


def assert_it_comes_whole_and_once(ends: Ends, step: int, source: Path) -> None:
    assert names(ends.pull()) == [f"run/checkpoint-{step}"]
    assert digests(ends.target(step)) == digests(source)
    assert [type(event) for event in ends.events()] == [SyncFailed, SyncCompleted]
    assert ends.pull()[:3] == ((), (), ())


def test_a_checkpoint_that_does_not_fit_is_refused_before_a_byte_is_copied(
    ends: Ends, small_disk: Path
) -> None:
    source = ends.save_large(20, MEGABYTES)
    ballast = fill(small_disk, leave=1_000_000)
    seen: list[Moving] = []
    for _ in range(2):
        (failed,) = ends.pull(on_progress=seen.append).failed
    assert seen == []
    assert failed.rsync_exit_code is None
    size = sum((source / name).stat().st_size for name in digests(source))
    assert f"{size:,} bytes to copy" in failed.message
    assert "Free some space here" in failed.message
    assert not (ends.staging / "run").exists()
    ballast.unlink()
    assert_it_comes_whole_and_once(ends, 20, source)


def test_one_that_does_not_fit_keeps_no_smaller_one_back(ends: Ends, small_disk: Path) -> None:
    older = ends.save(10)
    os.utime(older, (1_700_000_000, 1_700_000_000))
    ends.save_large(20, MEGABYTES)
    fill(small_disk, leave=1_000_000)
    found = ends.pull()
    assert [one.name for one in found.failed] == ["checkpoint-20"]
    assert names(found) == ["run/checkpoint-10"]


def test_a_disk_that_fills_up_on_the_way_gets_its_space_back(ends: Ends, small_disk: Path) -> None:
    source = ends.save_large(10, MEGABYTES)
    (failed,) = ends.pull_and(lambda: fill(small_disk, leave=0)).failed
    assert failed.rsync_exit_code == 11
    assert "No space left on device (28)" in failed.message
    assert "Free some space here" in failed.message
    assert not ends.target(10).exists()
    assert not (ends.staging / "run").exists()
    assert shutil.disk_usage(small_disk).free > 200_000
    (small_disk / "ballast").unlink()
    assert_it_comes_whole_and_once(ends, 10, source)


def test_a_half_that_takes_the_room_of_the_whole_makes_way_for_it(
    ends: Ends, small_disk: Path
) -> None:
    source = ends.save_large(10, MEGABYTES)
    half = ends.staging / "run" / "checkpoint-10" / ".rsync-partial" / "model.safetensors"
    half.parent.mkdir(parents=True)
    half.write_bytes(bytes(1_000_000))
    fill(small_disk, leave=1_500_000)
    assert names(ends.pull()) == ["run/checkpoint-10"]
    assert digests(ends.target(10)) == digests(source)


def test_a_limit_on_the_size_of_files_is_said_as_a_full_disk_is(ends: Ends) -> None:
    source = ends.save_large(10, MEGABYTES)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, before[1]))
    try:
        (failed,) = ends.pull().failed
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert failed.rsync_exit_code == 11
    assert "File too large (27)" in failed.message
    assert not (ends.staging / "run").exists()
    assert_it_comes_whole_and_once(ends, 10, source)


def test_a_folder_that_may_not_be_written_to_is_named(ends: Ends) -> None:
    source = ends.save(10)
    ends.checkpoints.mkdir()
    ends.checkpoints.chmod(0o555)
    with none_over_permissions():
        (failed,) = ends.pull().failed
    ends.checkpoints.chmod(0o755)
    assert str(ends.staging) in failed.message
    assert "Let the user that runs Milepost write there" in failed.message
    assert_it_comes_whole_and_once(ends, 10, source)


def test_a_file_where_the_runs_folder_should_be_is_a_failure_not_a_crash(ends: Ends) -> None:
    source = ends.save(10)
    ends.checkpoints.mkdir()
    (ends.checkpoints / "run").write_text("no folder")
    (failed,) = ends.pull().failed
    assert f"{ends.checkpoints / 'run'}" in failed.message
    (ends.checkpoints / "run").unlink()
    assert_it_comes_whole_and_once(ends, 10, source)
