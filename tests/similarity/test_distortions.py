"""Distortions by number, and stability of features to them."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from striate.similarity import Comparer, pixel_scores
from striate.similarity.distortions import blur, deform, displacement, jpeg, noise, shift
from striate.similarity.stability import stability


def image(side: int = 32) -> torch.Tensor:
    rows = torch.linspace(0, 6, side)
    return (0.5 + 0.4 * torch.sin(rows[:, None] + 2 * rows[None])).expand(3, -1, -1).contiguous()


def test_displacement_has_its_length() -> None:
    field = displacement((40, 50), 3.0, torch.Generator().manual_seed(0))
    assert field.shape == (40, 50, 2)
    assert field.square().sum(-1).mean().sqrt().item() == pytest.approx(3.0, rel=1e-5)


def test_deform_by_a_constant_field_is_a_shift() -> None:
    """Reading one pixel further right moves the image left by one."""
    field = torch.zeros(32, 32, 2)
    field[..., 0] = 1.0
    moved = deform(image()[None], field)[0]
    assert torch.allclose(moved, shift(image(), 0, -1), atol=1e-5)


def test_blur_keeps_the_mean_of_a_constant_and_spreads_a_point() -> None:
    flat = torch.full((1, 16, 16), 0.3)
    assert torch.allclose(blur(flat, 2.0), flat, atol=1e-6)
    point = torch.zeros(1, 33, 33)
    point[0, 16, 16] = 1
    spread = blur(point, 2.0)[0]
    rows = torch.arange(33.0) - 16
    assert (spread.sum(1) * rows**2).sum().item() == pytest.approx(4.0, rel=0.05)  # variance


def test_jpeg_and_noise_grow() -> None:
    g = torch.Generator().manual_seed(0)
    errors = [(jpeg(image(), q) - image()).square().mean().item() for q in (90, 30, 5)]
    assert errors[0] < errors[1] < errors[2]
    assert (noise(image(), 0.05, g) - image()).std().item() == pytest.approx(0.05, rel=0.05)
    assert jpeg(image()[:1], 50).shape == (1, 32, 32)


def test_pixel_scores_by_hand() -> None:
    a = torch.full((3, 32, 32), 0.5)
    found = pixel_scores(a, a + 0.1)
    assert found["psnr"] == pytest.approx(20.0)  # -10 log10 of 0.01
    assert found["ms-ssim"] is None  # too small for five scales
    equal = pixel_scores(a, a)
    assert equal["psnr"] is None and equal["ssim"] == pytest.approx(1.0)
    assert pixel_scores(a[:, :8, :8], a[:, :8, :8])["ssim"] is None


def test_a_mean_over_all_positions_forgives_bending_more_than_one_pixel_does() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.AvgPool2d(8), nn.Conv2d(8, 8, 1)).eval()  # fmt: skip
    comparer = Comparer(module, (1, 3, 32, 32), layers=["1", "2"])
    found = stability(comparer, torch.stack([image(), 1 - image()]), (0.5, 1.0))
    assert torch.allclose(found.deformed["pixels"], found.noisy["pixels"], rtol=1e-4)
    assert found.deformed["1"][:, 0].lt(found.deformed["1"][:, 1]).all()
    assert found.deformed["2"].mean() < found.deformed["1"].mean()
