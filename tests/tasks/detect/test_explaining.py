"""Why this object: which one is meant, and that pixels outside its cone have no influence on its score or its edges."""

import numpy as np
import pytest
import torch
from torch import nn

import striate
from striate.attribution import attribute
from striate.attribution.drise import drise, masks_of
from striate.attribution.occluding import occlusion_map
from striate.data import Preprocessing
from striate.errors import UsageError
from striate.tasks.detect.explaining import EDGES, aim_at
from striate.tasks.detect.peaks import STRIDE, peaks

HOW = Preprocessing(channels=3, height=96, width=96, mean=(0.5,) * 3, std=(0.2,) * 3)


@pytest.fixture(scope="module")
def trained(bold):
    return striate.wrap(bold, classes=["a", "b", "c"], preprocessing=HOW, task="detect")


def picture(height, width, seed=1):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 255, (3, height, width), dtype=np.uint8)


def numbers(trained, aim, pixels):
    """The aim's number and those beside it, of pixels (3, H, W) uint8, in double precision."""
    network = trained.pixels.double()
    with torch.inference_mode():
        output = network(torch.from_numpy(pixels)[None].double() / 255)
        found = torch.stack([aim(output), *(other(output) for other in aim.beside.values())])
    trained.model.float()
    return found[:, 0]


@pytest.mark.parametrize("size", [(300, 420), (640, 704)], ids=str)
@pytest.mark.parametrize("at", [(5, 9), (150, 200), (290, 410)], ids=str)
def test_pixels_outside_the_cone_have_no_influence(trained, size, at):
    pixels = picture(*size)
    aim = aim_at(trained, torch.from_numpy(pixels), size, at=tuple(slice(v, v + 1) for v in at))
    assert list(aim.beside) == [f"{name.capitalize()} edge" for name in EDGES]
    crop = aim.crop or tuple(slice(0, n) for n in size)
    assert (aim.crop is not None) == (size[0] * size[1] > 2**18)
    part = pixels[:, crop[0], crop[1]]
    before = numbers(trained, aim, part)
    other = picture(*part.shape[1:], seed=2)
    other[:, aim.cone[0], aim.cone[1]] = part[:, aim.cone[0], aim.cone[1]]
    assert (other != part).mean() > 0.1
    assert torch.equal(numbers(trained, aim, other), before)
    # The cone is no larger than it must be: a pixel on each of its inner sides does have an influence.
    rows, columns = aim.cone
    for axis, place in (
        (1, rows.start),
        (1, rows.stop - 1),
        (2, columns.start),
        (2, columns.stop - 1),
    ):
        if place in (0, part.shape[axis] - 1):
            continue
        changed = part.copy()
        line = [slice(None), rows, columns]
        line[axis] = place
        changed[tuple(line)] = 255 - changed[tuple(line)]
        assert not torch.equal(numbers(trained, aim, changed), before)


def test_the_crop_of_a_large_image_gives_the_numbers_of_the_whole(trained):
    size = (700, 600)
    pixels = picture(*size)
    image = torch.from_numpy(pixels)
    aim = aim_at(trained, image, size, number=3)
    assert aim.crop is not None
    with torch.inference_mode():
        maps = trained.pixels(image[None].float() / 255)[0]
    expected = peaks(maps, 3, STRIDE, size=size)
    found = numbers(trained, aim, pixels[:, aim.crop[0], aim.crop[1]])
    assert float(found[0].sigmoid()) == pytest.approx(expected.scores[2], abs=1e-5)
    left, top, right, bottom = expected.boxes[2]
    rows, columns = aim.region
    assert columns.start + aim.crop[1].start == pytest.approx(left, abs=1)
    assert rows.stop + aim.crop[0].start == pytest.approx(bottom, abs=1)
    middle = ((found[1] + found[3]) / 2, (found[2] + found[4]) / 2)  # half of width and height
    assert float(middle[0]) == pytest.approx((right - left) / 2, abs=1e-2) or left == 0 or right == 600  # fmt: skip
    assert float(middle[1]) == pytest.approx((bottom - top) / 2, abs=1e-2) or top == 0 or bottom == 700  # fmt: skip


def test_an_object_is_chosen_by_class_number_and_place(trained):
    size = (96, 128)
    image = torch.from_numpy(picture(*size))
    with torch.inference_mode():
        maps = trained.pixels(image[None].float() / 255)[0]
    objects = peaks(maps, 3, STRIDE, size=size)
    assert f"{objects.scores[0]:.2f}" in aim_at(trained, image, size).words
    best = int(np.flatnonzero(objects.labels == 2)[0])
    words = aim_at(trained, image, size, index=2).words
    assert words.startswith("c ") and f"{objects.scores[best]:.2f}" in words
    assert f"{objects.scores[4]:.2f}" in aim_at(trained, image, size, number=5).words
    # Of those over a place, the smallest.
    y, x = 40, 50
    inside = [
        i for i, (left, top, right, bottom) in enumerate(objects.boxes)
        if left <= x + 0.5 < right and top <= y + 0.5 < bottom
    ]  # fmt: skip
    smallest = min(inside, key=lambda i: np.prod(objects.boxes[i, 2:] - objects.boxes[i, :2]))
    aim = aim_at(trained, image, size, at=(slice(y, y + 1), slice(x, x + 1)))
    left, top, right, bottom = objects.boxes[smallest]
    assert aim.region == (slice(int(top), int(np.ceil(bottom))), slice(int(left), int(np.ceil(right))))  # fmt: skip
    edge = aim_at(trained, image, size, number=1, edge="top")
    assert edge.either and edge.words.startswith("the top edge of ")


