"""Lets permissions stop root too, as they stop everybody else: Linux capabilities, capset(2)."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager

# linux/capability.h: the third version of the interface has two words of 32 bits.
_VERSION = 0x20080522
_DAC_OVERRIDE, _DAC_READ_SEARCH = 1, 2


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Set(ctypes.Structure):
    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


@contextmanager
def none_over_permissions() -> Iterator[None]:
    """This thread may read and write only what its user may; root gets its rights back after."""
    if os.geteuid() != 0:
        yield
        return
    before = _capabilities()
    fewer = (_Set * 2)(*before)
    fewer[0].effective &= ~(1 << _DAC_OVERRIDE | 1 << _DAC_READ_SEARCH)
    _call("capset", fewer)
    try:
        yield
    finally:
        _call("capset", before)


def _capabilities() -> ctypes.Array[_Set]:
    found = (_Set * 2)()
    _call("capget", found)
    return found


def _call(name: str, sets: ctypes.Array[_Set]) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    if getattr(library, name)(ctypes.byref(_Header(_VERSION, 0)), sets) != 0:
        raise OSError(ctypes.get_errno(), f"{name} failed")
