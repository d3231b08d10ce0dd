"""Tells an error that says that memory ran out from any other."""

from __future__ import annotations

import errno
import re

import torch

from errors import MilepostError

# torch's allocator for the CPU raises a bare RuntimeError, safetensors one of its own.
_SAID = re.compile(
    r"can't allocate memory|cannot allocate memory|not enough memory|out of memory|bad_alloc",
    re.IGNORECASE,
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether `error` says that memory ran out, on the accelerator or on the CPU."""
    match error:
        case MemoryError() | torch.OutOfMemoryError():
            return True
        case OSError(errno=errno.ENOMEM):
            return True
        case MilepostError():
            return False  # it may well speak of memory, in the words of a remedy
        case _:
            return isinstance(error, Exception) and _SAID.search(str(error)) is not None
