"""Refuses what is no causal language model: one whose numbers would not be of a token foretold."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import Tensor
from transformers import PreTrainedModel

from errors import ModelLoadFault

# Of the sum of |p - q| over the vocabulary: rounding makes less, in half precision too.
TOLERANCE = {torch.float32: 1e-4}
HALF_PRECISION_TOLERANCE = 0.05

# How many tokens stand before the one that is changed.
BEFORE = 3


def require_decoder_only(config: Path) -> None:
    """Raises ModelLoadFault if the config.json at `config` is of an encoder and a decoder."""
    try:
        document = json.loads(config.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ModelLoadFault(f"{config} is not JSON ({error})") from error
    if isinstance(document, dict) and document.get("is_encoder_decoder") is True:
        kind = document.get("model_type", "a model")
        raise ModelLoadFault(
            f"{config} is of {kind}, which has an encoder and a decoder: only models that continue "
            "a text (causal language models) can be evaluated"
        )


def require_causal(model: PreTrainedModel, folder: Path) -> None:
    """Raises ModelLoadFault if what `model` says before a token depends on that token."""
    embeddings = model.get_input_embeddings()
    assert isinstance(embeddings.weight, Tensor)
    tokens = [7919 * place % embeddings.weight.shape[0] for place in range(1, BEFORE + 3)]
    *before, one, other = tokens
    difference = _probabilities(model, [*before, one]) - _probabilities(model, [*before, other])
    # Where a checkpoint has no finite numbers, each example says so.
    changed = torch.nan_to_num(difference)[:BEFORE].abs().sum(-1).max()
    if changed > TOLERANCE.get(model.dtype, HALF_PRECISION_TOLERANCE):
        raise ModelLoadFault(
            f"the model in {folder} ({type(model).__name__}) sees the tokens that it is asked to "
            "foretell: only causal language models can be evaluated"
        )


def _probabilities(model: PreTrainedModel, row: list[int]) -> Tensor:
    """Probabilities (tokens, vocabulary) of what follows each token of one row."""
    ids = torch.tensor([row], device=model.device)
    with torch.inference_mode():
        output = model(ids, attention_mask=torch.ones_like(ids), use_cache=False)
    logits: Tensor = output.logits[0]
    return logits.float().softmax(-1)
