"""What people reported of other tools for instances, tried here: each name says where."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from tests_of_instances import target_of_whole

from striate.models import build
from striate.tasks.detect.cutting import Crop
from striate.tasks.detect.data.coco import outline_of
from striate.tasks.detect.data.instance_masks import read_instance_masks
from striate.tasks.detect.data.polygons import has_ring_inside, rasterise
from striate.tasks.detect.data.sources import open_boxes
from striate.tasks.detect.objects import Objects, Region
from striate.tasks.detect.predict import coco_document
from striate.tasks.detect.region_loss import loss_of_regions
from striate.tasks.instances.cropping import cropped_regions, instance_target, objects_of_target
from striate.tasks.instances.labels import labels_of
from striate.tasks.instances.prediction import InstancePrediction
from striate.training.batch import Batch


def squares(count, side=4, across=20):
    """Objects of side x side pixels in rows of `across`, a pixel apart."""
    places = [divmod(i, across) for i in range(count)]
    block = np.ones((side, side), bool)
    regions = [Region.of(block, r * (side + 1), c * (side + 1)) for r, c in places]
    return Objects.of([r.box for r in regions], [0] * count, scores=[0.9] * count, regions=regions)


def read_back(folder, numbers):
    (folder / "images").mkdir(parents=True)
    (folder / "masks").mkdir()
    Image.fromarray(np.zeros((*numbers.shape, 3), np.uint8)).save(folder / "images" / "0.png")
    Image.fromarray(numbers).save(folder / "masks" / "0.png")
    (image,) = read_instance_masks(folder, []).images
    return image


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return build("mask-rcnn:resnet18", num_classes=2, channels=16, hidden=16)


def test_cellpose_483_and_labelme_704_more_than_255_objects_come_back(tmp_path):
    objects = squares(300)
    made = InstancePrediction(
        path="a.png", size=(80, 100), objects=objects, classes=("cell",), sure=0.5
    )
    (tmp_path / "made.png").write_bytes(labels_of(np.zeros((80, 100, 1), np.uint8), made))
    numbers = np.asarray(Image.open(tmp_path / "made.png"))
    assert numbers.max() == 300 and len(np.unique(numbers)) == 301
    image = read_back(tmp_path / "data", numbers)
    assert len(image.labels) == 300


def test_yolov5_9461_more_than_255_objects_of_an_image_teach_each_its_own_pixels():
    objects = squares(300)
    target = target_of_whole(objects, 80, 100)
    assert int(target["numbers"].max()) == 300
    assert [r.area for r in objects_of_target(target).regions] == [16] * 300


def test_cellprofiler_5113_and_cellpose_1367_numbers_with_gaps_are_counted(tmp_path):
    numbers = np.zeros((30, 40), np.uint16)
    for i, number in enumerate((1, 2, 5, 8)):
        numbers[5:15, 8 * i : 8 * i + 8] = number
    assert len(read_back(tmp_path, numbers).labels) == 4


def test_cellpose_740_a_pixel_apart_belongs_to_the_object_of_its_number(tmp_path):
    numbers = np.zeros((30, 40), np.uint16)
    numbers[5:15, 5:15], numbers[20, 30] = 3, 3
    numbers[20:28, 10:20] = 4
    image = read_back(tmp_path, numbers)
    assert len(image.labels) == 2
    assert sorted(o.area for o in image.outlines) == [80, 101]


def test_cellpose_1190_pixels_of_two_objects_are_in_the_masks_of_both():
    """The label image gives each pixel to one; the JSON has the whole masks."""
    regions = [Region.of(np.ones((10, 20), bool), 5, left) for left in (5, 15)]
    objects = Objects.of([r.box for r in regions], [0, 0], scores=[0.9, 0.8], regions=regions)
    made = InstancePrediction(
        path="a.png", size=(30, 40), objects=objects, classes=("cell",), sure=0.5
    )
    entries = coco_document([made], ("cell",))["annotations"]
    assert [e["area"] for e in entries] == [200, 200]
    assert sorted(r.area for r in made.shown.regions) == [100, 200]


def test_matterport_112_an_object_whose_pixels_are_cropped_away_is_none(network):
    """A line of one pixel vanishes where a crop takes every other row; the others teach what they did."""
    line = Region.of(np.ones((1, 30), bool), 11, 4)
    block = Region.of(np.ones((20, 20), bool), 30, 30)
    objects = Objects.of([line.box, block.box], [0, 1], regions=[line, block])
    crop = Crop(top=0, left=0, zoom=0.5, height=32, width=32, mirror=False)
    seen = cropped_regions(objects, crop)
    sizes = [int(r.area) for r in seen.regions]
    assert all(sizes) and sizes[-1] == 100
    target = instance_target(seen, 32, 32)
    images = torch.rand(1, 3, 32, 32)
    loss = loss_of_regions(
        network(images.repeat(2, 1, 1, 1)), Batch(images.repeat(2, 1, 1, 1), [target, target]), 1.0
    )
    assert torch.isfinite(loss.sum) and set(loss.parts) >= {"masks"}


def test_keras_maskrcnn_26_and_maskrcnn_benchmark_144_images_without_objects_teach(network):
    """An image without any teaches the scores, nothing of masks, and adds up with others."""
    images = torch.rand(2, 3, 64, 64)
    empty = instance_target(Objects.of([], [], regions=[]), 64, 64)
    torch.manual_seed(1)
    loss = loss_of_regions(network(images), Batch(images, [empty, empty]), 1.0)
    network.zero_grad()
    loss.mean.backward()
    assert float(loss.parts["masks"]) == 0 and float(loss.parts["boxes"]) == 0
    assert float(loss.parts["anchors"]) > 0 and float(loss.parts["classes"]) > 0
    # Training on several devices waits for the gradient of every weight.
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


def test_torchvision_2740_objects_of_one_pixel_give_finite_losses(network):
    dots = [Region.of(np.ones((1, 1), bool), y, x) for y, x in ((0, 0), (31, 31), (63, 63))]
    objects = Objects.of([r.box for r in dots], [0, 1, 0], regions=dots)
    images = torch.rand(1, 3, 64, 64)
    loss = loss_of_regions(network(images), Batch(images, [instance_target(objects, 64, 64)]), 1.0)
    assert torch.isfinite(loss.sum) and float(loss.parts["masks"]) > 0


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        # detectron2 #4279: pairs of first pixel and length, as Kaggle's; COCO's are lengths alone
        ([37430, 6, 37694, 10, 37954, 17], "first pixel and length"),
        ([0, 20, 30], "run lengths are for 50 pixels"),
    ],
)
def test_detectron2_4279_run_lengths_that_are_none_are_named(tmp_path, counts, words):
    Image.fromarray(np.zeros((266, 266, 3), np.uint8)).save(tmp_path / "a.png")
    thing = {"id": 0, "image_id": 42, "category_id": 3, "bbox": [140, 167, 42, 39], "iscrowd": 0, "area": 33.0,
             "segmentation": {"size": [266, 266], "counts": counts}}  # fmt: skip
    (tmp_path / "a.json").write_text(json.dumps({
        "images": [{"id": 42, "file_name": "a.png", "height": 266, "width": 266}], "annotations": [thing],
        "categories": [{"id": 3, "name": "x"}],
    }))  # fmt: skip
    source = open_boxes(tmp_path, val=0, test=0)
    assert any(words in damage.reason for damage in source.faults)


def test_detectron2_489_and_4196_a_ring_inside_another_is_no_hole_in_coco():
    """COCO unites rings: what it does, `striate data` says, and run lengths can have holes."""
    outer, inner = [10, 10, 50, 10, 50, 50, 10, 50], [20, 20, 30, 20, 30, 30, 20, 30]
    both = outline_of([outer, inner])
    assert rasterise(both, 60, 60).area == 40 * 40
    assert has_ring_inside(both)
    beside, across = [52, 20, 58, 20, 58, 30, 52, 30], [40, 20, 60, 20, 60, 30, 40, 30]
    corner = [
        [10, 10, 50, 10, 10, 50],
        [40, 40, 48, 40, 48, 48, 40, 48],
    ]  # in its box, outside the triangle
    for rings in ([outer, beside], [outer, across], corner):
        assert not has_ring_inside(outline_of(rings))


def test_detectron2_489_is_said(tmp_path):
    Image.fromarray(np.zeros((60, 60, 3), np.uint8)).save(tmp_path / "a.png")
    rings = [[10, 10, 50, 10, 50, 50, 10, 50], [20, 20, 30, 20, 30, 30, 20, 30]]
    (tmp_path / "a.json").write_text(json.dumps({
        "images": [{"id": 1, "file_name": "a.png"}], "categories": [{"id": 3, "name": "x"}],
        "annotations": [{"id": 0, "image_id": 1, "category_id": 3, "bbox": [10, 10, 40, 40], "segmentation": rings}],
    }))  # fmt: skip
    source = open_boxes(tmp_path, val=0, test=0)
    assert any("1 object with a ring inside another" in text for text in source.warnings)


def test_imantics_48_a_ring_of_one_or_two_points_beside_a_whole_one_is_left_out():
    region = rasterise(outline_of([[0, 0], [3, 3, 9, 9], [10, 10, 50, 10, 50, 50, 10, 50]]), 60, 60)
    assert region.area == 40 * 40
    assert outline_of([[0, 0], [3, 3, 9, 9]]) is None
