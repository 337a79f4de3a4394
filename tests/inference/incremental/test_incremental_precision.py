"""The clean activations are computed in more digits than the network's and rounded once."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from striate.inference.incremental import Incremental


class Deep(nn.Module):
    """Many convolutions, behind an interpolation by `scale` that reads the nearest pixel."""

    def __init__(self, scale: float = 1.0, cast: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.scale, self.cast = scale, cast
        self.layers = nn.ModuleList(nn.Conv2d(8 if i else 3, 8, 3, 1, 1) for i in range(6))

    def forward(self, x: Tensor) -> Tensor:
        if self.scale != 1:
            x = nn.functional.interpolate(x, scale_factor=self.scale, mode="nearest")
        for layer in self.layers:
            x = layer(x).relu()
        if self.cast:
            x = x.to(torch.bfloat16).to(torch.float32)
        return x.flatten(1)


def clean(network: nn.Module, image: Tensor) -> Tensor:
    output = Incremental(network.eval(), image).output
    assert isinstance(output, Tensor)
    return output


def test_clean_values_are_those_of_double_precision_rounded_once() -> None:
    network, image = Deep(), torch.rand(1, 3, 24, 24)
    with torch.no_grad():
        wanted = copy.deepcopy(network).double()(image.double()).float()
    assert torch.equal(clean(network, image), wanted)


def test_clean_values_are_the_networks_own_where_it_rounds_itself() -> None:
    """An interpolation whose positions depend on the number of digits, and a cast to fewer digits inside."""
    image = torch.rand(1, 3, 23, 23)
    for network in (Deep(scale=1.85), Deep(cast=True)):
        with torch.no_grad():
            wanted = network(image)
        torch.testing.assert_close(clean(network, image), wanted, rtol=1e-5, atol=1e-6)
