"""Reads what a torch pickle holds without running it: shapes, dtypes, and what else it names.

torch.save writes a zip archive (pytorch.org, "Serialization semantics"): PREFIX/data.pkl describes
the tensors, PREFIX/data/0, /1, … are their storages. A pickle is a program; here it is given
stand-ins for the few functions that tensors need, and one that names anything else is refused.
"""

from __future__ import annotations

import math
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from errors import Unfinished, Unusable
from ingest.documents import LARGEST
from ingest.files import open_file, printable
from ingest.safetensors import LARGEST_COUNT, Tensor

_BEGIN = b"PK\x03\x04"
_END = b"PK\x05\x06"
_END_BYTES = 22

# As safetensors writes the dtype of each storage class of torch.
_STORAGES = {
    "BFloat16Storage": ("BF16", 2),
    "BoolStorage": ("BOOL", 1),
    "ByteStorage": ("U8", 1),
    "CharStorage": ("I8", 1),
    "DoubleStorage": ("F64", 8),
    "FloatStorage": ("F32", 4),
    "HalfStorage": ("F16", 2),
    "IntStorage": ("I32", 4),
    "LongStorage": ("I64", 8),
    "ShortStorage": ("I16", 2),
}


class _Storage(NamedTuple):
    dtype: str
    size: int
    key: str
    elements: int


class _Shape(NamedTuple):
    """A tensor in place of itself; `elements` may count more than its storage holds."""

    storage: _Storage
    elements: int


def read_pickled(file: Path) -> tuple[Tensor, ...]:
    """The tensors of a whole file that torch.save wrote, by name; `begin` and `end` are 0.

    Raises Unfinished when the file is missing or its end is, Unusable when it is no such archive
    or names anything but tensors.
    """
    try:
        with open_file(file) as stream:
            _refuse_other_files(stream)
            return _read_archive(stream)
    except FileNotFoundError as error:
        raise Unfinished(f"{file.name} is not there") from error
    except (Unfinished, Unusable) as error:
        raise type(error)(f"{file.name} {error}") from error


def _refuse_other_files(stream: BinaryIO) -> None:
    size = os.fstat(stream.fileno()).st_size
    begin = stream.read(len(_BEGIN))
    if not begin.strip(b"\0"):
        raise Unfinished(f"has {size} bytes and begins with none of an archive")
    if not _BEGIN.startswith(begin) and begin != _BEGIN:
        raise Unusable("is no zip archive, as torch.save writes since 1.6")
    stream.seek(max(0, size - _END_BYTES))
    if not stream.read().startswith(_END):
        raise Unfinished(f"has {size} bytes, and the end of its archive is not among them")


def _read_archive(stream: BinaryIO) -> tuple[Tensor, ...]:
    try:
        with zipfile.ZipFile(stream) as archive:
            sizes = {one.filename: one.file_size for one in archive.infolist()}
            if min((one.header_offset for one in archive.infolist()), default=1) != 0:
                raise Unusable("is an archive with something else before its beginning")
            described = [name for name in sizes if name.endswith("/data.pkl")]
            if len(described) != 1 or sizes[described[0]] > LARGEST:
                raise Unusable("is an archive without one data.pkl that can be read")
            with archive.open(described[0]) as content:
                held = _Reader(content).load()
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise Unusable(f"is an archive that does not fit together: {error}") from error
    except (pickle.UnpicklingError, EOFError, *_SLIPS) as error:
        raise Unusable(f"holds a pickle that is no dictionary of tensors: {error}") from error
    if not isinstance(held, dict) or not held:
        raise Unusable("holds no dictionary of tensors")
    prefix = described[0].removesuffix("data.pkl")
    return tuple(_tensor(name, one, prefix, sizes) for name, one in held.items())


def _tensor(name: object, shape: object, prefix: str, sizes: dict[str, int]) -> Tensor:
    if not isinstance(name, str) or not isinstance(shape, _Shape):
        raise Unusable(f"holds {printable(str(name), 100)}, which is no tensor")
    storage = shape.storage
    found = sizes.get(f"{prefix}data/{storage.key}")
    if found != storage.elements * storage.size:
        raise Unusable(
            f"holds {found} bytes for {printable(name, 100)}, which needs "
            f"{storage.elements * storage.size}"
        )
    if shape.elements > LARGEST_COUNT:
        raise Unusable(f"gives {printable(name, 100)} a shape that no file can hold")
    return Tensor(name, storage.dtype, shape.elements, 0, 0)


class _Mapping(dict[object, object]):
    """An OrderedDict that cannot be made as a copy of another: copies of copies fill memory."""

    def __init__(self) -> None:
        super().__init__()


class _Reader(pickle.Unpickler):
    """Builds stand-ins. Raises UnpicklingError for whatever a dictionary of tensors has not."""

    def find_class(self, module: str, name: str) -> Any:
        """The stand-in for a global that the pickle names."""
        if (module, name) in _KNOWN:
            return _KNOWN[module, name]
        if module in ("torch", "torch.storage") and name in _STORAGES:
            return _STORAGES[name]
        raise pickle.UnpicklingError(f"it names {printable(f'{module}.{name}', 200)}")

    def persistent_load(self, pid: Any) -> _Storage:
        """The storage that a tensor refers to."""
        kind, (dtype, size), key, _, elements = pid
        if kind != "storage" or type(elements) is not int or not 0 <= elements <= LARGEST_COUNT:
            raise pickle.UnpicklingError("it refers to something that is no storage")
        return _Storage(dtype, size, str(key), elements)


def _rebuilt(storage: _Storage, _offset: int, shape: tuple[int, ...], *_: object) -> _Shape:
    if len(shape) > 64 or not all(type(one) is int and 0 <= one <= LARGEST_COUNT for one in shape):
        raise ValueError("a shape is no row of whole numbers")
    return _Shape(storage, math.prod(shape))


def _parameter(data: _Shape, *_: object) -> _Shape:
    return data


_KNOWN: dict[tuple[str, str], Callable[..., Any]] = {
    ("collections", "OrderedDict"): _Mapping,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuilt,
    ("torch._utils", "_rebuild_parameter"): _parameter,
}

# What a program of stand-ins may stumble over.
_SLIPS = (
    AttributeError,
    ImportError,
    IndexError,
    KeyError,
    MemoryError,
    OverflowError,
    RecursionError,
    TypeError,
    ValueError,
)
