"""A look at a folder sees every change, and content is read once."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import pytest

from ingest.fingerprint import Digests, fingerprint, snapshot


def names(folder: Path) -> list[str]:
    return [one.name for one in snapshot(folder).entries]


def test_files_at_every_depth_are_seen_sorted_by_name(tmp_path: Path) -> None:
    for name in ("b", "a/x/file", "a/y", "c"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    assert names(tmp_path) == ["a/x/file", "a/y", "b", "c"]
    for one in snapshot(tmp_path).entries:
        found = (tmp_path / one.name).stat()
        assert one[1:] == (
            found.st_size,
            found.st_mtime_ns,
            found.st_ctime_ns,
            found.st_ino,
            found.st_dev,
        )


def test_a_link_to_a_file_is_that_file_and_one_to_a_folder_is_not_entered(tmp_path: Path) -> None:
    folder, outside = tmp_path / "folder", tmp_path / "outside"
    for one in (folder, outside):
        one.mkdir()
    (outside / "blob").write_text("12345")
    (folder / "file").symlink_to(outside / "blob")
    (folder / "linked").symlink_to(outside)
    (folder / "dangling").symlink_to(tmp_path / "nowhere")
    (folder / "loop").symlink_to(folder / "loop")
    file, linked = snapshot(folder).entries
    assert (file.name, file.size, file.inode) == ("file", 5, (outside / "blob").stat().st_ino)
    assert (linked.name, linked.inode) == ("linked", outside.stat().st_ino)
    other = tmp_path / "other"
    other.mkdir()
    (folder / "linked").unlink()
    (folder / "linked").symlink_to(other)
    assert snapshot(folder).entries[0] == file
    assert snapshot(folder).entries[1] != linked


def test_changed_is_the_latest_ctime_folders_included(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    file = tmp_path / "inner" / "file"
    file.touch()
    os.utime(file, (1, 1))
    latest = max(one.stat().st_ctime_ns for one in (tmp_path, tmp_path / "inner", file))
    assert snapshot(tmp_path).changed == latest


def test_a_folder_that_is_gone_holds_nothing(tmp_path: Path) -> None:
    assert snapshot(tmp_path / "gone") == ((), 0)


def test_a_name_that_is_not_utf8_has_a_fingerprint(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"n\xf6te")).touch()
    assert len(fingerprint(snapshot(tmp_path))) == 32


def test_content_is_read_again_only_when_the_file_was_touched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = count_reads(monkeypatch)
    file = tmp_path / "file"
    file.write_text("one")
    digests = Digests()
    for _ in range(2):
        assert digests.of(file) == hashlib.sha256(b"one").hexdigest()
    assert len(reads) == 1
    file.unlink()
    file.write_text("three")
    assert digests.of(file) == hashlib.sha256(b"three").hexdigest()
    assert len(reads) == 2


def test_beyond_the_limit_the_oldest_digest_is_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = count_reads(monkeypatch)
    files = [tmp_path / str(number) for number in range(3)]
    for file in files:
        file.write_text(file.name)
    digests = Digests(limit=2)
    for file in (*files, files[2], files[1]):
        digests.of(file)
    assert len(reads) == 3
    assert digests.of(files[0]) == hashlib.sha256(b"0").hexdigest()
    assert len(reads) == 4


def count_reads(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    reads: list[object] = []
    original = hashlib.file_digest

    def counted(stream: Any, name: str) -> object:
        reads.append(stream)
        return original(stream, name)

    monkeypatch.setattr(hashlib, "file_digest", counted)
    return reads
