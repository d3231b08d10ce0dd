"""Hints come from what a scan would see, and end a wait."""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from watchdog.events import FileSystemEvent

from ingest import mounts
from ingest.hints import Hints
from tests.ingest.folders import wait_for

LONG, SHORT = 20.0, 0.3


class Recording(Hints):
    """Keeps the paths that the file system reports."""

    def __init__(self) -> None:
        super().__init__()
        self.paths: list[str] = []

    def on_any_event(self, event: FileSystemEvent) -> None:
        super().on_any_event(event)
        self.paths.append(str(event.src_path))


@contextmanager
def following(*folders: Path) -> Iterator[Recording]:
    """Hints that have begun, and whose first one is over."""
    with Recording() as hints:
        hints.follow(folders)
        hints.wait(threading.Event(), LONG, 0.0)
        yield hints


def waited(hints: Hints, seconds: float, debounce_seconds: float = 0.05) -> float:
    began = time.monotonic()
    hints.wait(threading.Event(), seconds, debounce_seconds)
    return time.monotonic() - began


def test_reading_gives_no_hint(tmp_path: Path) -> None:
    file, later = tmp_path / "file", tmp_path / "later"
    file.write_text("content")
    with following(tmp_path) as hints:
        file.read_text()
        list(tmp_path.iterdir())
        # Reports come in order, so all that reading causes would be there before this one.
        later.touch()
        wait_for(lambda: str(later) in hints.paths)
    assert set(hints.paths) == {str(later)}


def test_a_change_ends_the_wait(tmp_path: Path) -> None:
    with following(tmp_path) as hints:
        (tmp_path / "run").mkdir()
        assert waited(hints, LONG) < LONG / 2


def test_a_change_in_staging_does_not_but_the_rename_out_of_it_does(tmp_path: Path) -> None:
    staged = tmp_path / ".staging" / "run" / "checkpoint-10"
    staged.mkdir(parents=True)
    (tmp_path / "run").mkdir()
    with following(tmp_path) as hints:
        (staged / "model.safetensors").touch()
        wait_for(lambda: str(staged / "model.safetensors") in hints.paths)
        assert waited(hints, SHORT) >= SHORT
        staged.rename(tmp_path / "run" / "checkpoint-10")
        assert waited(hints, LONG) < LONG / 2


def test_a_burst_is_waited_out_but_not_for_ever(tmp_path: Path) -> None:
    with following(tmp_path) as hints:
        (tmp_path / "file").touch()
        wait_for(lambda: hints.paths)
        assert SHORT / 2 <= waited(hints, LONG, debounce_seconds=SHORT) < LONG / 2
        (tmp_path / "other").touch()
        wait_for(lambda: len(hints.paths) > 1)
        assert waited(hints, SHORT, debounce_seconds=LONG) < LONG / 2


def test_stopping_ends_the_wait(tmp_path: Path) -> None:
    stop = threading.Event()
    stop.set()
    with following(tmp_path) as hints:
        began = time.monotonic()
        hints.wait(stop, LONG, 0.05)
        assert time.monotonic() - began < LONG / 2


def touches(hints: Hints, file: Path) -> bool:
    """Whether a change to this file is told of."""
    waited(hints, 0.0)
    file.write_text("changed")
    return waited(hints, LONG) < LONG / 2


def test_a_root_that_is_a_link_is_followed_to_where_it_leads(tmp_path: Path) -> None:
    first, second, link = (tmp_path / name for name in ("first", "second", "link"))
    first.mkdir()
    second.mkdir()
    link.symlink_to(first)
    with following(link) as hints:
        assert touches(hints, first / "file")
        link.unlink()
        link.symlink_to(second)
        hints.follow([link])
        assert waited(hints, LONG) < LONG / 2, "what came before the listening is a hint itself"
        assert touches(hints, second / "file")


@pytest.mark.parametrize("how", ["deleted", "renamed"])
def test_a_folder_that_is_replaced_is_followed_anew(
    tmp_path: Path, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    root = tmp_path / "root"
    root.mkdir()
    with following(root) as hints:
        if how == "deleted":
            root.rmdir()
            hints.follow([root])
            assert hints.threads == []
        else:
            root.rename(tmp_path / "old")
        root.mkdir()
        hints.follow([root])
        waited(hints, LONG)
        assert touches(hints, root / "file")
    assert caplog.text == ""


def test_a_link_into_a_dot_folder_is_seen_when_it_is_followed(tmp_path: Path) -> None:
    store = tmp_path / ".store" / "run"
    store.mkdir(parents=True)
    (tmp_path / "run").symlink_to(store)
    with following(tmp_path, tmp_path / "run") as hints:
        assert touches(hints, store / "file")


def test_a_thread_that_died_is_noticed_and_replaced_and_that_is_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    with following(tmp_path) as hints:
        assert hints.listening
        assert len(hints.threads) == 3
        for _ in range(2):
            with monkeypatch.context() as broken:
                broken.setattr(hints, "on_any_event", None)
                (tmp_path / "file").write_text("a change")
                wait_for(lambda: not hints.listening)
            hints.follow([tmp_path])
            assert hints.listening
            waited(hints, LONG)
            assert touches(hints, tmp_path / "file")
    assert caplog.messages == ["the hints of changes ended by themselves: they are started anew"]


def test_more_changes_than_the_kernel_queues_cost_no_thread_and_are_a_hint(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    queue = Path("/proc/sys/fs/inotify/max_queued_events")
    if not queue.exists() or int(queue.read_text()) > 16_384:
        pytest.skip("no inotify here, or its queue is too long to fill in a test")
    with following(tmp_path) as hints:
        # While this library call holds the interpreter, nobody reads what the kernel queues.
        command = f"cd '{tmp_path}' && seq 5000 | xargs touch && seq 5000 | xargs rm"
        assert ctypes.PyDLL(None).system(command.encode()) == 0
        assert waited(hints, LONG) < LONG / 2
        wait_for(lambda: "overflowed" in caplog.text)
        assert hints.listening
        waited(hints, SHORT)
        assert touches(hints, tmp_path / "file")


def test_polling_listens_to_nothing(tmp_path: Path) -> None:
    with Hints("polling") as hints:
        hints.follow([tmp_path])
        assert hints.threads == []
        (tmp_path / "file").touch()
        assert waited(hints, SHORT) >= SHORT


def test_auto_listens_unless_the_file_system_is_one_of_the_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with Hints("auto") as hints:
        hints.follow([tmp_path])
        assert hints.listening
        table = tmp_path / "mountinfo"
        table.write_text(f"36 35 0:50 / {tmp_path} rw - nfs4 host:/runs rw\n")
        monkeypatch.setattr(mounts, "MOUNTINFO", table)
        for _ in range(2):
            hints.follow([tmp_path])
            assert hints.threads == []
    (said,) = caplog.messages
    assert said.startswith(f"{tmp_path} is on nfs4, which tells nothing of")


def test_listening_that_cannot_begin_is_tried_again_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse() -> None:
        raise OSError(24, "inotify instance limit reached")

    with Hints() as hints:
        with monkeypatch.context() as used_up:
            used_up.setattr("ingest.hints.Observer", refuse)
            hints.follow([tmp_path])
            hints.follow([tmp_path])
        hints.follow([tmp_path])
        assert hints.threads == []
        monkeypatch.setattr("ingest.hints.RETRY_SECONDS", 0.0)
        hints._retry_at = 0.0
        hints.follow([tmp_path])
        assert hints.listening
    assert len(caplog.messages) == 1
    assert "inotify instance limit reached" in caplog.text
