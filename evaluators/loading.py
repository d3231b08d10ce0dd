"""Loads a model and its tokenizer from a checkpoint's folder, and from nowhere else."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any, NamedTuple

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging

from errors import ModelLoadFault, SettingsError
from settings import EvaluationSettings

DTYPES = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}

MAX_KEYS_NAMED = 3


class Loaded(NamedTuple):
    """A model in evaluation mode on its device, and what comes with it.

    `eos` are the ids that end a text: the generation config's and the tokenizer's.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    eos: frozenset[int]


def load_model(path: Path, settings: EvaluationSettings) -> Loaded:
    """Loads the checkpoint in the folder `path`.

    Raises ModelLoadFault, naming the folder and what to do, for one that does not load whole, and
    SettingsError for a device that this machine does not have.
    """
    device = device_of(settings)
    _require_config(path)
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    tokenizer = _load_tokenizer(path)
    model = _load_weights(path, dtype_of(settings, device)).to(device)  # type: ignore[arg-type]
    model.eval()
    eos = _eos(model, tokenizer)
    # Greedy decoding is the argmax of the logits and nothing else: a repetition penalty or a forced
    # token in the checkpoint's generation_config.json must not reach `generate`.
    model.generation_config = GenerationConfig()  # type: ignore[no-untyped-call]
    return Loaded(model, tokenizer, eos)


def device_of(settings: EvaluationSettings) -> torch.device:
    """The device that the settings name; "auto" is CUDA if there is one, else the CPU."""
    if settings.device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(settings.device)
    except RuntimeError as error:
        raise SettingsError(
            f"[evaluation] device = {settings.device!r} is no device: write auto, cpu or cuda:0"
        ) from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise SettingsError(
            f"[evaluation] device = {settings.device!r}, but torch finds no CUDA here: write auto"
        )
    return device


def dtype_of(settings: EvaluationSettings, device: torch.device) -> torch.dtype:
    """The dtype that the settings name; "auto" is bfloat16 on CUDA, else float32."""
    if settings.dtype == "auto":
        return torch.bfloat16 if device.type == "cuda" else torch.float32
    return DTYPES[settings.dtype]


def _require_config(path: Path) -> None:
    if (path / "config.json").is_file():
        return
    if not (path / "adapter_config.json").is_file():
        raise ModelLoadFault(
            f"{path} has no config.json: save the checkpoint with model.save_pretrained"
        )
    if importlib.util.find_spec("peft") is None:
        raise ModelLoadFault(f"{path} holds a PEFT adapter: `pip install peft` to evaluate it")


def _load_tokenizer(path: Path) -> PreTrainedTokenizerBase:
    remedy = "save it into the checkpoint with tokenizer.save_pretrained"
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            path, local_files_only=True, trust_remote_code=False
        )
    except (MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        raise ModelLoadFault(
            f"the tokenizer in {path} does not load ({error}): {remedy}"
        ) from error
    assert isinstance(tokenizer, PreTrainedTokenizerBase)
    # Without these files, transformers makes an empty tokenizer of the model's type.
    names = ["tokenizer.json", *tokenizer.vocab_files_names.values()]
    if not any((path / name).is_file() for name in names):
        raise ModelLoadFault(f"{path} has no tokenizer.json nor another tokenizer's file: {remedy}")
    return tokenizer


def _load_weights(path: Path, dtype: torch.dtype) -> PreTrainedModel:
    try:
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            path,
            dtype=dtype,
            local_files_only=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
    except (MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        raise ModelLoadFault(
            f"the model in {path} does not load ({type(error).__name__}: {error}): check that the "
            "checkpoint was copied whole and that this transformers knows its architecture"
        ) from error
    model, report = loaded
    assert isinstance(model, PreTrainedModel)
    if missing := sorted(report["missing_keys"]):
        named = ", ".join(missing[:MAX_KEYS_NAMED])
        raise ModelLoadFault(
            f"the weights in {path} lack {len(missing)} of the model's tensors ({named}), which "
            "would be random numbers: check that the checkpoint was saved and copied whole"
        )
    return model


def _eos(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    named = getattr(model.generation_config, "eos_token_id", None)
    ids = named if isinstance(named, list) else [named]
    return frozenset(one for one in [*ids, tokenizer.eos_token_id] if one is not None)
