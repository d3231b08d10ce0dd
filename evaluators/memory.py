"""Tells an error that says that memory ran out from any other."""

from __future__ import annotations

import errno
import re

import torch

from errors import MilepostError

# torch's allocator for the CPU raises a bare RuntimeError, safetensors one of its own. oneDNN says
# no more than that it could not make or run a part, which it can as long as there is memory; one
# that it has no code for fails as a "primitive descriptor".
_SAID = re.compile(
    r"can't allocate memory|cannot allocate memory|not enough memory|out of memory|bad_alloc"
    r"|could not (create|execute) a (primitive|memory object)(?! descriptor)",
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
