"""Probes of size, crowding and truncation against a detector whose failures are known: it finds bright squares by plain
code."""

import math

import numpy as np
import pytest
import torch
from scipy.ndimage import find_objects, label
from torch import nn

from striate.errors import DataError
from striate.robustness import Context, probes_of, run_probe
from striate.tasks.detect.forms.centers import Centers
from striate.tasks.detect.objects import Objects
from striate.tasks.detect.probes.crowding import copied
from striate.tasks.detect.probes.finding_objects import truths_of
from striate.tasks.detect.probes.truncation import cut_images
from striate.tasks.table import find_task

SIDE, STRIDE = 96, 4


class Squares(nn.Module):
    """Finds every connected bright patch whose sides are `least` to `most` pixels, with an exact box."""

    def __init__(self, least=1.0, most=1e9):
        super().__init__()
        self.least, self.most = least, most

    def forward(self, x):
        n, _, height, width = x.shape
        maps = torch.full((n, 5, math.ceil(height / STRIDE), math.ceil(width / STRIDE)), -20.0)
        for one, image in zip(maps, x[:, 0].numpy(), strict=True):
            for rows, columns in find_objects(label(image > 0.5)[0]):
                sides = rows.stop - rows.start, columns.stop - columns.start
                if not all(self.least <= s <= self.most for s in sides):
                    continue
                y, x0 = (rows.start + rows.stop) / 2, (columns.start + columns.stop) / 2
                r, c = int(y // STRIDE), int(x0 // STRIDE)
                middle = (r + 0.5) * STRIDE, (c + 0.5) * STRIDE
                one[0, r, c] = 5.0
                one[1:, r, c] = torch.tensor([
                    middle[1] - columns.start, middle[0] - rows.start, columns.stop - middle[1], rows.stop - middle[0]
                ])  # fmt: skip
        return maps


def context(network, sides=(12,), count=16):
    rng = np.random.default_rng(0)
    images, targets = torch.zeros(count, 1, SIDE, SIDE), []
    for image in images:
        side = int(rng.choice(sides))
        top, left = rng.integers(26, SIDE - 26 - side, 2).tolist()
        image[:, top : top + side, left : left + side] = 1.0
        targets.append(torch.tensor([[left, top, left + side, top + side, 0, 0.0]]).float())
    return Context(network.eval(), images, targets, ("square",), task=find_task("detect"))


def test_a_detector_has_them_and_others_do_not():
    names = {"size", "crowding", "truncation"}
    assert names <= probes_of(find_task("detect")).keys()
    assert not names & probes_of(find_task("segment")).keys()


def test_size_says_from_where_to_where_objects_are_found():
    found = run_probe(context(Squares(least=8, most=20)), "size")
    recall = {(d["from"], d["to"]): d["value"] for d in found.data["sizes"]}
    for (low, high), value in recall.items():
        if high <= 7 or low > 21:
            assert value == 0, (low, high)
        if low >= 9 and high <= 20:
            assert value == 1, (low, high)
    assert len(recall) >= 6
    small = [d for d in found.data["sizes"] if d["to"] <= 6]
    assert all(d["missed"] == {"silent": d["objects"]} for d in small)
    assert all(d["low"] <= d["value"] <= d["high"] for d in found.data["sizes"])
    ap = dict(zip(found.data["scales"], found.data["ap"], strict=True))
    assert ap[1.0] == pytest.approx(1, abs=1e-6) and ap[2.0] == 0 == ap[0.25]
    assert found.data["usual"] == [12, 12] and "pixels" in found.verdict


def test_a_size_that_the_images_have_and_that_is_missed_is_warned_of():
    found = run_probe(context(Squares(least=16), sides=(8, 24)), "size")
    assert found.status == "warning" and "enlarge=2" in found.advice
    assert run_probe(context(Squares(), sides=(8, 24)), "size").status == "good"


def test_truncation_counts_what_is_found_of_cut_objects():
    whole = run_probe(context(Squares()), "truncation")
    assert whole.data["recall"] == [1.0] * len(whole.data["shown"]) and whole.status == "good"
    assert min(whole.data["objects"]) == 32  # both ways of 16 images
    # One that needs 8 pixels of 12 finds nothing of what has less.
    found = run_probe(context(Squares(least=8)), "truncation")
    for shown, recall in zip(found.data["shown"], found.data["recall"], strict=True):
        assert recall == (1.0 if 12 * shown >= 7.6 else 0.0), shown
    assert found.status == "warning" and "75 %" not in found.verdict.split(";")[0]


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("shown", [1.0, 0.75, 0.25])
def test_a_cut_image_shows_as_much_of_the_object_as_was_meant(axis, shown):
    one = context(Squares())
    images, aims = cut_images(one, truths_of(one), axis, shown)
    size = [SIDE, SIDE]
    size[1 - axis] = 38
    assert list(images.shape[-2:]) == size
    for image, aim in zip(images, aims, strict=True):
        assert len(aim) == 1 and not aim.crowd[0]
        left, top, right, bottom = aim.boxes[0].astype(int)
        assert image.sum() == 144 * shown == (right - left) * (bottom - top)
        assert image[0, top:bottom, left:right].min() == 1  # the box lies where the pixels are


def test_crowding_loses_pairs_once_one_hides_the_other():
    found = run_probe(context(Squares()), "crowding")
    both = dict(zip(found.data["distances"], found.data["both"], strict=True))
    # Of the one behind a half is hidden, less the edge that fades: its box overlaps by a third.
    assert both[2.0] == both[1.5] == 1.0 and both[0.5] == both[0.35] == 0.0
    assert found.data["pairs"][0] == 16 and "2" not in found.advice.split("`")[0]
    assert found.status in ("note", "warning")


@pytest.mark.parametrize("distance", [2.0, 1.25, 0.5])
def test_a_copy_lies_where_its_box_is_said_to_be(distance):
    one = context(Squares())
    images, aims, pairs = copied(one, truths_of(one), distance)
    for i, (image, aim, pair) in enumerate(zip(images, aims, pairs, strict=True)):
        back, front = aim.boxes[pair.back], aim.boxes[pair.front]
        away = np.abs(front - back)
        assert sorted(away.tolist()) == [0, 0, round(12 * distance), round(12 * distance)]
        for left, top, right, bottom in (back.astype(int), front.astype(int))[distance < 1 :]:
            assert image[0, top:bottom, left:right].min() == 1
        outside = image[0].clone()
        for left, top, right, bottom in (back.astype(int), front.astype(int)):
            outside[top:bottom, left:right] = 0
        # The margin fades to what was there, and here that is black.
        assert float(outside.sum()) == 0
        assert torch.equal(one.images[i], context(Squares()).images[i])


def test_touching_cells():
    sight = Centers().sight(None, [None])
    assert sight.excludes(Objects.of([[0, 0, 6, 6], [4, 4, 10, 10]], [0, 0]))
    assert not sight.excludes(Objects.of([[0, 0, 6, 6], [4, 4, 10, 10]], [0, 1]))
    assert not sight.excludes(Objects.of([[0, 0, 6, 6], [8, 0, 14, 6]], [0, 0]))


def test_images_without_room_are_refused():
    full = torch.ones(2, 1, 32, 32)
    targets = [torch.tensor([[0, 0, 32, 32, 0, 0.0]])] * 2
    one = Context(Squares().eval(), full, targets, ("square",), task=find_task("detect"))
    for name in ("crowding", "truncation"):
        with pytest.raises(DataError):
            run_probe(one, name)
    assert Objects.of([], []).sides.shape == (0, 2)
