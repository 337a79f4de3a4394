"""Network-in-network block: a convolution followed by a small network at every pixel."""

from __future__ import annotations

from torch import nn


class NiNBlock(nn.Sequential):
    """A convolution and two 1 x 1 convolutions, a ReLU after each: (N, C, H, W) -> (N, O, H', W').

    The 1 x 1 convolutions are a fully connected network that acts on each pixel by itself. H' and
    W' are those of the first convolution. Source: Lin, Chen, Yan, "Network in network" (2013),
    section 3.1; lecture 001, `nin_block`.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        padding: int = 0,
    ) -> None:
        super().__init__(
            nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding),
            nn.ReLU(),
            nn.Conv2d(out_channels, out_channels, 1),
            nn.ReLU(),
            nn.Conv2d(out_channels, out_channels, 1),
            nn.ReLU(),
        )
