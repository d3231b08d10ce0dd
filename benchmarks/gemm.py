"""How fast this machine multiplies matrices of a model's shapes: the limit of any pass over it."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from benchmarks.flops import Product, Shape, product_flops
from benchmarks.sides import Machine
from evaluators import kernels

ROWS = 1024  # tokens at once: as many as make the products fast
HEAD_ROWS = 128  # the head's product is large with few
ROUNDS = 5


def rate(shape: Shape, machine: Machine) -> float:
    """Operations a second over the products of a token through all layers and the head.

    Each product is timed at its best of some rounds, by torch.matmul and by what the engine uses,
    whichever is faster, so this is what the machine can do.
    """
    products = [(one, ROWS) for one in shape.layers] + [(shape.head, HEAD_ROWS)]
    seconds = sum(_seconds(one, rows, machine) * one.times / rows for one, rows in products)
    return sum(product_flops(one) for one, _ in products) / seconds


def _seconds(product: Product, rows: int, machine: Machine) -> float:
    """The best time of one product of (rows, inputs) and (inputs, outputs)."""
    torch.set_num_threads(machine.threads)
    kind = {"device": machine.device, "dtype": getattr(torch, machine.dtype)}
    weights = torch.randn(product.outputs, product.inputs, **kind)
    tokens = torch.randn(rows, product.inputs, **kind)

    def once(multiply: Callable[[torch.Tensor], torch.Tensor]) -> float:
        began = time.perf_counter()
        multiply(tokens)
        if machine.device.startswith("cuda"):
            torch.cuda.synchronize()
        return time.perf_counter() - began

    with torch.inference_mode():
        ways = (lambda one: torch.matmul(one, weights.T), kernels.product(weights, None))
        for way in ways:
            once(way)
        return min(once(way) for _ in range(ROUNDS) for way in ways)
