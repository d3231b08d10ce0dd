"""Judges a folder: is it a checkpoint, is it whole, and what is it?

Nothing here waits or looks twice; whether a folder still changes is the watcher's business. Nothing
is refused here for being dangerous either; what may come in is said by admission.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from errors import Unfinished, Unusable
from ingest import trainer_state
from ingest.documents import read_json
from ingest.files import is_printable, printable, require_own
from ingest.formats import conversion_of
from ingest.layout import step_of as step_of
from ingest.manifest import FILE_NAME as MANIFEST
from ingest.manifest import Listed, read_manifest, require_listed
from ingest.own_code import own_code
from ingest.trainer_state import TrainerState, read_trainer_state
from ingest.weights import ADAPTER_CONFIG, CONFIG, WEIGHTS, Weights, read_weights
from store.events import CheckpointArrived

# The files that tokenizers are made of: the vocabulary, and what goes with it.
VOCABULARIES = frozenset(
    {
        "bpe.codes",
        "dict.txt",
        "merges.txt",
        "tekken.json",
        "tokenizer.json",
        "vocab.bpe",
        "vocab.json",
        "vocab.txt",
    }
)
# sentencepiece's models have many names: tokenizer.model, spiece.model, source.spm …
VOCABULARY_SUFFIXES = (".model", ".spm", ".tiktoken")

# With the weights and the vocabulary, these decide what a checkpoint answers: its identity.
SETTINGS_FILES = frozenset(
    {
        CONFIG,
        "added_tokens.json",
        "byte_maps.json",
        "chat_template.jinja",
        "chat_template.json",
        "emoji.json",
        "generation_config.json",
        "normalizer.json",
        "special_tokens_map.json",
        "tokenizer_config.json",
    }
)
CHAT_TEMPLATES = "additional_chat_templates"

# Trainer writes the first as soon as the weights and the tokenizer are saved, and
# trainer_state.json last.
TRAINING_ARGUMENTS = "training_args.bin"
SENTINEL = "checkpoint-is-incomplete.txt"

# rsync's .NAME.XXXXXX, its folders of --delay-updates and --partial-dir, safetensors' .tmpXXXXXX.
_TEMPORARY = re.compile(r"\..+\.\w{6}|\.~tmp~|\.rsync-partial|\.tmp\w{6}")


@dataclass(frozen=True)
class Complete:
    """A whole checkpoint, before its content is read. `bytes` counts `files`, its identity.

    `code` says where it names code of its own to be run; None when it does not.
    """

    folder: Path
    run: str
    step: int
    files: tuple[str, ...]
    bytes: int
    weights: Weights
    state: TrainerState
    manifest: Mapping[str, Listed]
    code: str | None

    def arrived(self, digest: Callable[[Path], str]) -> CheckpointArrived:
        """The event that it arrived; `digest` gives the SHA-256 of a file's content, in hex.

        Raises OSError for a file that cannot be read, Unusable for content that is not what the
        manifest lists.
        """
        contents = {name: digest(self.folder / name) for name in self.files}
        for name, content in contents.items():
            listed = self.manifest.get(name)
            if listed is not None and listed.sha256 not in (None, content):
                raise Unusable(f"{name} does not hold what {MANIFEST} lists: its SHA-256 differs")
        return CheckpointArrived(
            checkpoint_id=checkpoint_id_of(contents.items()),
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


def checkpoint_id_of(contents: Iterable[tuple[str, str]]) -> str:
    """32 hex digits of the SHA-256 over (relative name, content digest), sorted."""
    lines = "".join(f"{name}\0{content}\n" for name, content in sorted(contents))
    return hashlib.sha256(lines.encode("utf-8", "surrogateescape")).hexdigest()[:32]


def judge(folder: Path, *, await_trainer: bool = True, run: str | None = None) -> Judgement:
    """What `folder` is, from its names, its JSON files and the headers of its weights.

    `await_trainer` False no longer waits for the trainer_state.json that Trainer writes last,
    but takes the checkpoint without it. `run` None takes the name of the folder above.
    """
    try:
        return _judge(folder, await_trainer, folder.parent.name if run is None else run)
    except Unfinished as error:
        return Incomplete(printable(str(error)))
    except Unusable as error:
        return Broken(printable(str(error)))
    except OSError as error:
        where = Path(os.fsdecode(error.filename)).name if error.filename else folder.name
        return Incomplete(printable(f"{where} cannot be read: {error.strerror}"))


def _judge(folder: Path, await_trainer: bool, run: str) -> Judgement:
    names = set(os.listdir(folder))
    step = step_of(folder.name)
    if step is None and (trainer_state.FILE_NAME not in names or folder.name.startswith("tmp-")):
        return NotACheckpoint(
            printable(f"neither the name {folder.name} nor a trainer_state.json says a step")
        )
    if not is_printable(str(folder)):
        raise Unusable(f"the name {folder} is not UTF-8, so the log cannot hold it: rename it")
    if SENTINEL in names:
        raise Unfinished(f"{SENTINEL} is there: the trainer was ended while it was saving")
    for name in _all_names(folder):
        if _TEMPORARY.fullmatch(name):
            raise Unfinished(f"{name} is a file still in transfer")
    inside = (folder.resolve(), folder.parent.resolve())
    for name in sorted(one for one in names if one in WEIGHTS or _is_read(one)):
        require_own(name, folder, inside)
        if name.endswith(".json"):
            read_json(folder / name)
    manifest = read_manifest(folder)
    require_listed(folder, manifest)
    if not names & WEIGHTS and (shards := conversion_of(folder.name, names)) is not None:
        raise Unusable(f"{folder.name} {shards}")
    if await_trainer and TRAINING_ARGUMENTS in names and trainer_state.FILE_NAME not in names:
        raise Unfinished(f"{trainer_state.FILE_NAME}, which Trainer writes last, is not there")
    state = read_trainer_state(folder, step)
    step = state.global_step if step is None else step
    if step is None:
        return NotACheckpoint(
            f"neither the name {folder.name} nor its trainer_state.json says a step"
        )
    weights = read_weights(folder)
    # An adapter may answer with its base's tokenizer.
    if weights.kind == "full" and not any(_is_vocabulary(name) for name in names):
        raise Unfinished(
            "tokenizer.json is not there, nor another tokenizer's vocabulary: save it with "
            "tokenizer.save_pretrained, or give it to Trainer as processing_class"
        )
    code = own_code(folder, names)
    files = _identity(folder, names, weights, code)
    for name in files:
        require_own(name, folder, inside)
    sizes = {name: (folder / name).stat().st_size for name in files}
    for name, size in sizes.items():
        if size == 0:
            raise Unfinished(f"{name} is empty")
    return Complete(
        folder=folder,
        run=run,
        step=step,
        files=files,
        bytes=sum(sizes.values()),
        weights=weights,
        state=state,
        manifest=manifest,
        code=code,
    )


def _all_names(folder: Path) -> Iterator[str]:
    """The names of files and folders in `folder`, at every depth."""
    for _, folders, files in os.walk(folder):
        yield from sorted(folders)
        yield from sorted(files)


def _is_read(name: str) -> bool:
    """Whether the file is JSON that says what the checkpoint is, here or when it is loaded."""
    return name.endswith(".json") and (
        name in SETTINGS_FILES
        or name in VOCABULARIES
        or name in (ADAPTER_CONFIG, trainer_state.FILE_NAME, MANIFEST)
    )


def _is_vocabulary(name: str) -> bool:
    return name in VOCABULARIES or name.endswith(VOCABULARY_SUFFIXES)


def _identity(folder: Path, names: set[str], weights: Weights, code: str | None) -> tuple[str, ...]:
    """The relative names of the files whose content makes the checkpoint what it is."""
    chosen = {
        name
        for name in names
        if name in SETTINGS_FILES
        or _is_vocabulary(name)
        or (code is not None and name.endswith(".py"))
    }
    templates = {f"{CHAT_TEMPLATES}/{file.name}" for file in folder.glob(f"{CHAT_TEMPLATES}/*")}
    return tuple(sorted({*weights.files, *chosen, *templates}))
