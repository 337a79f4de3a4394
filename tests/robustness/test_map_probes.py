"""Probes of maps on networks whose answers are known beforehand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.errors import DataError, UsageError
from striate.robustness.map_comparison import compare_maps
from striate.robustness.map_probes import (
    MAP_PROBES,
    REFUSED,
    map_calibration,
    map_corruption,
    map_flip,
    map_scale,
    resolve_map_probes,
    scaled_masks,
)
from striate.robustness.map_shift import map_shift, offsets
from striate.robustness.maps import IGNORE, MapExam, maps_at_chance, mean_iou
from striate.robustness.probes import PROBES
from striate.tasks.segment import metrics as scores


class Threshold(nn.Module):
    """Class 1 where a pixel is brighter than a half; each pixel by itself, so that everything moves along."""

    def __init__(self, sure: float = 20.0) -> None:
        super().__init__()
        self.sure = sure

    def forward(self, x: Tensor) -> Tensor:
        bright = self.sure * (x.mean(1, keepdim=True) - 0.5)
        return torch.cat([-bright, bright], 1)


class Darker(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x - 0.3


class Blocks(Threshold):
    """The same of blocks of `stride` pixels: exact under shifts by multiples of the stride alone."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        pooled = F.avg_pool2d(x, self.stride)
        return F.interpolate(super().forward(pooled), x.shape[-2:], mode="nearest")


def discs(count: int = 8, side: int = 48) -> tuple[Tensor, Tensor]:
    """Bright discs on dark, (N, 1, H, W), and their masks (N, H, W)."""
    g = torch.Generator().manual_seed(0)
    at = torch.arange(side).float()
    centre = side * (0.3 + 0.4 * torch.rand(count, 2, generator=g))
    radius = side * (0.1 + 0.15 * torch.rand(count, generator=g))
    away = (at[:, None] - centre[:, 0, None, None]) ** 2 + (at - centre[:, 1, None, None]) ** 2
    masks = (away <= radius[:, None, None] ** 2).to(torch.uint8)
    return 0.1 + 0.8 * masks[:, None].float(), masks


def exam(model: nn.Module, *, stride: int = 1) -> MapExam:
    return MapExam(model.eval(), *discs(), ("background", "disc"), stride)


def test_a_network_of_single_pixels_moves_along_exactly() -> None:
    found = map_shift(exam(Threshold(), stride=4))
    assert found.status == "good" and not any(found.data["changed"])


@pytest.mark.parametrize("stride", [2, 4])
def test_blocks_move_along_at_multiples_of_their_stride_alone(stride: int) -> None:
    found = map_shift(exam(Blocks(stride), stride=stride))
    changed = dict(zip(found.data["shifts"], found.data["changed"], strict=True))
    for d, share in changed.items():
        assert (share == 0) == (d % stride == 0), d
    assert found.data["at_stride"] == 0 < found.data["between"]
    assert f"multiples of its stride of {stride} and 0 % at multiples" in found.verdict


def test_the_share_of_pixels_is_what_a_plain_loop_counts() -> None:
    one = exam(Blocks(4), stride=4)
    found = map_shift(one)
    size, margin, d = found.data["window"], found.data["window"] // 8, 3
    differ = total = 0
    for image in one.images:
        for dr, dc in ((d, 0), (0, d)):
            a = one.model(image[None, :, :size, :size])[0].argmax(0)
            b = one.model(image[None, :, dr : dr + size, dc : dc + size])[0].argmax(0)
            for r in range(margin, size - margin - dr):
                for c in range(margin, size - margin - dc):
                    differ += int(a[r + dr, c + dc] != b[r, c])
                    total += 1
    at = found.data["shifts"].index(d)
    assert found.data["changed"][at] == pytest.approx(differ / total, rel=1e-5)


def test_offsets_reach_beyond_the_stride() -> None:
    assert offsets(4, 20) == [1, 2, 3, 4, 5, 6, 7, 8, 9]
    assert {1, 15, 16, 17, 32, 33} <= set(offsets(16, 40))
    assert max(offsets(16, 20)) == 20


def test_scores_are_those_of_the_evaluation() -> None:
    g = torch.Generator().manual_seed(3)
    masks = torch.randint(0, 3, (4, 9, 7), generator=g).to(torch.uint8)
    masks[0, :2] = IGNORE
    said = torch.randint(0, 3, (4, 9, 7), generator=g)
    one = MapExam(Threshold().eval(), torch.rand(4, 1, 9, 7, generator=g), masks, ("a", "b", "c"))
    counts = one.counts(said)
    wanted = np.stack([scores.confusion_matrix(s, m, 3) for s, m in zip(said, masks, strict=True)])
    assert (counts == wanted).all()
    assert float(mean_iou(counts.sum(0))) == pytest.approx(scores.mean_iou(wanted.sum(0)))
    # By hand: class 0 has 2 of 2 + 1, class 1 has 3 of 3 + 1; class 2 is not in the truth.
    assert float(mean_iou(np.array([[2, 0, 0], [1, 3, 0], [0, 0, 0]]))) == pytest.approx(
        (2 / 3 + 3 / 4) / 2
    )


