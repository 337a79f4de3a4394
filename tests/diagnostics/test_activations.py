"""Activations: planted units are found however the nonlinearity is written, and the module is given back."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.diagnostics import activations
from striate.diagnostics.activations import sparseness
from striate.errors import DataError, UsageError


def planted() -> nn.Linear:
    """Unit 2 always far below 0, unit 5 far above, unit 7 a copy of unit 1, unit 6 the mirror of unit 0."""
    torch.manual_seed(1)
    layer = nn.Linear(4, 8)
    with torch.no_grad():
        layer.bias[2], layer.weight[2] = -50.0, 0.01
        layer.bias[5], layer.weight[5] = 50.0, 0.01
        layer.weight[7], layer.bias[7] = layer.weight[1], layer.bias[1]
        layer.weight[6], layer.bias[6] = -layer.weight[0], -layer.bias[0]
    return layer


class Written(nn.Module):
    """A linear layer with its nonlinearity written as a function."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how, self.first = how, planted()

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        if self.how == "relu":
            return F.relu(x)
        if self.how == "in place, then overwritten":
            return x.relu_().mul_(0)
        if self.how == "clamp":
            return x.clamp(min=0)
        if self.how == "relu6":
            return F.relu6(x)
        if self.how == "sigmoid":
            return torch.sigmoid(x)
        return torch.tanh_(x)


def points(n: int = 100) -> Tensor:
    return torch.randn(n, 4, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("how", "name", "dead", "saturated"),
    [
        ("relu", "relu", [2], []),
        ("in place, then overwritten", "relu", [2], []),
        ("clamp", "clamp", [2], []),
        ("relu6", "hardtanh", [2], [5]),
        ("sigmoid", "sigmoid", [], [2, 5]),
        ("tanh", "tanh", [], [2, 5]),
    ],
)
def test_planted_units_are_found_in_functions(
    how: str, name: str, dead: list[int], saturated: list[int]
) -> None:
    found = activations(Written(how), points()).data["layers"]
    assert list(found) == [name]
    assert found[name]["dead"] == dead and found[name]["saturated"] == saturated
    assert (1, 7) in found[name]["correlated"]
    assert ((0, 6) in found[name]["correlated"]) == (how in ("tanh", "sigmoid"))  # mirrored: r = -1


def test_modules_are_named_as_they_are_and_a_reused_one_by_its_turn() -> None:
    relu = nn.ReLU(inplace=True)
    net = nn.Sequential(planted(), relu, nn.Linear(8, 6), relu, nn.Linear(6, 5), nn.ReLU6())
    found = activations(net, points()).data["layers"]
    assert list(found) == ["1", "1#2", "5"]
    assert [found[n]["units"] for n in found] == [8, 6, 5] and found["1"]["dead"] == [2]


@pytest.mark.parametrize("last", [False, True])
def test_units_are_channels_wherever_the_layer_puts_them(last: bool) -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.mix = nn.Linear(3, 5) if last else nn.Conv2d(3, 5, 1)
            with torch.no_grad():
                self.mix.bias[4] = -100.0

        def forward(self, x: Tensor) -> Tensor:
            return F.relu(self.mix(x.movedim(1, -1) if last else x))

    found = activations(Net(), torch.randn(6, 3, 7, 9)).data["layers"]["relu"]
    assert found["units"] == 5 and found["dead"] == [4]


def test_a_unit_that_is_on_but_ignores_the_image_is_found() -> None:
    net = nn.Sequential(planted(), nn.ReLU())
    with torch.no_grad():
        net[0].weight[5] = 0.0
    found = activations(net, points())
    assert found.data["layers"]["1"]["ignoring"] == [2, 5]
    assert found.status == "warning"
    assert found.verdict.startswith("25 % of the 8 units of 1 ignore the input in 100 images")


def test_bad_training_is_told_from_good() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Linear(16, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 2)
    )
    x = torch.randn(200, 16)
    good = activations(net, x)
    assert good.status == "good" and good.data["layers"]["1"]["ignoring"] == []
    with torch.no_grad():
        net[2].bias -= 100
    bad = activations(net, x)
    assert bad.status == "problem"
    assert bad.data["layers"]["3"]["dead"] == list(range(64))


def test_sparseness_by_hand() -> None:
    # One of four alone: 1; all alike: 0; (3, 1): (1 - 4 / 5) / (1 - 1 / 2) = 0.4.
    assert sparseness(torch.tensor([[0.0, 0, 5, 0], [2, 2, 2, 2]])).tolist() == pytest.approx(
        [1, 0]
    )
    assert sparseness(torch.tensor([[3.0, 1.0]])).tolist() == pytest.approx([0.4])


def test_the_module_is_given_back() -> None:
    net = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout())
    net[1].eval()
    before = {k: v.clone() for k, v in net.state_dict().items()}
    activations(net, points())
    assert net.training and not net[1].training and net[3].training
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in net.modules())


def test_activations_need_images_weights_and_nonlinearities() -> None:
    net = nn.Sequential(planted(), nn.ReLU())
    with pytest.raises(UsageError, match="give 2 or more images, got 1"):
        activations(net, torch.zeros(1, 4))
    with pytest.raises(UsageError, match="has no nonlinearity"):
        activations(nn.Linear(4, 3), torch.zeros(2, 4))
    with torch.no_grad():
        net[0].weight[3, 1] = torch.nan
    with pytest.raises(DataError, match=r"1 of 32 numbers of 0\.weight are not finite"):
        activations(net, points())
