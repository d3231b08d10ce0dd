"""Loads a model and its tokenizer from a checkpoint's folder, and from nowhere else.

Only an adapter needs a second folder: its base model's. Nothing that comes with a checkpoint is run
unless the settings trust it.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

import torch
from transformers import (
    AutoModelForCausalLM,
    GenerationConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging

from errors import ModelLoadFault, SettingsError
from evaluators import adapters
from evaluators.causality import require_causal, require_decoder_only
from evaluators.memory import is_out_of_memory
from evaluators.probe import Trial
from evaluators.standing_model import CONFIG, StandingModel, cast_of
from evaluators.tokenizer import TOKENIZER_CONFIG, StandingTokenizer
from settings import EvaluationSettings, Trust

DTYPES = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}

# The order in which transformers looks.
MODEL_FILES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)

MAX_KEYS_NAMED = 3

NO_TRUST = Trust()

_LAYER = re.compile(r"(.*)\.(\d+)\..*")


class Loaded(NamedTuple):
    """A model in evaluation mode on its device, and what comes with it.

    `eos` are the ids that end a text: the generation config's and the tokenizer's.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    eos: frozenset[int]


class Standing:
    """What stays in memory from one load to the next: a model and a tokenizer at most.

    `trial` is how the model did when it was tried out; None if it was not, or has to be again.
    """

    def __init__(self) -> None:
        self.model = StandingModel()
        self.tokenizer = StandingTokenizer()
        self.trial: Trial | None = None

    def let_go(self) -> None:
        """Frees their memory: whoever still holds the model holds an empty one."""
        self.model.let_go()
        self.tokenizer.let_go()
        self.trial = None


def load_model(
    path: Path,
    settings: EvaluationSettings,
    trust: Trust = NO_TRUST,
    standing: Standing | None = None,
) -> Loaded:
    """Loads the checkpoint in the folder `path`.

    `standing` is what was loaded before, and holds what is loaded now. If it is a model of the same
    mould, it takes the new weights, and is the one that is returned; else it is let go of before
    another model is loaded, so that there are never two.

    Raises ModelLoadFault, naming the folder and what to do, for one that does not load whole, and
    SettingsError for a device that this machine does not have.
    """
    device = device_of(settings)
    base = _model_folder(path, trust)
    for folder in dict.fromkeys((path, base)):
        _refuse_code(folder, trust)
    require_decoder_only(base / CONFIG)
    _refuse_pickles(base, MODEL_FILES, trust)
    _refuse_pickles(path, adapters.WEIGHTS, trust)
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    standing = standing or Standing()
    own = base == path or (path / TOKENIZER_CONFIG).is_file()
    dtype = dtype_of(settings, device)
    cast = cast_of(path, dtype, device, trust)
    model = standing.model.renew(cast)
    tokenizer = standing.tokenizer.load(path if own else base, trust)
    if model is None:
        standing.trial = None
        model = _load_weights(base, dtype, trust)
        if base != path:
            adapters.attach(model, path)
        model = model.to(device)  # type: ignore[arg-type]
        model.eval()
        require_causal(model, path)
        # Greedy decoding is the argmax of the logits and nothing else: a repetition penalty or a
        # forced token in the checkpoint's generation_config.json must not reach `generate`.
        model.generation_config = GenerationConfig()  # type: ignore[no-untyped-call]
        standing.model.keep(model, cast)
    return Loaded(model, tokenizer, _eos(base, tokenizer))


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


def lacks_files(path: Path) -> bool:
    """Whether the folder `path` holds no config or no weights, or not all that its index names."""
    if adapters.is_adapter(path):
        return not any((path / name).is_file() for name in adapters.WEIGHTS)
    first = next((name for name in MODEL_FILES if (path / name).is_file()), None)
    if first is None or not (path / CONFIG).is_file():
        return True
    if not first.endswith(".index.json"):
        return False
    try:
        named = json.loads((path / first).read_text(encoding="utf-8"))["weight_map"].values()
        return not all((path / name).is_file() for name in named)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return False


