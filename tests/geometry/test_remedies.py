"""What a refusal says to do instead works when it is done."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from striate.errors import GeometryError, UsageError
from striate.geometry import trace
from striate.inference.incremental import occlusion
from striate.inference.tiled import tiled

X = torch.rand(1, 3, 20, 22, generator=torch.Generator().manual_seed(0))


class Siamese(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 4, 3), nn.Linear(4, 3)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return self.last((self.first(a) - self.first(b)).abs().mean((2, 3)))


class Beside(nn.Module):
    def __init__(self, network: nn.Module, other: Tensor) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("other", other)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.network(x, self.other)
        return found


def test_a_second_input_is_fixed_by_a_module_around_the_network() -> None:
    network = Siamese().eval()
    with pytest.raises(
        UsageError, match="the other inputs for all that runs one image, a module around it fixes"
    ):
        tiled(network, X, tile=8)
    assert len(trace(network, {"a": X, "b": X}).inputs) == 2
    around = Beside(network, X.flip(3)).eval()
    torch.testing.assert_close(tiled(around, X, tile=8), network(X, X.flip(3)))
    assert occlusion(around, X, 1, patch=6, stride=6).shape == (3, 3)


class Branch(nn.Module):
    def __init__(self, how: str) -> None:
        super().__init__()
        self.how, self.first = how, nn.Conv2d(3, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        if self.how == "where":
            x = torch.where(x.amax((1, 2, 3), keepdim=True) > 0.5, x / 255, x)
        elif x.max() > 0.5:
            x = x / 255
        return self.first(x)


def test_a_choice_by_a_number_is_written_with_where() -> None:
    with pytest.raises(GeometryError, match=r"write an if as torch\.where"):
        tiled(Branch("if").eval(), X, tile=8)
    module = Branch("where").eval()
    torch.testing.assert_close(tiled(module, X, tile=8), module(X))


class Nested(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.nested.nested_tensor(list(x.flatten(2))).to_padded_tensor(0.0)


def test_nested_tensors_are_called_so() -> None:
    with pytest.raises(GeometryError, match="makes a nested tensor"):
        trace(Nested(), X)


class Grown(nn.Module):
    """A size from a table that each step doubles by adding it to itself, as anchors and relative positions are built."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("table", torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        t = self.table
        for _ in range(60):
            t = (t + t) / 2
        return x[..., : int(t) + 4]


def test_numbers_from_a_buffer_are_computed_once_each() -> None:
    """Sixty steps that each read one value twice: 2^60 calls if nothing is remembered."""
    assert trace(Grown(), X).values[-1].shape[-1] == 5
