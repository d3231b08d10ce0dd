"""Moving tensors out of mapped files."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from evaluators.pages import CHUNK_BYTES, moved

PEAK = """
import re, sys, torch
sys.path.insert(0, {root!r})
from evaluators.pages import moved
def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) // 1024
before = peak()
mapped = torch.from_file({file!r}, shared=False, size={numbers}, dtype=torch.float32)
copy = {copying}
assert copy[-1] == 0.0
print(peak() - before)
"""
ROOT = Path(__file__).parents[2]


def tensors() -> list[Tensor]:
    whole = torch.arange(CHUNK_BYTES // 4 + 12_345, dtype=torch.float32)
    return [
        whole,
        whole[7:].view(-1, 2),  # begins and ends within a page
        whole[:30].view(5, 6).t(),
        whole[::3],
        torch.tensor(3.0),
        torch.empty(0, 4),
        torch.arange(9, dtype=torch.int64),
        torch.tensor([True, False]),
    ]


@pytest.mark.parametrize("number", range(len(tensors())))
def test_the_copy_equals_what_stays_as_it_was(number: int) -> None:
    tensor = tensors()[number]
    copy = moved(tensor)
    assert torch.equal(copy, tensors()[number])
    assert torch.equal(tensor, tensors()[number])
    assert copy.shape == tensor.shape
    assert copy.numel() == 0 or copy.data_ptr() != tensor.data_ptr()


@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc, and the kernel to page out")
def test_a_mapped_file_and_its_copy_are_not_in_memory_at_once(tmp_path: Path) -> None:
    megabytes = 384
    file = tmp_path / "weights"
    with file.open("wb") as out:
        for _ in range(megabytes):
            out.write(bytes(2**20))

    def peak(copying: str) -> int:
        code = PEAK.format(
            root=str(ROOT), file=str(file), numbers=megabytes * 2**18, copying=copying
        )
        said = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
        found = re.search(rb"\d+", said.stdout)
        assert found is not None
        return int(found[0])

    assert peak("mapped.clone()") > 1.9 * megabytes
    assert peak("moved(mapped)") < 1.4 * megabytes
