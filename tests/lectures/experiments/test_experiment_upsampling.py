"""The up-sampling experiment in small: overlaps, patterns, decoders, and sentences that fit the numbers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from striate.findings import Finding
from striate.lectures.experiments.setting import Setting
from striate.lectures.experiments.upsampling.pages import random_phases
from striate.lectures.experiments.upsampling.run import Sizes, patterns, plain_images, upsampling
from striate.lectures.experiments.upsampling.upsamplers import (
    WAYS,
    Segmenter,
    Unpool,
    overlap,
    pattern_strength,
    phases,
    transposed,
)
from striate.nn import NearestUnpool2d

SMALL = Sizes(train=48, test=16, side=40, epochs=2, smooth=4)


@pytest.fixture(scope="module")
def pages() -> dict[str, Finding]:
    return {f.name: f for f in upsampling(Setting(seed=1), SMALL)}


@pytest.mark.parametrize("kernel", [2, 3, 4, 5])
def test_the_overlap_is_what_ones_give(kernel: int) -> None:
    """A transposed convolution of ones over a map of ones counts the values that it adds up."""
    layer = transposed(kernel)(1, 1)
    with torch.no_grad():
        layer.weight.fill_(1)
        layer.bias.zero_()
        counted = layer(torch.ones(1, 1, 4, 4))[0, 0]
    assert np.array_equal(overlap(kernel), counted.numpy().astype(int))
    assert (np.ptp(phases(overlap(kernel))) == 0) == (kernel % 2 == 0)


def test_kernel_three_adds_one_two_two_four() -> None:
    """Odena, Dumoulin and Olah (2016): uneven where the stride does not divide the kernel."""
    assert phases(overlap(2)).tolist() == [[1, 1], [1, 1]]
    assert phases(overlap(3)).tolist() == [[1, 2], [2, 4]]
    assert phases(overlap(4)).tolist() == [[4, 4], [4, 4]]


def test_random_layers_are_as_strong_as_the_root_of_the_overlap() -> None:
    found = random_phases(3)
    assert found / found[0, 0] == pytest.approx(np.sqrt([[1, 2], [2, 4]]), rel=0.06)
    assert np.ptp(random_phases(4)) < 0.06 * random_phases(4).mean()


def test_pattern_strength_sees_the_pattern_and_no_ramp() -> None:
    at = torch.arange(32.0)
    ramp = (0.3 * at[:, None] - 0.2 * at)[None]
    stripes = torch.tensor([1.0, -1.0]).repeat(16).expand(1, 32, 32)
    quarter = torch.tensor([1.0, 0.0, 0.0, 0.0]).repeat(8).expand(1, 32, 32)
    assert pattern_strength(ramp, 4).item() == pytest.approx(0, abs=1e-5)
    assert pattern_strength(ramp + 0.5 * stripes, 4).item() == pytest.approx(0.5, abs=1e-4)
    assert pattern_strength(quarter, 4).item() == pytest.approx(np.sqrt(3) / 4, abs=1e-5)
    assert pattern_strength(quarter, 2).item() < pattern_strength(quarter, 4).item()


def test_unpooling_puts_values_back_to_their_maxima() -> None:
    torch.manual_seed(0)
    x = torch.rand(1, 2, 6, 6)
    pooled, at = F.max_pool2d(x, 2, return_indices=True)
    unpool = Unpool(2, 2)
    with torch.no_grad():
        unpool.conv.weight.copy_(torch.eye(2)[:, :, None, None])
        unpool.conv.bias.zero_()  # type: ignore[union-attr]
        up = unpool(pooled, at)
    assert torch.equal(up, torch.where(x == NearestUnpool2d(2)(pooled), x, 0.0))


@pytest.mark.parametrize("name", WAYS)
def test_every_decoder_twice_doubles(name: str) -> None:
    assert Segmenter(WAYS[name]).eval()(torch.zeros(2, 3, 24, 16)).shape == (2, 2, 24, 16)


def test_interpolation_makes_no_pattern_and_an_uneven_overlap_does() -> None:
    torch.manual_seed(1)
    images = plain_images(3, 48, 0)
    calm = patterns(Segmenter(WAYS["bilinear + 3 x 3"]).eval(), images, 1.0)
    grid = patterns(Segmenter(WAYS["transposed 3 x 3"]).eval(), images, 1.0)
    assert calm["constant"].max() < 1e-5
    assert grid["constant"].min() > 100 * calm["constant"].max()
    assert calm["smooth"].mean() < 0.1 * grid["smooth"].mean()


def test_plain_images_are_plain() -> None:
    images = plain_images(5, 32, 3)
    assert torch.equal(images["constant"], images["constant"][..., :1, :1].expand(-1, -1, 32, 32))
    bend = images["smooth"].diff(n=2, dim=-1)
    assert bend.abs().max() < 1e-5
    assert images["smooth"].std((2, 3)).amax(1).min() > 0
    assert max(i.abs().max() for i in images.values()) <= 1


def test_the_sentences_are_their_numbers(pages: dict[str, Finding]) -> None:
    iou = {n: v[0] for n, v in pages["upsampling-scores"].data["iou"].items()}
    best, worst = max(iou, key=iou.__getitem__), min(iou, key=iou.__getitem__)
    assert f"({worst}) to " in pages["upsampling-scores"].verdict
    assert f"({best})" in pages["upsampling-scores"].verdict
    strength = pages["upsampling-checkerboards"].data["strength"]
    smooth = {n: s["smooth, trained"] for n, s in strength.items()}
    most, least = max(smooth, key=smooth.__getitem__), min(smooth, key=smooth.__getitem__)
    assert f"the trained map of {most} repeats" in pages["upsampling-checkerboards"].verdict
    assert f"that of {least} with" in pages["upsampling-checkerboards"].verdict
    assert strength["bilinear + 3 x 3"]["constant, trained"] < 1e-4
    assert "up 1, 2, 2, 4 values" in pages["upsampling-overlap"].verdict


def test_the_same_seed_gives_the_same_pages() -> None:
    tiny = replace(SMALL, train=16, test=8, epochs=1, smooth=2, side=32)
    first, again = (upsampling(Setting(seed=5), tiny) for _ in range(2))
    assert [replace(f, seconds=None) for f in again] == [replace(f, seconds=None) for f in first]
