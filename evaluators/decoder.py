"""A model as the batched pass needs it: states from tokens and a cache, logits from states."""

from __future__ import annotations

import inspect
from typing import NamedTuple

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer


class Step(NamedTuple):
    """The input of one forward pass over a batch: ids and positions are (rows, new tokens).

    `mask` is (rows, cached + new tokens), 1 where there is a token.
    """

    ids: Tensor
    positions: Tensor
    mask: Tensor


class Decoder:
    """The body of a causal language model, and its head in float32."""

    def __init__(self, model: PreTrainedModel, head: torch.nn.Linear) -> None:
        self._body = model.base_model
        self._weight = head.weight.float()
        self._bias = None if head.bias is None else head.bias.float()
        config = model.config.get_text_config(decoder=True)
        self._cap: float | None = getattr(config, "final_logit_softcapping", None)
        self._scale = getattr(config, "logit_scale", 1.0) / getattr(config, "logits_scaling", 1.0)
        self.vocabulary = self._weight.shape[0]
        self.device = model.device

    def states(self, step: Step, cache: DynamicCache) -> Tensor:
        """The last hidden states (rows, new tokens, hidden). `cache` grows by the new tokens."""
        output = self._body(
            input_ids=step.ids,
            attention_mask=step.mask,
            position_ids=step.positions,
            past_key_values=cache,
            use_cache=True,
        )
        states: Tensor = output.last_hidden_state
        return states

    def logits(self, states: Tensor) -> Tensor:
        """Float32 logits (..., vocabulary) of hidden states (..., hidden)."""
        logits = torch.nn.functional.linear(states.float(), self._weight, self._bias) * self._scale
        return logits if self._cap is None else torch.tanh(logits / self._cap) * self._cap


class Unsuited(NamedTuple):
    """Why a model is no Decoder."""

    reason: str


def decoder_of(model: PreTrainedModel) -> Decoder | Unsuited:
    """The model as a Decoder, or why it is none: another kind of head, of cache, of positions."""
    name = type(model).__name__
    head = model.get_output_embeddings()  # type: ignore[no-untyped-call]
    if type(head) is not torch.nn.Linear:
        return Unsuited(f"the head of {name} is a {type(head).__name__}, not one linear layer")
    accepted = inspect.signature(model.base_model.forward).parameters
    if "past_key_values" not in accepted:
        return Unsuited(f"{name} keeps no key-value cache")
    for wanted in ("attention_mask", "position_ids"):
        if wanted not in accepted:
            return Unsuited(f"{name} takes no {wanted}, which padding needs")
    layers = DynamicCache(config=model.config).layers
    for layer in layers:
        if type(layer) not in (DynamicLayer, DynamicSlidingWindowLayer):
            return Unsuited(f"{name} keeps a {type(layer).__name__} that cannot be cut back")
    return Decoder(model, head)
