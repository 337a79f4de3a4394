"""AlexNet: five convolutions and three fully connected layers, the first to win ImageNet.

Two forms: `alexnet` is the single tower of Krizhevsky, "One weird trick for parallelizing convolutional
neural networks" (2014), with 64 to 384 maps a layer, as torchvision has it; `alexnet-2012` is the paper's
(lectures 001, 002, 003), with the 96 first units that everybody knows, local response normalisation, and
layers whose two groups of maps lay on two GPUs.
Source: Krizhevsky, Sutskever, Hinton, "ImageNet classification with deep convolutional neural
networks" (2012).
"""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from striate.errors import UsageError
from striate.models.initialise import initialise
from striate.models.stem import is_small

FORMS = {"2014": (64, 192, 384, 256, 256), "2012": (96, 256, 384, 384, 256)}  # maps of each layer


def response_norm() -> nn.LocalResponseNorm:
    """Section 3.3 of the paper: k = 2, n = 5, alpha = 1e-4 a map (torch divides its alpha by n), beta = 0.75."""
    return nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0)


def build(
    *,
    in_channels: int = 3,
    num_classes: int = 1000,
    size: tuple[int, int] = (224, 224),
    small_stem: bool | None = None,
    dropout: float = 0.5,
    form: str = "2014",
) -> nn.Sequential:
    """Parameter names of the form of 2014 are torchvision's.

    form: "2014" or "2012", see above. Raises UsageError for another.
    small_stem: begin with a 5 x 5 convolution of stride 1 in place of 11 x 11, stride 4, and hand 2
    x 2 positions to the fully connected layers in place of 6 x 6; None decides by `size`.
    """
    small = is_small(size) if small_stem is None else small_stem
    if form not in FORMS:
        raise UsageError(f"form must be one of {', '.join(FORMS)}, got {form!r}")
    paper = form == "2012"
    one, two, three, four, five = FORMS[form]
    groups = 2 if paper else 1
    first = (
        nn.Conv2d(in_channels, one, 5, padding=2)
        if small
        else nn.Conv2d(in_channels, one, 11, stride=4, padding=2)
    )
    features = nn.Sequential(
        first,
        nn.ReLU(),
        *([response_norm()] if paper else []),
        nn.MaxPool2d(3, stride=2),
        nn.Conv2d(one, two, 5, padding=2, groups=groups),
        nn.ReLU(),
        *([response_norm()] if paper else []),
        nn.MaxPool2d(3, stride=2),
        nn.Conv2d(two, three, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(three, four, 3, padding=1, groups=groups),
        nn.ReLU(),
        nn.Conv2d(four, five, 3, padding=1, groups=groups),
        nn.ReLU(),
        nn.MaxPool2d(3, stride=2),
    )
    side = 2 if small else 6
    classifier = nn.Sequential(
        nn.Dropout(dropout),
        nn.Linear(five * side * side, 4096),
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
