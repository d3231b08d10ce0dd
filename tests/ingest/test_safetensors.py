"""A safetensors file is whole at exactly one length."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from errors import Unfinished, Unusable
from ingest.safetensors import read_tensors
from tests.ingest.folders import tensors


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "model.safetensors"
    save_file(tensors(), file)
    return file


def write(file: Path, header: object, data: bytes = b"") -> Path:
    """A file with this header, its length counted by hand."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    file.write_bytes(len(text).to_bytes(8, "little") + text + data)
    return file


def test_the_header_agrees_with_the_library_that_wrote_it(file: Path) -> None:
    with safe_open(file, "numpy") as opened:
        names = set(opened.keys())
        shapes = {name: opened.get_slice(name).get_shape() for name in names}
        dtypes = {name: opened.get_slice(name).get_dtype() for name in names}
    found = read_tensors(file)
    assert {one.name for one in found} == names == {"head", "norm"}
    assert {one.name: one.dtype for one in found} == dtypes == {"head": "F32", "norm": "F16"}
    assert {one.name: one.elements for one in found} == {"head": 10, "norm": 4}
    assert shapes == {"head": [2, 5], "norm": [4]}
    assert found[-1].end == 48


def test_a_file_is_unfinished_at_every_shorter_length(file: Path) -> None:
    whole = file.read_bytes()
    for length in range(len(whole)):
        file.write_bytes(whole[:length])
        with pytest.raises(Unfinished, match=f"model.safetensors has {length} "):
            read_tensors(file)
    file.write_bytes(whole)
    read_tensors(file)


def test_a_missing_file_is_unfinished(tmp_path: Path) -> None:
    with pytest.raises(Unfinished, match=r"model\.safetensors is not there"):
        read_tensors(tmp_path / "model.safetensors")


def test_one_byte_too_many_is_unusable(file: Path) -> None:
    file.write_bytes(file.read_bytes() + b"\0")
    with pytest.raises(Unusable, match=r"model.safetensors has \d+ bytes, 1 more than"):
        read_tensors(file)


def test_space_reserved_but_not_written_is_unfinished(file: Path) -> None:
    file.write_bytes(bytes(file.stat().st_size))
    with pytest.raises(Unfinished, match="begins with zeros"):
        read_tensors(file)


@pytest.mark.parametrize(
    ("header", "data", "words"),
    [
        (b"{not json", b"", "its header is not JSON"),
        ([1], b"", "its header is not a JSON object"),
        ({"__metadata__": {"format": "pt"}}, b"", "names no tensor"),
        ({"a": {"dtype": "F32", "shape": [1]}}, b"1234", "data_offsets"),
        (
            {"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}},
            b"1234",
            "a has 2 elements of F32 in 4 bytes",
        ),
        (
            {"a": {"dtype": "U8", "shape": [2], "data_offsets": [1, 3]}},
            b"123",
            "a begins at byte 1, not at 0",
        ),
        (
            {
                "a": {"dtype": "U8", "shape": [2], "data_offsets": [0, 2]},
                "b": {"dtype": "U8", "shape": [2], "data_offsets": [1, 3]},
            },
            b"123",
            "b begins at byte 1, not at 2",
        ),
    ],
)
def test_a_header_that_does_not_fit_is_unusable(
    tmp_path: Path, header: object, data: bytes, words: str
) -> None:
    with pytest.raises(Unusable, match=words):
        read_tensors(write(tmp_path / "model.safetensors", header, data))


def test_another_kind_of_file_is_unusable(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    file.write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(Unusable, match="not a safetensors file: its header would be"):
        read_tensors(file)


def test_a_dtype_of_the_future_is_taken_at_its_offsets(tmp_path: Path) -> None:
    header = {"a": {"dtype": "F2", "shape": [16], "data_offsets": [0, 4]}}
    (tensor,) = read_tensors(write(tmp_path / "model.safetensors", header, b"1234"))
    assert (tensor.dtype, tensor.elements, tensor.end) == ("F2", 16, 4)
