"""Finds the weights of a checkpoint and sees that they are whole: single, sharded or adapter."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Literal, NamedTuple

from errors import Unfinished, Unusable
from ingest.documents import read_object
from ingest.safetensors import Tensor, read_tensors

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
ADAPTER = "adapter_model.safetensors"
ADAPTER_CONFIG = "adapter_config.json"
CONFIG = "config.json"

# Pickles run code when they are loaded, so Milepost does not read them.
_PICKLES = ("pytorch_model.bin", "pytorch_model.bin.index.json", "adapter_model.bin")


class Weights(NamedTuple):
    """`files` are names in the folder, with the index and the adapter's configuration.

    `dtype` is the one that most elements have, as safetensors writes it; `parameters` counts
    elements.
    """

    kind: Literal["full", "adapter"]
    files: tuple[str, ...]
    dtype: str
    parameters: int
    architecture: str


def read_weights(folder: Path) -> Weights:
    """The weights in `folder`, whole. Raises Unfinished or Unusable, naming the file."""
    # Without a model beside it, an adapter's folder needs no config.json: its base has one.
    if (folder / ADAPTER_CONFIG).exists() and not (folder / SINGLE).exists():
        architecture = _adapter_architecture(folder)
        _refuse_pickles(folder, ADAPTER)
        tensors = read_tensors(folder / ADAPTER)
        return _weights("adapter", (ADAPTER, ADAPTER_CONFIG), tensors, architecture)
    architecture = _architecture(folder)
    # The order in which transformers looks.
    if (folder / SINGLE).exists() or not (folder / INDEX).exists():
        _refuse_pickles(folder, SINGLE)
        return _weights("full", (SINGLE,), read_tensors(folder / SINGLE), architecture)
    shards, tensors = _read_shards(folder)
    return _weights("full", (INDEX, *shards), tensors, architecture)


def _weights(
    kind: Literal["full", "adapter"],
    files: tuple[str, ...],
    tensors: tuple[Tensor, ...],
    architecture: str,
) -> Weights:
    elements: Counter[str] = Counter()
    for tensor in tensors:
        elements[tensor.dtype] += tensor.elements
    dtype = max(sorted(elements), key=lambda name: elements[name])
    return Weights(kind, files, dtype, elements.total(), architecture)


def _read_shards(folder: Path) -> tuple[tuple[str, ...], tuple[Tensor, ...]]:
    """The shards' names and all their tensors."""
    placed = read_object(folder / INDEX).get("weight_map")
    if not isinstance(placed, dict) or not placed:
        raise Unusable(f"{INDEX} has no weight_map")
    shards = tuple(sorted({str(shard) for shard in placed.values()}))
    tensors: list[Tensor] = []
    for shard in shards:
        if Path(shard).name != shard:
            raise Unusable(f"{INDEX} names the shard {shard!r}, which is not in this folder")
        held = read_tensors(folder / shard)
        names = {tensor.name for tensor in held}
        for name, where in placed.items():
            # An index of one save beside a shard of another: the folder is being written over.
            if where == shard and name not in names:
                raise Unfinished(f"{shard} does not hold {name}, which {INDEX} places there")
        tensors.extend(held)
    return shards, tuple(tensors)


def _refuse_pickles(folder: Path, wanted: str) -> None:
    for name in _PICKLES:
        if not (folder / wanted).exists() and (folder / name).exists():
            raise Unusable(
                f"{name} is a pickle, which is not read because loading one runs code. Save as "
                f"safetensors ({wanted})."
            )


def _architecture(folder: Path) -> str:
    """The model's class, or else its type."""
    config = read_object(folder / CONFIG)
    named = config.get("architectures")
    candidates = [*(named if isinstance(named, list) else []), config.get("model_type")]
    for candidate in candidates:
        if isinstance(candidate, str) and candidate:
            return candidate
    raise Unusable(f"{CONFIG} names neither architectures nor model_type")


def _adapter_architecture(folder: Path) -> str:
    """The adapter's method and the model that it is for, such as "LORA on org/model"."""
    config = read_object(folder / ADAPTER_CONFIG)
    method, base = config.get("peft_type"), config.get("base_model_name_or_path")
    if not isinstance(method, str) or not isinstance(base, str) or not base:
        raise Unusable(f"{ADAPTER_CONFIG} does not name peft_type and base_model_name_or_path")
    return f"{method} on {base}"
