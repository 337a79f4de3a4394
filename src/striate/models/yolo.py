"""YOLO: the image is a grid of cells, and the cell that holds an object's centre gives its box and class (lecture 002)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from striate.errors import UsageError
from striate.models.detections import Grid, Levels
from striate.models.fcos import LevelHead
from striate.models.initialise import start_layer

CELLS = (8, 16, 32, 64)  # pixels of a cell's side that it can be built for
HEADS = ("2016", "anchor-free")
MOST = 32  # boxes of a cell
DEEPEST = 8  # times the first width, of the widest layer


class Leaky(nn.Sequential):
    """A 3 x 3 convolution, batch norm and the paper's leaky ReLU (slope 0.1): (N, C, H, W) -> (N, O, H, W)."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(
            nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.LeakyReLU(0.1, inplace=True),
        )


class YOLO(nn.Module):
    """You only look once: (N, C, H, W) -> `Grid`, or `Levels` of one level for the anchor-free head.

    Convolutions and max pooling by turns down to one cell, then two convolutions and the numbers of each cell. As from its
    second version on there is no fully connected layer, so that the grid grows with the image and a tile gives the same as
    the image around it; and there is batch norm.
    cell: pixels of a cell's side; the paper's is 64, for objects that fill its images. boxes: of each cell, of which the
    one that overlaps an object most learns it. head: "2016", the paper's, whose numbers are learned by squared errors;
    "anchor-free", the later form, in which each cell near an object's centre gives class, confidence and the distances to
    its edges.
    Source: Redmon, Divvala, Girshick, Farhadi, "You only look once" (2016), sections 2 and 2.1; the widths are those of
    fast YOLO's kind.
    """

    def __init__(
        self, in_channels: int, num_classes: int, *, width: int = 32, cell: int = 8, boxes: int = 2, head: str = "2016"
    ) -> None:  # fmt: skip
        super().__init__()
        if cell not in CELLS:
            raise UsageError(f"yolo: a cell has {', '.join(map(str, CELLS))} pixels, got {cell!r}")
        if str(head) not in HEADS:
            raise UsageError(f"yolo: head is {' or '.join(HEADS)}, got {head!r}")
        if type(boxes) is not int or not 1 <= boxes <= MOST:
            raise UsageError(f"yolo: boxes is a whole number from 1 to {MOST}, got {boxes!r:.40}")
        self.cell, self.boxes = cell, boxes
        layers: list[nn.Module] = []
        channels = in_channels
        for i in range(cell.bit_length() - 1):  # one pooling for every halving
            wide = width * min(2**i, DEEPEST)
            layers += [Leaky(channels, wide), nn.MaxPool2d(2, ceil_mode=True)]
            channels = wide
        wide = width * DEEPEST
        layers += [Leaky(channels, wide), Leaky(wide, wide)]
        self.body = nn.Sequential(*layers)
        for layer in self.body.modules():
            if isinstance(layer, nn.Conv2d):
                start_layer(layer)
        self.head: nn.Module
        if str(head) == "2016":
            last = nn.Conv2d(wide, 5 * boxes + num_classes, 1)
            start_layer(last, "linear")
            with torch.no_grad():
                last.weight.mul_(0.1)
                assert last.bias is not None
                last.bias[: 5 * boxes].copy_(torch.tensor([0.5, 0.5, 0.5, 0.5, 0.0] * boxes))
                last.bias[5 * boxes :].fill_(1 / num_classes)
            self.head = last
        else:
            self.head = LevelHead(wide, num_classes, (cell,), 0)

    def forward(self, x: Tensor) -> Grid | Levels:
        y = self.body(x)
        if isinstance(self.head, LevelHead):
            levels: Levels = self.head([y])
            return levels
        return Grid(self.head(y), self.cell, self.boxes)
