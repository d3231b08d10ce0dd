"""Matrix products on the CPU with weights packed for oneDNN.

torch hands float32 products to MKL, which on other makers' processors does not use AVX-512 and
reads a weight anew for few rows at a time. oneDNN's packed kernels compute the same sums.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

Product = Callable[[Tensor], Tensor]

# The number of rows that the packed layout is made for; it is nearly as fast for any other.
ROWS = 16


def product(weight: Tensor, bias: Tensor | None) -> Product:
    """What maps x (..., in) to x weight^T + bias (..., out), packed where that is possible."""
    if not _packs(weight):
        return lambda x: torch.nn.functional.linear(x, weight, bias)
    packed = torch.ops.mkldnn._reorder_linear_weight(weight.detach(), ROWS)
    bias = None if bias is None else bias.detach()

    def linear(x: Tensor) -> Tensor:
        y: Tensor = torch.ops.mkldnn._linear_pointwise(x, packed, bias, "none", [], "")
        return y

    return linear


def products(model: torch.nn.Module) -> dict[torch.nn.Linear, Product]:
    """The packed products of the linear layers of `model`; empty where none can be packed."""
    layers = [one for one in model.modules() if type(one) is torch.nn.Linear and _packs(one.weight)]
    return {one: product(one.weight, one.bias) for one in layers}


@contextmanager
def packed(products: dict[torch.nn.Linear, Product]) -> Iterator[None]:
    """Within it, the layers compute with their packed weights."""
    for layer, one in products.items():
        layer.forward = one  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        for layer in products:
            del layer.forward


def _packs(weight: Tensor) -> bool:
    return (
        weight.device.type == "cpu"
        and weight.dtype == torch.float32
        and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
        and hasattr(torch.ops.mkldnn, "_reorder_linear_weight")
    )