@pytest.mark.parametrize(
    "which",
    [
        {"number": 0},
        {"number": 10_000},
        {"edge": "middle"},
        {"at": (slice(96, 97), slice(0, 1))},
        {"at": (slice(5, 6), slice(5, 6)), "number": 1},
    ],
    ids=str,
)
def test_what_does_not_exist_is_refused(trained, which):
    with pytest.raises(UsageError):
        aim_at(trained, torch.from_numpy(picture(96, 128)), (96, 128), **which)


def test_a_missed_object_can_be_asked_about(trained):
    """Where no box lies, the class that the cell comes closest to is explained."""
    quiet = striate.wrap(trained.model, classes=["a", "b", "c"], preprocessing=HOW, task="detect")
    bias = quiet.model.head.heat.bias
    with torch.no_grad():
        bias -= 100.0
    place = (slice(33, 34), slice(70, 71))
    aim = aim_at(quiet, torch.from_numpy(picture(96, 128)), (96, 128), at=place)
    with torch.no_grad():
        bias += 100.0
    assert "none is found at (70, 34)" in aim.words  # the middle of the cell
    assert float(numbers(trained, aim, picture(96, 128))[0]) < 60


def test_occlusion_is_zero_outside_the_cone_and_the_same_as_by_every_patch(trained):
    size = (224, 256)
    pixels = picture(*size)
    aim = aim_at(trained, torch.from_numpy(pixels), size, at=(slice(30, 31), slice(40, 41)))
    image = torch.from_numpy(pixels).float() / 255
    made = attribute(trained.pixels, image, aim, "occlusion")
    patch = made.remark.split("of ")[1].split(" ")[0]
    plain = occlusion_map(trained.pixels, image, aim, patch=int(patch))
    assert torch.allclose(made.values, plain, atol=1e-3)  # of a score of some tens
    rows, columns = (slice(side.stop + int(patch), None) for side in aim.cone)
    assert made.values[rows].abs().max() == 0 == made.values[:, columns].abs().max()
    assert made.values.abs().max() > 0.01
    edge = attribute(trained.pixels, image, aim.beside["Bottom edge"], "occlusion")
    assert (edge.values != 0).any() and torch.equal(edge.shown, edge.values.abs())


def test_an_explanation_has_maps_of_score_and_edges(trained):
    image = picture(64, 64).transpose(1, 2, 0)
    (made,) = trained.explain([image], methods=["occlusion", "d-rise"], trust=False, object=2)
    explanation = made.explanation
    assert list(explanation.maps) == ["occlusion", "d-rise"]
    assert list(explanation.beside) == [f"{name.capitalize()} edge" for name in EDGES]
    assert explanation.cone is not None and explanation.region is not None
    assert {"cone", "region", "beside"} <= made.page.data.keys()
    assert len(made.page.figures[0].content) > 5000
    with pytest.raises(UsageError):
        list(trained.explain([image], methods=["d-rise"], edge="left"))


class Spot(nn.Module):
    """One detection, whose score is the mean brightness of a part of the image."""

    def forward(self, x):
        return x[:, :, 20:30, 8:20].mean((1, 2, 3))


def test_drise_marks_what_the_detection_hangs_on():
    image = torch.ones(1, 40, 48)
    made = drise(Spot(), image, lambda output: output, masks=2000, grid=8)
    inside = made[20:30, 8:20]
    assert inside.mean() > 6 * made.abs().mean() and float(made.max()) > 0
    row, column = divmod(int(made.argmax()), 48)
    assert 18 <= row < 32 and 6 <= column < 22


def test_drise_is_the_sum_of_masks_by_what_they_leave():
    torch.manual_seed(3)
    image = torch.rand(1, 1, 24, 32)
    made = drise(
        Spot(), image, lambda output: output, masks=40, grid=4, keep=0.3, seed=5, baseline=0.2
    )
    masks = torch.cat(list(masks_of((24, 32), 40, grid=4, keep=0.3, seed=5))).double().numpy()
    left = [float((m * image[0, 0].double().numpy() + (1 - m) * 0.2)[20:30, 8:20].mean()) for m in masks]  # fmt: skip
    paper = sum(w * m for w, m in zip(left, masks, strict=True)) / (0.3 * 40)
    chance = np.mean(left) * masks.mean(0) / 0.3
    assert made.double().numpy() == pytest.approx(paper - chance, abs=1e-5)


def test_masks_are_smooth_shares_of_the_image():
    masks = torch.cat(list(masks_of((50, 70), 300, grid=7, keep=0.4, seed=0)))
    assert masks.shape == (300, 50, 70) and masks.min() >= 0 and masks.max() <= 1
    assert float(masks.mean()) == pytest.approx(0.4, abs=0.02)
    assert masks.diff(dim=2).abs().max() < 0.5
    # Shifted at random: no pixel is always a corner of the grid.
    assert masks.mean(0).std() < 0.05
