"""Network in network: a small network at every pixel, and no fully connected layer at the end.

Source: Lin, Chen, Yan, "Network in network" (2013); the sizes are those of lecture 001.
"""

from __future__ import annotations

from torch import nn

from striate.models.initialise import initialise
from striate.models.stem import is_small
from striate.nn import NiNBlock

LEAST = 67  # pixels, of which the first block of 224 leaves 15, 7, 3 and 1


def build(
    *,
    in_channels: int = 1,
    num_classes: int = 10,
    size: tuple[int, int] = (224, 224),
    small_stem: bool | None = None,
    dropout: float = 0.5,
) -> nn.Sequential:
    """Four NiN blocks; the last has one map a class, and the mean over each map is its logit.

    small_stem: the first block uses 5 x 5 kernels of stride 1, as the paper does for CIFAR-10, in
    place of 11 x 11, stride 4; None decides by `size`.
    """
    small = is_small(size) or min(size) < LEAST if small_stem is None else small_stem
    first = (
        NiNBlock(in_channels, 96, 5, padding=2)
        if small
        else NiNBlock(in_channels, 96, 11, stride=4)
    )
    network = nn.Sequential(
        first,
        nn.MaxPool2d(3, stride=2),
        NiNBlock(96, 256, 5, padding=2),
        nn.MaxPool2d(3, stride=2),
        NiNBlock(256, 384, 3, padding=1),
        nn.MaxPool2d(3, stride=2),
        nn.Dropout(dropout),
        NiNBlock(384, num_classes, 3, padding=1),
        nn.AdaptiveAvgPool2d((1, 1)),
        nn.Flatten(),
    )
    initialise(network)
    return network
