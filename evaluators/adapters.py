"""Finds the model that a PEFT adapter was trained on, and puts the adapter onto it."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel

from errors import ModelLoadFault
from evaluators.memory import is_out_of_memory
from settings import Trust

CONFIG = "adapter_config.json"
WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin")

MAX_KEYS_NAMED = 3


def is_adapter(path: Path) -> bool:
    """Whether the folder `path` holds an adapter."""
    return (path / CONFIG).is_file()


def base_of(path: Path, trust: Trust) -> Path:
    """The folder of the model that the adapter in `path` is for.

    It is where [watch] base_models says, or else the folder that adapter_config.json names, taken
    from the adapter's folder when it is relative. A cache of downloads is not looked into, so the
    same adapter is evaluated on the same model everywhere. Raises ModelLoadFault, naming the model
    and the key.
    """
    require_peft(path)
    name = _base_name(path)
    given = trust.base_models.get(name)
    base = given or (path / name)
    if not (base / "config.json").is_file():
        where = f"{given} holds no config.json" if given else "it is no folder here with a model"
        raise ModelLoadFault(
            f"the adapter in {path} is for the model {name!r}, which is missing: {where}. Set "
            f'base_models = {{"{name}" = "/its/folder"}} under [watch], then evaluate it again'
        )
    return base.resolve()


def require_peft(path: Path) -> None:
    """Raises ModelLoadFault when peft is not there to load the adapter in `path`."""
    if importlib.util.find_spec("peft") is None:
        raise ModelLoadFault(f"{path} holds a PEFT adapter: `pip install peft` to evaluate it")


def attach(model: PreTrainedModel, path: Path) -> None:
    """Puts the adapter in `path` onto `model`, whole. Raises ModelLoadFault.

    Without safetensors, a pickle is read (with weights_only): refuse it before if need be.
    """
    try:
        report: Any = model.load_adapter(
            str(path), use_safetensors=(path / WEIGHTS[0]).is_file(), weights_only=True
        )
    except Exception as error:
        if is_out_of_memory(error):
            raise
        raise ModelLoadFault(
            f"the adapter in {path} does not load onto {_base_name(path)!r} "
            f"({type(error).__name__}: {error}): check that it was trained on this model"
        ) from error
    for keys, fault in (
        (report.missing_keys, "lack {} of the adapter's tensors ({}), which would be as at first"),
        (report.unexpected_keys, "hold {} tensors that the model has no place for ({})"),
    ):
        if keys:
            named = ", ".join(sorted(keys)[:MAX_KEYS_NAMED])
            raise ModelLoadFault(
                f"the adapter's weights in {path} {fault.format(len(keys), named)}: check that "
                f"they belong to its {CONFIG} and to {_base_name(path)!r}"
            )


def _base_name(path: Path) -> str:
    """What the adapter calls its model. Raises ModelLoadFault when it does not say."""
    try:
        config = json.loads((path / CONFIG).read_text(encoding="utf-8"))
        name = config["base_model_name_or_path"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ModelLoadFault(f"{path / CONFIG} names no base_model_name_or_path") from error
    if not isinstance(name, str) or not name or "\0" in name:
        raise ModelLoadFault(f"{path / CONFIG} names no base_model_name_or_path")
    return name
