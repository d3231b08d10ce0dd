"""Shards of distributed training are named, with the command that really converts them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch.distributed.checkpoint.state_dict_saver import save

from ingest.arrival import Broken, Complete, judge
from tests.ingest.folders import make_checkpoint

TENSORS = {"head": torch.arange(10.0).reshape(2, 5), "norm": torch.ones(4)}


def reason(folder: Path) -> str:
    found = judge(folder)
    assert isinstance(found, Broken), found
    return found.reason


def run(command: str, cwd: Path) -> None:
    """Runs what stands between the backticks, with this environment's python and scripts."""
    (quoted,) = re.findall(r"`([^`]+)`", command)
    scripts = str(Path(sys.executable).parent)
    environment = {**os.environ, "PATH": f"{scripts}:{os.environ['PATH']}"}
    subprocess.run(quoted, shell=True, cwd=cwd, env=environment, check=True, capture_output=True)


def trained(folder: Path) -> Path:
    """A checkpoint of Trainer's without its weights."""
    make_checkpoint(folder)
    (folder / "model.safetensors").unlink()
    return folder


@pytest.mark.filterwarnings("ignore::UserWarning:torch.distributed")
def test_fsdp_shards_become_a_checkpoint_by_the_command(tmp_path: Path) -> None:
    folder = trained(tmp_path / "my run" / "checkpoint-10")
    save(TENSORS, checkpoint_id=folder / "pytorch_model_fsdp_0")
    words = reason(folder)
    assert words.startswith("checkpoint-10 holds FSDP's shards")
    run(words, folder.parent)
    assert torch.equal(load_file(folder / "model.safetensors")["head"], TENSORS["head"])
    assert isinstance(judge(folder), Complete)


@pytest.mark.filterwarnings("ignore::UserWarning:torch.distributed")
def test_shards_of_torch_become_one_file_by_the_command(tmp_path: Path) -> None:
    folder = tmp_path / "run" / "step-10"
    save({"model": TENSORS}, checkpoint_id=folder)
    words = reason(folder)
    assert words.startswith("step-10 holds shards of torch.distributed.checkpoint")
    run(words, folder.parent)
    merged = torch.load(folder.with_name("step-10.pt"), weights_only=True)
    assert torch.equal(merged["model"]["head"], TENSORS["head"])


@pytest.mark.parametrize(
    ("name", "files", "words"),
    [
        (
            "checkpoint-10",
            ["global_step10/zero_pp_rank_0_mp_rank_00_model_states.pt", "latest"],
            "`python -m deepspeed.utils.zero_to_fp32 checkpoint-10 checkpoint-10 "
            "--safe_serialization`",
        ),
        # As it is when the transfer left global_step10 out.
        ("checkpoint-10", ["zero_to_fp32.py", "config.json"], "holds DeepSpeed's shards"),
        (
            "global_step10",
            ["mp_rank_00_model_states.pt", "bf16_zero_pp_rank_0_mp_rank_00_optim_states.pt"],
            "`python -m deepspeed.utils.zero_to_fp32 . global_step10 --tag global_step10 "
            "--safe_serialization`",
        ),
        ("iter_0000010", ["mp_rank_00/model_optim_rng.pt"], "holds a Megatron checkpoint"),
        ("iter_0000010", [".metadata", "common.pt", "__0_0.distcp"], "holds a Megatron"),
        (
            "epoch=1-step=10.ckpt",
            [".metadata", "__0_0.distcp", "meta.pt"],
            "dcp_to_torch epoch=1-step=10.ckpt epoch=1-step=10.ckpt.pt`",
        ),
    ],
)
def test_each_kind_of_shards_is_known_by_its_names(
    tmp_path: Path, name: str, files: list[str], words: str
) -> None:
    for file in files:
        (tmp_path / "run" / name / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "run" / name / file).write_text("{}")
    assert words in reason(tmp_path / "run" / name)


def test_shards_beside_the_weights_are_no_fault(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path / "run" / "checkpoint-10")
    (folder / "global_step10").mkdir()
    (folder / "zero_to_fp32.py").touch()
    assert isinstance(judge(folder), Complete)
