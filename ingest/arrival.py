"""Judges a folder: is it a checkpoint, is it whole, and what is it?

Nothing here waits or looks twice; whether a folder still changes is the watcher's business.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from errors import Unfinished, Unusable
from ingest import trainer_state
from ingest.documents import read_json
from ingest.trainer_state import TrainerState, read_trainer_state
from ingest.weights import CONFIG, Weights, read_weights
from store.events import CheckpointArrived

# With the weights and config.json, these decide what a checkpoint answers: its identity.
IDENTITY_FILES = frozenset(
    {
        CONFIG,
        "generation_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "added_tokens.json",
        "vocab.json",
        "vocab.txt",
        "merges.txt",
        "tokenizer.model",
        "spiece.model",
        "sentencepiece.bpe.model",
        "tekken.json",
        "chat_template.jinja",
        "chat_template.json",
    }
)
CHAT_TEMPLATES = "additional_chat_templates"

# Trainer writes the first as soon as the weights and the tokenizer are saved, and
# trainer_state.json last.
TRAINING_ARGUMENTS = "training_args.bin"
SENTINEL = "checkpoint-is-incomplete.txt"

_STEP = re.compile(r"(?:checkpoint-|step[_-])(\d+)(?:-\d{8}-\d{4})?")
# rsync's .NAME.XXXXXX, its folders of --delay-updates and --partial-dir, safetensors' .tmpXXXXXX.
_TEMPORARY = re.compile(r"\..+\.\w{6}|\.~tmp~|\.rsync-partial|\.tmp\w{6}")


@dataclass(frozen=True)
class Complete:
    """A whole checkpoint, before its content is read. `bytes` counts `files`, its identity."""

    folder: Path
    run: str
    step: int
    files: tuple[str, ...]
    bytes: int
    weights: Weights
    state: TrainerState

    def arrived(self, digest: Callable[[Path], str]) -> CheckpointArrived:
        """The event that it arrived; `digest` gives the SHA-256 of a file's content, in hex."""
        return CheckpointArrived(
            checkpoint_id=checkpoint_id_of(
                (name, digest(self.folder / name)) for name in self.files
            ),
            run=self.run,
            step=self.step,
            path=str(self.folder),
            bytes=self.bytes,
            dtype=self.weights.dtype,
            architecture=self.weights.architecture,
            parameters=self.weights.parameters,
            kind=self.weights.kind,
            epoch=self.state.epoch,
            train_loss=self.state.train_loss,
            learning_rate=self.state.learning_rate,
        )


class Incomplete(NamedTuple):
    """Not a whole checkpoint yet; `reason` names the file."""

    reason: str


class Broken(NamedTuple):
    """A checkpoint that will not become whole as it stands; `reason` names the file."""

    reason: str


class NotACheckpoint(NamedTuple):
    """A folder of another kind."""

    reason: str


Judgement = Complete | Incomplete | Broken | NotACheckpoint


def step_of(name: str) -> int | None:
    """The step that a folder's name gives: checkpoint-N, checkpoint-N-YYYYMMDD-HHMM or step_N."""
    found = _STEP.fullmatch(name)
    return int(found[1]) if found else None


def checkpoint_id_of(contents: Iterable[tuple[str, str]]) -> str:
    """32 hex digits of the SHA-256 over (relative name, content digest), sorted."""
    lines = "".join(f"{name}\0{content}\n" for name, content in sorted(contents))
    return hashlib.sha256(lines.encode("utf-8", "surrogateescape")).hexdigest()[:32]


def judge(folder: Path, *, await_trainer: bool = True) -> Judgement:
    """What `folder` is, from its names, its JSON files and its safetensors headers.

    `await_trainer` False no longer waits for the trainer_state.json that Trainer writes last,
    but takes the checkpoint without it.
    """
    try:
        return _judge(folder, await_trainer)
    except Unfinished as error:
        return Incomplete(str(error))
    except Unusable as error:
        return Broken(str(error))
    except OSError as error:
        where = Path(str(error.filename)).name if error.filename else folder.name
        return Incomplete(f"{where} cannot be read: {error.strerror}")


def _judge(folder: Path, await_trainer: bool) -> Judgement:
    names = set(os.listdir(folder))
    step = step_of(folder.name)
    if step is None and (trainer_state.FILE_NAME not in names or folder.name.startswith("tmp-")):
        return NotACheckpoint(
            f"neither the name {folder.name} nor a trainer_state.json says a step"
        )
    if SENTINEL in names:
        raise Unfinished(f"{SENTINEL} is there: the trainer was ended while it was saving")
    for name in _all_names(folder):
        if _TEMPORARY.fullmatch(name):
            raise Unfinished(f"{name} is a file still in transfer")
    for name in sorted(names):
        if name.endswith(".json"):
            read_json(folder / name)
    if await_trainer and TRAINING_ARGUMENTS in names and trainer_state.FILE_NAME not in names:
        raise Unfinished(f"{trainer_state.FILE_NAME}, which Trainer writes last, is not there")
    state = read_trainer_state(folder, step)
    step = state.global_step if step is None else step
    if step is None:
        return NotACheckpoint(
            f"neither the name {folder.name} nor its trainer_state.json says a step"
        )
    weights = read_weights(folder)
    files = _identity(folder, names, weights)
    return Complete(
        folder=folder,
        run=folder.parent.name,
        step=step,
        files=files,
        bytes=sum((folder / name).stat().st_size for name in files),
        weights=weights,
        state=state,
    )


def _all_names(folder: Path) -> Iterator[str]:
    """The names of files and folders in `folder`, at every depth."""
    for _, folders, files in os.walk(folder):
        yield from sorted(folders)
        yield from sorted(files)


def _identity(folder: Path, names: set[str], weights: Weights) -> tuple[str, ...]:
    """The relative names of the files whose content makes the checkpoint what it is."""
    templates = {f"{CHAT_TEMPLATES}/{file.name}" for file in folder.glob(f"{CHAT_TEMPLATES}/*")}
    return tuple(sorted({*weights.files, *(names & IDENTITY_FILES), *templates}))
