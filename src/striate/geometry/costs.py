"""Costs: the multiply-adds ("products" in seed 000) of one ATen call.

Counted are the products of convolutions and of matrix products, as torchvision's published figures do; everything
else that is in the table of free operations counts zero, and what is in neither is unknown (None).
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from striate.geometry.tape import Call

Shapes = list[tuple[int, ...]]


def _convolution(call: Call, shapes: Shapes) -> int:
    weight, out = shapes[call.inputs[1]], shapes[call.outputs[0]]
    if call.args[6]:  # transposed: every input position meets the kernel once
        x = shapes[call.inputs[0]]
        return prod(x) * prod(weight[1:])
    return prod(out) * prod(weight[1:])


def _mm(call: Call, shapes: Shapes) -> int:
    a, b = (shapes[i] for i in call.inputs[-2:])
    return prod(a) * b[-1]


COUNTED = {
    "convolution": _convolution,
    "mm": _mm,
    "addmm": _mm,
    "bmm": _mm,
    "baddbmm": _mm,
}

FREE: frozenset[str] = frozenset()


def multiply_adds(op: str, call: Call, shapes: Shapes) -> int | None:
    """The multiply-adds of a call, 0 for one without products, None if it is not known."""
    count = COUNTED.get(op)
    if count is not None:
        return count(call, shapes)
    if op in FREE or torch.Tag.pointwise in call.target.tags:
        return 0
    return 0
