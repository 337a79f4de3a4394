"""AlexNet: five convolutions and three fully connected layers, the first to win ImageNet.

The single-tower form of Krizhevsky, "One weird trick for parallelizing convolutional neural
networks" (2014), which has 64 to 256 maps a layer; the paper of 2012 (lectures 001, 002, 003) split 96
to 384 maps over two GPUs.
Source: Krizhevsky, Sutskever, Hinton, "ImageNet classification with deep convolutional neural
networks" (2012).
"""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from striate.models.initialise import initialise
from striate.models.stem import is_small


def build(
    *,
    in_channels: int = 3,
    num_classes: int = 1000,
    size: tuple[int, int] = (224, 224),
    small_stem: bool | None = None,
    dropout: float = 0.5,
) -> nn.Sequential:
    """Parameter names are torchvision's.

    small_stem: begin with a 5 x 5 convolution of stride 1 in place of 11 x 11, stride 4, and hand 2
    x 2 positions to the fully connected layers in place of 6 x 6; None decides by `size`.
    """
    small = is_small(size) if small_stem is None else small_stem
    first = (
        nn.Conv2d(in_channels, 64, 5, padding=2)
        if small
        else nn.Conv2d(in_channels, 64, 11, stride=4, padding=2)
    )
    features = nn.Sequential(
        first,
        nn.ReLU(),
        nn.MaxPool2d(3, stride=2),
        nn.Conv2d(64, 192, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(3, stride=2),
        nn.Conv2d(192, 384, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(384, 256, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(256, 256, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(3, stride=2),
    )
    side = 2 if small else 6
    classifier = nn.Sequential(
        nn.Dropout(dropout),
        nn.Linear(256 * side * side, 4096),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Linear(4096, 4096),
        nn.ReLU(),
        nn.Linear(4096, num_classes),
    )
    network = nn.Sequential(
        OrderedDict(
            features=features,
            avgpool=nn.AdaptiveAvgPool2d(side),
            flatten=nn.Flatten(),
            classifier=classifier,
        )
    )
    initialise(network)
    return network
