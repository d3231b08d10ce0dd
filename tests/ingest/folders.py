"""Makes checkpoint folders as a trainer leaves them, with real safetensors files."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

CONFIG = {"architectures": ["LlamaForCausalLM"], "model_type": "llama"}
DEADLINE_SECONDS = 20.0


def tensors(value: float = 1.0) -> dict[str, Any]:
    """10 elements of F32 and 4 of F16: 48 bytes of data."""
    return {
        "head": np.full((2, 5), value, dtype=np.float32),
        "norm": np.full(4, value, dtype=np.float16),
    }


def write_json(file: Path, value: object) -> None:
    file.write_text(json.dumps(value), encoding="utf-8")


def make_checkpoint(folder: Path, value: float = 1.0, *, loss: float = 2.5) -> Path:
    """A whole checkpoint; `value` fills the weights, so it makes the content."""
    folder.mkdir(parents=True)
    write_json(folder / "config.json", CONFIG)
    write_json(folder / "generation_config.json", {"eos_token_id": 2})
    write_json(folder / "tokenizer.json", {"model": {"type": "BPE"}})
    write_json(folder / "tokenizer_config.json", {"eos_token": "</s>"})
    (folder / "chat_template.jinja").write_text("{{ messages }}", encoding="utf-8")
    save_file(tensors(value), folder / "model.safetensors")
    (folder / "training_args.bin").write_bytes(b"args")
    (folder / "optimizer.pt").write_bytes(b"moments")
    (folder / "scheduler.pt").write_bytes(b"rate")
    (folder / "rng_state.pth").write_bytes(b"dice")
    write_trainer_state(folder, loss=loss)
    return folder


def write_trainer_state(folder: Path, *, loss: float = 2.5, step: int = 10) -> None:
    history = [{"step": step, "epoch": 0.5, "loss": loss, "learning_rate": 1e-3}]
    write_json(
        folder / "trainer_state.json",
        {"global_step": step, "epoch": 0.5, "log_history": history},
    )


def make_sharded(folder: Path) -> Path:
    """The same weights in two shards with an index."""
    make_checkpoint(folder)
    (folder / "model.safetensors").unlink()
    placed = {}
    for number, (name, tensor) in enumerate(tensors().items(), start=1):
        shard = f"model-0000{number}-of-00002.safetensors"
        save_file({name: tensor}, folder / shard)
        placed[name] = shard
    write_json(folder / "model.safetensors.index.json", {"metadata": {}, "weight_map": placed})
    return folder


def wait_for(condition: Callable[[], object]) -> float:
    """Seconds until `condition` held. Fails when it does not within the deadline."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < DEADLINE_SECONDS, "the condition never held"
        time.sleep(0.01)
    return time.monotonic() - began
