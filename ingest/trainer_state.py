"""What the trainer says of a checkpoint in trainer_state.json."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, NamedTuple

from ingest.documents import read_object
from ingest.layout import STEP_LIMIT

FILE_NAME = "trainer_state.json"


class TrainerState(NamedTuple):
    """`train_loss` is in nats a token; all are None where the file does not say."""

    global_step: int | None
    epoch: float | None
    train_loss: float | None
    learning_rate: float | None


SILENT = TrainerState(None, None, None, None)


def read_trainer_state(folder: Path, step: int | None = None) -> TrainerState:
    """What `folder` says; loss and learning rate as last logged at or before `step`.

    `step` None takes the file's own. Raises Unfinished or Unusable for a file that is no object.
    """
    file = folder / FILE_NAME
    if not file.exists():
        return SILENT
    state = read_object(file)
    own = state.get("global_step")
    own = own if type(own) is int and 0 <= own < STEP_LIMIT else None
    history = state.get("log_history")
    entries = [
        entry
        for entry in (history if isinstance(history, list) else [])
        if isinstance(entry, dict) and _is_logged(entry, own if step is None else step)
    ]
    return TrainerState(
        own,
        _number(state.get("epoch")),
        _last(entries, "loss"),
        _last(entries, "learning_rate"),
    )


def _is_logged(entry: dict[str, Any], step: int | None) -> bool:
    """Whether the entry belongs to this checkpoint's past."""
    logged = _number(entry.get("step"))
    return logged is not None and (step is None or logged <= step)


def _last(entries: list[dict[str, Any]], key: str) -> float | None:
    """The last value logged under `key`; None when it is not a finite number."""
    values = [entry[key] for entry in entries if key in entry]
    return _number(values[-1]) if values else None


def _number(value: object) -> float | None:
    """A finite number, or None: a loss of NaN was not measured, and an older one is another's."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None
