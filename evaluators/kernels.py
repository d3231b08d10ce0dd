"""Matrix products on the CPU through oneDNN, on the weights as they are.

torch hands float32 products to MKL, which on other makers' processors does not use AVX-512 and
reads a weight anew for few rows at a time. oneDNN's kernels compute the same sums.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

# oneDNN writes code for each shape that it meets, and says this where there is no memory for more.
NO_CODE = "could not create a primitive"

Product = Callable[[Tensor], Tensor]


def product(weight: Tensor, bias: Tensor | None) -> Product:
    """What maps x (..., in) to x weight^T + bias (..., out), by oneDNN where that is possible."""
    if not _is_fit(weight):
        return lambda x: torch.nn.functional.linear(x, weight, bias)
    weight = weight.detach()
    bias = None if bias is None else bias.detach()

    def linear(x: Tensor) -> Tensor:
        try:
            y: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
        except RuntimeError as error:
            if str(error) != NO_CODE:
                raise
            return torch.nn.functional.linear(x, weight, bias)
        return y

    return linear


def products(model: torch.nn.Module) -> dict[torch.nn.Linear, Product]:
    """oneDNN's products for the linear layers of `model`; empty where none are possible."""
    layers = [
        one for one in model.modules() if type(one) is torch.nn.Linear and _is_fit(one.weight)
    ]
    return {one: product(one.weight, one.bias) for one in layers}


@contextmanager
def computed_by(products: dict[torch.nn.Linear, Product]) -> Iterator[None]:
    """Within it, the layers compute with these products."""
    for layer, one in products.items():
        layer.forward = one  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        for layer in products:
            del layer.forward


def _is_fit(weight: Tensor) -> bool:
    return (
        weight.device.type == "cpu"
        and weight.dtype == torch.float32
        and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    )
