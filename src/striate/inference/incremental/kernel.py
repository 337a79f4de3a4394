"""Kernel: a convolution with the batch norm folded into it, an activation and a sum after it, in one call.

Where oneDNN is at hand its fused convolution runs, with weights packed once; elsewhere torch's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from striate.inference.layouts import laid_out, layout_for

BAND = 4 << 20  # bytes of unfolded windows at a time, in float64
CONVOLUTIONS = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}


@dataclass(frozen=True, slots=True)
class Activation:
    """A piecewise linear activation: oneDNN's name for it, its scalars, and torch's operation in place."""

    name: str
    scalars: tuple[float, ...] = ()

    def apply_(self, x: Tensor) -> Tensor:
        """The activation, in place."""
        if self.name == "relu":
            return x.relu_()
        if self.name == "leaky_relu":
            return F.leaky_relu_(x, self.scalars[0])
        return F.hardtanh_(x, *self.scalars)


@dataclass(frozen=True, slots=True)
class Clamp:
    """Lowest and highest values of each channel, (1, C, 1, 1): what remains of a batch norm and ReLU in front."""

    low: Tensor
    high: Tensor


def activation(op: str, args: tuple[Any, ...]) -> Activation | None:
    """The activation of an ATen call, None if it is another operation or not piecewise linear."""
    if op == "relu":
        return Activation("relu")
    if op == "leaky_relu":
        return Activation("leaky_relu", (float(args[1]) if len(args) > 1 else 0.01,))
    if op == "hardtanh":
        return Activation("hardtanh", (float((*args, -1.0)[1]) if len(args) > 1 else -1.0,
                                       float(args[2]) if len(args) > 2 else 1.0))  # fmt: skip
    if op == "relu6":
        return Activation("hardtanh", (0.0, 6.0))
    return None


def fused_by_onednn(weight: Tensor) -> bool:
    """Whether oneDNN's fused convolution can run with this weight (O, C, H, W)."""
    if weight.device.type != "cpu" or weight.dim() != 4 or not torch.backends.mkldnn.is_available():
        return False
    ops = torch.ops.mkldnn
    if not all(hasattr(ops, n) for n in ("_convolution_pointwise", "_convolution_pointwise_",
                                         "_reorder_convolution_weight", "_get_mkldnn_serialized_md")):  # fmt: skip
        return False
    if weight.dtype == torch.bfloat16:
        return bool(ops._is_mkldnn_bf16_supported())
    return weight.dtype == torch.float32


class Kernel:
    """A convolution of 1 to 3 axes with its bias, then `+ other`, then the activation.

    weight (O, C / groups, *kernel), bias (O,) or None; with batch norm's scale and shift already folded in.
    """

    def __init__(
        self, weight: Tensor, bias: Tensor | None, stride: tuple[int, ...], padding: tuple[int, ...],
        dilation: tuple[int, ...], groups: int, activation: Activation | None, clamp: Clamp | None = None,
    ) -> None:  # fmt: skip
        self.stride, self.padding, self.dilation = list(stride), list(padding), list(dilation)
        self.valid = [0] * len(stride)
        self.groups = groups
        self.activation = activation
        self.bias = bias
        self.clamp = clamp
        self.fused = fused_by_onednn(weight)
        self.like = torch.channels_last if weight.dim() == 4 else torch.contiguous_format
        self.weight = weight.contiguous(memory_format=self.like)
        self.packed: dict[tuple[int, ...], Tensor] = {}  # by the size of the input and its padding
        self.layouts: dict[bytes, Tensor] = {}
        self.pointwise = all(n == 1 for n in weight.shape[2:])
        self.attr = activation.name if activation is not None else "none"
        self.scalars = list(activation.scalars) if activation is not None else []
        self.convolve = CONVOLUTIONS[weight.dim() - 2]

    def __call__(
        self, x: Tensor, padded: bool, other: Tensor | None = None, owned: bool = False
    ) -> Tensor:
        """x (N, C, *axes) -> (N, O, *axes); `padded`: x lies between real borders, else no zeros are added.

        `other`, of the output's shape, is added in place and is then the result. owned: x may be written into.
        """
        if self.clamp is not None:
            low, high = self.clamp.low, self.clamp.high
            x = x.clamp_(low, high) if owned else x.clamp(low, high)
        padding = self.padding if padded else self.valid
        if self.fused:
            x = x.contiguous(memory_format=self.like)
            weight = self._packed(x, padding)
            if other is None:
                return torch.ops.mkldnn._convolution_pointwise(
                    x, weight, self.bias, padding, self.stride, self.dilation, self.groups,
                    self.attr, self.scalars, "",
                )  # fmt: skip
            y = torch.ops.mkldnn._convolution_pointwise_.binary(
                other.contiguous(memory_format=self.like), x, weight, self.bias, padding, self.stride,
                self.dilation, self.groups, "add", 1.0, "relu" if self.attr == "relu" else None, [], "",
            )  # fmt: skip
            if self.activation is None or self.attr == "relu":  # no other may follow a sum
                return y
            return self.activation.apply_(y)
        if x.dtype == torch.float64 and x.device.type == "cpu" and x.dim() == 4:
            y = self._in_bands(x, padding)
        else:
            y = self.convolve(
                x, self.weight, self.bias, self.stride, padding, self.dilation, self.groups
            )
        if other is not None:
            y = other.add_(y)
        return y if self.activation is None else self.activation.apply_(y)

    def _in_bands(self, x: Tensor, padding: list[int]) -> Tensor:
        """A convolution in float64, some rows at a time.

        For these torch unfolds all windows into memory first, which for large maps takes longer than the products.
        """
        stride, step = self.stride[0], self.dilation[0]
        span = step * (self.weight.shape[2] - 1) + 1
        rows = (x.shape[2] + 2 * padding[0] - span) // stride + 1
        columns = x.shape[3] // self.stride[1] + 1
        row = x.shape[0] * self.weight[0].numel() * columns * x.element_size()
        band = max(BAND // max(row, 1), 1)
        if self.pointwise or band >= rows:
            bands = [x]
        else:
            x, padding = F.pad(x, (0, 0, padding[0], padding[0])), [0, padding[1]]
            bands = [
                x[:, :, i * stride : (min(i + band, rows) - 1) * stride + span]
                for i in range(0, rows, band)
            ]
        made = [
            F.conv2d(b, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)
            for b in bands
        ]
        return made[0] if len(made) == 1 else torch.cat(made, 2)

    def _packed(self, x: Tensor, padding: list[int]) -> Tensor:
        """The weight in the layout that oneDNN wants for this size of x."""
        key = (*x.shape, *padding)
        packed = self.packed.get(key)
        if packed is None:
            wanted = layout_for(
                tuple(self.weight.shape), self.weight.dtype, tuple(x.shape), tuple(padding), tuple(self.stride),
                tuple(self.dilation), self.groups, torch.get_num_threads(),
            )  # fmt: skip
            packed = self.layouts.get(wanted)
            if packed is None:
                packed = self.layouts[wanted] = laid_out(
                    self.weight, x.shape, padding=padding, stride=self.stride, dilation=self.dilation, groups=self.groups,
                )  # fmt: skip
            self.packed[key] = packed
        return packed
