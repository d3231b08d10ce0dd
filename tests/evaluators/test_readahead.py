"""Files come into the page cache, as the system says, and not more than there is room for."""

from __future__ import annotations

import ctypes
import mmap
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from evaluators.readahead import CHUNK_BYTES, ReadAhead, files_of

SIZE = 16 * CHUNK_BYTES

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="mincore is asked as Linux has it")


def cached_bytes(file: Path) -> int:
    """How many bytes of a file are in the page cache (mincore)."""
    system = ctypes.CDLL(None, use_errno=True)
    system.mmap.restype = ctypes.c_void_p
    system.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
    system.mincore.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p]
    system.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    size = file.stat().st_size
    pages = ctypes.create_string_buffer(-(-size // mmap.PAGESIZE))
    descriptor = os.open(file, os.O_RDONLY)
    try:
        start = system.mmap(None, size, mmap.PROT_READ, mmap.MAP_SHARED, descriptor, 0)
        assert system.mincore(start, size, pages) == 0, os.strerror(ctypes.get_errno())
        system.munmap(start, size)
    finally:
        os.close(descriptor)
    return sum(page & 1 for page in pages.raw[: -(-size // mmap.PAGESIZE)]) * mmap.PAGESIZE


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A file that is on the disk and not in the page cache."""
    file = tmp_path / "model.safetensors"
    with file.open("wb") as opened:
        opened.write(os.urandom(SIZE))
        opened.flush()
        os.fsync(opened.fileno())
        os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    if cached_bytes(file) > SIZE // 2:
        pytest.skip("this file system keeps files in memory")
    return file


def test_a_file_that_was_not_in_memory_is_there_afterwards(weights: Path) -> None:
    with ReadAhead(weights.parent) as ahead:
        ahead.join()
    assert ahead.read == SIZE
    assert cached_bytes(weights) == SIZE


def test_the_end_of_the_block_ends_the_reading(
    weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ahead = ReadAhead(weights.parent)
    advise = os.posix_fadvise
    asked: list[int] = []

    def ending(descriptor: int, start: int, length: int, advice: int) -> None:
        asked.append(start)
        if len(asked) == 3:
            ahead._ended.set()
        advise(descriptor, start, length, advice)

    monkeypatch.setattr(os, "posix_fadvise", ending)
    with ahead:
        ahead.join()
    assert asked == [0, CHUNK_BYTES, 2 * CHUNK_BYTES]


def test_no_more_is_read_than_a_share_of_the_memory_that_is_available(
    weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = SimpleNamespace(available=8 * CHUNK_BYTES)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)
    with ReadAhead(weights.parent) as ahead:
        ahead.join()
    assert ahead.read == 4 * CHUNK_BYTES


def test_what_a_trainer_keeps_for_itself_is_left_out_and_small_files_come_first(
    tmp_path: Path,
) -> None:
    for name, size in {
        "model.safetensors": 900,
        "config.json": 10,
        "tokenizer.json": 500,
        "optimizer.pt": 5,
        "rng_state_0.pth": 5,
        "training_args.bin": 5,
    }.items():
        (tmp_path / name).write_bytes(bytes(size))
    (tmp_path / "global_step9").mkdir()
    assert [file.name for file in files_of(tmp_path)] == [
        "config.json",
        "tokenizer.json",
        "model.safetensors",
    ]


def test_a_folder_that_is_gone_and_no_folder_are_nothing_to_read(tmp_path: Path) -> None:
    for folder in (tmp_path / "gone", None):
        with ReadAhead(folder) as ahead:
            ahead.join()
        assert ahead.read == 0


def test_where_the_system_cannot_it_does_nothing(
    weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "posix_fadvise")
    with ReadAhead(weights.parent) as ahead:
        ahead.join()
    assert ahead.read == 0