def test_masks_are_scaled_with_their_images() -> None:
    mask = torch.zeros(1, 8, 8, dtype=torch.uint8)
    mask[:, 3:5, 3:5] = 1
    twice = scaled_masks(mask, 2.0)
    assert twice.sum() == 16 and bool((twice[0, 2:6, 2:6] == 1).all())
    half = scaled_masks(mask, 0.5)
    assert int((half == IGNORE).sum()) == 48  # all but the middle 4 x 4
    assert bool((half[0, 2:6, 2:6] != IGNORE).all())


def test_what_reads_single_pixels_keeps_its_scores_when_mirrored_or_scaled() -> None:
    flipped, larger = map_flip(exam(Threshold())), map_scale(exam(Threshold()))
    assert flipped.data["clean"] == 1 and set(flipped.data["iou"].values()) == {1.0}
    assert flipped.status == "good" and "costs 0.05 of mean IoU" in flipped.verdict
    assert min(larger.data["iou"].values()) > 0.9


def test_corruption_names_what_breaks_it_with_an_interval() -> None:
    found = map_corruption(exam(Threshold()))
    # A disc at 0.9 darkened to 0.15 of it is below a half; noise of a few levels is not.
    assert found.data["iou"]["darkness at severity 5"] < 0.5
    assert found.data["iou"]["gaussian noise at severity 1"] == 1
    assert found.status == "warning" and "Mean IoU falls by" in found.verdict
    assert "elastic at severity 3" not in found.data["iou"]
    rows = {r[0]: r for r in found.tables[0].rows}
    _, _, change, low, high = rows["darkness at severity 5"]
    assert low <= change <= high < 0


def test_a_temperature_is_fitted_on_other_images() -> None:
    images, masks = discs()
    noisy = (
        images + 0.45 * torch.randn(images.shape, generator=torch.Generator().manual_seed(1))
    ).clamp(0, 1)
    one = MapExam(Threshold(60.0).eval(), noisy, masks, ("background", "disc"))
    found = map_calibration(one, (noisy, masks), current=1.0)
    assert found.data["temperature"] > 2 and found.data["fitted_error"] < found.data["error"]
    assert "pixels: calibration error" in found.verdict and "over-confident" in found.verdict
    assert map_calibration(one).data["fitted_on"] == 4 * 400


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_probes_that_do_not_fit_are_refused_with_the_reason(name: str) -> None:
    with pytest.raises(
        UsageError,
        match=f"no probe {name} for a network that labels pixels: .*there are shift, scale",
    ):
        resolve_map_probes([name])


def test_every_probe_is_there_for_maps_or_refused() -> None:
    assert set(MAP_PROBES) | set(REFUSED) == set(PROBES) and not set(MAP_PROBES) & set(REFUSED)
    assert resolve_map_probes([]) == list(MAP_PROBES)
    with pytest.raises(UsageError, match="did you mean 'scale'"):
        resolve_map_probes(["scal"])


def test_chance_and_faults() -> None:
    class Blank(Threshold):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(0 * x)

    assert maps_at_chance(exam(Threshold())) is None
    assert "no better than saying “background” everywhere" in (maps_at_chance(exam(Blank())) or "")
    with pytest.raises(DataError, match="not finite for 8 of 8 images"):
        _ = exam(Threshold(float("nan"))).clean
    small = MapExam(Threshold().eval(), *discs(2, 12), ("background", "disc"), 32)
    with pytest.raises(DataError, match="too small to be shifted under a stride of 32"):
        map_shift(small)
    images, masks = discs(2)
    with pytest.raises(DataError, match="a mask for each image, of its size"):
        MapExam(Threshold().eval(), images, masks[:1], ("background", "disc"))


def test_the_more_robust_of_two_networks_of_maps_is_named() -> None:
    """One says disc above 0.5, half way, the other above 0.8, so that a blurred disc (0.9 on 0.1) shrinks for it."""
    plain, bold = exam(Threshold()), exam(nn.Sequential(Darker(), Threshold()))
    found = compare_maps(plain, bold, ("plain", "bold"), ["corruption"])
    rows = found.data["rows"]
    assert rows["clean"][:3] == [1.0, 1.0, 0.0]
    a, b, difference, low, high, images = rows["gaussian blur 3"]
    assert (difference, images) == (pytest.approx(b - a), 8)
    assert low <= difference <= high < 0
    assert found.verdict.startswith("plain is more robust by")
    with pytest.raises(
        UsageError, match="calibration has none; name some of scale, flip, corruption"
    ):
        compare_maps(plain, bold, ("plain", "bold"), ["calibration"])
    with pytest.raises(DataError, match="on the same images with the same masks"):
        compare_maps(plain, MapExam(Threshold().eval(), *discs(4), ("a", "b")), ("x", "y"))