def _model_folder(path: Path, trust: Trust) -> Path:
    """The folder with the model: `path`, or that of the adapter's base. Raises ModelLoadFault."""
    if (path / CONFIG).is_file():
        if adapters.is_adapter(path):
            # transformers puts the adapter onto the model if it can, and says nothing if it can't.
            adapters.require_peft(path)
        return path
    if not adapters.is_adapter(path):
        raise ModelLoadFault(
            f"{path} has no {CONFIG}: save the checkpoint with model.save_pretrained"
        )
    return adapters.base_of(path, trust)


def _refuse_code(folder: Path, trust: Trust) -> None:
    """Raises ModelLoadFault when `folder` names code to be run that is not trusted."""
    for name in (CONFIG, TOKENIZER_CONFIG):
        if trust.runs_code_of(folder) or not (folder / name).is_file():
            continue
        try:
            document = json.loads((folder / name).read_text(encoding="utf-8"))
        except (ValueError, RecursionError) as error:
            raise ModelLoadFault(f"{folder / name} is not JSON ({error})") from error
        named = document if isinstance(document, dict) else {}
        for key, value in named.items():
            # ORG/NAME as an implementation is a kernel that transformers fetches and runs.
            kernel = key.endswith("_implementation") and isinstance(value, str) and "/" in value
            if (key == "auto_map" and value) or kernel:
                raise ModelLoadFault(
                    f"{folder / name} names code ({key}), which is not run. If you trust it, name "
                    "its run or its folder in trust_remote_code under [evaluation]; if "
                    "transformers knows this architecture itself, delete that key from the file"
                )


def _refuse_pickles(folder: Path, files: tuple[str, ...], trust: Trust) -> None:
    """Raises ModelLoadFault when the first of `files` that is there is a pickle not allowed."""
    first = next((name for name in files if (folder / name).is_file()), "")
    if first.endswith((".bin", ".bin.index.json")) and not trust.allow_pickle:
        raise ModelLoadFault(
            f"{folder / first} is a pickle, and loading one can run code that someone hid in it. "
            "Save as safetensors, or, if you trust where it comes from, set allow_pickle = true "
            "under [watch]"
        )


def _load_weights(path: Path, dtype: torch.dtype, trust: Trust) -> PreTrainedModel:
    try:
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            path,
            dtype=dtype,
            local_files_only=True,
            trust_remote_code=trust.runs_code_of(path),
            use_safetensors=None if trust.allow_pickle else True,
            weights_only=True,
            output_loading_info=True,
        )
    except Exception as error:
        if is_out_of_memory(error):
            raise
        # What follows the first line may be a list of all that transformers knows.
        said = str(error).partition("\n")[0]
        raise ModelLoadFault(
            f"the model in {path} does not load ({type(error).__name__}: {said}): check that the "
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
    if beyond := sorted(key for key in report["unexpected_keys"] if _is_beyond(model, key)):
        named = ", ".join(beyond[:MAX_KEYS_NAMED])
        raise ModelLoadFault(
            f"the weights in {path} hold layers that its {CONFIG} does not count ({named}), so "
            "the model would be a part of the one that was trained: put the config.json there "
            "that belongs to them"
        )
    return model


def _is_beyond(model: PreTrainedModel, key: str) -> bool:
    """Whether `key` is a tensor of a layer that comes after the model's last one."""
    found = _LAYER.fullmatch(key)
    while found is not None:
        layers = dict(model.named_modules()).get(found[1])
        if isinstance(layers, torch.nn.ModuleList):
            return int(found[2]) >= len(layers)
        found = _LAYER.fullmatch(f"{found[1]}.")
    return False


def _eos(path: Path, tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    """The ids that end a text, read as `from_pretrained` reads them. Raises ModelLoadFault."""
    try:
        try:
            generation = GenerationConfig.from_pretrained(path, local_files_only=True)
        except OSError:
            generation = GenerationConfig.from_pretrained(
                path, config_file_name=CONFIG, local_files_only=True, _from_model_config=True
            )
    except (ValueError, TypeError) as error:
        raise ModelLoadFault(
            f"the generation_config.json in {path} does not fit: {error}"
        ) from error
    named = generation.eos_token_id
    ids = named if isinstance(named, list) else [named]
    return frozenset(one for one in [*ids, tokenizer.eos_token_id] if one is not None)
