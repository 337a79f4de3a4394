"""Exact fields and pixel utilisation, by examples that a reader can count."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torchvision import models

from striate.errors import UsageError
from striate.geometry import receptive_field, trace, utilisation


def test_pixel_utilisation_of_lecture_001() -> None:
    """Kernels of 1, 2 and 3 on 5x5 pixels: the corner is read once, the centre k*k times (the figure of lecture 001)."""
    edge = {1: [1, 1, 1, 1, 1], 2: [1, 2, 2, 2, 1], 3: [1, 2, 3, 2, 1]}
    for kernel, counts in edge.items():
        geometry = trace(nn.Conv2d(1, 1, kernel), (1, 1, 5, 5))
        assert np.array_equal(utilisation(geometry), np.outer(counts, counts))
        assert np.array_equal(utilisation(geometry, count="paths"), np.outer(counts, counts))


def test_paths_are_what_equal_weights_give() -> None:
    """Two 3x3 layers: positions count to 5, paths to 9 along a row (1 2 3 2 1 convolved with the border)."""
    network = nn.Sequential(*[nn.Conv2d(1, 1, 3, bias=False) for _ in range(2)]).double()
    for p in network.parameters():
        nn.init.ones_(p)
    geometry = trace(network, (1, 1, 9, 9))
    x = torch.zeros(1, 1, 9, 9, dtype=torch.float64, requires_grad=True)
    network(x).sum().backward()
    assert x.grad is not None
    assert np.array_equal(utilisation(geometry, count="paths"), x.grad[0, 0].numpy())
    assert utilisation(geometry, "1")[4].tolist() == [5 * n for n in (1, 2, 3, 4, 5, 4, 3, 2, 1)]


def test_a_dilated_kernel_sees_a_grid() -> None:
    """3x3 with dilation 2: nine pixels, every second one (the holes of a-trous convolution)."""
    found = receptive_field(
        trace(nn.Conv2d(1, 1, 3, dilation=2), (1, 1, 9, 9)), "convolution", (1, 2)
    )
    assert found.index(0) == (1, 3, 5)
    assert found.index(1) == (2, 4, 6)
    assert found.box == ((1, 6), (2, 7))
    assert found.count == 9


def test_a_stride_beyond_the_kernel_leaves_pixels_unseen() -> None:
    counts = utilisation(trace(nn.Conv2d(1, 1, 1, stride=2), (1, 1, 4, 4)))
    assert counts.tolist() == [[1, 0, 1, 0], [0, 0, 0, 0], [1, 0, 1, 0], [0, 0, 0, 0]]


class Cross(nn.Module):
    """A row and a column, side by side, as Inception factorises its kernels."""

    def __init__(self) -> None:
        super().__init__()
        self.row = nn.Conv2d(1, 1, (1, 3), padding=(0, 1))
        self.column = nn.Conv2d(1, 1, (3, 1), padding=(1, 0))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.row(x), self.column(x)], 1)


def test_branches_see_a_cross_not_a_square() -> None:
    geometry = trace(Cross(), (1, 1, 5, 5))
    found = receptive_field(geometry, "cat", (2, 2))
    assert found.mask[1:4, 1:4].astype(int).tolist() == [[0, 1, 0], [1, 1, 1], [0, 1, 0]]
    assert found.box == ((1, 4), (1, 4))
    corner = receptive_field(geometry, "cat", (0, 0))
    assert corner.count == 3


def test_the_field_is_clipped_where_the_axis_is_not() -> None:
    geometry = trace(models.resnet18().eval(), (1, 3, 64, 64))
    layer = next(x for x in geometry if x.name == "layer1.1.conv2")
    axis = layer.receptive_field[0]
    assert axis is not None
    for place in (0, 7, 15):
        start = axis.start + axis.stride * place
        want = (max(start, 0), min(start + axis.size, 64))
        assert geometry.receptive_field("layer1.1.conv2", (place, 7)).box[0] == want
    assert geometry.receptive_field("fc").count == 64 * 64


def test_a_network_without_positions_says_so() -> None:
    geometry = trace(nn.Linear(4, 2), (1, 4))
    with pytest.raises(UsageError, match="no layer of this network keeps positions"):
        utilisation(geometry)


def test_the_local_field_leaves_gates_and_statistics_out() -> None:
    """Squeeze-and-excitation and group norm see everything; by itself the second 3x3 layer sees 5x5."""

    class Gated(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
            self.norm, self.f = nn.GroupNorm(2, 4), nn.Conv2d(4, 4, 1)

        def forward(self, x: Tensor) -> Tensor:
            x = self.norm(self.a(x))
            x = x * self.f(x.mean((2, 3), keepdim=True)).sigmoid()
            return self.b(x)

    layers = {x.name: x for x in trace(Gated(), (1, 1, 16, 16))}
    assert layers["b"].receptive_field == (None, None)
    assert [(a.size, a.start) for a in layers["b"].local_field if a] == [(5, -2), (5, -2)]
    assert layers["f"].local_field == (None, None)
    assert layers["a"].local_field == layers["a"].receptive_field
