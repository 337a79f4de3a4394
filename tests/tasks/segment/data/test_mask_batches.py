"""Crops with their masks: in place, aimed at rare classes, the same from any step."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from striate.data import Preprocessing
from striate.tasks.segment.batches import CropBatches, MaskAugmentation, Pairs
from striate.tasks.segment.data.coding import IGNORE
from striate.tasks.segment.data.source import ArrayMaskSplit

CLASSES = 3


def split(n: int = 6, side: int = 64) -> ArrayMaskSplit:
    """Images whose pixels tell their class: 0, 100 and 200 grey levels."""
    rng = np.random.default_rng(0)
    masks = np.zeros((n, side, side), dtype=np.uint8)
    for i in range(n):
        top, left = rng.integers(0, side - 8, 2)
        masks[i, top : top + 6, left : left + 6] = 1 + i % 2
    return ArrayMaskSplit.of((masks * 100)[..., None], masks, [f"i/{i}" for i in range(n)], CLASSES)


def batches(**changes: object) -> CropBatches:
    preprocessing = Preprocessing(channels=1, height=16, width=16)
    settings: dict[str, object] = {
        "pairs": Pairs(split(), preprocessing, in_memory=bool(changes.pop("in_memory", True))),
        "preprocessing": preprocessing,
        "augmentation": MaskAugmentation(),
        "crop": (16, 16),
        "batch": 4,
        "foreground": 0.5,
        "seed": 0,
        "device": torch.device("cpu"),
    }
    return CropBatches(**{**settings, **changes})  # type: ignore[arg-type]


def parts(made: CropBatches, count: int, begin: int = 0) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Images and masks of some batches."""
    return [(b.images, b.targets) for b in itertools.islice(made.from_step(begin), count)]


@pytest.mark.parametrize("in_memory", [True, False])
def test_images_and_masks_stay_together(in_memory: bool) -> None:
    for x, mask in parts(batches(in_memory=in_memory), 20):
        assert x.shape == (4, 1, 16, 16) and mask.shape == (4, 16, 16) and mask.dtype == torch.int64
        torch.testing.assert_close((x[:, 0] * 255 / 100).round().long(), mask)


@pytest.mark.parametrize(
    "augmentation",
    [
        MaskAugmentation(flip=True),
        MaskAugmentation(scale=1.5),
        MaskAugmentation(rotate=30.0),
        MaskAugmentation(flip=True, scale=1.3, rotate=10.0),
    ],
)
def test_augmentation_moves_both_alike(augmentation: MaskAugmentation) -> None:
    apart = total = 0
    for x, mask in parts(batches(augmentation=augmentation, foreground=1.0), 20):
        said = (x[:, 0] * 255 / 100).round().long()
        apart += int((said != mask).sum())
        total += int((mask > 0).sum())
        assert set(mask.unique().tolist()) <= {0, 1, 2}
    assert apart < 0.35 * total  # only edges, where interpolation mixes


def test_jitter_leaves_masks_alone() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.full((8, 1, 4, 4), 128, dtype=torch.uint8)
    mask = torch.randint(0, 3, (8, 4, 4), dtype=torch.uint8)
    y, same = MaskAugmentation(jitter=0.2)(x, mask, generator)
    assert torch.equal(mask, same) and len(y.unique()) > 3
    assert (y.float() - 128).abs().max() <= 0.2 * 255 + 1


@pytest.mark.parametrize(("foreground", "low", "high"), [(1.0, 0.99, 1.0), (0.0, 0.0, 0.45)])
def test_crops_are_aimed_at_rare_classes(foreground: float, low: float, high: float) -> None:
    hit = [
        bool((m > 0).any()) for _, mask in parts(batches(foreground=foreground), 30) for m in mask
    ]
    assert low <= np.mean(hit) <= high


def test_any_step_is_the_same_however_it_is_reached() -> None:
    made = batches(augmentation=MaskAugmentation(flip=True, rotate=5.0))
    steps = made.steps_per_epoch
    assert steps == 6 * 16 // 4
    first = parts(made, steps + 3)
    for begin in (2, steps, steps + 2):
        ((x, mask),) = parts(made, 1, begin)
        assert torch.equal(x, first[begin][0]) and torch.equal(mask, first[begin][1])


def test_an_epoch_visits_every_image_as_often_as_its_size() -> None:
    made = batches(batch=1)
    counts = np.bincount(np.concatenate(made.order(0)), minlength=6)
    assert counts.tolist() == [16] * 6
    assert not np.array_equal(np.concatenate(made.order(0)), np.concatenate(made.order(1)))


def test_small_images_are_filled_up_and_the_rest_ignored() -> None:
    preprocessing = Preprocessing(channels=1, height=16, width=16, mean=(0.5,), std=(0.5,))
    small = split(side=12)
    made = batches(pairs=Pairs(small, preprocessing, in_memory=True), preprocessing=preprocessing)
    ((x, mask),) = parts(made, 1)
    assert (mask[:, 12:] == IGNORE).all() and (mask[:, :, 12:] == IGNORE).all()
    assert (mask[:, :12, :12] != IGNORE).all()
    assert x[:, :, 12:].abs().max() < 0.01  # the mean colour
