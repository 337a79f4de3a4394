"""What the module itself refuses is refused, whatever it raises; and nothing of the user's is used up."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from striate.errors import GeometryError
from striate.inference.dense import dense


class Columns(nn.Module):
    """Reads two columns by number: a trace, which has no data, does not see that a window lacks one."""

    def forward(self, x: Tensor) -> Tensor:
        return x[..., torch.tensor([3, 13])].mean((2, 3))


def test_an_index_that_the_window_does_not_have() -> None:
    image = torch.rand(1, 3, 20, 20)
    assert dense(Columns(), image, window=14).shape == (1, 3, 7, 7)
    with pytest.raises(GeometryError, match="refuses patches of 8x8 pixels"):
        dense(Columns(), image, window=8)


def test_the_random_state_of_the_user_stays() -> None:
    module = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)
    )
    image = torch.rand(1, 3, 12, 12)
    state = torch.random.get_rng_state()
    dense(module, image, window=8)
    assert torch.equal(state, torch.random.get_rng_state())
