"""CenterNet: every object is the peak of its class's heat map, with the distances to its four edges (lecture 001)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.models.backbones import Backbone
from striate.models.initialise import start_layer

STRIDE = 4  # pixels between two cells of the map
REACH = 16.0  # pixels; the distances that a network begins with
PRIOR = 0.01  # the score that every cell begins with, so that the many empty ones do not drown the first steps
FPN = 128  # channels of the joined maps of a backbone


class ConvNorm(nn.Sequential):
    """A convolution without bias, batch norm and ReLU: (N, C, H, W) -> (N, O, ceil(H / stride), ceil(W / stride))."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int = 3, stride: int = 1) -> None:  # fmt: skip
        super().__init__(
            nn.Conv2d(in_channels, out_channels, kernel, stride, padding=kernel // 2, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
        )


class Residual(nn.Module):
    """Two 3 x 3 convolutions beside the identity: (N, C, H, W) -> (N, C, H, W)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = ConvNorm(channels, channels)
        self.second = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels)
        )

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.second(self.first(x)))


class Head(nn.Module):
    """What a map (N, C, H, W) says of each of its cells: (N, K + 4, H, W).

    Channels 0 to K - 1 are the logits of an object of that class with its centre in the cell; the last four the distances
    from the cell's middle to the left, top, right and bottom edge, in pixels, positive.
    """

    def __init__(self, channels: int, num_classes: int, *, wide: int) -> None:
        super().__init__()
        self.conv = ConvNorm(channels, wide)
        self.heat = nn.Conv2d(wide, num_classes, 1)
        self.edges = nn.Conv2d(wide, 4, 1)
        start_layer(self.heat, "linear")
        start_layer(self.edges, "linear")
        for layer, start in ((self.heat, math.log(PRIOR / (1 - PRIOR))), (self.edges, 0.0)):
            with torch.no_grad():
                layer.weight.mul_(0.1)
                assert layer.bias is not None
                layer.bias.fill_(start)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        return torch.cat([self.heat(y), REACH * self.edges(y).exp()], 1)


class CenterNet(nn.Module):
    """A small detector for few images on a processor: (N, C, H, W) -> (N, K + 4, ceil(H / 4), ceil(W / 4)); see `Head`.

    Down to a sixteenth of the image's size by strided convolutions and up to a quarter again, the maps of equal size added.
    Nothing in it looks at the whole image, so that it gives the same for a tile as for the image around it. width: channels
    at half the size.
    Source: Zhou, Wang, Krähenbühl, "Objects as points" (2019), with the distances of Tian et al., "FCOS" (2019).
    """

    stride = STRIDE

    def __init__(self, in_channels: int, num_classes: int, *, width: int = 32) -> None:
        super().__init__()
        w = width
        self.stem = nn.Sequential(ConvNorm(in_channels, w, stride=2), ConvNorm(w, 2 * w, stride=2))
        self.fine = Residual(2 * w)
        self.down = nn.ModuleList(
            [
                nn.Sequential(ConvNorm(2 * w, 3 * w, stride=2), Residual(3 * w)),
                nn.Sequential(ConvNorm(3 * w, 4 * w, stride=2), Residual(4 * w)),
            ]
        )
        self.up = nn.ModuleList([nn.Conv2d(4 * w, 3 * w, 1), nn.Conv2d(3 * w, 2 * w, 1)])
        self.join = nn.ModuleList([ConvNorm(3 * w, 3 * w), ConvNorm(2 * w, 2 * w)])
        self.head = Head(2 * w, num_classes, wide=2 * w)
        for name, layer in self.named_modules():
            if isinstance(layer, nn.Conv2d) and not name.startswith("head"):
                start_layer(layer)
        start_layer(self.head.conv[0])

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.joined(self.stem[0](x)))

    def joined(self, half: Tensor) -> Tensor:
        """The map of all sizes together, (N, 2 width, ceil(H / 4), ceil(W / 4)), from that at half the size."""
        maps = [self.fine(self.stem[1](half))]
        for down in self.down:
            maps.append(down(maps[-1]))
        y = maps.pop()
        for up, join in zip(self.up, self.join, strict=True):
            y = join(maps[-1] + doubled(up(y), maps.pop()))
        return y


class BackboneCenterNet(nn.Module):
    """CenterNet on the maps of a classification network: (N, C, H, W) -> (N, K + 4, ceil(H / 4), ceil(W / 4)).

    Every map of a stride of 4 and more is brought to `FPN` channels and added to the doubled one below it.
    Source: Lin et al., "Feature pyramid networks" (2017), for the way up.
    """

    stride = STRIDE

    def __init__(self, backbone: Backbone, num_classes: int) -> None:
        super().__init__()
        self.backbone = backbone
        used = [i for i, stride in enumerate(backbone.strides) if stride >= STRIDE]
        self.first = used[0]
        self.lateral = nn.ModuleList(nn.Conv2d(backbone.channels[i], FPN, 1) for i in used)
        joins = [ConvNorm(FPN, FPN) for _ in used[1:]]
        self.join = nn.ModuleList(joins)
        self.head = Head(FPN, num_classes, wide=FPN)
        for layer in (*self.lateral, *(join[0] for join in joins), self.head.conv[0]):
            start_layer(layer)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.joined(self.backbone(x)))

    def joined(self, levels: list[Tensor]) -> Tensor:
        """The map of all sizes together, (N, FPN, ceil(H / 4), ceil(W / 4)), from those of the backbone."""
        maps = [lateral(m) for lateral, m in zip(self.lateral, levels[self.first :], strict=True)]
        y = maps.pop()
        for join in self.join:
            y = join(maps[-1] + doubled(y, maps.pop()))
        return y


def doubled(x: Tensor, like: Tensor) -> Tensor:
    """x (N, C, h, w) with every value twice along both axes, cut to the size of `like`: (N, C, H, W)."""
    twice = F.interpolate(x, scale_factor=2.0, mode="nearest")
    return twice[..., : like.shape[-2], : like.shape[-1]]
