"""VGG: nothing but 3 x 3 convolutions and 2 x 2 pooling, deeper and deeper.

Source: Simonyan, Zisserman, "Very deep convolutional networks for large-scale image recognition"
(2015), table 1, columns A, B, D and E; lectures 001, 002 and 003. Batch norm is later: Ioffe and
Szegedy (2015).
"""

from __future__ import annotations

from collections import OrderedDict
from functools import partial

from torch import nn

from striate.models.initialise import initialise
from striate.models.stem import is_small

# depth -> convolutions in each of the five stages: table 1 of the paper
DEPTHS: dict[int, tuple[int, int, int, int, int]] = {
    11: (1, 1, 2, 2, 2),
    13: (2, 2, 2, 2, 2),
    16: (2, 2, 3, 3, 3),
    19: (2, 2, 4, 4, 4),
}
WIDTHS = (64, 128, 256, 512, 512)


def build(
    depth: int,
    *,
    batch_norm: bool = False,
    in_channels: int = 3,
    num_classes: int = 1000,
    size: tuple[int, int] = (224, 224),
    small_stem: bool | None = None,
    dropout: float = 0.5,
) -> nn.Sequential:
    """A VGG of `depth` layers with weights; parameter names are torchvision's.

    small_stem: the convolutions stay, pooling rounds up (28 pixels give 14, 7, 4, 2, 1), and the
    fully connected layers see one position, not 7 x 7, and have 512 units, not 4096 (Liu and Deng,
    "Very deep convolutional neural network based image classification using small training sample
    size", 2015, for CIFAR-10); None decides by `size`.
    """
    small = is_small(size) if small_stem is None else small_stem
    features: list[nn.Module] = []
    channels = in_channels
    for width, count in zip(WIDTHS, DEPTHS[depth], strict=True):
        for _ in range(count):
            features.append(nn.Conv2d(channels, width, 3, padding=1))
            if batch_norm:
                features.append(nn.BatchNorm2d(width))
            features.append(nn.ReLU())
            channels = width
        features.append(nn.MaxPool2d(2, stride=2, ceil_mode=small))
    side, units = (1, 512) if small else (7, 4096)
    classifier = nn.Sequential(
        nn.Linear(512 * side * side, units),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Linear(units, units),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Linear(units, num_classes),
    )
    network = nn.Sequential(
        OrderedDict(
            features=nn.Sequential(*features),
            avgpool=nn.AdaptiveAvgPool2d(side),
            flatten=nn.Flatten(),
            classifier=classifier,
        )
    )
    initialise(network)
    return network


vgg11, vgg13, vgg16, vgg19 = (partial(build, d) for d in DEPTHS)
vgg11_bn, vgg13_bn, vgg16_bn, vgg19_bn = (partial(build, d, batch_norm=True) for d in DEPTHS)
