"""The perceptual experiment in small: triplets whose order is known, and measures that find it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from striate.findings import Finding
from striate.lectures.experiments.perceptual.pages import by_crop
from striate.lectures.experiments.perceptual.run import Sizes, crops, perceptual
from striate.lectures.experiments.perceptual.triplets import KINDS, triplets
from striate.lectures.experiments.setting import Setting


@pytest.fixture(scope="module")
def pages() -> dict[str, Finding]:
    return {f.name: f for f in perceptual(Setting(seed=1), Sizes(side=176, crops=2, each=1))}


def test_crops_do_not_overlap() -> None:
    found = crops(192)
    assert found.shape == (12, 3, 192, 192)
    assert len({hash(c.numpy().tobytes()) for c in found}) == 12


@pytest.mark.parametrize("kind", ["JPEG quality", "blur width", "noise level"])
def test_the_farther_one_changes_more_pixels(kind: str) -> None:
    """Without a shift the truth can be checked by the pixels alone."""
    image = crops(192)[:2]
    for t in (t for t in triplets(image, 3, 0) if t.kind == kind):
        near, far = ((x - t.image).square().mean() for x in (t.nearer, t.farther))
        assert near < far


def test_intervals_by_crop() -> None:
    """Two crops of which one is always right: drawn anew, the mean is 0, 1/2 or 1."""
    values, groups = np.array([1.0, 1, 1, 0, 0, 0]), np.array([0, 0, 0, 1, 1, 1])
    assert by_crop(values, groups, 0) == (0.5, 0.0, 1.0)


def test_pages(pages: dict[str, Finding]) -> None:
    agreement = pages["agreement"].data
    assert set(agreement) == {"deep features", "random weights", "SSIM", "MS-SSIM", "PSNR"}
    for parts in agreement.values():
        assert set(parts) == {*KINDS, "all"}
        assert all(0 <= low <= mean <= high <= 1 for mean, low, high in parts.values())
    assert agreement["PSNR"]["noise level"][0] == 1.0  # noise is what PSNR measures
    ratio = pages["stability"].data["ratio"]["deep features"]
    assert ratio["pixels"] == pytest.approx([1.0] * 6, rel=1e-3)
    assert torch.tensor(list(ratio.values())).isfinite().all()
