"""DenseNet: every layer of a block reads the maps of all the layers before it.

Source: Huang, Liu, van der Maaten, Weinberger, "Densely connected convolutional networks" (2017),
table 1; lecture 001.
"""

from __future__ import annotations

from collections import OrderedDict
from functools import partial

from torch import nn

from striate.models.initialise import initialise
from striate.models.stem import is_small
from striate.nn import DenseBlock, Transition

# depth -> layers in each of the four dense blocks: table 1 of the paper
DEPTHS: dict[int, tuple[int, int, int, int]] = {
    121: (6, 12, 24, 16),
    169: (6, 12, 32, 32),
    201: (6, 12, 48, 32),
}
GROWTH_RATE = 32


def build(
    depth: int,
    *,
    in_channels: int = 3,
    num_classes: int = 1000,
    size: tuple[int, int] = (224, 224),
    small_stem: bool | None = None,
    dropout: float = 0.0,
) -> nn.Sequential:
    """A DenseNet-BC of `depth` layers with weights; parameter names are torchvision's.

    small_stem: begin with a 3 x 3 convolution of stride 1 in place of 7 x 7, stride 2 and max
    pooling; None decides by `size`.
    """
    small = is_small(size) if small_stem is None else small_stem
    features: OrderedDict[str, nn.Module] = OrderedDict()
    channels = 2 * GROWTH_RATE
    if small:
        features["conv0"] = nn.Conv2d(in_channels, channels, 3, padding=1, bias=False)
    else:
        features["conv0"] = nn.Conv2d(in_channels, channels, 7, stride=2, padding=3, bias=False)
    features["norm0"] = nn.BatchNorm2d(channels)
    features["relu0"] = nn.ReLU()
    if not small:
        features["pool0"] = nn.MaxPool2d(3, stride=2, padding=1)
    counts = DEPTHS[depth]
    for i, count in enumerate(counts, 1):
        block = DenseBlock(count, channels, GROWTH_RATE, dropout=dropout)
        features[f"denseblock{i}"] = block
        channels = block.out_channels
        if i < len(counts):
            features[f"transition{i}"] = Transition(channels, channels // 2)
            channels //= 2
    features["norm5"] = nn.BatchNorm2d(channels)
    features["relu5"] = nn.ReLU()
    network = nn.Sequential(
        OrderedDict(
            features=nn.Sequential(features),
            avgpool=nn.AdaptiveAvgPool2d(1),
            flatten=nn.Flatten(),
            classifier=nn.Linear(channels, num_classes),
        )
    )
    initialise(network)
    return network


densenet121, densenet169, densenet201 = (partial(build, d) for d in DEPTHS)
