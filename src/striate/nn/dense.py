"""Dense blocks: every layer sees the maps of all the layers before it."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class DenseLayer(nn.Module):
    """Norm, ReLU, 1 x 1 convolution, norm, ReLU, 3 x 3 convolution.

    (N, C, H, W) -> (N, growth_rate, H, W).
    bottleneck: the 1 x 1 convolution gives bottleneck * growth_rate channels.
    Source: Huang et al., "Densely connected convolutional networks" (2017), section 3, DenseNet-B.
    """

    def __init__(
        self, in_channels: int, growth_rate: int, *, bottleneck: int = 4, dropout: float = 0.0
    ) -> None:
        super().__init__()
        width = bottleneck * growth_rate
        self.norm1 = nn.BatchNorm2d(in_channels)
        self.relu1 = nn.ReLU()
        self.conv1 = nn.Conv2d(in_channels, width, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)
        self.relu2 = nn.ReLU()
        self.conv2 = nn.Conv2d(width, growth_rate, 3, padding=1, bias=False)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(self.relu1(self.norm1(x)))
        return self.dropout(self.conv2(self.relu2(self.norm2(y))))


class DenseBlock(nn.ModuleDict):
    """`num_layers` dense layers: (N, C, H, W) -> (N, C + num_layers * growth_rate, H, W).

    The first C maps of the output are the input itself.
    Source: Huang et al. (2017), figure 1; lecture 001, "DenseNet".
    """

    def __init__(
        self,
        num_layers: int,
        in_channels: int,
        growth_rate: int,
        *,
        bottleneck: int = 4,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(
            {
                f"denselayer{i + 1}": DenseLayer(
                    in_channels + i * growth_rate,
                    growth_rate,
                    bottleneck=bottleneck,
                    dropout=dropout,
                )
                for i in range(num_layers)
            }
        )
        self.out_channels = in_channels + num_layers * growth_rate

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.values():
            x = torch.cat([x, layer(x)], 1)
        return x


class Transition(nn.Sequential):
    """Norm, ReLU, 1 x 1 convolution, 2 x 2 average pooling: (N, C, H, W) -> (N, O, H // 2, W // 2).

    Source: Huang et al. (2017), section 3, "Pooling layers".
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(in_channels)
        self.relu = nn.ReLU()
        self.conv = nn.Conv2d(in_channels, out_channels, 1, bias=False)
        self.pool = nn.AvgPool2d(2, stride=2)
