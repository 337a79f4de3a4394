"""Cells with known tuning: Gabor filters, energy cells, and the line network of lecture 003."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from striate.data.lines import line_image
from striate.units import (
    Network,
    Probe,
    examine,
    index_units,
    kernels_of,
    maximise,
    reverse_correlate,
    tune_layer,
    tune_unit,
)

SIGMA = 3.5
CELLS = ((30, 0.15, 0.0), (30, 0.15, -math.pi / 2), (100, 0.1, 0.0), (90, 0.2, 0.0))


def gabor(orientation: float, frequency: float, phase: float, size: int = 21) -> Tensor:
    rows = torch.arange(size)[:, None] - (size - 1) / 2
    cols = torch.arange(size)[None] - (size - 1) / 2
    a = math.radians(orientation)
    across = rows * math.cos(a) + cols * math.sin(a)
    window = torch.exp(-(rows**2 + cols**2) / (2 * SIGMA**2))
    kernel = window * torch.cos(2 * math.pi * frequency * across + phase)
    return kernel - kernel.mean()


class Cells(nn.Module):
    """Gabor filters, rectified (simple cells), or the energy of the first two (a complex cell, Adelson and Bergen 1985)."""

    def __init__(self, energy: bool = False) -> None:
        super().__init__()
        self.filters = nn.Conv2d(1, len(CELLS), 21, bias=False)
        self.energy = energy
        with torch.no_grad():
            self.filters.weight.copy_(torch.stack([gabor(*c) for c in CELLS]).unsqueeze(1))

    def forward(self, x: Tensor) -> Tensor:
        y = self.filters(x)
        return (y * y)[:, 0:1] + (y * y)[:, 1:2] if self.energy else torch.relu(y)


@pytest.fixture(scope="module")
def simple() -> Probe:
    network = Network(Cells(), (1, 1, 40, 40))
    return Probe(network, network.layer("filters"))


@pytest.mark.parametrize("unit", range(len(CELLS)))
def test_gabor_filter_has_its_orientation_frequency_and_bandwidth(simple: Probe, unit: int) -> None:
    orientation, frequency, _ = CELLS[unit]
    found = tune_unit(simple, unit)
    assert found.orientation == pytest.approx(orientation, abs=5)
    assert found.frequency == pytest.approx(frequency, rel=0.1)
    # Where the round Gaussian of the filter's spectrum, at distance f, has fallen to half: 1 - cos = ln 2 / (2 pi sigma f)^2
    half = math.degrees(math.acos(1 - math.log(2) / (2 * math.pi * SIGMA * frequency) ** 2))
    assert found.bandwidth == pytest.approx(half, abs=2)
    assert found.kind == "simple"
    assert found.modulation == pytest.approx(math.pi / 2, rel=0.05)  # of a half-rectified sinusoid
    assert abs((found.bar_orientation - orientation + 90) % 180 - 90) <= 15


def test_energy_cell_is_complex() -> None:
    network = Network(Cells(energy=True), (1, 1, 40, 40))
    found = tune_unit(Probe(network, network.layer("add")), 0)
    assert found.kind == "complex"
    assert found.modulation < 0.05
    assert found.orientation == pytest.approx(30, abs=5)


def test_the_whole_layer_is_tuned_as_each_unit(simple: Probe) -> None:
    layer = tune_layer(simple)
    assert layer.preferred_orientation.tolist() == [30, 30, 105, 90]  # in steps of 15 degrees
    assert (layer.modulation > 1).all()
    assert (layer.circular_variance < 0.6).all()


@pytest.mark.parametrize("unit", range(len(CELLS)))
def test_reverse_correlation_recovers_a_linear_filter(simple: Probe, unit: int) -> None:
    found = reverse_correlate(simple, unit)
    (top, _), (left, _) = found.region
    (t, b), (le, r) = found.field
    inside = found.average[0, t - top : b - top, le - left : r - left]
    kernel = gabor(*CELLS[unit]).numpy()
    assert np.corrcoef(inside.ravel(), kernel.ravel())[0, 1] > 0.9
    assert found.inside is not None
    assert found.inside > 3
    assert found.significance > 8


def test_no_grating_drives_a_silent_unit() -> None:
    module = nn.Sequential(nn.Conv2d(1, 2, 5), nn.ReLU())
    with torch.no_grad():
        module[0].bias.copy_(torch.tensor([-100.0, 0.0]))
    network = Network(module, (1, 1, 16, 16))
    found = tune_unit(Probe(network, network.layers[0]), 0)
    assert (found.kind, found.driven, found.bandwidth) == ("silent", False, None)


class Lines(nn.Module):
    """Lecture 003: two 9x9 kernels, a ReLU, the mean of each map, a matrix."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(1, 2, 9), nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(torch.relu(self.conv(x)).mean((2, 3)))


