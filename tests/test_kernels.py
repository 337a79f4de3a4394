"""Kernels: structure is told from noise, by layer and by filter; duplicates only among filters of the same channels."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from striate.kernels import BEYOND, duplicates, examine, roughness, second_moments


def first_weights(shape: tuple[int, ...], seed: int) -> Tensor:
    weight = torch.empty(shape)
    return nn.init.kaiming_uniform_(weight, a=5**0.5, generator=torch.Generator().manual_seed(seed))


def gabors(units: int, channels: int, side: int, noise: float) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    at = torch.arange(side) - side // 2
    angle = torch.rand(units, generator=generator)[:, None, None] * torch.pi
    wave = torch.cos(1.2 * (at * angle.cos() + at[:, None] * angle.sin()))
    wave = wave * torch.exp(-(at**2 + at[:, None] ** 2) / side)
    weight = torch.rand(units, channels, 1, 1, generator=generator) * wave[:, None]
    return weight + noise * weight.std() * torch.randn(weight.shape, generator=generator)


@pytest.mark.parametrize("shape", [(32, 16, 3, 3), (32, 3, 3, 3), (48, 1, 3, 3), (16, 3, 7, 7)])
def test_first_weights_are_noise_layer_by_layer_and_filter_by_filter(
    shape: tuple[int, ...],
) -> None:
    found = [examine(first_weights(shape, seed)) for seed in range(12)]
    assert all(f.structure is not None and f.structure < BEYOND for f in found)
    if (
        shape[1] * shape[2] * shape[3] >= 27
    ):  # three tests of 2 % each: 6 % of random filters pass one
        assert torch.stack([f.noisy.float().mean() for f in found]).mean() > 0.88
    else:
        assert found[0].noise is None


@pytest.mark.parametrize(("channels", "side"), [(3, 7), (3, 5), (16, 3), (1, 9)])
def test_oriented_filters_have_structure_even_under_noise(channels: int, side: int) -> None:
    found = examine(gabors(32, channels, side, noise=0.5))
    assert found.structure is not None and found.structure > 2 * BEYOND
    assert float(found.noisy.float().mean()) < 0.2


def test_too_few_weights_are_not_judged() -> None:
    found = examine(first_weights((16, 1, 3, 3), 0))
    assert found.structure is None and found.noise is None and not found.noisy.any()


def test_duplicates_by_sign_and_by_group() -> None:
    kernels = first_weights((6, 2, 3, 3), 0)
    kernels[3], kernels[5] = 2 * kernels[0] + 0.1, -kernels[1]
    assert examine(kernels).duplicates.nonzero().flatten().tolist() == [0, 3]
    both = examine(kernels, opposite=True)
    assert both.duplicates.nonzero().flatten().tolist() == [0, 1, 3, 5]
    assert both.twin[[0, 1, 3, 5]].tolist() == [3, 5, 0, 1]
    # In two groups of three, filters 0 and 3 see different channels.
    assert not examine(kernels, groups=2, opposite=True).duplicates.any()
    assert not examine(kernels[:, :1], groups=6).duplicates.any()


def test_empty_filters_are_no_duplicates() -> None:
    kernels = first_weights((4, 2, 3, 3), 0)
    kernels[1] = kernels[2] = 0
    found = examine(kernels)
    assert found.empty.tolist() == [False, True, True, False] and not found.duplicates.any()


def test_duplicates_alone_are_those_of_a_whole_look() -> None:
    kernels = first_weights((6, 2, 3, 3), 0)
    kernels[3], kernels[4] = 2 * kernels[0], 3 * kernels[1]
    for groups in (1, 2):
        assert torch.equal(duplicates(kernels, groups=groups), examine(kernels, groups=groups).duplicates)  # fmt: skip
    assert duplicates(kernels).nonzero().flatten().tolist() == [0, 1, 3, 4]
    assert not duplicates(kernels, groups=2).any()


def test_roughness_is_that_of_neighbouring_weights() -> None:
    kernels = torch.randn(
        4, 2, 3, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0)
    )
    found = roughness(second_moments(kernels), wide=5)
    for kernel, value in zip(kernels, found.tolist(), strict=True):
        down = sum(float((s[i] - s[i - 1]).square().sum()) for s in kernel for i in range(1, 3))
        right = sum(
            float((s[:, i] - s[:, i - 1]).square().sum()) for s in kernel for i in range(1, 5)
        )
        spread = sum(float((s - s.mean()).square().sum()) for s in kernel)
        assert value == pytest.approx(min(down, right) / spread, rel=1e-12)
