"""What is done to a checkpoint's folder so that something is wrong with it."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from tests.evaluators.checkpoints import make_model, save
from tests.ingest.folders import write_json

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
BIN = "pytorch_model.bin"
NORM = "model.norm.weight"

Harm = Callable[[Path], None]


def several(*harms: Harm) -> Harm:
    def harm(folder: Path) -> None:
        for one in harms:
            one(folder)

    return harm


def write(name: str, content: str | bytes) -> Harm:
    def harm(folder: Path) -> None:
        (folder / name).parent.mkdir(exist_ok=True)
        data = content.encode() if isinstance(content, str) else content
        (folder / name).write_bytes(data)

    return harm


def delete(*names: str) -> Harm:
    def harm(folder: Path) -> None:
        for name in names:
            (folder / name).unlink()

    return harm


def cut(name: str, to: int) -> Harm:
    return lambda folder: os.truncate(folder / name, to % (folder / name).stat().st_size)


def append(name: str, content: bytes) -> Harm:
    def harm(folder: Path) -> None:
        with (folder / name).open("ab") as stream:
            stream.write(content)

    return harm


def change(name: str, **values: object) -> Harm:
    """Puts values into a JSON file; None takes the key out."""

    def harm(folder: Path) -> None:
        document = {**json.loads((folder / name).read_text()), **values}
        write_json(folder / name, {key: one for key, one in document.items() if one is not None})

    return harm


def tensors(edit: Callable[[dict[str, torch.Tensor]], object]) -> Harm:
    """Saves the weights again, edited."""

    def harm(folder: Path) -> None:
        held = load_file(folder / WEIGHTS)
        edit(held)
        save_file(held, folder / WEIGHTS, metadata={"format": "pt"})

    return harm


def fill(value: float) -> Harm:
    return tensors(lambda held: held[NORM].fill_(value))


def header(edit: Callable[[dict[str, Any]], object]) -> Harm:
    """Writes the weights' header anew, edited; the data stay as they are."""

    def harm(folder: Path) -> None:
        content = (folder / WEIGHTS).read_bytes()
        end = 8 + int.from_bytes(content[:8], "little")
        described = json.loads(content[8:end])
        edit(described)
        raw_header(json.dumps(described).encode(), content[end:])(folder)

    return harm


def raw_header(text: bytes, data: bytes = b"") -> Harm:
    return write(WEIGHTS, len(text).to_bytes(8, "little") + text + data)


def describe(**values: object) -> Harm:
    """Describes one tensor otherwise."""
    return header(lambda described: described[NORM].update(values))


def move(by: tuple[int, int]) -> Harm:
    def edit(described: dict[str, Any]) -> None:
        begin, end = described[NORM]["data_offsets"]
        described[NORM]["data_offsets"] = [begin + by[0], end + by[1]]

    return header(edit)


def twice(folder: Path) -> None:
    content = (folder / WEIGHTS).read_bytes()
    end = 8 + int.from_bytes(content[:8], "little")
    text = content[8:end].rstrip()
    described = json.dumps(json.loads(text)[NORM])
    raw_header(text[:-1] + f',"{NORM}":{described}}}'.encode(), content[end:])(folder)


def shard(folder: Path) -> None:
    """The same weights in two shards."""
    held = load_file(folder / WEIGHTS)
    (folder / WEIGHTS).unlink()
    placed = {}
    for number in (1, 2):
        name = f"model-0000{number}-of-00002.safetensors"
        part = {key: one for key, one in held.items() if (key == NORM) == (number == 2)}
        save_file(part, folder / name, metadata={"format": "pt"})
        placed.update(dict.fromkeys(part, name))
    write_json(folder / INDEX, {"metadata": {}, "weight_map": placed})


def place(tensor: str, where: object) -> Harm:
    def harm(folder: Path) -> None:
        index = json.loads((folder / INDEX).read_text())
        index["weight_map"][tensor] = where
        write_json(folder / INDEX, index)

    return several(shard, harm)


def link(name: str, to: str) -> Harm:
    def harm(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to(to)

    return harm


def outside(name: str) -> Harm:
    """Moves a file out of the run, and leaves a link to it."""

    def harm(folder: Path) -> None:
        there = folder.parent.parent.with_name("elsewhere") / name
        there.parent.mkdir()
        (folder / name).rename(there)
        (folder / name).symlink_to(there)

    return harm


def fifo(name: str) -> Harm:
    def harm(folder: Path) -> None:
        (folder / name).unlink()
        os.mkfifo(folder / name)

    return harm


def listen(name: str) -> Harm:
    def harm(folder: Path) -> None:
        (folder / name).unlink()
        here = os.open(".", os.O_RDONLY)
        os.chdir(folder)  # the name of a socket must be short
        try:
            with socket.socket(socket.AF_UNIX) as bound:
                bound.bind(name)
        finally:
            os.chdir(here)
            os.close(here)

    return harm


def folder_instead(name: str) -> Harm:
    return several(delete(name), lambda folder: (folder / name).mkdir())


def pickled(hidden: object = None) -> Harm:
    def harm(folder: Path) -> None:
        held: dict[str, object] = {**load_file(folder / WEIGHTS)}
        (folder / WEIGHTS).unlink()
        torch.save(held if hidden is None else {**held, "more": hidden}, folder / BIN)

    return harm


class Runs:
    """Would run a command when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch it-ran",)


def adapter(base: str = "org/base", rank: int = 4, **values: object) -> Harm:
    """A LoRA adapter in place of the model."""

    def harm(folder: Path) -> None:
        from peft import LoraConfig

        model = make_model("llama")
        model.add_adapter(
            LoraConfig(r=rank, target_modules=["q_proj"], base_model_name_or_path=base)
        )
        delete(WEIGHTS, "config.json")(folder)
        model.save_pretrained(folder)
        change("adapter_config.json", base_model_name_or_path=base, **values)(folder)

    return harm


def beside(kind: str) -> Harm:
    """A model in a folder beside the checkpoint's run."""
    return lambda folder: (save(folder.parent / "base", make_model(kind)), None)[1]


def foreign_tokenizer(folder: Path) -> None:
    """The same letters under numbers that the model does not know."""
    document = json.loads((folder / "tokenizer.json").read_text())
    vocabulary = document["model"]["vocab"]
    document["model"]["vocab"] = {
        token: number + 1000 * (len(token) == 1) for token, number in vocabulary.items()
    }
    write_json(folder / "tokenizer.json", document)