@pytest.fixture(scope="module")
def lines() -> Network:
    images = torch.stack([torch.from_numpy(line_image(i, size=32).copy()) for i in range(256)])
    x, y = images.unsqueeze(1).float() / 255, torch.arange(256) % 2
    torch.manual_seed(0)
    module = Lines()
    with torch.no_grad():  # the signs of the lecture's matrix
        module.fc.weight.copy_(torch.tensor([[1.0, -1.0], [-1.0, 1.0]]))
    optimizer = torch.optim.Adam(module.parameters(), lr=0.01)
    for _ in range(120):
        loss = nn.functional.cross_entropy(5 * module(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert (module(x).argmax(1) == y).float().mean() > 0.97
    return Network(module, (1, 1, 32, 32))


def direction(image: np.ndarray) -> float:
    """From -1, horizontal stripes only, to 1, vertical ones: by the gradient across and down."""
    right, down = np.diff(image, axis=1), np.diff(image, axis=0)
    a, b = float((right**2).sum()), float((down**2).sum())
    return (a - b) / (a + b)


def test_line_network_has_one_unit_for_vertical_and_one_for_horizontal(lines: Network) -> None:
    """Kernels, tuning, preferred class, synthesis and pooled units are those of the lecture."""
    layer = lines.layers[0]
    images = torch.stack(
        [torch.from_numpy(line_image(i, seed=1, size=32).copy()) for i in range(80)]
    )
    index = index_units(lines, [(images.unsqueeze(1), torch.arange(80) % 2)], classes=2)[layer.name]
    probe = Probe(lines, layer)
    tuned = [tune_unit(probe, u) for u in range(2)]
    vertical = min(range(2), key=lambda u: abs(tuned[u].orientation - 90))
    horizontal = 1 - vertical
    assert abs(tuned[vertical].orientation - 90) <= 10
    assert abs((tuned[horizontal].orientation + 90) % 180 - 90) <= 10
    assert abs(tuned[vertical].bar_orientation - 90) <= 15
    assert all(t.circular_variance < 0.7 for t in tuned)
    assert index.preferred is not None
    assert (int(index.preferred[vertical]), int(index.preferred[horizontal])) == (0, 1)
    kernels = kernels_of(lines, layer)
    assert kernels is not None
    assert direction(kernels[vertical, 0].numpy()) > 0.3
    assert direction(kernels[horizontal, 0].numpy()) < -0.3
    assert examine(kernels).noisy.tolist() == [False, False]
    for unit, sign in ((vertical, 1), (horizontal, -1)):
        painted = maximise(lines, layer, unit, steps=40, seeds=2)
        assert painted.images.shape == (2, 1, 9, 9)
        assert (painted.end > painted.start).all()
        assert all(sign * direction(i[0].numpy()) > 0.2 for i in painted.images)


def test_pooling_over_space_makes_complex_cells_of_simple_ones(lines: Network) -> None:
    simple = tune_layer(Probe(lines, lines.layers[0]), frequency_count=3)
    pooled = tune_layer(Probe(lines, lines.layer("mean")), frequency_count=3)
    assert (simple.modulation > 1).all()
    # at one cycle in 8 pixels, three across the map
    best = pooled.mean[:, :, 1].argmax(1)
    ratio = (pooled.first[:, :, 1] / pooled.mean[:, :, 1].clamp(min=1e-9))[torch.arange(2), best]
    assert (ratio < 0.1).all()
