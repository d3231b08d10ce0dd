"""Finds where a checkpoint names code that loading it would run, unless told not to."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ingest.documents import read_object
from ingest.weights import ADAPTER_CONFIG, CONFIG

TOKENIZER_CONFIG = "tokenizer_config.json"


def own_code(folder: Path, names: Iterable[str]) -> str | None:
    """The file and the key that name code, such as "config.json names code (auto_map)".

    None when nothing does. Raises Unfinished or Unusable as `read_object` does.
    """
    for name in (CONFIG, TOKENIZER_CONFIG, ADAPTER_CONFIG):
        if name in names and (key := _key(name, read_object(folder / name))) is not None:
            return f"{name} names code ({key})"
    return None


def _key(name: str, document: dict[str, object]) -> str | None:
    """The key under which `document` names code, if it does."""
    # PEFT imports the module megatron_core when there is a megatron_config.
    keys = ("megatron_config",) if name == ADAPTER_CONFIG else ("auto_map",)
    for key in keys:
        if document.get(key):
            return key
    for key, value in document.items():
        # ORG/NAME is a kernel that transformers fetches and runs.
        if key.endswith("_implementation") and isinstance(value, str) and "/" in value:
            return key
    return None
