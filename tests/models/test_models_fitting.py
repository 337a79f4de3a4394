"""Asking whether an image fits leaves the network as it was."""

from __future__ import annotations

import torch
from torch import nn

from striate.models.fitting import misfit


class TwoNames(nn.Module):
    """A layer that has two names, as in timm's CoaT: `self.mlp2 = self.mlp3 = ...`."""

    def __init__(self) -> None:
        super().__init__()
        self.first = self.second = nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3))
        self.tied = nn.Conv2d(3, 3, 3, padding=1)
        self.tied.weight = self.first[0].weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.tied(self.second(self.first(x)))


def test_layers_and_weights_with_two_names_keep_their_numbers() -> None:
    network = TwoNames().eval()
    x = torch.rand(1, 3, 8, 8)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with torch.no_grad():
        answer = network(x)
        assert misfit(network, 3, (8, 8)) is None
        assert torch.equal(network(x), answer)
    assert network.first[0].weight is network.tied.weight
    assert not any(p.is_meta for p in (*network.parameters(), *network.buffers()))
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name])
