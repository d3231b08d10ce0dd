"""A model as the batched pass needs it: states from tokens and a cache, logits from states."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

from evaluators.attention import RAGGED, Layout, laid_out, layout_of
from evaluators.caches import Slots, token_bytes
from evaluators.kernels import computed_by, product, products
from evaluators.measures import peak_bytes
from evaluators.prompts import Ids


class Step(NamedTuple):
    """The input of one forward pass: the new tokens of a cache's first rows, one row after another.

    `ids` and `positions` are (tokens); a token's position is its column in the cache.
    """

    ids: Tensor
    positions: Tensor
    layout: Layout


def step_of(starts: Sequence[int], tokens: Sequence[Ids], device: torch.device) -> Step:
    """The step that adds `tokens` (at least one a row) to rows with `starts` tokens each."""
    layout = layout_of(starts, [len(one) for one in tokens], device)
    ids = torch.tensor([token for one in tokens for token in one], device=device)
    return Step(ids, layout.columns, layout)


@dataclass(frozen=True)
class Unsuited:
    """Why a model cannot be a Decoder."""

    reason: str


class Decoder:
    """The body of a causal language model, and its head in float32.

    `token_bytes` is what a token's keys and values take, known from the first step on.
    """

    def __init__(self, model: PreTrainedModel, head: torch.nn.Linear) -> None:
        self._body = model.base_model
        bias = None if head.bias is None else head.bias.float()
        self._head = product(head.weight.float(), bias)
        self._products = products(self._body)
        modules = self._body.modules()
        configs = (one.config for one in modules if isinstance(one, PreTrainedModel))
        self._configs = list({id(one): one for one in configs}.values())
        config = model.config.get_text_config(decoder=True)
        self._cap: float | None = getattr(config, "final_logit_softcapping", None)
        self._scale = getattr(config, "logit_scale", 1.0) / getattr(config, "logits_scaling", 1.0)
        self.vocabulary = head.weight.shape[0]
        self.device = model.device
        self.token_bytes = 0
        self._config, self._element = config, model.dtype.itemsize

    def states(self, step: Step, cache: Slots) -> Tensor:
        """The last hidden states (tokens, hidden). They are written into `cache`."""
        with self._ragged(), computed_by(self._products), laid_out(step.layout):
            output = self._body(
                input_ids=step.ids[None],
                attention_mask=None,
                position_ids=step.positions[None],
                past_key_values=cache,
                use_cache=True,
            )
        self.token_bytes = self.token_bytes or token_bytes(cache)
        states: Tensor = output.last_hidden_state[0]
        return states

    def let_go(self) -> None:
        """Lets go of the weights. Nothing can be computed after that."""
        self._products.clear()
        del self._head

    def logits(self, states: Tensor) -> Tensor:
        """Float32 logits (..., vocabulary) of hidden states (..., hidden)."""
        logits = self._head(states.float())
        if self._scale != 1.0:
            logits *= self._scale
        return logits if self._cap is None else torch.tanh(logits / self._cap) * self._cap

    @property
    def head_bytes(self) -> int:
        """The most bytes that logits take at once, and what is measured on them."""
        return peak_bytes(self.vocabulary, self.device)

    def scoring_bytes(self, longest: int) -> int:
        """About the most bytes that scoring takes a token, in rows of at most `longest` tokens.

        These are keys and values, twice where a prompt has several targets; the states between the
        layers and within one; and what each token may see, in at most two kinds of layers.
        """
        config = self._config
        heads = getattr(config, "num_attention_heads", 1)
        shared = getattr(config, "num_key_value_heads", None) or heads
        hidden: int = config.hidden_size
        attended = heads * (getattr(config, "head_dim", None) or hidden // heads)
        sizes = getattr(config, "intermediate_size", None) or 4 * hidden
        # One of all layers, or one a layer.
        inner = max(sizes) if isinstance(sizes, list | tuple) else sizes
        states = (6 * hidden + 6 * attended + 4 * inner) * max(self._element, 4)
        masks = 2 * longest * (1 + heads // shared) * self._element
        return int(2 * self.token_bytes + states + masks)

    @contextmanager
    def _ragged(self) -> Iterator[None]:
        """Within it, the model attends by the layout of the step; after it, as before."""
        before = [one._attn_implementation_internal for one in self._configs]
        try:
            for config in self._configs:
                config._attn_implementation_internal = RAGGED
            yield
        finally:
            for config, one in zip(self._configs, before, strict=True):
                config._attn_implementation_internal = one


def decoder_of(model: PreTrainedModel) -> Decoder | Unsuited:
    """The model as a Decoder, or why it is none: another kind of head, of cache, of positions."""
    name = type(model).__name__
    head = model.get_output_embeddings()  # type: ignore[no-untyped-call]
    if type(head) is not torch.nn.Linear:
        return Unsuited(f"the head of {name} is a {type(head).__name__}, not one linear layer")
    accepted = inspect.signature(model.base_model.forward).parameters
    if "past_key_values" not in accepted:
        return Unsuited(f"{name} keeps no key-value cache")
    if "position_ids" not in accepted:
        return Unsuited(f"{name} takes no position_ids, which rows side by side need")
    if not model._can_set_attn_implementation():
        return Unsuited(f"{name} has an attention of its own that cannot be replaced")
    layers = DynamicCache(config=model.config).layers
    for layer in layers:
        if type(layer) not in (DynamicLayer, DynamicSlidingWindowLayer):
            return Unsuited(f"{name} keeps a {type(layer).__name__} that cannot be cut back")
    return Decoder(model, head)
