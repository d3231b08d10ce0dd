"""Loads a checkpoint's tokenizer, or keeps the one before it when its files say the same."""

from __future__ import annotations

import hashlib
import os
from fnmatch import fnmatch
from pathlib import Path

from transformers import AutoTokenizer, PreTrainedTokenizerBase

from errors import ModelLoadFault
from evaluators.memory import is_out_of_memory
from settings import Trust

TOKENIZER_CONFIG = "tokenizer_config.json"
TEMPLATES = "additional_chat_templates"

# What a checkpoint's folder holds beside what its tokenizer is made of.
OTHER_FILES = (
    "*.safetensors",
    "*.safetensors.index.json",
    "pytorch_model*",
    "optimizer*",
    "scheduler*",
    "scaler*",
    "rng_state*",
    "training_args.bin",
    "trainer_state.json",
)
# A folder with another file of more bytes isn't compared: it would take longer than loading.
MOST_BYTES = 1 << 28


class StandingTokenizer:
    """Holds the last tokenizer, and what the files said that it was made of."""

    def __init__(self) -> None:
        self._said: str | None = None
        self._tokenizer: PreTrainedTokenizerBase | None = None

    def load(self, folder: Path, trust: Trust) -> PreTrainedTokenizerBase:
        """The tokenizer in `folder`: the one before when its files are the same, byte by byte.

        Raises ModelLoadFault.
        """
        said = None if trust.runs_code_of(folder) else _digest(folder)
        if self._tokenizer is None or said is None or said != self._said:
            self.let_go()
            self._tokenizer = load_tokenizer(folder, trust)
            self._said = said
        return self._tokenizer

    def let_go(self) -> None:
        """Forgets it."""
        self._said, self._tokenizer = None, None


def load_tokenizer(path: Path, trust: Trust) -> PreTrainedTokenizerBase:
    """The tokenizer in the folder `path`. Raises ModelLoadFault."""
    remedy = "save it into the checkpoint with tokenizer.save_pretrained"
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            path, local_files_only=True, trust_remote_code=trust.runs_code_of(path)
        )
    except Exception as error:
        if is_out_of_memory(error):
            raise
        raise ModelLoadFault(
            f"the tokenizer in {path} does not load ({error}): {remedy}"
        ) from error
    if not isinstance(tokenizer, PreTrainedTokenizerBase):
        raise ModelLoadFault(f"the tokenizer in {path} is a {type(tokenizer).__name__}: {remedy}")
    # Without these files, transformers makes an empty tokenizer of the model's type.
    names = ["tokenizer.json", *tokenizer.vocab_files_names.values()]
    if not any((path / name).is_file() for name in names):
        raise ModelLoadFault(f"{path} has no tokenizer.json nor another tokenizer's file: {remedy}")
    return tokenizer


def _digest(folder: Path) -> str | None:
    """SHA-256 of the names and bytes of all files that may shape the tokenizer; None if unread."""
    digest = hashlib.sha256()
    try:
        for file in sorted([*folder.glob("*"), *folder.glob(f"{TEMPLATES}/*")]):
            if not file.is_file() or any(fnmatch(file.name, other) for other in OTHER_FILES):
                continue
            if file.stat().st_size > MOST_BYTES:
                return None
            held = hashlib.sha256(file.read_bytes()).digest()
            # A name may be no text.
            digest.update(os.fsencode(file.relative_to(folder)) + b"\0" + held)
    except OSError:
        return None  # loading it says why
    return digest.hexdigest()
