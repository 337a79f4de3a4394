"""Networks of a person's own: what holds their output to the prediction does not show in what they are called."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import striate


class Coarse(nn.Module):
    """A segmenter that gives a dict, of maps at the images' size or at half of it."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 2, 3, padding=1, stride=stride)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        return {"out": self.layer(images)}


@pytest.mark.parametrize("stride", [1, 2])
def test_the_summary_names_the_network_itself(stride: int) -> None:
    torch.manual_seed(0)
    trained = striate.wrap(
        Coarse(stride),
        classes=["a", "b"],
        preprocessing=(16, (0.5,) * 3, (0.5,) * 3),
        task="segment",
    )
    assert trained.summary(grown=False).title == "Coarse on 3×16×16"
