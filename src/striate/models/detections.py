"""What detectors give for a batch of images, when it is more than one map; each kind says how its numbers are laid out."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor


class Levels(NamedTuple):
    """Maps of several resolutions, the finest first (FCOS).

    maps: one a level, (N, C, h, w) with C = K + 5, h = ceil(H / stride) and w = ceil(W / stride): the logits of an object of
    each class that the cell answers for, the distances from the cell's middle to the object's left, top, right and bottom
    edge in pixels, and the logit of centre-ness. strides: pixels between two cells of each level.
    """

    maps: tuple[Tensor, ...]
    strides: tuple[int, ...]


class Grid(NamedTuple):
    """One map whose cells each hold some boxes and one set of class probabilities (YOLO).

    map: (N, C, h, w) with C = 5 * boxes + K, h = ceil(H / stride) and w = ceil(W / stride): for each box of a cell its
    centre (x, y) within the cell, from 0 to 1, the square roots of its width and height in units of `SPAN` cells, and its
    confidence; then the probability of each class if the cell has an object. They are numbers as they are, without a
    sigmoid. stride: pixels between two cells. boxes: of each cell.
    """

    map: Tensor
    stride: int
    boxes: int


SPAN = 8  # cells that a box of width 1 spans, as the paper's 7 by 7 cells span an image


class Queries(NamedTuple):
    """A fixed number Q of queries, each of which gives one object of the whole image or none (DETR).

    logits: (N, Q, K) of each class. boxes: (N, Q, 4) middle x, middle y, width and height as shares of the image. size:
    (height, width) of the images in pixels.
    """

    logits: Tensor
    boxes: Tensor
    size: tuple[int, int]


class Regions(NamedTuple):
    """The first pass of a detector that looks again at the regions it proposes (Faster and Mask R-CNN).

    features: maps at the first strides, (N, C, h, w), h = ceil(H / stride) and w = ceil(W / stride). proposals: for each
    stride (N, 5 * A, h, w): the logits of an object in each of A anchors of a cell, then for each of them the four numbers
    that its box is moved by. strides: pixels between two cells. box, mask: the second pass: features of regions (n, C, 7, 7)
    to class logits (n, 1 + K), the first for none, and boxes (n, 1 + K, 4); and (n, C, 14, 14) to mask logits
    (n, 1 + K, 28, 28), None where it has no masks. anchor: the side of a cell's anchors, in cells; 8 as
    torchvision has it, less for objects that are small beside the finest stride.
    """

    features: tuple[Tensor, ...]
    proposals: tuple[Tensor, ...]
    strides: tuple[int, ...]
    box: Callable[[Tensor], tuple[Tensor, Tensor]]
    mask: Callable[[Tensor], Tensor] | None
    anchor: int = 8
