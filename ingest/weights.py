"""Finds the weights of a checkpoint and sees that they are whole: single, sharded or adapter."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple

from errors import Unfinished, Unusable
from ingest.documents import read_object
from ingest.files import printable
from ingest.pickles import read_pickled
from ingest.safetensors import Tensor, read_tensors

CONFIG = "config.json"
ADAPTER_CONFIG = "adapter_config.json"
OTHER_WEIGHTS = "transformers_weights"
QUANTIZATIONS = ("quantization_config", "compression_config")
WHOLE_NUMBERS = frozenset({"BOOL", "U8", "I8", "U16", "I16", "U32", "I32", "U64", "I64"})

LONGEST_NAME = 200


class _Store(NamedTuple):
    """A way in which weights are saved; `shards_index` is the file that names shards, if any."""

    single: str
    shards_index: str | None
    read: Callable[[Path], tuple[Tensor, ...]]


# The order in which transformers and PEFT look.
_MODEL = (
    _Store("model.safetensors", "model.safetensors.index.json", read_tensors),
    _Store("pytorch_model.bin", "pytorch_model.bin.index.json", read_pickled),
)
_ADAPTER = (
    _Store("adapter_model.safetensors", None, read_tensors),
    _Store("adapter_model.bin", None, read_pickled),
)
# Where one of these is, the weights are or will be.
WEIGHTS = frozenset(
    name for store in (*_MODEL, *_ADAPTER) for name in (store.single, store.shards_index) if name
)


class Weights(NamedTuple):
    """`files` are names in the folder, with the index and the adapter's configuration.

    `dtype` is the one that most elements have, as safetensors writes it; `parameters` counts
    elements. `pickle` names the file that is one, if any.
    """

    kind: Literal["full", "adapter"]
    files: tuple[str, ...]
    dtype: str
    parameters: int
    architecture: str
    pickle: str | None


def read_weights(folder: Path) -> Weights:
    """The weights in `folder`, whole. Raises Unfinished or Unusable, naming the file."""
    has_adapter = (folder / ADAPTER_CONFIG).exists()
    model = _stored(folder, _MODEL)
    # Without a model beside it, an adapter's folder needs no config.json: its base has one.
    if has_adapter and model is None:
        architecture = _adapter_architecture(folder)
        files, tensors = _read(folder, _stored(folder, _ADAPTER) or _ADAPTER[0])
        return _weights("adapter", (*files, ADAPTER_CONFIG), tensors, architecture)
    config = read_object(folder / CONFIG)
    architecture = _architecture(config)
    files, tensors = _read(folder, model or _MODEL[0])
    # transformers would load that file and leave the ones that it usually looks for.
    if config.get(OTHER_WEIGHTS) not in (None, files[0]):
        raise Unusable(f"{CONFIG} names other weights than {files[0]} ({OTHER_WEIGHTS})")
    if not any(config.get(key) for key in QUANTIZATIONS):
        _refuse_whole_numbers(tensors)
    if has_adapter:
        # transformers puts the adapter onto the model, so it is part of what answers.
        more, _ = _read(folder, _stored(folder, _ADAPTER) or _ADAPTER[0])
        files = (*files, *more, ADAPTER_CONFIG)
    return _weights("full", files, tensors, architecture)


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
    pickle = next((name for name in files if name.endswith(".bin")), None)
    return Weights(
        kind, files, printable(dtype, LONGEST_NAME), elements.total(), architecture, pickle
    )


def _refuse_whole_numbers(tensors: tuple[Tensor, ...]) -> None:
    """Raises Unusable for weights that are integers, which would be taken for numbers like 1e9."""
    for tensor in tensors:
        if tensor.dtype in WHOLE_NUMBERS and tensor.name.endswith(".weight"):
            raise Unusable(
                f"{printable(tensor.name, LONGEST_NAME)} holds whole numbers ({tensor.dtype}), and "
                f"{CONFIG} names no quantization"
            )


def _stored(folder: Path, stores: tuple[_Store, ...]) -> _Store | None:
    """The way in which the weights of `folder` are saved; None when none of them are there."""
    for store in stores:
        if any(name and (folder / name).exists() for name in (store.single, store.shards_index)):
            return store
    return None


def _read(folder: Path, store: _Store) -> tuple[tuple[str, ...], tuple[Tensor, ...]]:
    """The names of the files and all their tensors."""
    if store.shards_index is None or (folder / store.single).exists():
        return (store.single,), store.read(folder / store.single)
    if not (folder / store.shards_index).exists():
        raise Unfinished(f"{store.single} is not there")
    shards, tensors = _read_shards(folder, store.shards_index, store.read)
    return (store.shards_index, *shards), tensors


def _read_shards(
    folder: Path, index: str, read: Callable[[Path], tuple[Tensor, ...]]
) -> tuple[tuple[str, ...], tuple[Tensor, ...]]:
    """The shards' names and all their tensors."""
    placed = read_object(folder / index).get("weight_map")
    if not isinstance(placed, dict) or not placed:
        raise Unusable(f"{index} has no weight_map")
    expected: dict[str, set[str]] = {}
    for name, shard in placed.items():
        if not isinstance(shard, str) or Path(shard).name != shard or "\0" in shard:
            raise Unusable(
                f"{index} names the shard {printable(repr(shard), LONGEST_NAME)}, which is not in "
                "this folder"
            )
        expected.setdefault(shard, set()).add(name)
    tensors: list[Tensor] = []
    for shard in sorted(expected):
        held = read(folder / shard)
        # An index of one save beside a shard of another: the folder is being written over.
        if missing := expected[shard].difference(tensor.name for tensor in held):
            raise Unfinished(
                f"{shard} does not hold {printable(min(missing), LONGEST_NAME)}, which {index} "
                "places there"
            )
        tensors.extend(held)
    return tuple(sorted(expected)), tuple(tensors)


def _architecture(config: dict[str, object]) -> str:
    """The model's class, or else its type."""
    named = config.get("architectures")
    candidates = [*(named if isinstance(named, list) else []), config.get("model_type")]
    for candidate in candidates:
        if isinstance(candidate, str) and candidate:
            return printable(candidate, LONGEST_NAME)
    raise Unusable(f"{CONFIG} names neither architectures nor model_type")


def _adapter_architecture(folder: Path) -> str:
    """The adapter's method and the model that it is for, such as "LORA on org/model"."""
    config = read_object(folder / ADAPTER_CONFIG)
    method, base = config.get("peft_type"), config.get("base_model_name_or_path")
    if not isinstance(method, str) or not isinstance(base, str) or not base:
        raise Unusable(f"{ADAPTER_CONFIG} does not name peft_type and base_model_name_or_path")
    return printable(f"{method} on {base}", LONGEST_NAME)
