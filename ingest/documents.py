"""Reads the JSON files of a checkpoint, which may be half written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from errors import Unfinished, Unusable


def read_json(file: Path) -> Any:
    """The value in `file`. Raises Unfinished when it is missing or does not parse."""
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise Unfinished(f"{file.name} is not there") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise Unfinished(f"{file.name} is not JSON: {error}") from error


def read_object(file: Path) -> dict[str, Any]:
    """The JSON object in `file`. Raises Unfinished as `read_json` does, Unusable for no object."""
    value = read_json(file)
    if not isinstance(value, dict):
        raise Unusable(f"{file.name} holds a JSON {type(value).__name__} instead of an object")
    return value
