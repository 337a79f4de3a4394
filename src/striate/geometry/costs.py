"""Costs: the multiply-adds ("products" in lecture 000) of one ATen call.

Counted are the multiply-adds of convolutions and of matrix products, which is what torchvision publishes for its
architectures. Operations that contract nothing (activations, normalisation, pooling, resizing, views) count zero. An
operation that is in neither table is unknown (None), never zero.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import TYPE_CHECKING

import torch

from striate.geometry.rules import RULES

if TYPE_CHECKING:
    from striate.geometry.tape_records import Call

Shapes = list[tuple[int, ...]]


def _convolution(call: Call, shapes: Shapes) -> int:
    """Each output (each input, if transposed) meets one kernel of its group."""
    x, weight, out = shapes[call.inputs[0]], shapes[call.inputs[1]], shapes[call.outputs[0]]
    return prod(x if call.args[6] else out) * prod(weight[1:])


def _deformed(call: Call, shapes: Shapes) -> int:
    return prod(shapes[call.outputs[0]]) * prod(shapes[call.inputs[1]][1:])


def _product(call: Call, shapes: Shapes) -> int:
    """(..., m, k) by (..., k, n) or (k,): the last two inputs."""
    a, b = (shapes[i] for i in call.inputs[-2:])
    return prod(a) * (b[-1] if len(b) > 1 else 1)


def _linear(call: Call, shapes: Shapes) -> int:
    return prod(shapes[call.inputs[0]]) * shapes[call.inputs[1]][0]


def _outer(call: Call, shapes: Shapes) -> int:
    return prod(shapes[call.outputs[0]])


def _attention(call: Call, shapes: Shapes) -> int:
    """Queries by keys, then weights by values: (..., L, E), (..., S, E), (..., S, V)."""
    q, k, v = (shapes[i] for i in call.inputs[:3])
    return prod(q[:-1]) * k[-2] * (q[-1] + v[-1])


def _distances(call: Call, shapes: Shapes) -> int:
    """Each number of (..., P, R) is a sum over what both vectors hold."""
    return prod(shapes[call.outputs[0]]) * shapes[call.inputs[0]][-1]


def _bilinear(call: Call, shapes: Shapes) -> int:
    """x W y for each row and each output, W (O, I, J)."""
    return prod(shapes[call.outputs[0]]) * prod(shapes[call.inputs[1]][-2:])


COUNTED: dict[str, Callable[[Call, Shapes], int]] = {
    "convolution": _convolution,
    "deform_conv2d": _deformed,
    **dict.fromkeys(("mm", "bmm", "addmm", "baddbmm", "mv", "addmv", "dot", "vdot"), _product),
    "linear": _linear,
    "addr": _outer,
    **dict.fromkeys(("_euclidean_dist", "_cdist_forward"), _distances),
    "_trilinear": _bilinear,
    **dict.fromkeys(
        (
            "_scaled_dot_product_flash_attention",
            "_scaled_dot_product_flash_attention_for_cpu",
            "_scaled_dot_product_efficient_attention",
            "_scaled_dot_product_cudnn_attention",
            "_scaled_dot_product_fused_attention_overrideable",
        ),
        _attention,
    ),
}

# Without multiply-adds, and without a rule of its own.
FREE = frozenset(
    {"arange", "as_strided", "bincount", "bucketize", "channel_shuffle", "col2im", "diagonal", "embedding", "empty",
     "expand_as", "eye", "full", "gather", "grid_sampler_2d", "grid_sampler_3d", "im2col", "index", "index_add",
     "index_copy", "index_put", "index_select", "linspace", "logspace", "masked_scatter", "max_unpool2d",
     "max_unpool3d", "native_channel_shuffle", "normal", "ones", "pixel_shuffle", "rand", "randint", "randn",
     "randperm", "roi_align", "roi_pool", "scalar_tensor", "scatter", "scatter_add", "scatter_reduce", "searchsorted",
     "topk", "tril", "tril_indices", "triu", "triu_indices", "unfold", "zeros", "_local_scalar_dense",
     "lift_fresh", "affine_grid_generator", "block_diag", "view_as_real", "view_as_complex", "complex", "_conj",
     "conj_physical",
     "real", "imag", "std", "var", "nonzero", "_weight_norm_interface"}
)  # fmt: skip


def multiply_adds(op: str, call: Call, shapes: Shapes) -> int | None:
    """The multiply-adds of a call, 0 for one without any, None if it is not known."""
    count = COUNTED.get(op)
    if count is not None:
        return count(call, shapes)
    if op in RULES or op in FREE or torch.Tag.pointwise in call.known.tags:
        return 0
    return None
