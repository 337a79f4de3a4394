"""Inception block: four filter sizes side by side, stacked into one set of maps."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from striate.errors import UsageError


class ConvNormReLU(nn.Module):
    """A convolution without bias, batch norm, ReLU: (N, C, H, W) -> (N, O, H', W').

    Batch norm came after GoogLeNet's paper: Ioffe and Szegedy (2015).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        padding: int = 0,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(out_channels, eps=0.001)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(self.bn(self.conv(x)))


class InceptionBlock(nn.Module):
    """1 x 1, 3 x 3, 5 x 5 convolutions and a pooling side by side.

    (N, C, H, W) -> (N, the sum of the four widths, H, W).
    one: channels of the 1 x 1 branch.
    three: channels of the 1 x 1 reduction and of the 3 x 3 convolution.
    five: channels of the 1 x 1 reduction and of the 5 x 5 convolution.
    pool: channels of the 1 x 1 convolution after the 3 x 3 max pooling.
    wide_kernel: the kernel of the "5 x 5" branch, odd; published weights of GoogLeNet use 3 there.
    Source: Szegedy et al., "Going deeper with convolutions" (2015), figure 2b; lecture 001, "Inception
    Block".
    """

    def __init__(
        self,
        in_channels: int,
        one: int,
        three: tuple[int, int],
        five: tuple[int, int],
        pool: int,
        *,
        wide_kernel: int = 5,
    ) -> None:
        super().__init__()
        if wide_kernel % 2 == 0:
            raise UsageError(
                "InceptionBlock: wide_kernel must be odd, or the branches differ in size, got "
                f"{wide_kernel}"
            )
        self.branch1 = ConvNormReLU(in_channels, one, 1)
        self.branch2 = nn.Sequential(
            ConvNormReLU(in_channels, three[0], 1), ConvNormReLU(*three, 3, padding=1)
        )
        self.branch3 = nn.Sequential(
            ConvNormReLU(in_channels, five[0], 1),
            ConvNormReLU(*five, wide_kernel, padding=wide_kernel // 2),
        )
        self.branch4 = nn.Sequential(
            nn.MaxPool2d(3, stride=1, padding=1, ceil_mode=True), ConvNormReLU(in_channels, pool, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)], 1)
