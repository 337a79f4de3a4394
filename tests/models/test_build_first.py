"""Every name builds, and gives one score for each class, at the sizes of the small data sets."""

from __future__ import annotations

import pytest
import torch

from striate import models
from striate.errors import UsageError

SMALL_IMAGES = [(1, 28), (3, 32)]


@pytest.mark.parametrize("name", models.names())
@pytest.mark.parametrize(("channels", "side"), SMALL_IMAGES)
def test_every_architecture_takes_small_images(name: str, channels: int, side: int) -> None:
    network = models.build(name, in_channels=channels, num_classes=7, size=side).eval()
    with torch.no_grad():
        assert network(torch.zeros(2, channels, side, side)).shape == (2, 7)


def test_a_typo_gets_the_nearest_names() -> None:
    with pytest.raises(UsageError, match="no model 'resnet-18'; did you mean resnet18"):
        models.build("resnet-18", num_classes=10)
