"""Memory pages: moving a tensor out of a mapped file without holding all of it twice."""

from __future__ import annotations

import ctypes
import mmap
import sys

import torch
from torch import Tensor

# MADV_PAGEOUT of Linux 5.4. Nothing is lost by it: pages of a file are dropped, others swapped out.
PAGE_OUT = 21

CHUNK_BYTES = 64 * 2**20


def moved(tensor: Tensor) -> Tensor:
    """A copy of a tensor in the CPU's memory. What was copied of a mapped file leaves memory."""
    if not tensor.is_contiguous() or tensor.numel() == 0:
        return tensor.clone()
    copy = torch.empty_like(tensor)
    old, new = tensor.view(-1), copy.view(-1)
    size = CHUNK_BYTES // tensor.element_size()
    for start in range(0, len(old), size):
        part = old[start : start + size]
        new[start : start + size].copy_(part)
        _page_out(part.data_ptr(), part.nbytes)
    return copy


def _page_out(address: int, size: int) -> None:
    """Asks the kernel to take the whole pages within a range out of memory; it may decline."""
    if sys.platform != "linux":
        return
    first = -(-address // mmap.PAGESIZE) * mmap.PAGESIZE
    length = (address + size) // mmap.PAGESIZE * mmap.PAGESIZE - first
    if length > 0:
        libc = ctypes.CDLL(None, use_errno=True)
        libc.madvise(ctypes.c_void_p(first), ctypes.c_size_t(length), PAGE_OUT)
