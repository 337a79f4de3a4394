"""The networks of the sample experiment: three of as many parameters that differ in what they take for granted."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from functools import partial

import torch
from torch import nn

from striate.errors import UsageError
from striate.nn import LocallyConnected2d

LEAST = 4  # pixels a side: below, there is no place for two windows
MOST_STAGES = 3
FEW, MANY = 15_000, 90_000  # parameters for small and larger images
SMALL = 16  # pixels a side up to which FEW are enough
WIDEST = 4096

Make = Callable[[int], nn.Module]


def stages(side: int) -> int:
    """How often maps of `side` pixels are halved: to 2 pixels or 3 times."""
    return max(1, min(MOST_STAGES, (side // 2).bit_length() - 1))


def mlp(width: int, *, channels: int, side: int, classes: int) -> nn.Module:
    """One hidden layer: no notion of neighbours."""
    return nn.Sequential(
        OrderedDict(
            flatten=nn.Flatten(),
            fc1=nn.Linear(channels * side * side, width),
            relu=nn.ReLU(),
            fc2=nn.Linear(width, classes),
        )
    )


def windows(width: int, *, shared: bool, channels: int, side: int, classes: int) -> nn.Module:
    """3 x 3 windows with ReLU and max pooling, `width` maps and twice as many a stage; then a linear layer on all places.

    shared: one kernel for all places, a convolution; else one for each, locally connected.
    """
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for i in range(1, stages(side) + 1):
        layers[f"windows{i}"] = (
            nn.Conv2d(channels, width, 3, padding=1)
            if shared
            else LocallyConnected2d(channels, width, 3, padding=1, input_size=side)
        )
        layers[f"relu{i}"], layers[f"pool{i}"] = nn.ReLU(), nn.MaxPool2d(2)
        channels, width, side = width, 2 * width, side // 2
    layers["flatten"] = nn.Flatten()
    layers["fc"] = nn.Linear(channels * side * side, classes)
    return nn.Sequential(layers)


def parameters_of(make: Make, width: int) -> int:
    """How many parameters a network of this width has."""
    with torch.device("meta"):
        return sum(p.numel() for p in make(width).parameters())


def closest(make: Make, parameters: int) -> int:
    """The width with which a network has closest to so many parameters."""
    low, high = 1, WIDEST
    while low < high:  # the first width with at least as many
        middle = (low + high) // 2
        if parameters_of(make, middle) < parameters:
            low = middle + 1
        else:
            high = middle
    around = [w for w in (low - 1, low) if w >= 1]
    return min(around, key=lambda w: abs(parameters_of(make, w) - parameters))


def matched(channels: int, side: int, classes: int) -> dict[str, Callable[[], nn.Module]]:
    """What makes each of the three networks, by name, all with as many parameters as a width in whole numbers allows.

    The locally connected one has the coarsest steps, so it is made first and the others follow it. Raises UsageError for
    images that are too small for windows.
    """
    if side < LEAST:
        raise UsageError(
            f"the networks of the experiment need images of at least {LEAST} x {LEAST} pixels, got {side} x {side}; enlarge "
            "the images"
        )
    size = {"channels": channels, "side": side, "classes": classes}
    local: Make = partial(windows, shared=False, **size)
    width = closest(local, FEW if side <= SMALL else MANY)
    count = parameters_of(local, width)
    made: dict[str, Callable[[], nn.Module]] = {}
    for name, make in (
        ("mlp", partial(mlp, **size)),
        ("locally connected", local),
        ("convolution", partial(windows, shared=True, **size)),
    ):
        made[name] = partial(make, closest(make, count))
    return made
