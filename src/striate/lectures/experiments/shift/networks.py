"""The networks of the shift experiment: one without any notion of place, and convolutional ones that differ in one thing."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from striate.models import build
from striate.nn import MaxBlurPool2d

WIDTHS = (8, 16, 32)


@dataclass(frozen=True)
class Contender:
    """A network of the experiment: what makes it for images of `side` pixels, and whether it learns from shifted images."""

    make: Callable[[int], nn.Module]
    about: str
    shifted: bool = False


def convolutional(
    side: int, *, pool: Callable[[], nn.Module], stride: int, flat: bool
) -> nn.Module:
    """Three times convolution, batch norm, ReLU and pooling, then a linear layer on all positions or on their mean."""
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    channels = 1
    for i, width in enumerate(WIDTHS, 1):
        layers[f"conv{i}"] = nn.Conv2d(channels, width, 3, padding=1, bias=False)
        layers[f"norm{i}"] = nn.BatchNorm2d(width)
        layers[f"relu{i}"] = nn.ReLU()
        layers[f"pool{i}"] = pool()
        channels, side = width, side // stride
    if not flat:
        layers["mean"] = nn.AdaptiveAvgPool2d(1)
        side = 1
    layers["flatten"] = nn.Flatten()
    layers["fc"] = nn.Linear(channels * side * side, 10)
    return nn.Sequential(layers)


def mlp(side: int) -> nn.Module:
    """The zoo's fully connected network."""
    return build("mlp", in_channels=1, num_classes=10, size=side)


NETWORKS: dict[str, Contender] = {
    "mlp": Contender(mlp, "fully connected layers alone (lecture 001's network)"),
    "mlp, shifted training": Contender(
        mlp, "the same, every training image at another place in every pass", shifted=True
    ),
    "conv, flattened": Contender(
        lambda side: convolutional(side, pool=lambda: nn.MaxPool2d(2), stride=2, flat=True),
        "three convolutions with max pooling, a weight for every place in the end",
    ),
    "conv, global mean": Contender(
        lambda side: convolutional(side, pool=lambda: nn.MaxPool2d(2), stride=2, flat=False),
        "the same convolutions, the mean over all places in the end",
    ),
    "conv, blurred pooling": Contender(
        lambda side: convolutional(side, pool=MaxBlurPool2d, stride=2, flat=False),
        "the same with a blur before each stride (Zhang 2019)",
    ),
    "conv, no stride": Contender(
        lambda side: convolutional(
            side, pool=lambda: nn.MaxPool2d(3, stride=1, padding=1), stride=1, flat=False
        ),
        "the same without any stride",
    ),
}
