"""Networks that find objects, by name: `centernet`, `centernet:BACKBONE`."""

from __future__ import annotations

from torch import nn

from striate.models.centernet import CenterNet

DETECTORS = ("centernet",)
SIZE = (128, 128)


def is_detector(spec: str) -> bool:
    """Whether `spec` names a network that gives the objects of an image."""
    return spec.strip().lower().replace("_", "-").partition(":")[0] in DETECTORS


def centernet_entry(
    *, in_channels: int, num_classes: int, size: tuple[int, int], width: int = 32
) -> nn.Module:
    """CenterNet without a backbone of another; `size` does not change it."""
    return CenterNet(in_channels, num_classes, width=width)
