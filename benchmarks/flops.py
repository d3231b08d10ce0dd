"""How many floating-point operations a decoder needs for given tokens, counted from its shapes.

A product of an (m, k) and a (k, n) matrix counts 2 m k n. Counted are the products of the layers,
the two products of attention over the keys that a position may see, and the head where a token's
probability is asked for. Norms, activations, rotary embeddings and softmax are left out: the count
is a lower bound, and so is what is made of it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple


class Product(NamedTuple):
    """A weight matrix: `inputs` to `outputs`, `times` of them in the model."""

    inputs: int
    outputs: int
    times: int


class Shape(NamedTuple):
    """A decoder's sizes. `windows` has an entry a layer: its sliding window, None for none."""

    hidden: int
    intermediate: int
    heads: int
    key_value_heads: int
    head_width: int
    vocabulary: int
    windows: tuple[int | None, ...]

    @property
    def layers(self) -> tuple[Product, ...]:
        """The weights that every token goes through: attention, and a gated feed-forward part."""
        count = len(self.windows)
        queries = self.heads * self.head_width
        keys = self.key_value_heads * self.head_width
        return (
            Product(self.hidden, queries, count),
            Product(self.hidden, keys, 2 * count),
            Product(queries, self.hidden, count),
            Product(self.hidden, self.intermediate, 2 * count),
            Product(self.intermediate, self.hidden, count),
        )

    @property
    def head(self) -> Product:
        """The weight that makes logits."""
        return Product(self.hidden, self.vocabulary, 1)


class Scored(NamedTuple):
    """One prompt and the lengths of the targets scored on it, in tokens."""

    prompt: int
    targets: Sequence[int]


def shape_of(folder: Path) -> Shape:
    """The shape of the checkpoint in a folder, by its config.json (Llama's and Gemma's keys)."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    count, window = config["num_hidden_layers"], config.get("sliding_window")
    types = config.get("layer_types") or ["full_attention"] * count
    heads = config["num_attention_heads"]
    return Shape(
        hidden=config["hidden_size"],
        intermediate=config["intermediate_size"],
        heads=heads,
        key_value_heads=config.get("num_key_value_heads") or heads,
        head_width=config.get("head_dim") or config["hidden_size"] // heads,
        vocabulary=config["vocab_size"],
        windows=tuple(window if one == "sliding_attention" else None for one in types),
    )


def product_flops(product: Product) -> int:
    """Of one token through the matrices."""
    return 2 * product.inputs * product.outputs * product.times


def attention_flops(shape: Shape, position: int) -> int:
    """Of one token at `position` (from 0), in all layers: scores, and weighted sums of values."""
    seen = (min(position + 1, window or position + 1) for window in shape.windows)
    return 4 * shape.heads * shape.head_width * sum(seen)


def span_flops(shape: Shape, start: int, stop: int) -> int:
    """Of the tokens at positions `start` up to `stop` through all layers, without the head."""
    layers = sum(map(product_flops, shape.layers))
    return sum(layers + attention_flops(shape, position) for position in range(start, stop))


def scoring_flops(shape: Shape, sequences: Iterable[Scored]) -> int:
    """Of scoring targets: each prompt once, each target but its last token, the head per target.

    The last token of a target is predicted and never read.
    """
    head = product_flops(shape.head)
    total = 0
    for one in sequences:
        total += span_flops(shape, 0, one.prompt)
        for target in one.targets:
            total += span_flops(shape, one.prompt, one.prompt + target - 1) + target * head
    return total
