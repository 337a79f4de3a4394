"""Locally connected layers: small windows as in a convolution, but weights for every place."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.errors import UsageError


def _pair(value: int | tuple[int, int], name: str, least: int) -> tuple[int, int]:
    pair = (value, value) if isinstance(value, int) else tuple(value)
    if len(pair) != 2 or any(n < least for n in pair):
        raise UsageError(
            f"LocallyConnected2d: {name} is one number or two, each at least {least}, got {value!r}"
        )
    return pair


class LocallyConnected2d(nn.Module):
    """A convolution whose weights are not shared: (N, C, H, W) -> (N, O, H', W').

    H' and W' are those of `torch.nn.Conv2d` with the same arguments. `weight` is (H' * W', O, C *
    KH * KW), the kernels position by position in reading order; `bias` is (O, H', W').
    input_size: (H, W); a layer with weights for every position is made for one size of image.
    Raises UsageError for windows larger than the padded image, and for images of another size.
    Source: lecture 003, "Locally connected network".
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: int | tuple[int, int] = 0,
        dilation: int | tuple[int, int] = 1,
        bias: bool = True,
        *,
        input_size: int | tuple[int, int],
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = _pair(kernel_size, "kernel_size", 1)
        self.stride = _pair(stride, "stride", 1)
        self.padding = _pair(padding, "padding", 0)
        self.dilation = _pair(dilation, "dilation", 1)
        self.input_size = _pair(input_size, "input_size", 1)
        windows = [
            n + 2 * p - d * (k - 1)
            for n, p, d, k in zip(
                self.input_size, self.padding, self.dilation, self.kernel_size, strict=True
            )
        ]
        if min(windows) < 1:
            raise UsageError(
                f"LocallyConnected2d: the window (kernel_size={self.kernel_size}, "
                f"dilation={self.dilation}) is larger than the padded image, got "
                f"input_size={self.input_size}, padding={self.padding}; use a smaller kernel or "
                "more padding"
            )
        height, width = ((w - 1) // s + 1 for w, s in zip(windows, self.stride, strict=True))
        self.output_size = (height, width)
        values = in_channels * math.prod(self.kernel_size)
        self.weight = nn.Parameter(torch.empty(height * width, out_channels, values))
        self.bias = nn.Parameter(torch.empty(out_channels, height, width)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Uniform within 1 / sqrt(values in a window), as torch.nn's own layers start."""
        bound = 1 / math.sqrt(self.weight.shape[-1])
        nn.init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            nn.init.uniform_(self.bias, -bound, bound)

    @torch.no_grad()
    def share(self, weight: Tensor, bias: Tensor | None = None) -> None:
        """Give every position the kernel `weight` (O, C, KH, KW) and bias (O,): the layer is then a
        convolution.
        """
        self.weight.copy_(weight.reshape(1, self.out_channels, -1))
        if self.bias is not None:
            if bias is None:
                self.bias.zero_()
            else:
                self.bias.copy_(bias.view(-1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        if tuple(x.shape[1:]) != (self.in_channels, *self.input_size):
            raise UsageError(
                f"LocallyConnected2d has weights for every position of {self.in_channels} "
                f"channels of {self.input_size[0]} x {self.input_size[1]} pixels, got "
                f"{tuple(x.shape)}; resize the images, or build the layer for their size"
            )
        patches = F.unfold(x, self.kernel_size, self.dilation, self.padding, self.stride)
        y = torch.einsum("nkl,lok->nol", patches, self.weight)
        y = y.unflatten(-1, self.output_size)
        return y if self.bias is None else y + self.bias

    def extra_repr(self) -> str:
        return (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, "
            f"stride={self.stride}, padding={self.padding}, input_size={self.input_size}"
        )


class LocallyConnected1d(nn.Module):
    """A 1-D convolution whose weights are not shared: (N, C, L) -> (N, O, L').

    `weight` is (L', O, C * K), `bias` (O, L'). input_size: L.
    Raises UsageError as LocallyConnected2d does. Source: lecture 003, "Locally connected network".
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        padding: int = 0,
        dilation: int = 1,
        bias: bool = True,
        *,
        input_size: int,
    ) -> None:
        super().__init__()
        rows = LocallyConnected2d(
            in_channels,
            out_channels,
            (1, kernel_size),
            (1, stride),
            (0, padding),
            (1, dilation),
            bias,
            input_size=(1, input_size),
        )
        self.rows = rows

    @property
    def weight(self) -> Tensor:
        """(L', O, C * K)."""
        return self.rows.weight

    @property
    def bias(self) -> Tensor | None:
        """(O, L')."""
        return None if self.rows.bias is None else self.rows.bias[:, 0]

    def share(self, weight: Tensor, bias: Tensor | None = None) -> None:
        """Give every position the kernel `weight` (O, C, K) and bias (O,): the layer is then a
        convolution.
        """
        self.rows.share(weight, bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.rows(x.unsqueeze(2)).squeeze(2)
