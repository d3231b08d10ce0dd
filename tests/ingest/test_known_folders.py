"""What was read is remembered, and a wrong memory says nothing."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from ingest import known_folders
from ingest.fingerprint import Entry, Snapshot
from ingest.known_folders import COARSE_NS, FINE_NS, KnownFolders

ID, OTHER = "a" * 32, "b" * 32
# 1.5 s after the epoch's 1,000th second.
CTIME = 1_001_500_000_000
ENTRY = Entry("model.safetensors", size=10, mtime=7, ctime=CTIME, inode=3, device=4)
LATER = CTIME + 2 * COARSE_NS


def seen(*entries: Entry) -> Snapshot:
    return Snapshot(entries, max((one.ctime for one in entries), default=0))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A memory of one folder."""
    file = tmp_path / ".cache" / "known"
    known = KnownFolders(file)
    known.learn(seen(ENTRY), ID, LATER)
    known.save()
    return file


def test_it_outlives_a_restart(file: Path) -> None:
    assert KnownFolders(file).id_of(seen(ENTRY)) == ID
    assert [one.name for one in file.parent.iterdir()] == ["known"]


@pytest.mark.parametrize("field", Entry._fields)
def test_any_difference_is_another_folder(file: Path, field: str) -> None:
    changed: Any = "other" if field == "name" else 99
    values = {**ENTRY._asdict(), field: changed}
    other = Entry(**values)
    assert KnownFolders(file).id_of(seen(other)) is None
    assert KnownFolders(file).id_of(seen(ENTRY, ENTRY)) is None


@pytest.mark.parametrize(
    "harm", ["cut off", "one digit", "emptied", "no text", "a folder", "missing"]
)
def test_a_file_that_was_harmed_is_no_memory(file: Path, harm: str) -> None:
    content = file.read_bytes()
    file.unlink()
    match harm:
        case "cut off":
            file.write_bytes(content[:-1])
        case "one digit":
            file.write_bytes(content.replace(ID.encode(), OTHER.encode()))
        case "emptied":
            file.touch()
        case "no text":
            file.write_bytes(b"\xff\xfe")
        case "a folder":
            file.mkdir()
    known = KnownFolders(file)
    assert known.id_of(seen(ENTRY)) is None
    known.learn(seen(ENTRY), ID, LATER)
    known.save()


@pytest.mark.parametrize(
    ("ctime", "read_after", "kept"),
    [
        (CTIME, FINE_NS, False),
        (CTIME, FINE_NS + 1, True),
        (CTIME, -1, False),
        (1_001_000_000_000, COARSE_NS, False),
        (1_001_000_000_000, COARSE_NS + 1, True),
    ],
)
def test_what_was_read_right_after_its_change_is_not_remembered(
    ctime: int, read_after: int, kept: bool
) -> None:
    known = KnownFolders()
    known.learn(seen(ENTRY._replace(ctime=ctime)), ID, ctime + read_after)
    assert (known.id_of(seen(ENTRY._replace(ctime=ctime))) == ID) == kept


def test_an_empty_folder_is_not_remembered() -> None:
    known = KnownFolders()
    known.learn(seen(), ID, LATER)
    assert known.id_of(seen()) is None


def test_beyond_the_limit_the_one_not_seen_for_longest_is_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(known_folders, "LIMIT", 2)
    known = KnownFolders()
    first, second, third = (seen(ENTRY._replace(inode=number)) for number in range(3))
    known.learn(first, ID, LATER)
    known.learn(second, ID, LATER)
    assert known.id_of(first) == ID
    known.learn(third, ID, LATER)
    assert [known.id_of(one) for one in (first, second, third)] == [ID, None, ID]


def test_a_file_that_cannot_be_written_is_said_and_ends_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "cache").write_text("no folder")
    known = KnownFolders(tmp_path / "cache" / "known")
    known.learn(seen(ENTRY), ID, LATER)
    with caplog.at_level(logging.WARNING):
        known.save()
        known.save()
    (said,) = caplog.messages
    assert said.startswith(f"{tmp_path / 'cache' / 'known'} cannot be written: ")
    assert known.id_of(seen(ENTRY)) == ID
