"""Filters: noise, duplicates, empty filters and layers that never moved are named."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from striate.diagnostics import filters
from striate.errors import DataError, UsageError


def network(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(3, 32, 3), nn.ReLU(), nn.Conv2d(32, 32, 3), nn.ReLU(), nn.Conv2d(32, 48, 3, groups=2)
    )  # fmt: skip


def smooth(layer: nn.Conv2d) -> None:
    """Each filter a slope of its own."""
    with torch.no_grad():
        ramp = torch.linspace(-1, 1, 3)
        a, b = torch.randn(2, *layer.weight.shape[:2], 1, 1)
        layer.weight.copy_(a * ramp + b * ramp[:, None])


def test_an_untrained_network_is_named_as_such() -> None:
    found = filters(network())
    assert found.status == "problem"
    assert (
        found.verdict == "The filters of none of 3 layers can be distinguished from random weights."
    )
    same = filters(network(), start=network())
    assert all(v["like_start"] == pytest.approx(1) for v in same.data["layers"].values())


def test_a_layer_of_noise_is_named_among_layers_with_structure() -> None:
    net = network()
    smooth(net[2]), smooth(net[4])
    found = filters(net, start=network(1))
    assert found.status == "note"
    assert [v["noise"] for v in found.data["layers"].values()] == [True, False, False]
    smooth(net[0])
    good = filters(net, start=network(1))
    assert good.status == "good"


def test_duplicates_and_empty_filters_are_counted() -> None:
    net = network()
    for layer in (net[0], net[2], net[4]):
        smooth(layer)
    with torch.no_grad():
        net[0].weight[8:] = net[0].weight[:8].repeat(3, 1, 1, 1)
        net[2].weight[:6] = 0
    found = filters(net)
    assert found.status == "warning"
    assert found.data["layers"]["0"]["duplicates"] == list(range(32))
    assert found.data["layers"]["2"]["empty"] == list(range(6))
    assert len(found.figures) == 1


def test_a_fully_connected_first_layer_is_looked_at_as_images() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 20), nn.ReLU(), nn.Linear(20, 10))
    assert filters(net, shape=(1, 8, 8)).data["layers"]["1"]["noise"] is True
    with torch.no_grad():
        wave = torch.sin(torch.arange(8) * 0.8)
        net[1].weight.copy_(
            (torch.randn(20, 1, 1) * wave + torch.randn(20, 1, 1) * wave[:, None]).flatten(1)
        )
    assert filters(net, shape=(1, 8, 8)).data["layers"]["1"]["noise"] is False


def test_networks_without_filters_and_broken_weights_are_refused() -> None:
    with pytest.raises(UsageError, match="no convolution"):
        filters(nn.Linear(4, 3))
    net = copy.deepcopy(network())
    with torch.no_grad():
        net[2].weight[0, 0, 0, 0] = torch.inf
    with pytest.raises(DataError, match=r"1 of 9,216 numbers of 2\.weight are not finite"):
        filters(net)
