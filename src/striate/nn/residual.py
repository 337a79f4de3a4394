"""Residual blocks: the layers learn what to add to their input, not what to make of it."""

from __future__ import annotations

from torch import Tensor, nn

from striate.errors import UsageError


def _shortcut(
    in_channels: int, out_channels: int, stride: int, projection: bool | None
) -> nn.Module | None:
    """The 1 x 1 convolution that gives the input the output's shape; None for the identity."""
    changes = stride != 1 or in_channels != out_channels
    if projection is None:
        projection = changes
    if changes and not projection:
        raise UsageError(
            "residual block: the input is added as it is, so projection=False needs stride=1 and "
            f"out_channels=in_channels, got stride={stride}, in_channels={in_channels}, "
            f"out_channels={out_channels}; use projection=True"
        )
    if not projection:
        return None
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 1, stride, bias=False), nn.BatchNorm2d(out_channels)
    )


class BasicBlock(nn.Module):
    """relu(x + two 3 x 3 convolutions of x).

    (N, C, H, W) -> (N, O, ceil(H / stride), ceil(W / stride)).
    projection: put a 1 x 1 convolution on the short cut; None puts it only where the shape changes.
    Raises UsageError where projection=False and the shape changes.
    Source: He et al., "Deep residual learning" (2016), figure 5 left; lecture 001, "Residual Block".
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int = 1,
        *,
        projection: bool | None = None,
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.relu = nn.ReLU()
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.downsample = _shortcut(in_channels, out_channels, stride, projection)

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return self.relu(y + (x if self.downsample is None else self.downsample(x)))


class Bottleneck(nn.Module):
    """relu(x + 1 x 1, 3 x 3 and 1 x 1 convolutions of x).

    (N, C, H, W) -> (N, O, ceil(H / stride), ceil(W / stride)).
    expansion: out_channels over the channels of the narrow 3 x 3 convolution, which also carries
    the stride (the paper puts it on the first 1 x 1; on the 3 x 3 no value of the input is
    skipped).
    Raises UsageError where projection=False and the shape changes, or expansion does not divide
    out_channels.
    Source: He et al., "Deep residual learning" (2016), figure 5 right.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int = 1,
        *,
        expansion: int = 4,
        projection: bool | None = None,
    ) -> None:
        super().__init__()
        if out_channels % expansion:
            raise UsageError(
                f"Bottleneck: expansion must divide out_channels, got expansion={expansion}, "
                f"out_channels={out_channels}"
            )
        width = out_channels // expansion
        self.conv1 = nn.Conv2d(in_channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, out_channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out_channels)
        self.relu = nn.ReLU()
        self.downsample = _shortcut(in_channels, out_channels, stride, projection)

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return self.relu(y + (x if self.downsample is None else self.downsample(x)))
