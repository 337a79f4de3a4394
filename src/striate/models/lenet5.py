"""LeNet-5: two convolutions with pooling, three fully connected layers, in the lectures' two forms.

Source: LeCun, Bottou, Bengio, Haffner, "Gradient-based learning applied to document recognition"
(1998), figure 2.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Literal

from torch import nn

from striate.errors import UsageError
from striate.models.initialise import initialise

# name -> (activation, pooling, zeros around the image). Lecture 001 pads images of 28 pixels to the 32
# of the paper;
# lecture 002 expects 32.
FORMS: dict[str, tuple[type[nn.Module], type[nn.Module], int]] = {
    "sigmoid": (nn.Sigmoid, nn.AvgPool2d, 2),
    "tanh": (nn.Tanh, nn.MaxPool2d, 0),
}


def build(
    *,
    in_channels: int = 1,
    num_classes: int = 10,
    size: tuple[int, int] = (28, 28),
    form: Literal["sigmoid", "tanh"] = "sigmoid",
) -> nn.Sequential:
    """6 and 16 maps by 5 x 5 convolutions, halved by pooling, then 120, 84, `num_classes` units.

    form: "sigmoid" with average pooling and 2 pixels of padding, for 28 x 28 (lecture 001), or "tanh"
    with max pooling and no padding, for 32 x 32 (lecture 002). Gives logits: the softmax of lecture 002
    belongs to the loss.
    Raises UsageError for another form, and for images under 12 x 12 ("sigmoid") or 16 x 16 pixels
    ("tanh").
    """
    if form not in FORMS:
        raise UsageError(f"lenet5: form must be one of {', '.join(FORMS)}, got {form!r}")
    activation, pooling, padding = FORMS[form]
    height, width = (((n + 2 * padding - 4) // 2 - 4) // 2 for n in size)
    if min(height, width) < 1:
        least = 16 - 2 * padding
        raise UsageError(
            f"lenet5 shrinks an image of {size[0]} x {size[1]} pixels below one pixel at pool2; "
            f"give images of at least {least} x {least} pixels"
        )
    features = OrderedDict(
        conv1=nn.Conv2d(in_channels, 6, 5, padding=padding),
        act1=activation(),
        pool1=pooling(2),
        conv2=nn.Conv2d(6, 16, 5),
        act2=activation(),
        pool2=pooling(2),
    )
    classifier = OrderedDict(
        fc1=nn.Linear(16 * height * width, 120),
        act1=activation(),
        fc2=nn.Linear(120, 84),
        act2=activation(),
        fc3=nn.Linear(84, num_classes),
    )
    network = nn.Sequential(
        OrderedDict(
            features=nn.Sequential(features),
            flatten=nn.Flatten(),
            classifier=nn.Sequential(classifier),
        )
    )
    initialise(network, form)
    return network
