"""Faster and Mask R-CNN: torchvision's weights give torchvision's objects, and tiles give those of the whole image."""

import json
import warnings
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.models.detection import fasterrcnn_resnet50_fpn, maskrcnn_resnet50_fpn
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.ops import MultiScaleRoIAlign

import striate
from striate.errors import UsageError
from striate.models import Regions, build
from striate.tasks.detect import boxes, forward, predict, region_loss, regions
from striate.tasks.detect.defaults import BoxFacts, choose_for_boxes
from striate.tasks.detect.explaining import aim_at
from striate.tasks.detect.forms.form import Spot
from striate.tasks.detect.forms.regions import RegionForm
from striate.tasks.detect.objects import Objects
from striate.tasks.detect.settings import DetectSettings
from striate.tasks.table import find_task
from striate.training.batch import Batch
from striate.training.recipe import Recipe

INPUT = (64, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
SIDE = 128


def made_bold(theirs):
    """Random weights that find something: batch norms of a real network's kind, and scores far apart."""
    torch.manual_seed(1)
    for module in theirs.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.8, 1.2)
    with torch.no_grad():
        theirs.rpn.head.bbox_pred.weight *= 0.1
        theirs.roi_heads.box_predictor.cls_score.weight *= 0.3
        theirs.roi_heads.box_predictor.bbox_pred.weight *= 0.1
    return theirs.eval()


@pytest.fixture(scope="module")
def pair():
    """torchvision's network on images as they are, and ours with its weights."""
    torch.manual_seed(0)
    theirs = made_bold(
        maskrcnn_resnet50_fpn(
            weights=None, weights_backbone=None, num_classes=4, min_size=SIDE, max_size=SIDE, image_mean=(0, 0, 0),
            image_std=(1, 1, 1), rpn_pre_nms_top_n_test=60, rpn_post_nms_top_n_test=60,
        )
    )  # fmt: skip
    ours = build("mask-rcnn", num_classes=3)
    ours.load_state_dict(theirs.state_dict())
    return theirs, ours.eval()


@pytest.fixture
def few(monkeypatch):
    monkeypatch.setattr(regions, "TOP", 60)


