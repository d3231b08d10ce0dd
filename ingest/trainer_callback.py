"""A callback for transformers.Trainer that ends each checkpoint with a manifest of its files.

    from trainer_callback import MilepostManifest
    trainer = Trainer(..., callbacks=[MilepostManifest()])

Copy this file beside your training script: it needs transformers and nothing of Milepost. The
manifest names every file that makes the checkpoint what it is, with size and SHA-256, so that
Milepost takes the checkpoint exactly when all of it has arrived as it was saved. Without a manifest
Milepost goes by the files themselves. Taking the digests reads what was just written once more.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

FILE_NAME = "milepost-manifest.json"

# Weights, configurations, tokenizers, templates, code.
SUFFIXES = (
    ".bin",
    ".bpe",
    ".codes",
    ".jinja",
    ".json",
    ".model",
    ".py",
    ".safetensors",
    ".spm",
    ".tiktoken",
    ".txt",
)
# What training needs to go on, and evaluating does not: it may be left out of a transfer.
TRAINING_ONLY = ("optimizer", "training_args", "zero_to_fp32")
CHAT_TEMPLATES = "additional_chat_templates"


class MilepostManifest(TrainerCallback):
    """Writes the manifest last, in one step, from the main process of all."""

    def on_save(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,  # noqa: ARG002 - the signature is the Trainer's
        **kwargs: Any,  # noqa: ARG002
    ) -> None:
        """Trainer calls this when the checkpoint, trainer_state.json included, is written."""
        folder = Path(args.output_dir or "") / f"checkpoint-{state.global_step}"
        # A search for hyperparameters saves elsewhere; a manifest is not worth ending it.
        if state.is_world_process_zero and folder.is_dir():
            write_manifest(folder)


def write_manifest(folder: Path) -> None:
    """Writes the manifest of the checkpoint in `folder`: for trainers other than transformers'."""
    content = json.dumps({"version": 1, "files": _files(folder)}, indent=1, sort_keys=True)
    handle, temporary = tempfile.mkstemp(prefix=f".{FILE_NAME}.", suffix="", dir=folder)
    with os.fdopen(handle, "w", encoding="utf-8") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    os.chmod(temporary, 0o644)
    os.replace(temporary, folder / FILE_NAME)


def _files(folder: Path) -> dict[str, dict[str, object]]:
    """Size in bytes and SHA-256 of each file, by its name relative to `folder`."""
    files = [*folder.iterdir(), *folder.glob(f"{CHAT_TEMPLATES}/*")]
    return {
        file.relative_to(folder).as_posix(): {
            "size": file.stat().st_size,
            "sha256": _sha256(file),
        }
        for file in files
        if file.is_file()
        and file.name.endswith(SUFFIXES)
        and not file.name.startswith((".", *TRAINING_ONLY))
        and file.name != FILE_NAME
    }


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
