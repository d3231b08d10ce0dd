"""Reads the JSON files of a checkpoint, which may be half written, or made to do harm."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from errors import Unfinished, Unusable
from ingest.files import open_file

# The largest that trainers write, the tokenizer.json of a large vocabulary, are about 40 MB.
LARGEST = 100_000_000


def read_json(file: Path) -> Any:
    """The value in `file`.

    Raises Unfinished when it is missing or does not parse, Unusable when it is too large or too
    deep to be read.
    """
    try:
        with open_file(file) as stream:
            content = stream.read(LARGEST + 1)
    except FileNotFoundError as error:
        raise Unfinished(f"{file.name} is not there") from error
    if len(content) > LARGEST:
        raise Unusable(f"{file.name} is larger than {LARGEST:,} bytes, so it is not read")
    try:
        return json.loads(content.decode("utf-8"))
    except RecursionError as error:
        raise Unusable(f"{file.name} is nested too deep to be read") from error
    except MemoryError as error:
        raise Unusable(f"{file.name} needs more memory to be read than there is") from error
    except ValueError as error:
        # No JSON, no UTF-8, or an integer of thousands of digits.
        raise Unfinished(f"{file.name} is not JSON: {error}") from error


def read_object(file: Path) -> dict[str, Any]:
    """The JSON object in `file`. Raises Unfinished as `read_json` does, Unusable for no object."""
    value = read_json(file)
    if not isinstance(value, dict):
        raise Unusable(f"{file.name} holds a JSON {type(value).__name__} instead of an object")
    return value
