"""Knows the checkpoints of distributed training, which are shards until someone converts them.

What the commands take was read from the tools: torch.distributed.checkpoint.format_utils,
accelerate's merge-weights, DeepSpeed's zero_to_fp32.
"""

from __future__ import annotations

import re
from shlex import quote

_MEGATRON_FOLDER = re.compile(r"mp_rank_[0-9]+(?:_[0-9]+)*")
_FSDP_FOLDER = re.compile(r"pytorch_model_fsdp_[0-9]+")
_DEEPSPEED_FOLDER = re.compile(r"global_step[0-9]+")
_DEEPSPEED_SCRIPT = "zero_to_fp32.py"
_DEEPSPEED_FILE = re.compile(
    r"(?:[a-z0-9]+_)?zero_pp_rank_[0-9]+_.*|mp_rank_[0-9]+_model_states\.pt"
)
_SHARDS_INDEX = ".metadata"


def conversion_of(name: str, inner: set[str]) -> str | None:
    """What the folder `name` with these names in it is, and how a model is made of it.

    The commands are for the run's folder, at the trainer's or here. None for any other folder.
    """
    folder = quote(name)
    if (
        any(_MEGATRON_FOLDER.fullmatch(one) for one in inner)
        or {
            _SHARDS_INDEX,
            "common.pt",
        }
        <= inner
    ):
        return (
            "holds a Megatron checkpoint: export it to Hugging Face's format with Megatron Bridge "
            "(AutoBridge.export_ckpt) or the converter of your Megatron"
        )
    if fsdp := sorted(one for one in inner if _FSDP_FOLDER.fullmatch(one)):
        return (
            f"holds FSDP's shards: in the run's folder, `accelerate merge-weights "
            f"{folder}/{fsdp[0]} {folder}` makes model.safetensors of them"
        )
    if any(_DEEPSPEED_FOLDER.fullmatch(one) for one in inner) or _DEEPSPEED_SCRIPT in inner:
        return (
            "holds DeepSpeed's shards: in the run's folder at the trainer's, `python -m "
            f"deepspeed.utils.zero_to_fp32 {folder} {folder} --safe_serialization` makes "
            "model.safetensors of them"
        )
    if any(_DEEPSPEED_FILE.fullmatch(one) for one in inner):
        return (
            "holds DeepSpeed's shards: in the run's folder at the trainer's, `python -m "
            f"deepspeed.utils.zero_to_fp32 . {folder} --tag {folder} --safe_serialization` makes "
            "model.safetensors of them; config.json and the tokenizer belong beside it"
        )
    if _SHARDS_INDEX in inner or any(one.endswith(".distcp") for one in inner):
        return (
            "holds shards of torch.distributed.checkpoint: in the run's folder, `python -m "
            f"torch.distributed.checkpoint.format_utils dcp_to_torch {folder} {folder}.pt` makes "
            "one file of them; load it into the model, and save that with save_pretrained"
        )
    return None
