"""Images that a detector sees resized: what it finds comes back in the image's own pixels, whole or tile by tile."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

import striate
from striate.data import Preprocessing
from striate.data.digits import open_digits
from striate.errors import UsageError
from striate.inference.tiled import open_file
from striate.tasks.detect.data.scenes import open_box_scenes
from striate.tasks.detect.frame import framed, original, seen
from striate.tasks.detect.framed_image import FramedImage
from striate.tasks.detect.objects import Objects, Region
from striate.tasks.table import find_task
from striate.training.recipe import Recipe

SETTINGS = [{"longest": 120}, {"enlarge": 0.5}, {"enlarge": 1.7}]


def how(**settings):
    return Preprocessing(channels=3, height=96, width=96, mean=(0.5,) * 3, std=(0.2,) * 3, **settings)  # fmt: skip


@pytest.fixture(scope="module")
def picture(tmp_path_factory):
    rng = np.random.default_rng(3)
    blocks = rng.integers(0, 255, (23, 31, 3), dtype=np.uint8).repeat(13, 0).repeat(13, 1)[:290]
    path = tmp_path_factory.mktemp("framed") / "large.png"
    Image.fromarray(blocks).save(path)
    return path, blocks


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_boxes_come_back_to_where_they_were(settings):
    preprocessing = how(**settings)
    objects = Objects.of([[3.5, 7, 250.25, 199]], [1], scores=[0.5])
    there = seen(objects, (307, 411), preprocessing)
    rows, columns = preprocessing.frame(307, 411)
    assert there.boxes[0, 2] == pytest.approx(250.25 * columns / 411)
    assert there.boxes[0, 3] == pytest.approx(199 * rows / 307)
    assert original(there, (307, 411), preprocessing).boxes == pytest.approx(objects.boxes)


def test_the_longer_side_is_reduced_and_a_small_image_left_alone():
    assert how(longest=1024).frame(3000, 4000) == (768, 1024)
    assert how(longest=1024).frame(600, 800) == (600, 800)
    assert how(enlarge=2.0).frame(30, 41) == (60, 82)
    assert how().frame(30, 41) == (30, 41)


@pytest.mark.parametrize("by", [0.5, 0.3, 2.0, 3.0])
def test_regions_are_resized_as_the_nearest_pixels_of_a_whole_mask(by):
    mask = np.random.default_rng(1).random((60, 80)) < 0.4
    mask[:7], mask[:, :11] = False, False
    size = round(80 * by), round(60 * by)
    whole = np.asarray(Image.fromarray(mask).resize(size, Image.Resampling.NEAREST))
    made = Region.of(mask).scaled(size[1] / 60, size[0] / 80)
    assert np.array_equal(made.full(size[1], size[0]), whole)
    assert Region.of(np.ones((1, 1), bool), 5, 5).scaled(0.1, 0.1).area == 1


@pytest.mark.parametrize("settings", [*SETTINGS, {"longest": 37}], ids=str)
def test_any_part_of_a_resized_image_is_that_of_the_whole(settings, picture):
    path, pixels = picture
    preprocessing = how(**settings)
    whole = torch.from_numpy(preprocessing.colours(pixels))
    image = FramedImage(open_file(path), preprocessing)
    assert image.shape == tuple(whole.shape)
    rng = np.random.default_rng(0)
    for _ in range(12):
        (top, bottom), (left, right) = (
            np.sort(rng.choice(n + 1, 2, replace=False)).tolist() for n in image.shape[1:]
        )
        assert torch.equal(image.read(0, ((top, bottom), (left, right)))[0], whole[:, top:bottom, left:right])  # fmt: skip


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_prediction_and_tiles_are_those_of_the_resized_image(settings, bold, picture, tmp_path):
    path, pixels = picture
    preprocessing = how(**settings)
    sure = striate.wrap(bold, classes=["a", "b", "c"], preprocessing=preprocessing, task="detect")
    plain = striate.wrap(
        bold, classes=["a", "b", "c"], preprocessing=preprocessing.unframed, task="detect"
    )
    small = preprocessing.colours(pixels).transpose(1, 2, 0)
    Image.fromarray(small).save(tmp_path / "small.png")
    (made,) = sure.predict([path], out=tmp_path / "out")
    (expected,) = plain.predict([tmp_path / "small.png"])
    assert made.size == pixels.shape[:2] and len(made.objects) == len(expected.objects) > 10
    ratio = np.array(pixels.shape[1::-1] * 2) / (small.shape[1::-1] * 2)
    assert made.objects.boxes == pytest.approx(expected.objects.boxes * ratio, abs=1e-3)
    sure.tile(path, out=tmp_path / "tiles.json", tile=64)
    tiled = json.loads((tmp_path / "tiles.json").read_text())["annotations"]
    boxes = np.array([o["bbox"] for o in tiled])
    boxes[:, 2:] += boxes[:, :2]
    assert len(boxes) == len(made.objects)
    assert np.abs(made.objects.boxes[:, None] - boxes[None]).max(2).min(1).max() < 1e-2


def test_scores_are_of_the_images_own_pixels(bold):
    """A detector that sees images enlarged is evaluated as one that was given them so, box for box."""
    source = open_box_scenes(open_digits, count=12, size=48)
    preprocessing = how(enlarge=2.0)
    known = {"classes": source.classes[:3], "task": "detect"}
    trained = striate.wrap(bold, preprocessing=preprocessing, **known)
    task, device = find_task("detect"), torch.device("cpu")
    made = task.assess(trained, source.train, device=device)
    plain = striate.wrap(bold, preprocessing=preprocessing.unframed, **known)
    larger = task.assess(plain, framed(source.train, preprocessing), device=device)
    for a, b in zip(made.predictions, larger.predictions, strict=True):
        assert a.boxes * 2 == pytest.approx(b.boxes) and np.array_equal(a.scores, b.scores)
    assert made.truths == source.train.objects


def test_photographs_with_huge_objects_are_reduced_until_they_can_be_seen():
    images = np.zeros((6, 1200, 1600, 3), np.uint8)
    images[:, 100:1100, 200:1400] = 200
    targets = [{"boxes": [[200.0, 100, 1400, 1100]], "labels": [0]} for _ in images]
    data = list(zip(images, targets, strict=True))
    task, device = find_task("detect"), torch.device("cpu")
    recipe = task.recipe({"data": "given", "model": "centernet"})
    source = task.take(data, recipe)
    plan = task.plan(recipe, source, device)
    longest = plan.preprocessing.longest
    assert 0 < longest < 1600 and plan.recipe.settings.longest == longest
    assert any(line.startswith("longest = ") for line in plan.why)
    # The crops that train show the whole object at that size.
    batch = next(task.batches(plan, "train", device=device).from_step(0))
    sides = torch.cat([t[:, 2:4] - t[:, :2] for t in batch.targets])
    assert len(sides) and float(sides.max()) < 1200 * longest / 1600 * 1.3
    kept = task.plan(recipe.replace(settings=type(recipe.settings)(longest=0)), source, device)
    assert kept.preprocessing.longest == 0


def test_two_sizes_at_once_are_refused():
    with pytest.raises(UsageError):
        find_task("detect").recipe({"data": "x", "longest": 512, "enlarge": 2.0})
    with pytest.raises(UsageError):
        find_task("detect").recipe({"data": "x", "enlarge": 0})
    assert isinstance(find_task("detect").recipe({"data": "x", "longest": "512"}), Recipe)
