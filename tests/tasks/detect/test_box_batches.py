"""Crops and warps: boxes go where their pixels go."""

import numpy as np
import pytest
import torch

from striate.data.preprocessing import Preprocessing
from striate.tasks.decoded import Decoded
from striate.tasks.detect.batches import BoxAugmentation, BoxBatches, target_of
from striate.tasks.detect.cutting import cut, mirrored
from striate.tasks.detect.data.source import ArrayBoxSplit
from striate.tasks.detect.examples import warped
from striate.tasks.detect.objects import Objects
from striate.tasks.warp import Warp


def batches(images, objects, *, crop, **more):
    split = ArrayBoxSplit.of(images, objects, [str(i) for i in range(len(images))])
    preprocessing = Preprocessing(channels=1, height=crop, width=crop)
    change = {name: more.pop(name) for name in ("flip", "zoom", "jitter") if name in more}
    return BoxBatches(
        images=Decoded(lambda i: torch.from_numpy(images[i].transpose(2, 0, 1)), len(images), in_memory=True),
        split=split, preprocessing=preprocessing, augmentation=BoxAugmentation(**change), crop=(crop, crop),
        batch=4, aimed=more.pop("aimed", 0.5), seed=1, device=torch.device("cpu"),
    )  # fmt: skip


def bright_boxes(n, side, rng):
    """Images of one bright rectangle each on black, and its box."""
    images, objects = np.zeros((n, side, side, 1), np.uint8), []
    for image in images:
        top, left = rng.integers(4, side - 24, 2)
        height, width = rng.integers(8, 18, 2)
        image[top : top + height, left : left + width] = 255
        objects.append(Objects.of([[left, top, left + width, top + height]], [0]))
    return images, objects


def box_of_bright(image):
    rows, columns = np.nonzero(image > 0.5)
    return [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]


@pytest.mark.parametrize(
    ("change", "off"),
    [({}, 0), ({"flip": True}, 0), ({"zoom": 1.6}, 1.0), ({"zoom": 1.6, "flip": True}, 1.0)],
)
def test_boxes_follow_their_pixels(change, off):
    rng = np.random.default_rng(0)
    images, objects = bright_boxes(12, 60, rng)
    made = batches(images, objects, crop=48, **change)
    stream, seen = made.from_step(0), 0
    for _ in range(12):
        batch = next(stream)
        for image, target in zip(batch.images, batch.targets, strict=True):
            for row in target.tolist():
                if row[5]:
                    continue
                seen += 1
                assert np.abs(np.array(box_of_bright(image[0].numpy())) - row[:4]).max() <= off
    assert seen > 20


def test_a_step_is_the_same_whenever_the_loop_begins():
    images, objects = bright_boxes(10, 40, np.random.default_rng(1))
    made = batches(images, objects, crop=32, flip=True, zoom=1.2, jitter=0.1)
    stream = made.from_step(0)
    third = [next(stream) for _ in range(4)][3]
    again = next(made.from_step(3))
    assert torch.equal(third.images, again.images)
    assert all(torch.equal(a, b) for a, b in zip(third.targets, again.targets, strict=True))


def test_aimed_crops_show_their_object():
    images, objects = np.zeros((4, 400, 400, 1), np.uint8), []
    for image in images:
        image[300:320, 40:60] = 255
        objects.append(Objects.of([[40, 300, 60, 320]], [0]))
    aimed = batches(images, objects, crop=64, aimed=1.0)
    stream = aimed.from_step(0)
    assert all(len(target) for _ in range(8) for target in next(stream).targets)


def test_an_image_smaller_than_the_crop_is_filled_up():
    images, objects = bright_boxes(4, 30, np.random.default_rng(2))
    batch = next(batches(images, objects, crop=48).from_step(0))
    assert batch.images.shape == (4, 1, 48, 48)
    for image, target in zip(batch.images, batch.targets, strict=True):
        assert box_of_bright(image[0].numpy()) == target[0, :4].tolist()


def test_cutting_by_hand():
    objects = Objects.of([[-10, 0, 10, 10], [90, 0, 190, 10], [200, 0, 210, 10]], [0, 1, 2])
    shown = cut(objects, 50, 100)
    assert shown.boxes.tolist() == [[0, 0, 10, 10], [90, 0, 100, 10]]
    assert shown.crowd.tolist() == [False, True]  # a half, and a tenth of it is inside
    assert mirrored(shown, 100).boxes.tolist() == [[90, 0, 100, 10], [0, 0, 10, 10]]


@pytest.mark.parametrize(
    ("warp", "off"),
    [
        (Warp(rows=3, columns=-5), 0),
        (Warp(flip=(-1,)), 0),
        (Warp(flip=(-2,)), 0),
        (Warp(scale=1.4), 1),
        (Warp(scale=0.7, columns=4), 1),
        (Warp(degrees=90), 1),
        (Warp(degrees=-90, rows=2), 1),
    ],
)
def test_targets_go_where_warped_pixels_go(warp, off):
    image = torch.zeros(1, 1, 48, 48)
    image[..., 16:30, 12:22] = 1
    target = target_of(Objects.of([[12, 16, 22, 30]], [0]))
    moved = warped(target, warp, 48, 48)[0, :4].numpy()
    assert np.abs(np.array(box_of_bright(warp.images(image)[0, 0].numpy())) - moved).max() <= off
