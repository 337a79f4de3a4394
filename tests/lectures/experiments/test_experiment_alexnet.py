"""The experiment on AlexNet's first units in small: places, views, what counts as oriented and coloured."""

from __future__ import annotations

import math

import pytest
import torch

from striate.lectures.experiments.alexnet.images import Views, middles, places
from striate.lectures.experiments.alexnet.pages import colour_of, orientation_of
from striate.lectures.experiments.alexnet.run import Sizes, alexnet
from striate.lectures.experiments.setting import Setting


def grating(angle: float, cycles: float = 2.0, side: int = 11) -> torch.Tensor:
    rows, columns = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    across = columns * math.cos(angle) + rows * math.sin(angle)
    return torch.cos(2 * math.pi * cycles * across / side)


def test_a_grating_is_oriented_and_a_blob_is_not() -> None:
    rows, columns = torch.meshgrid(torch.arange(11) - 5.0, torch.arange(11) - 5.0, indexing="ij")
    blob = torch.exp(-(rows**2 + columns**2) / 8)
    kernels = torch.stack([grating(0), grating(math.pi / 2), blob])[:, None].repeat(1, 3, 1, 1)
    found = orientation_of(kernels)
    assert found[:2].tolist() == pytest.approx([1, 1], abs=1e-6)
    assert found[2] < 1e-6


def test_grey_has_no_colour_and_opposed_channels_are_nothing_else() -> None:
    one = torch.randn(11, 11)
    kernels = torch.stack([torch.stack([one, one, one]), torch.stack([one, -one, 0 * one])])
    assert colour_of(kernels).tolist() == pytest.approx([0, 1], abs=1e-6)


def test_views_without_change_are_the_middles_up_to_a_mirror() -> None:
    tiles = places()[:6]
    assert tiles.shape == (6, 3, 129, 129)
    still = Views(scale=1.0, turn=0.0, shift=0.0, gain=1.0)
    seen = still(tiles, torch.Generator().manual_seed(0))
    expected = middles(tiles)
    for view, one, other in zip(seen, expected, expected.flip(-1), strict=True):
        assert min(float((view - x).abs().max()) for x in (one, other)) < 1e-3
    moved = Views()(tiles, torch.Generator().manual_seed(0))
    assert torch.equal(moved, Views()(tiles, torch.Generator().manual_seed(0)))
    assert not torch.equal(moved, Views()(tiles, torch.Generator().manual_seed(1)))


def test_the_experiment_in_small() -> None:
    sizes = Sizes(places=8, steps=6, batch=4, epochs=(1, 3), tests=1, units=1)
    units, evolved = alexnet(Setting(seed=1), sizes)
    assert units.data["accuracy"]["views"] == 8
    assert len(units.data["orientation"]) == 96
    assert [row[0] for row in units.tables[0].rows] == ["first group", "second group"]
    assert evolved.data["epochs"] == [1, 3]
    assert list(evolved.data["likeness"]) == ["conv1", "conv2", "conv3", "conv5"]
    assert all(values[-1] == pytest.approx(1) for values in evolved.data["likeness"].values())
