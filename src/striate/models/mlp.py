"""A fully connected network: the image as one row of numbers (lecture 001, "Idea I").

It has no notion of neighbouring pixels, so a shifted digit is another digit to it.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence

from torch import nn

from striate.models.initialise import initialise


def build(
    *,
    in_channels: int = 1,
    num_classes: int = 10,
    size: tuple[int, int] = (28, 28),
    hidden: Sequence[int] = (256, 128),
    dropout: float = 0.0,
) -> nn.Sequential:
    """Flatten, a fully connected layer with ReLU for each width in `hidden`, one for the classes."""
    layers: OrderedDict[str, nn.Module] = OrderedDict(flatten=nn.Flatten())
    width = in_channels * math.prod(size)
    for i, units in enumerate(hidden, 1):
        layers[f"fc{i}"] = nn.Linear(width, units)
        layers[f"relu{i}"] = nn.ReLU()
        if dropout:
            layers[f"dropout{i}"] = nn.Dropout(dropout)
        width = units
    layers[f"fc{len(hidden) + 1}"] = nn.Linear(width, num_classes)
    network = nn.Sequential(layers)
    initialise(network)
    return network
