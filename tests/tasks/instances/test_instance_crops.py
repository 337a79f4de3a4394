"""Crops and warps: every pixel of an object goes where its pixel of the image goes."""

import numpy as np
import pytest
import torch

from striate.data.preprocessing import Preprocessing
from striate.tasks.decoded import Decoded
from striate.tasks.detect.batches import BoxAugmentation
from striate.tasks.detect.cutting import Crop
from striate.tasks.detect.data.source import ArrayBoxSplit
from striate.tasks.detect.objects import Objects, Region
from striate.tasks.instances.batches import InstanceBatches
from striate.tasks.instances.cropping import cropped_regions, instance_target, objects_of_target
from striate.tasks.instances.examples import warped_target
from striate.tasks.warp import Warp

SIDE = 60


def scattered(n, rng):
    """Images whose grey says which object a pixel shows: 50 times its number from 1; and the objects."""
    images, objects = np.zeros((n, SIDE, SIDE, 1), np.uint8), []
    for image in images:
        regions = []
        for number, (top, left) in enumerate(((4, 6), (8, 34), (34, 8), (30, 32)), 1):
            mask = rng.random((18, 20)) < 0.6
            image[top : top + 18, left : left + 20, 0][mask] = 50 * number
            regions.append(Region.of(mask, top=top, left=left))
        objects.append(Objects.of([r.box for r in regions], [0, 1, 0, 1], regions=regions))
    return images, objects


def batches(images, objects, crop, **change):
    return InstanceBatches(
        images=Decoded(lambda i: torch.from_numpy(images[i].transpose(2, 0, 1)), len(images), in_memory=True),
        split=ArrayBoxSplit.of(images, objects, [str(i) for i in range(len(images))]),
        preprocessing=Preprocessing(channels=1, height=crop, width=crop), augmentation=BoxAugmentation(**change),
        crop=(crop, crop), batch=4, aimed=0.5, seed=1, device=torch.device("cpu"),
    )  # fmt: skip


@pytest.mark.parametrize("crop", [32, 48, 80])
@pytest.mark.parametrize("flip", [False, True])
def test_every_pixel_of_a_crop_has_the_number_of_its_object(crop, flip):
    images, objects = scattered(8, np.random.default_rng(0))
    stream, seen = batches(images, objects, crop, flip=flip).from_step(0), 0
    for _ in range(6):
        batch = next(stream)
        for image, target in zip(batch.images, batch.targets, strict=True):
            shade = torch.round(image[0] * 255 / 50).long()
            numbers = target["numbers"].long()
            assert torch.equal(shade > 0, numbers > 0)
            for number in range(1, len(target["objects"]) + 1):
                mine = numbers == number
                assert mine.any() and len(shade[mine].unique()) == 1  # one object, all of it
                left, top, right, bottom = target["objects"][number - 1, :4].tolist()
                rows, columns = torch.nonzero(mine, as_tuple=True)
                assert [columns.min(), rows.min()] == [left, top]
                assert [columns.max() + 1, rows.max() + 1] == [right, bottom]
                seen += 1
    assert seen > 30


def test_zoomed_pixels_are_those_in_which_their_middles_lie():
    images, objects = scattered(1, np.random.default_rng(3))
    crop = Crop(top=3.3, left=-2.6, zoom=1.37, height=50, width=44, mirror=True)
    target = instance_target(cropped_regions(objects[0], crop), 50, 44)
    expected = np.zeros((50, 44), int)
    for i in range(50):
        for j in range(44):
            y, x = 3.3 + (i + 0.5) / 1.37, -2.6 + (j + 0.5) / 1.37
            if 0 <= y < SIDE and 0 <= x < SIDE:
                expected[i, 43 - j] = images[0, int(y), int(x), 0] // 50
    made = target["numbers"].numpy()
    # Numbers count those that are shown; each of them is one of the image's.
    assert np.array_equal(made > 0, expected > 0)
    assert all(len(np.unique(expected[made == n])) == 1 for n in np.unique(made[made > 0]))


def test_the_smaller_of_two_that_overlap_is_seen_and_a_crowd_never_hides_one():
    large, small = np.ones((10, 10), bool), np.ones((4, 4), bool)
    regions = [Region.of(small, 3, 3), Region.of(large), Region.of(large)]
    objects = Objects.of([r.box for r in regions], [0, 1, 2], crowd=[False, False, True], regions=regions)  # fmt: skip
    numbers = instance_target(objects, 12, 12)["numbers"]
    assert numbers[4, 4] == 1 and numbers[0, 0] == 2 and numbers[11, 11] == 0


def test_what_is_cut_to_less_than_a_quarter_is_a_crowd():
    regions = [Region.of(np.ones((8, 8), bool), 0, 4), Region.of(np.ones((8, 8), bool), 0, -7)]
    objects = Objects.of([r.box for r in regions], [0, 1], regions=regions)
    shown = cropped_regions(objects, Crop(top=0, left=0, zoom=1, height=8, width=8))
    assert shown.crowd.tolist() == [False, True] and shown.areas.tolist() == [32, 8]


@pytest.mark.parametrize(
    "warp", [Warp(rows=3, columns=-5), Warp(flip=(-1,)), Warp(flip=(-2,)), Warp(degrees=90), Warp(degrees=180, rows=2)]
)  # fmt: skip
def test_targets_go_where_warped_pixels_go(warp):
    images, objects = scattered(1, np.random.default_rng(5))
    target = instance_target(objects[0], SIDE, SIDE)
    moved = warped_target(target, warp)
    image = torch.from_numpy(images[0].transpose(2, 0, 1))[None].float() / 255
    shade = torch.round(warp.images(image)[0, 0] * 255 / 50).long()
    inside = torch.zeros(SIDE, SIDE, dtype=torch.bool)
    r, c = warp.rows, warp.columns
    inside[max(r, 0) : SIDE + min(r, 0), max(c, 0) : SIDE + min(c, 0)] = (
        True  # the border is repeated outside
    )
    found = objects_of_target(moved)
    assert len(found) == 4
    for region in found.regions:
        mask = torch.from_numpy(region.full(SIDE, SIDE))
        assert len(shade[mask].unique()) == 1 and (mask & ~inside).sum() == 0
        assert (shade[inside & ~mask] != shade[mask][0]).all()
