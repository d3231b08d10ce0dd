"""A pickle is read without being run."""

from __future__ import annotations

import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch

from errors import Unfinished, Unusable
from ingest.pickles import read_pickled
from tests.ingest.harms import Runs


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "pytorch_model.bin"


def found(file: Path) -> dict[str, tuple[str, int]]:
    return {one.name: (one.dtype, one.elements) for one in read_pickled(file)}


@pytest.mark.parametrize(
    ("dtype", "name"),
    [
        (torch.float32, "F32"),
        (torch.float16, "F16"),
        (torch.bfloat16, "BF16"),
        (torch.float64, "F64"),
        (torch.int64, "I64"),
        (torch.int32, "I32"),
        (torch.int16, "I16"),
        (torch.int8, "I8"),
        (torch.uint8, "U8"),
        (torch.bool, "BOOL"),
    ],
)
def test_the_shapes_and_dtypes_are_those_that_torch_saved(
    file: Path, dtype: torch.dtype, name: str
) -> None:
    torch.save({"a": torch.zeros(3, 4).to(dtype), "b": torch.zeros((), dtype=dtype)}, file)
    assert found(file) == {"a": (name, 12), "b": (name, 1)}


def test_a_models_state_is_read_with_its_parameters_and_shared_storage(file: Path) -> None:
    shared = torch.zeros(20)
    state = OrderedDict(a=torch.nn.Parameter(torch.ones(5)), b=shared[:10], c=shared)
    torch.save(state, file)
    assert found(file) == {"a": ("F32", 5), "b": ("F32", 10), "c": ("F32", 20)}
    torch.save(torch.nn.Linear(3, 4).state_dict(), file)
    assert found(file) == {"weight": ("F32", 12), "bias": ("F32", 4)}


def test_it_is_unfinished_at_shorter_lengths(file: Path) -> None:
    torch.save({"a": torch.zeros(3)}, file)
    whole = file.read_bytes()
    for length in [*range(0, len(whole), 29), *range(len(whole) - 25, len(whole))]:
        file.write_bytes(whole[:length])
        with pytest.raises(Unfinished, match=rf"pytorch_model\.bin has {length} bytes"):
            read_pickled(file)
    file.unlink()
    with pytest.raises(Unfinished, match=r"pytorch_model\.bin is not there"):
        read_pickled(file)


@pytest.mark.parametrize(
    ("held", "words"),
    [
        ({"a": Runs()}, "it names posix.system"),
        (torch.nn.Linear(2, 2), "it names torch.nn.modules.linear.Linear"),
        ({"a": np.zeros(3)}, "it names numpy"),
        ({"a": "text"}, "holds a, which is no tensor"),
        ({1: torch.zeros(3)}, "holds 1, which is no tensor"),
        ([torch.zeros(3)], "holds no dictionary of tensors"),
        ({}, "holds no dictionary of tensors"),
    ],
)
def test_what_is_no_dictionary_of_tensors_is_refused(file: Path, held: object, words: str) -> None:
    torch.save(held, file)
    with pytest.raises(Unusable, match=words):
        read_pickled(file)


def test_other_files_are_refused(file: Path) -> None:
    torch.save({"a": torch.zeros(3)}, file, _use_new_zipfile_serialization=False)
    with pytest.raises(Unusable, match="is no zip archive"):
        read_pickled(file)
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.txt", "hello")
    with pytest.raises(Unusable, match="without one data"):
        read_pickled(file)


def test_a_storage_that_is_missing_or_short_is_named(file: Path, tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(3)}, tmp_path / "whole")
    for kept in (0, 8):
        with zipfile.ZipFile(tmp_path / "whole") as whole, zipfile.ZipFile(file, "w") as archive:
            for name in whole.namelist():
                content = whole.read(name)
                if not name.endswith("/data/0"):
                    archive.writestr(name, content)
                elif kept:
                    archive.writestr(name, content[:kept])
        with pytest.raises(Unusable, match="for a, which needs 12"):
            read_pickled(file)
