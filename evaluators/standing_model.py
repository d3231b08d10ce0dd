"""The model that stays in memory between two checkpoints and takes the weights of the next one.

Two checkpoints with the same `Mould` differ in nothing but the values of their tensors, so only
those are read. Whether each tensor of the files is the model's of that name, as it is, is not
believed but looked at, once a model: transformers renames, joins and turns round some of them.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor
from transformers import PreTrainedModel

from evaluators import adapters
from evaluators.pages import moved
from settings import Trust

LOG = logging.getLogger(__name__)

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"

# Keys of config.json that say where it comes from, and shape nothing.
ORIGINS = frozenset({"_name_or_path", "transformers_version"})
# Keys of config.json with which the tensors in the files are not the model's.
OTHER_TENSORS = frozenset({"auto_map", "quantization_config"})


class Weight(NamedTuple):
    """Where a tensor lies, and its form; `dtype` as safetensors names it."""

    file: Path
    dtype: str
    shape: tuple[int, ...]


class Mould(NamedTuple):
    """All that shapes a model, but for the values of its tensors."""

    config: Mapping[str, Any]
    tensors: Mapping[str, tuple[str, tuple[int, ...]]]
    dtype: torch.dtype
    device: torch.device


class Cast(NamedTuple):
    """What a checkpoint's folder holds for a model: its mould, and its weights by name."""

    mould: Mould
    weights: Mapping[str, Weight]


def cast_of(folder: Path, dtype: torch.dtype, device: torch.device, trust: Trust) -> Cast | None:
    """What `folder` holds, as its files' heads say; None where only transformers can load it."""
    if adapters.is_adapter(folder) or trust.runs_code_of(folder):
        return None
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        weights = _weights(folder)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, SafetensorError):
        return None  # transformers says what is wrong with it
    if not isinstance(config, dict) or not weights or OTHER_TENSORS & config.keys():
        return None
    shaping = {key: value for key, value in config.items() if key not in ORIGINS}
    forms = {name: (one.dtype, one.shape) for name, one in weights.items()}
    return Cast(Mould(shaping, forms, dtype, device), weights)


def _weights(folder: Path) -> dict[str, Weight]:
    """The tensors of the safetensors files in `folder` by name; none if there is no such file."""
    if (folder / WEIGHTS).is_file():
        files = [WEIGHTS]
    elif (folder / INDEX).is_file():
        index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        files = sorted(set(index["weight_map"].values()))
    else:
        return {}
    found: dict[str, Weight] = {}
    for file in files:
        with safe_open(folder / file, "pt") as opened:
            for name in opened.offset_keys():  # as they lie, so that a disk reads on and on
                part = opened.get_slice(name)
                found[name] = Weight(folder / file, part.get_dtype(), tuple(part.get_shape()))
    return found


class StandingModel:
    """Holds one model at most."""

    def __init__(self) -> None:
        self._model: PreTrainedModel | None = None
        self._cast: Cast | None = None
        self._buffers: dict[str, Tensor] = {}
        # Whether its tensors were seen to be those of the files.
        self._proven = False

    def keep(self, model: PreTrainedModel, cast: Cast | None) -> None:
        """Takes a model that was just loaded from `cast`, for the checkpoints after it.

        On the CPU, its tensors may be the files' own pages. They move into memory of the model's:
        a file that is written over could change them in the middle of a pass, a deleted one would
        stay on the disk, and products differ in their last bit with how a file's head puts them.
        """
        if model.device.type == "cpu":
            for one in chain(model.parameters(), model.buffers()):
                one.data = moved(one.data)
        self._model, self._cast, self._proven = model, cast, False
        self._buffers = {name: one.clone() for name, one in _unsaved(model).items()}

    def renew(self, cast: Cast | None) -> PreTrainedModel | None:
        """The model with the weights of `cast`; None when it doesn't fit, and is let go of.

        It holds the memory of the weights and of one tensor more at most. A model half of whose
        weights are new is never given away.
        """
        model = self._model
        if model is None or cast is None or not self._fits(model, cast):
            self.let_go()
            return None
        try:
            self._fill(model, cast)
        except (OSError, RuntimeError, MemoryError, SafetensorError) as error:
            LOG.warning("loading it anew, for its weights did not go into the model: %s", error)
            self.let_go()
            return None
        self._cast, self._proven = cast, True
        return model

    def let_go(self) -> None:
        """Frees the model's memory, whoever else still holds the model."""
        if self._model is not None:
            with torch.no_grad():
                for one in self._model.parameters():
                    one.data = one.new_empty(0)
        self._model, self._cast, self._buffers, self._proven = None, None, {}, False

    def _fits(self, model: PreTrainedModel, cast: Cast) -> bool:
        if self._cast is None or self._cast.mould != cast.mould:
            return False
        buffers = _unsaved(model)
        if buffers.keys() != self._buffers.keys() or not all(
            torch.equal(one, self._buffers[name]) for name, one in buffers.items()
        ):
            return False  # it remembers something of what it has seen
        return self._proven or _is_made_of(model, self._cast)

    def _fill(self, model: PreTrainedModel, cast: Cast) -> None:
        state = _state(model)
        with torch.no_grad():
            for name, weight in cast.weights.items():
                state[name].copy_(_read(name, weight))


def _is_made_of(model: PreTrainedModel, cast: Cast) -> bool:
    """Whether the files' tensors are the model's of the same names, each of them, value by value.

    Of tensors that are tied, the files must hold one.
    """
    state = _state(model)
    if not cast.weights.keys() <= state.keys():
        return False
    filled = [id(state[name]) for name in cast.weights]
    if len(filled) != len(set(filled)) or set(filled) != {id(one) for one in state.values()}:
        return False
    try:
        return all(_equal(state[name], _read(name, one)) for name, one in cast.weights.items())
    except (OSError, SafetensorError):
        return False  # the folder it came from is gone


def _equal(held: Tensor, read: Tensor) -> bool:
    return held.shape == read.shape and torch.equal(held, read.to(held.device, held.dtype))


def _state(model: PreTrainedModel) -> dict[str, Tensor]:
    """The model's tensors by name; tied ones are one object."""
    return dict(model.state_dict(keep_vars=True))


def _unsaved(model: PreTrainedModel) -> dict[str, Tensor]:
    """The buffers that no checkpoint holds, since they follow from the config."""
    saved = model.state_dict().keys()
    return {name: one for name, one in model.named_buffers() if name not in saved}


def _read(name: str, weight: Weight) -> Tensor:
    """One tensor; its file is open, and in memory, for as long as the tensor is."""
    with safe_open(weight.file, "pt") as opened:
        tensor: Tensor = opened.get_tensor(name)
    return tensor
