"""Probes of segmentation on networks whose answers are known beforehand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.errors import DataError, UsageError
from striate.robustness import Context, at_chance, compare, probes_of, resolve_probes
from striate.robustness.calibration import calibration
from striate.robustness.corruption import corruption
from striate.robustness.invariance import flip, rotation, scale
from striate.robustness.probes import PROBES
from striate.tasks.segment import metrics as scores
from striate.tasks.segment.data import IGNORE
from striate.tasks.segment.metric import MeanIoU
from striate.tasks.segment.probe_shift import mask_shift, offsets
from striate.tasks.segment.task import Segment
from striate.tasks.warp import Warp


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


def context(model: nn.Module, *, stride: int = 1) -> Context:
    return segmented(model, *discs(), stride=stride)


def segmented(
    model: nn.Module, images: Tensor, masks: Tensor, classes: tuple[str, ...] = ("background", "disc"), stride: int = 1
) -> Context:  # fmt: skip
    return Context(model.eval(), images, masks, classes, task=Segment(), stride=stride)


def test_a_network_of_single_pixels_moves_along_exactly() -> None:
    found = mask_shift(context(Threshold(), stride=4))
    assert found.status == "good" and not any(found.data["changed"])


@pytest.mark.parametrize("stride", [2, 4])
def test_blocks_move_along_at_multiples_of_their_stride_alone(stride: int) -> None:
    found = mask_shift(context(Blocks(stride), stride=stride))
    changed = dict(zip(found.data["shifts"], found.data["changed"], strict=True))
    for d, share in changed.items():
        assert (share == 0) == (d % stride == 0), d
    assert found.data["at_stride"] == 0 < found.data["between"]
    assert f"multiples of its stride of {stride} and 0 % at multiples" in found.verdict


def test_the_share_of_pixels_is_what_a_plain_loop_counts() -> None:
    one = context(Blocks(4), stride=4)
    found = mask_shift(one)
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
    masks = torch.randint(0, 3, (4, 9, 7), generator=g)
    masks[0, :2] = IGNORE
    said = torch.randint(0, 3, (4, 9, 7), generator=g)
    metric = MeanIoU(3)
    counts = metric.evidence(F.one_hot(said, 3).movedim(-1, 1), masks)
    wanted = np.stack([scores.confusion_matrix(s, m, 3) for s, m in zip(said, masks, strict=True)])
    assert (counts == wanted).all()
    one = segmented(Threshold(), torch.rand(4, 1, 9, 7, generator=g), masks, ("a", "b", "c"))
    assert one.score(counts) == pytest.approx(scores.mean_iou(wanted.sum(0)))
    # By hand: class 0 has 2 of 2 + 1, class 1 has 3 of 3 + 1; class 2 is not in the truth.
    assert one.score(np.array([[[2, 0, 0], [1, 3, 0], [0, 0, 0]]])) == pytest.approx(
        (2 / 3 + 3 / 4) / 2
    )


def test_masks_follow_their_images() -> None:
    mask = torch.zeros(1, 8, 8, dtype=torch.uint8)
    mask[:, 3:5, 3:5] = 1
    twice = Segment().warp(mask, Warp(scale=2.0))
    assert twice.sum() == 16 and bool((twice[0, 2:6, 2:6] == 1).all())
    half = Segment().warp(mask, Warp(scale=0.5))
    assert int((half == IGNORE).sum()) == 48  # all but the middle 4 x 4
    assert bool((half[0, 2:6, 2:6] != IGNORE).all())


@pytest.mark.parametrize(
    "warp",
    [Warp(rows=2, columns=-1), Warp(columns=9), Warp(flip=(-2,)), Warp(degrees=90), Warp(degrees=-90)],
    ids=str,
)  # fmt: skip
def test_a_mask_goes_where_its_image_goes(warp: Warp) -> None:
    g = torch.Generator().manual_seed(0)
    masks = torch.randint(0, 2, (2, 7, 7), generator=g)
    images = warp.images(masks[:, None].float())[:, 0]
    moved = warp.maps(masks, IGNORE)
    inside = moved != IGNORE
    assert int(inside.sum()) == 2 * max(0, 7 - abs(warp.rows)) * max(0, 7 - abs(warp.columns))
    torch.testing.assert_close(images[inside], moved[inside].float(), atol=1e-5, rtol=0)


def test_what_reads_single_pixels_keeps_its_scores_when_mirrored_turned_or_scaled() -> None:
    flipped, larger = flip(context(Threshold())), scale(context(Threshold()))
    assert flipped.data["clean"] == 1 and set(flipped.data["iou"]) == {1.0}
    assert flipped.status == "good" and "costs it 0.05 of mean IoU" in flipped.verdict
    assert min(larger.data["iou"]) > 0.9
    turned = rotation(context(Threshold()))
    assert turned.data["levels"][0] == "5°" and min(turned.data["iou"]) > 0.9


def test_corruption_names_what_breaks_it_with_an_interval() -> None:
    found = corruption(context(Threshold()))
    value = dict(zip(found.data["levels"], found.data["iou"], strict=True))
    # A disc at 0.9 darkened to 0.15 of it is below a half; noise of a few levels is not.
    assert value["darkness at severity 5"] < 0.5
    assert value["gaussian noise at severity 1"] == 1
    assert found.status == "warning" and "of mean IoU under" in found.verdict
    assert "elastic at severity 3" not in value
    rows = {r[0]: r for r in found.tables[0].rows}
    _, _, change, low, high = rows["darkness at severity 5"]
    assert low <= change <= high < 0


def test_a_temperature_is_fitted_on_other_images() -> None:
    images, masks = discs()
    noisy = (
        images + 0.45 * torch.randn(images.shape, generator=torch.Generator().manual_seed(1))
    ).clamp(0, 1)
    one = segmented(Threshold(60.0), noisy, masks)
    found = calibration(one, (noisy, masks), current=1.0)
    assert found.data["temperature"] > 2 and found.data["fitted_error"] < found.data["error"]
    assert "pixels: calibration error" in found.verdict and "over-confident" in found.verdict
    assert calibration(one).data["fitted_on"] == 4 * 400


@pytest.mark.parametrize("name", ["domain", "spectrum", "attack", "shortcuts"])
def test_probes_that_need_a_class_an_image_are_refused_with_the_reason(name: str) -> None:
    with pytest.raises(
        UsageError,
        match=f"no probe {name} for a network that gives a class for every pixel: it needs one class an image",
    ):
        resolve_probes([name], Segment())


def test_every_probe_is_there_or_needs_labels() -> None:
    lacking = [n for n in PROBES if n not in probes_of(Segment())]
    assert all(PROBES[n].needs == "labels" for n in lacking)
    assert list(resolve_probes([], Segment())) == [
        "shift", "rotation", "scale", "flip", "corruption", "calibration",
    ]  # fmt: skip
    with pytest.raises(UsageError, match="did you mean 'scale'"):
        resolve_probes(["scal"], Segment())


def test_chance_and_faults() -> None:
    class Blank(Threshold):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(0 * x)

    assert at_chance(context(Threshold())) is None
    stopped = at_chance(context(Blank()))
    assert stopped is not None
    assert "no better than predicting “background” everywhere" in stopped.verdict
    with pytest.raises(DataError, match="not finite for 8 of 8 images"):
        _ = context(Threshold(float("nan"))).clean_evidence
    small = segmented(Threshold(), *discs(2, 12), stride=32)
    with pytest.raises(DataError, match="too small to be shifted under a stride of 32"):
        mask_shift(small)
    images, masks = discs(2)
    with pytest.raises(DataError, match="a target for each image"):
        segmented(Threshold(), images, masks[:1])


def test_the_more_robust_of_two_networks_is_named() -> None:
    """One says disc above 0.5, half way, the other above 0.8, so that a blurred disc (0.9 on 0.1) shrinks for it."""
    plain, bold = context(Threshold()), context(nn.Sequential(Darker(), Threshold()))
    found = compare(plain, bold, ("plain", "bold"), ["corruption"])
    rows = found.data["rows"]
    assert rows["clean"][:3] == [1.0, 1.0, 0.0]
    a, b, difference, low, high, images = rows["gaussian blur 3"]
    assert (difference, images) == (pytest.approx(b - a), 8)
    assert low <= difference <= high < 0
    assert found.verdict.startswith("plain is more robust by")
    with pytest.raises(
        UsageError, match="calibration has none; name some of scale, flip, corruption"
    ):
        compare(plain, bold, ("plain", "bold"), ["calibration"])
    with pytest.raises(DataError, match="on the same images; got 8 and 4 with different targets"):
        compare(plain, segmented(Threshold(), *discs(4)), ("x", "y"))
