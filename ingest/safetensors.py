"""Reads the header of a safetensors file and holds the file's length against it.

The format (github.com/huggingface/safetensors, "Format"): 8 bytes with the header's length N,
little-endian; N bytes of JSON, name -> {dtype, shape, data_offsets}; then the data, to which the
offsets count. So a whole file is 8 + N + the end of its last tensor bytes long, and no other.
"""

from __future__ import annotations

import json
import math
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from errors import Unfinished, Unusable
from ingest.files import open_file

LENGTH_BYTES = 8
# The format's own limit.
LONGEST_HEADER = 100_000_000
# More bytes than any file system holds, and what a column of the log can.
LARGEST_COUNT = 2**62
MOST_COUNTS = 64

_DTYPES_BY_BITS = {
    4: ("F4",),
    6: ("F6_E2M3", "F6_E3M2"),
    8: ("BOOL", "U8", "I8", "F8_E5M2", "F8_E4M3", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ"),
    16: ("I16", "U16", "F16", "BF16"),
    32: ("I32", "U32", "F32"),
    64: ("I64", "U64", "F64", "C64"),
}
DTYPE_BITS = {dtype: bits for bits, dtypes in _DTYPES_BY_BITS.items() for dtype in dtypes}


class Tensor(NamedTuple):
    """One tensor as the header describes it; `begin` and `end` are bytes into the data."""

    name: str
    dtype: str
    elements: int
    begin: int
    end: int


def read_tensors(file: Path) -> tuple[Tensor, ...]:
    """The tensors of a whole file, in the order of their data.

    Raises Unfinished when the file is missing or shorter than its header says, Unusable when it
    is longer or its header is not one. Both name the file.
    """
    try:
        with open_file(file) as stream:
            size = os.fstat(stream.fileno()).st_size
            header_bytes, header = _read_header(stream, size)
    except FileNotFoundError as error:
        raise Unfinished(f"{file.name} is not there") from error
    except (Unfinished, Unusable) as error:
        raise type(error)(f"{file.name} {error}") from error
    try:
        tensors = tuple(sorted(_tensors(header), key=lambda tensor: (tensor.begin, tensor.end)))
        _refuse_holes(tensors)
    except KeyError as error:
        raise Unusable(f"{file.name} has a header without {error}") from error
    except (TypeError, ValueError) as error:
        raise Unusable(f"{file.name} has a header that does not fit: {error}") from error
    expected = LENGTH_BYTES + header_bytes + tensors[-1].end
    if size < expected:
        raise Unfinished(f"{file.name} has {size} of {expected} bytes")
    if size > expected:
        raise Unusable(f"{file.name} has {size} bytes, {size - expected} more than its header says")
    return tensors


def _read_header(stream: BinaryIO, size: int) -> tuple[int, dict[str, Any]]:
    """The header's length in bytes, and the header."""
    if size < LENGTH_BYTES:
        raise Unfinished(f"has {size} bytes, fewer than the {LENGTH_BYTES} that begin a header")
    length = int.from_bytes(stream.read(LENGTH_BYTES), "little")
    if length == 0:
        # A writer that reserves the space first shows zeros until the data is there.
        raise Unfinished("begins with zeros where the length of its header should be")
    if length > LONGEST_HEADER:
        raise Unusable(f"is not a safetensors file: its header would be {length} bytes long")
    if size < LENGTH_BYTES + length:
        raise Unfinished(f"has {size} bytes and a header of {LENGTH_BYTES + length}")
    try:
        header = json.loads(stream.read(length), object_pairs_hook=_once_each)
    except (RecursionError, MemoryError) as error:
        raise Unusable("has a header that is nested too deep, or too large, to be read") from error
    except ValueError as error:
        raise Unusable(f"is not a safetensors file: its header is not JSON: {error}") from error
    if not isinstance(header, dict):
        raise Unusable("is not a safetensors file: its header is not a JSON object")
    return length, header


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object of these pairs. Raises ValueError for a name that comes twice."""
    found = dict(pairs)
    if len(found) < len(pairs):
        ((twice, _),) = Counter(name for name, _ in pairs).most_common(1)
        raise ValueError(f"{twice[:100]!r} stands there twice")
    return found


def _tensors(header: dict[str, Any]) -> Iterator[Tensor]:
    """Raises KeyError, TypeError or ValueError for an entry that does not fit."""
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        if not isinstance(entry, dict):
            raise TypeError(f"{name} is described by no JSON object")
        begin, end = _counts(name, entry["data_offsets"])
        elements = math.prod(_counts(name, entry["shape"]))
        dtype = str(entry["dtype"])
        bits = (end - begin) * 8
        # A dtype younger than this table is taken at its offsets' word.
        fits = elements * DTYPE_BITS[dtype] == bits if dtype in DTYPE_BITS else elements <= bits
        if not fits:
            raise ValueError(
                f"{name} has {elements} elements of {dtype} in {end - begin} bytes of data"
            )
        yield Tensor(name, dtype, elements, begin, end)


def _counts(name: str, value: object) -> list[int]:
    """`value` as a list of numbers of bytes or elements. Raises TypeError or ValueError."""
    if not isinstance(value, list) or not all(type(one) is int for one in value):
        raise TypeError(f"{name} has {str(value)[:100]} where whole numbers should be")
    if len(value) > MOST_COUNTS or any(not 0 <= one <= LARGEST_COUNT for one in value):
        raise ValueError(f"{name} has {str(value)[:100]}, which no file can hold")
    return value


def _refuse_holes(tensors: tuple[Tensor, ...]) -> None:
    """Raises ValueError unless the data is covered from its beginning, each byte once."""
    if not tensors:
        raise ValueError("it names no tensor")
    reached = 0
    for tensor in tensors:
        if tensor.begin != reached or tensor.end < tensor.begin:
            raise ValueError(f"{tensor.name} begins at byte {tensor.begin}, not at {reached}")
        reached = tensor.end