def test_weights_of_torchvision_give_its_boxes(pair, few, monkeypatch):
    # torchvision has no ties but those of all digits.
    monkeypatch.setattr(boxes, "SCORE", 2.0**40)
    monkeypatch.setattr(regions, "LOGIT", 2.0**20)
    theirs, ours = pair
    image = torch.rand(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        (expected,) = theirs([image[0]])
        output = ours(image)
        (made,) = RegionForm().decode(output, 3, (SIDE, SIDE))
    assert isinstance(output, Regions)
    assert len(made) == len(expected["boxes"]) > 10
    assert made.labels.tolist() == (expected["labels"] - 1).tolist()
    assert np.abs(made.scores - expected["scores"].numpy()).max() < 1e-5
    assert np.abs(made.boxes - expected["boxes"].numpy()).max() < 1e-2
    masks = expected["masks"][:, 0].numpy() > 0.5
    ours_full = np.stack([region.full(SIDE, SIDE) for region in made.regions])
    assert masks.any((1, 2)).sum() > 5
    apart = (ours_full != masks)[masks.any((1, 2))]
    assert apart.mean() < 1e-4  # a box's edge is cut to whole pixels, which rounding may tip


def test_weights_of_a_file_load_with_their_head(pair, tmp_path):
    theirs, _ = pair
    torch.save(theirs.state_dict(), tmp_path / "maskrcnn.pth")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        trained = striate.wrap(
            build("mask-rcnn", num_classes=3), weights=tmp_path / "maskrcnn.pth", classes=list("abc"), preprocessing=INPUT,
            task="detect",
        )  # fmt: skip
    assert torch.equal(
        trained.model.rpn["head"].cls_logits.weight, theirs.rpn.head.cls_logits.weight
    )
    with pytest.raises(UsageError, match="4 logits a region, and 2 classes need 3"):
        striate.wrap(trained.model, classes=list("ab"), preprocessing=INPUT, task="detect")


@pytest.fixture(scope="module")
def sure():
    torch.manual_seed(0)
    network = build("faster-rcnn:resnet18", num_classes=3, channels=16, hidden=32)
    with torch.no_grad():
        network.rpn["head"].cls_logits.weight *= 30
        network.roi_heads.box_predictor.cls_score.weight *= 60
    return striate.wrap(network, classes=list("abc"), preprocessing=INPUT, task="detect")


@pytest.mark.parametrize("tile", [64, 93, 256])
def test_two_passes_by_tiles_give_the_objects_of_the_whole_image(sure, few, tmp_path, tile):
    pixels = np.random.default_rng(3).integers(0, 255, (203, 310, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "large.png")
    assert (
        sure.tile(tmp_path / "large.png", out=tmp_path / "large.json", tile=tile).status == "good"
    )
    with torch.inference_mode():
        output = sure.model(sure.normalise(torch.from_numpy(sure.preprocessing.colours(pixels))[None]))  # fmt: skip
    (expected,) = RegionForm().decode(output, 3, (203, 310))
    objects = json.loads((tmp_path / "large.json").read_text())["annotations"]
    assert len(objects) == len(expected) > 10
    made = np.array([[o["category_id"] - 1, *o["bbox"]] for o in objects])
    rows = np.concatenate([expected.labels[:, None], expected.boxes[:, :2], expected.sides], 1)
    assert (
        np.abs(rows[:, None] - made[None]).max(2).min(1).max() < 1e-2
    )  # pixels; of class, place and size


def test_regions_are_read_in_blocks_as_from_the_whole_map(monkeypatch):
    rng = np.random.default_rng(0)
    maps = [rng.normal(0, 1, (3, 400 // s, 600 // s)).astype(np.float32) for s in (4, 8, 16, 32)]
    corner = rng.uniform(0, 300, (40, 2))
    boxes = np.concatenate([corner, corner + np.exp(rng.uniform(2, 6, (40, 2)))], 1).clip(0, [600, 400] * 2)  # fmt: skip
    strides, cpu = (4, 8, 16, 32, 64), torch.device("cpu")
    monkeypatch.setattr(regions, "BLOCK", 10**6)
    whole = regions.features_of(maps, strides, boxes, 7, cpu)
    monkeypatch.setattr(regions, "BLOCK", 64)
    assert (regions.features_of(maps, strides, boxes, 7, cpu) - whole).abs().max() < 1e-4


def test_the_likeliest_are_found_in_parts(monkeypatch):
    logits = np.random.default_rng(0).normal(0, 1, (3, 50)).round(1).astype(np.float32)
    expected = [a.tolist() for a in regions.likeliest(logits, 20)]
    monkeypatch.setattr(regions, "ROOM", 12)
    assert [a.tolist() for a in regions.likeliest(logits, 20)] == expected
    assert logits.reshape(-1)[expected[0]].tolist() == expected[1]


def test_predictions_and_explanations(sure, tmp_path):
    image = np.random.default_rng(1).integers(0, 255, (70, 90, 3), dtype=np.uint8)
    Image.fromarray(image).save(tmp_path / "scene.png")
    (made,) = sure.predict([tmp_path / "scene.png"], out=tmp_path / "out")
    assert len(made.objects) and (made.objects.boxes <= [90, 70, 90, 70]).all()
    (explained,) = sure.explain([image], methods=["gradient"], trust=False)
    assert "with a score of" in explained.explanation.target


@pytest.mark.parametrize(
    ("masks", "anchor"), [(False, 8), (True, 4)], ids=["boxes", "masks of smaller anchors"]
)
def test_the_loss_is_torchvisions(monkeypatch, masks, anchor):
    """With all anchors and regions drawn, of which there is then nothing random."""
    torch.manual_seed(0)
    every = {"rpn_batch_size_per_image": 10**6, "box_batch_size_per_image": 10**6}
    make = maskrcnn_resnet50_fpn if masks else fasterrcnn_resnet50_fpn
    # Its anchors, and the region's side that is looked at on the third level.
    sizes = tuple((anchor * stride,) for stride in (4, 8, 16, 32, 64))
    pool = partial(MultiScaleRoIAlign, list("0123"), sampling_ratio=2, canonical_scale=28 * anchor)
    every |= {"rpn_anchor_generator": AnchorGenerator(sizes, ((0.5, 1.0, 2.0),) * 5)}
    every |= {"box_roi_pool": pool(output_size=7)}
    every |= {"mask_roi_pool": pool(output_size=14)} if masks else {}
    theirs = make(
        weights=None, weights_backbone=None, num_classes=3, min_size=SIDE, max_size=SIDE, image_mean=(0, 0, 0),
        image_std=(1, 1, 1), rpn_pre_nms_top_n_train=60, rpn_post_nms_top_n_train=60, rpn_positive_fraction=0.5,
        box_positive_fraction=0.5, **every,
    )  # fmt: skip
    made_bold(theirs)
    ours = build("mask-rcnn" if masks else "faster-rcnn", num_classes=2, anchor=anchor).eval()
    ours.load_state_dict(theirs.state_dict())
    monkeypatch.setattr(regions, "TOP", 60)
    monkeypatch.setattr(region_loss, "REGIONS", 0.5)
    image = torch.rand(1, 3, SIDE, SIDE)
    boxes = torch.tensor([[10.0, 12, 60, 70], [50, 40, 120, 110], [5, 80, 30, 100]])
    labels = torch.tensor([1, 2, 1])
    # Ragged pixels, of which no two objects have the same one, as ours are numbered.
    x, y = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="xy")
    numbers = torch.zeros(SIDE, SIDE, dtype=torch.int32)
    for i, (left, top, right, bottom) in enumerate(boxes.tolist(), start=1):
        inside = (x >= left) & (x < right) & (y >= top) & (y < bottom)
        numbers[inside & (torch.rand(SIDE, SIDE) > 0.3)] = i
    truth = {"boxes": boxes, "labels": labels}
    rows = torch.cat([boxes, (labels - 1)[:, None], torch.zeros(3, 1)], 1)
    target = rows
    if masks:
        truth["masks"] = torch.stack([numbers == i for i in (1, 2, 3)]).byte()
        target = {"objects": rows, "numbers": numbers}
    theirs.train()
    for module in theirs.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eval()
    with torch.no_grad():
        expected = theirs([image[0]], [truth])
        mine = region_loss.loss_of_regions(
            ours(image), Batch(image, [target]), 1.0, regions=2 * 10**6
        )
    names = {
        "anchors": "loss_objectness",
        "anchor_boxes": "loss_rpn_box_reg",
        "classes": "loss_classifier",
        "boxes": "loss_box_reg",
    } | ({"masks": "loss_mask"} if masks else {})
    assert mine.parts.keys() == names.keys()
    for name, other in names.items():
        assert float(mine.parts[name]) == pytest.approx(float(expected[other]), rel=2e-4), name
    assert float(mine.mean) == pytest.approx(float(sum(expected.values())), rel=2e-4)


@pytest.mark.parametrize(("size", "expected"), [(96, 64), (400, 256), (1024, 512)])
def test_small_images_teach_by_fewer_regions(size, expected):
    facts = BoxFacts(
        images=9, side=size, longer=size, pixels=9 * size**2, largest=20, photographs=False, flip=None, generated=True
    )  # fmt: skip
    ours = {"task": "detect", "settings": DetectSettings()}
    for model, regions_ in (("mask-rcnn:resnet18", expected), ("fcos", None)):
        recipe, why = choose_for_boxes(Recipe(data="x", model=model, size=size, **ours), facts)
        assert recipe.settings.regions == regions_
        assert any("is lighter" in reason for reason in why) == (size == 96 and model != "fcos")


def test_no_more_regions_are_looked_at_than_are_asked_for():
    """A quarter of them with an object, of which more overlap it than are drawn."""
    torch.manual_seed(0)
    network = build("faster-rcnn:resnet18", num_classes=3, channels=16, hidden=32)
    output = network(torch.rand(2, 3, 64, 64))
    seen = []
    output = output._replace(box=lambda x: (seen.append(len(x)), network.roi_heads.box(x))[1])
    target = torch.tensor([[5.0, 5, 40, 40, 1, 0]]).repeat(9, 1)
    loss = region_loss.loss_of_regions(
        output, Batch(torch.zeros(2, 3, 64, 64), [target] * 2), 1.0, regions=16
    )
    assert seen == [32] and torch.isfinite(loss.sum)
    lesson = region_loss.lesson_of(output, 0, target, (64, 64), 16)
    assert len(lesson.held) == 4 == (lesson.labels == 2).sum() and not lesson.labels[4:].any()


def test_the_masks_of_regions_are_those_of_their_objects():
    """A region of 28 x 28 whole pixels has a part for each."""
    numbers = torch.zeros(60, 70, dtype=torch.int32)
    numbers[10:38, 20:48] = 2
    numbers[20:25, 20:30] = 1
    numbers[:, 40:45] = 3
    made = region_loss.true_masks(numbers, np.array([2, 1]), np.array([[20.0, 10, 48, 38]] * 2))
    # A sample in a part's middle weighs the four pixels around it.
    around = lambda a: sum(a[i : i + 28, j : j + 28] for i in (0, 1) for j in (0, 1)) / 4  # noqa: E731
    for mask, number in zip(made, (2, 1), strict=True):
        assert torch.allclose(mask, around((numbers[10:39, 20:49] == number).float()), atol=1e-6)


def small_mask_rcnn(in_channels, num_classes):
    return build("mask-rcnn:resnet18", num_classes=num_classes, channels=16, hidden=32)


def test_mask_rcnn_trains_to_its_report(tmp_path):
    run = striate.train(
        "scenes", task="instances", model=small_mask_rcnn, out=tmp_path / "run", count=10, epochs=1, size=64, batch=4,
        device="cpu",
    )  # fmt: skip
    assert {"val_mask_ap", "val_box_ap", "val_pq", "train_masks"} <= run.metrics[-1].keys()
    assert "explanations" in {f.stem for f in (run.path / "findings").glob("*.json")}


def test_masks_are_not_learned_from_boxes(tmp_path):
    for model in ("mask-rcnn:resnet18", small_mask_rcnn):
        with pytest.raises(UsageError, match="--task instances"):
            striate.train("scenes", task="detect", model=model, out=tmp_path / "b", count=12, epochs=1, size=64)  # fmt: skip


def test_one_region_is_read_in_each_of_several_images():
    torch.manual_seed(0)
    network = build("faster-rcnn:resnet18", num_classes=3, channels=16, hidden=32).eval()
    images = torch.rand(3, 3, 64, 64)
    spot = Spot(None, 1, region=(3.0, 8.0, 30.0, 50.5))
    with torch.no_grad():
        together = RegionForm().read(network(images), 3, spot)
        each = torch.cat([RegionForm().read(network(images[i : i + 1]), 3, spot) for i in range(3)])
    assert together.shape == (3, 6) and (together[0] - together[1]).abs().max() > 1e-4
    assert torch.allclose(together, each, atol=1e-4)


class Proposing(torch.nn.Module):
    """Proposes from one map, with a cell every 4 pixels of which each sees 21, and looks again: weights at random."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(3)
        self.map = torch.nn.Sequential(
            torch.nn.Conv2d(3, 8, 13, 4, 6), torch.nn.ReLU(), torch.nn.Conv2d(8, 8, 3, padding=1)
        )
        self.proposals, self.second = torch.nn.Conv2d(8, 15, 1), torch.nn.Linear(8 * 49, 4 * 5)
        with torch.no_grad():
            self.proposals.weight[:3] *= 20

    def look(self, x):
        made = self.second(x.flatten(1)) * 3
        return made[:, :4], made[:, 4:].unflatten(1, (4, 4))

    def forward(self, x):
        maps = self.map(x)
        return Regions((maps,), (self.proposals(maps),), (4,), self.look, None)


def test_what_a_region_sees_is_exact_and_a_crop_of_a_large_image_is_enough(few):
    """Random pixels outside the cone change neither score nor edges; the crop gives what the whole image gives."""
    model = Proposing()
    trained = striate.wrap(model, classes=list("abc"), preprocessing=INPUT, task="detect")
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 255, (3, 540, 600), dtype=np.uint8)
    aim = aim_at(trained, torch.from_numpy(pixels), (540, 600), number=2)
    assert aim.crop is not None and aim.cone is not None

    def numbers(image):
        with torch.inference_mode():
            output = trained.pixels(torch.from_numpy(image)[None].float() / 255)
            return torch.stack([aim(output), *(other(output) for other in aim.beside.values())])[:, 0]  # fmt: skip

    part = pixels[:, aim.crop[0], aim.crop[1]]
    before = numbers(part)
    other = rng.integers(0, 255, part.shape, dtype=np.uint8)
    other[:, aim.cone[0], aim.cone[1]] = part[:, aim.cone[0], aim.cone[1]]
    assert (other != part).mean() > 0.02
    assert (numbers(other) - before).abs().max() < 1e-5
    inside = part.copy()
    middle = [(side.start + side.stop) // 2 for side in aim.cone]
    inside[:, middle[0] : middle[0] + 4, middle[1] : middle[1] + 4] ^= 255
    assert (numbers(inside) - before).abs().max() > 1e-3
    with torch.inference_mode():
        whole = trained.pixels(torch.from_numpy(pixels)[None].float() / 255)
        _, spots = RegionForm().spots(whole, 3, (540, 600))
        known = RegionForm().read(whole, 3, spots[1])[0]
    assert float(before[0]) == pytest.approx(float(known[0]), abs=1e-3)


def test_an_image_of_a_split_that_is_large_has_the_same_objects(sure, few, monkeypatch):
    """Assessing keeps the maps of large images on the disk, and mixes them with small ones in their order."""
    rng = np.random.default_rng(3)
    images = [rng.integers(0, 255, (h, w, 3), dtype=np.uint8) for h, w in ((64, 64), (103, 150), (64, 64))]  # fmt: skip

    class Split(SimpleNamespace):
        def __len__(self):
            return len(self.keys)

    split = Split(
        preprocess=lambda i, how: how.colours(images[i]), keys=list("abc"), objects=[Objects.of([[5, 5, 40, 40]], [1])] * 3,
        sizes=np.array([image.shape[:2] for image in images]),
    )  # fmt: skip
    task = find_task("detect")
    whole = task.assess(sure, split, device=torch.device("cpu"))
    monkeypatch.setattr(forward, "WHOLE", 10_000)
    made = task.assess(sure, split, device=torch.device("cpu"))
    for a, b in zip(whole.predictions, made.predictions, strict=True):
        assert len(a) == len(b) > 0 and np.abs(a.boxes - b.boxes).max() < 1e-2


def test_mask_rcnn_gives_the_pixels_of_each_object_by_tiles_as_at_once(few, tmp_path):
    torch.manual_seed(0)
    network = build("mask-rcnn:resnet18", num_classes=3, channels=16, hidden=32)
    with torch.no_grad():
        network.rpn["head"].cls_logits.weight *= 30
        network.roi_heads.box_predictor.cls_score.weight *= 60
        network.roi_heads.mask_predictor.mask_fcn_logits.weight *= 20
    trained = striate.wrap(network, classes=list("abc"), preprocessing=INPUT, task="instances")
    pixels = np.random.default_rng(3).integers(0, 255, (103, 150, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "scene.png")
    (made,) = trained.predict([tmp_path / "scene.png"], out=tmp_path / "out")
    assert len(made.objects) and any(region.area > 20 for region in made.objects.regions)
    assert trained.tile(tmp_path / "scene.png", out=tmp_path / "scene.json", tile=64).status == "good"  # fmt: skip
    objects = json.loads((tmp_path / "scene.json").read_text())["annotations"]
    assert sorted(o["area"] for o in objects) == sorted(r.area for r in made.objects.regions)
    boxes = build("faster-rcnn:resnet18", num_classes=3, channels=16, hidden=32)
    with pytest.raises(UsageError, match="boxes alone"):
        striate.wrap(boxes, classes=list("abc"), preprocessing=INPUT, task="instances")


@pytest.mark.parametrize(
    "spec",
    ["centernet", "fcos", "yolo", "faster-rcnn:resnet18", "mask-rcnn:resnet18", "centernet-masks"],
)
def test_a_large_image_has_its_maps_on_the_disk_and_the_objects_of_a_small_one(
    spec, few, tmp_path, monkeypatch
):
    torch.manual_seed(0)
    small = {"channels": 16, "hidden": 32} if "rcnn" in spec else {}
    network = build(spec, in_channels=3, num_classes=3, **small).eval()
    with torch.no_grad():
        if "rcnn" in spec:
            network.rpn["head"].cls_logits.weight *= 30
            network.roi_heads.box_predictor.cls_score.weight *= 60
        for name, values in network.named_parameters():
            if name.endswith("heat.bias"):
                values += 4.0
    task = "instances" if "mask" in spec else "detect"
    trained = striate.wrap(network, classes=list("abc"), preprocessing=INPUT, task=task)
    pixels = np.random.default_rng(3).integers(0, 255, (103, 150, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "scene.png")
    (whole,) = trained.predict([tmp_path / "scene.png"])
    monkeypatch.setattr(forward, "WHOLE", 10_000)

    def refuse(*args, **more):
        raise AssertionError("the maps are asked for as a whole")

    monkeypatch.setattr(predict, "outputs_of", refuse)
    (made,) = trained.predict([tmp_path / "scene.png"])
    assert len(made.objects) == len(whole.objects) > 0
    assert np.abs(made.objects.boxes - whole.objects.boxes).max() < 1e-2
    assert np.abs(made.objects.scores - whole.objects.scores).max() < 1e-4
