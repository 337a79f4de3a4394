"""Gradients of depthwise convolutions in bfloat16 on a CPU, where oneDNN has no fast kernel for them.

Measured on two cores with AVX512-BF16 (torch 2.14.1; 8 images, layers of EfficientNet-Lite0): the gradient of the input of a
layer with a stride takes 20 to 48 ms where the layer itself takes 0.1 to 1; that of five columns 12 to 22 ms where
one of three takes less than 2. Both have an equal form that takes 0.4 to 3 ms:

- input: the gradient of a strided convolution is a convolution, without a stride, of the outputs' gradient with zeros in
  between, by the mirrored kernel (Dumoulin and Visin, "A guide to convolution arithmetic", 2016, section 4.5);
- kernel: each of its entries is a sum of its own, so the gradient of many columns is put together from those of three, of
  shifted images.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

PIECE = 3
"""Columns of a kernel whose gradient oneDNN computes fast."""


class Depthwise(TorchFunctionMode):
    """For the duration of a `with`: depthwise convolutions have the gradients of this file. No layer is replaced."""

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """See TorchFunctionMode."""
        if func is F.conv2d or func is torch.conv2d:
            return _conv2d(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


def gains(model: nn.Module, device: torch.device, dtype: torch.dtype) -> bool:
    """Whether a training of the model in `dtype` has a convolution that is faster here."""
    return (
        device.type == "cpu"
        and dtype == torch.bfloat16
        and any(
            isinstance(layer, nn.Conv2d)
            and layer.groups == layer.in_channels == layer.out_channels > 1
            and (max(layer.stride) > 1 or layer.kernel_size[1] > PIECE)
            for layer in model.modules()
        )
    )


def _conv2d(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
    groups: int = 1,
) -> Tensor:  # fmt: skip
    plain = input.dim() == 4 and torch.is_grad_enabled() and torch.is_autocast_enabled("cpu")
    if (
        not plain
        or isinstance(padding, str)
        or not groups == input.shape[1] == weight.shape[0] > 1
        or _pair(dilation) != (1, 1)
        or any(p >= k for p, k in zip(_pair(padding), weight.shape[2:], strict=True))
    ):
        return F.conv2d(input, weight, bias, stride, padding, dilation, groups)
    kind = torch.get_autocast_dtype("cpu")
    bias = None if bias is None else bias.to(kind)
    return _Convolution.apply(input.to(kind), weight.to(kind), bias, _pair(stride), _pair(padding))  # type: ignore[no-any-return]


def _pair(value: Any) -> tuple[int, int]:
    down, across = (value, value) if isinstance(value, int) else (value * 2 if len(value) == 1 else value)  # fmt: skip
    return int(down), int(across)


class _Convolution(torch.autograd.Function):
    """A depthwise convolution of x (N, C, H, W) by w (C, 1, kh, kw), and a bias (C,) or None."""

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any, x: Tensor, w: Tensor, bias: Tensor | None, stride: tuple[int, int], padding: tuple[int, int]
    ) -> Tensor:  # fmt: skip
        ctx.save_for_backward(x, w)
        ctx.stride, ctx.padding = stride, padding
        return F.conv2d(x, w, bias, stride, padding, 1, len(w))

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> Any:  # type: ignore[override]
        x, w = ctx.saved_tensors
        of_input, of_weight, of_bias, *_ = ctx.needs_input_grad
        dx = input_gradient(dy, w, x.shape, ctx.stride, ctx.padding) if of_input else None
        dw = weight_gradient(dy, x, w, ctx.stride, ctx.padding) if of_weight else None
        db = dy.sum((0, 2, 3), dtype=torch.float32).to(dy.dtype) if of_bias else None
        return dx, dw, db, None, None


def input_gradient(
    dy: Tensor, w: Tensor, shape: torch.Size, stride: tuple[int, int], padding: tuple[int, int]
) -> Tensor:
    """The gradient (N, C, H, W) = `shape` of what a depthwise convolution saw, of that of its outputs dy (N, C, OH, OW).

    w: (C, 1, kh, kw). padding: less than the kernel.
    """
    n, channels, height, width = shape
    (kh, kw), (down, across), (top, left) = w.shape[2:], stride, padding
    if stride != (1, 1):
        spread = dy.new_zeros((n, height + 2 * top - kh + 1, width + 2 * left - kw + 1, channels))
        spread[:, ::down, ::across][:, : dy.shape[2], : dy.shape[3]] = dy.permute(0, 2, 3, 1)
        dy = spread.permute(0, 3, 1, 2)
    return F.conv2d(dy, w.flip(2, 3), None, 1, (kh - 1 - top, kw - 1 - left), 1, channels)


def weight_gradient(
    dy: Tensor, x: Tensor, w: Tensor, stride: tuple[int, int], padding: tuple[int, int]
) -> Tensor:
    """The gradient (C, 1, kh, kw) of a depthwise convolution's kernel w, of what it saw, x (N, C, H, W), and that of its
    outputs, dy (N, C, OH, OW).
    """
    kw, across, (top, left) = w.shape[3], stride[1], padding
    if kw <= PIECE:
        return _of_weight(dy, x, w, stride, padding)
    wide = across * (dy.shape[3] - 1) + PIECE
    dw = torch.empty_like(w)
    for j in (*range(0, kw - PIECE, PIECE), kw - PIECE):  # the last ends with the kernel
        first = j - left  # of the columns that these see
        part = F.pad(x, (-first, first + wide - x.shape[3], top, top))
        dw[..., j : j + PIECE] = _of_weight(dy, part, w[..., j : j + PIECE], stride, (0, 0))
    return dw


def _of_weight(
    dy: Tensor, x: Tensor, w: Tensor, stride: tuple[int, int], padding: tuple[int, int]
) -> Tensor:
    w = w.contiguous(memory_format=torch.channels_last)
    found = torch.ops.aten.convolution_backward(
        dy, x, w, None, stride, padding, (1, 1), False, (0, 0), len(w), (False, True, False)
    )
    return found[1]  # type: ignore[no-any-return]
