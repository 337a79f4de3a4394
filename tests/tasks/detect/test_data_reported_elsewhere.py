"""What people reported of other tools' boxes, masks and files, tried here: each name says where."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools import mask as peer
from torchvision.ops import masks_to_boxes

import striate
from striate.data import Preprocessing
from striate.errors import RunError
from striate.tasks.detect.evaluation.average_precision import summary
from striate.tasks.detect.evaluation.matching import match, region_overlap
from striate.tasks.detect.objects import Objects

SIDE = 64
BOX = {"id": 0, "image_id": 0, "category_id": 0, "bbox": [5, 5, 20, 20], "area": 400, "iscrowd": 0}


def save(path, height=SIDE, width=SIDE, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (height, width, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def coco(folder, annotations, *, names=("0.png",)):
    """A folder with one image, which the annotations name as given."""
    save(folder / "images" / "0.png")
    images = [{"id": i, "file_name": n, "width": SIDE, "height": SIDE} for i, n in enumerate(names)]
    document = {"images": images, "annotations": annotations, "categories": [{"id": 0, "name": "a"}]}  # fmt: skip
    (folder / "annotations.json").write_text(json.dumps(document))
    return folder


def yolo(folder, text):
    """A folder with one image of 200 x 100 pixels and its labels."""
    save(folder / "images" / "0.png", 100, 200)
    (folder / "labels").mkdir()
    (folder / "labels" / "0.txt").write_text(text)
    return folder


def objects(folder, task="detect"):
    """The objects of the only image, and its source."""
    source = striate.open_source(str(folder), task=task)
    [split] = [split for split in source.splits.values() if len(split)]
    return split.objects[0], source


def test_ultralytics_13344_and_yolov5_3509_a_box_beyond_the_border_is_cut_and_named(tmp_path):
    found, source = objects(yolo(tmp_path, "4 0.579102 0.651367 1.02148 0.611328\n"))
    assert found.boxes[0] == pytest.approx([13.6724, 34.5703, 200, 95.7031])
    assert len(source.faults) == 1 and "cut" in source.faults[0].reason


def test_yolov5_10632_a_point_of_an_outline_beyond_the_border_costs_no_image(tmp_path):
    found, _ = objects(yolo(tmp_path, "0 0.5 0.5 1.0021 0.5 1.0021 0.9 0.5 0.9\n"), "instances")
    assert found.regions[0].box == (100, 50, 200, 90) and found.regions[0].area == 4000


def test_ultralytics_8515_and_yolov5_10149_only_the_same_outline_is_a_duplicate(tmp_path):
    ring, other = "0 0.1 0.1 0.5 0.1 0.5 0.5 0.1 0.5", "0 0.1 0.1 0.5 0.1 0.5 0.5 0.3 0.3 0.1 0.5"
    found, source = objects(yolo(tmp_path, f"{ring}\n{other}\n{ring}\n"), "instances")
    assert len(found) == 2 and (found.boxes[0] == found.boxes[1]).all()
    assert len(source.faults) == 1


@pytest.mark.parametrize("name", ["/home/me/images/0.png", "C:\\data\\images\\0.png", "0.png"])
def test_fiftyone_1200_an_image_is_found_by_a_path_of_another_machine(tmp_path, name):
    found, _ = objects(coco(tmp_path, [BOX], names=[name]))
    assert found.boxes.tolist() == [[5, 5, 25, 25]]


def test_cocoapi_600_an_image_that_is_listed_twice_is_one(tmp_path):
    other = {**BOX, "id": 1, "image_id": 1, "bbox": [30, 30, 10, 10]}
    found, source = objects(coco(tmp_path, [BOX, other], names=["0.png", "0.png"]))
    assert len(found) == 2 and "more than once" in " ".join(source.notes)


def test_sahi_452_an_annotation_of_nothing_is_named(tmp_path):
    empty = {"id": 7, "image_id": 0, "category_id": 0, "bbox": [], "segmentation": [], "iscrowd": 0}
    found, source = objects(coco(tmp_path, [BOX, empty]))
    assert len(found) == 1 and "annotation 7 has no box" in source.faults[0].reason


def test_cocoapi_466_what_is_marked_to_be_ignored_is_no_object(tmp_path):
    other = {**BOX, "id": 1, "bbox": [30, 30, 10, 10], "ignore": 1}
    found, source = objects(coco(tmp_path, [BOX, other]))
    assert found.crowd.tolist() == [False, True]
    assert "1 object is marked to be ignored" in " ".join(source.notes)


@pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")  # of pycocotools
def test_cocoapi_658_an_outline_found_again_as_run_lengths_is_found(tmp_path):
    ring = [[0, 0, 0, 9, 9, 9, 9, 0]]
    outline = {**BOX, "bbox": [0, 0, 9, 9], "area": 0, "segmentation": ring}
    found, _ = objects(coco(tmp_path, [outline]), "instances")
    pixels = found.regions[0].full(SIDE, SIDE)
    assert (pixels == peer.decode(peer.frPyObjects(ring, SIDE, SIDE))[..., 0]).all()
    (tmp_path / "again").mkdir()
    runs = peer.encode(np.asfortranarray(pixels.astype(np.uint8)))
    counts = {"size": runs["size"], "counts": runs["counts"].decode()}
    again, _ = objects(coco(tmp_path / "again", [{**outline, "segmentation": counts}]), "instances")
    one = Objects.of(again.boxes, again.labels, scores=[0.9], regions=again.regions)
    matches = match([one], [found], overlap=region_overlap)
    assert summary(matches, 1)["ap"] == pytest.approx(1)


class Pairs(torch.utils.data.Dataset):
    """Four images with one target."""

    def __init__(self, target):
        self.target = target

    def __len__(self):
        return 4

    def __getitem__(self, i):
        return torch.rand(3, SIDE, SIDE, generator=torch.Generator().manual_seed(i)), self.target


def test_torchvision_8793_boxes_of_masks_to_boxes_lose_no_object():
    masks = torch.zeros(2, SIDE, SIDE, dtype=torch.uint8)
    masks[0, 5:6, 5:9] = 1
    masks[1, 10:20, 30] = 1
    target = {"boxes": masks_to_boxes(masks), "labels": torch.ones(2, dtype=int), "masks": masks}
    source = striate.open_source(Pairs(target), task="instances")
    found = next(s for s in source.splits.values() if len(s)).objects[0]
    assert found.boxes.tolist() == [[5, 5, 9, 6], [30, 10, 31, 20]]
    assert [r.area for r in found.regions] == [4, 10] and "masks_to_boxes" in " ".join(source.notes)
    # Boxes of other kinds stay what they are.
    wider = {**target, "boxes": masks_to_boxes(masks) + torch.tensor([-1.0, -1, 2, 2])}
    source = striate.open_source(Pairs(wider), task="detect")
    found = next(s for s in source.splits.values() if len(s)).objects[0]
    assert found.boxes.tolist() == [[4, 4, 10, 7], [29, 9, 32, 21]] and not source.notes


def test_torchvision_2240_a_box_without_area_is_named_and_left_out():
    boxes = torch.tensor([[5.0, 5, 5, 20], [10, 10, 30, 30], [5, 5, float("nan"), 20]])
    source = striate.open_source(Pairs({"boxes": boxes, "labels": torch.ones(3, dtype=int)}), task="detect")  # fmt: skip
    assert all(len(o) == 1 for split in source.splits.values() for o in split.objects)
    assert {"0 x 15 pixels", "is no number"} <= {
        words for f in source.faults for words in ("0 x 15 pixels", "is no number") if words in f.reason
    }  # fmt: skip


def test_torchvision_9272_regions_that_are_no_numbers_end_in_a_sentence(tmp_path):
    network = striate.build("faster-rcnn:resnet18", num_classes=2)
    how = Preprocessing(channels=3, height=64, width=64, mean=(0.5,) * 3, std=(0.2,) * 3)
    trained = striate.wrap(network, classes=["a", "b"], preprocessing=how, task="detect")
    image = np.zeros((64, 64, 3), np.uint8)
    weights = dict(trained.model.named_parameters())["rpn.head.bbox_pred.bias"]
    with torch.no_grad():
        weights.fill_(torch.finfo(torch.float32).max)
        dict(trained.model.named_parameters())["rpn.head.bbox_pred.weight"].fill_(1e38)
    [one] = striate.predict(trained, [image], out=tmp_path / "out")
    assert "not finite" in one.error and not len(one.objects)
    with torch.no_grad():
        weights.fill_(float("nan"))
    with pytest.raises(RunError, match=r"rpn.head.bbox_pred.bias .* no number"):
        list(striate.predict(trained, [image]))


def test_fiftyone_1083_boxes_are_written_as_they_were_found(bold, tmp_path):
    how = Preprocessing(channels=3, height=96, width=96, mean=(0.5,) * 3, std=(0.2,) * 3)
    trained = striate.wrap(bold, classes=["a", "b", "c"], preprocessing=how, task="detect")
    image = np.random.default_rng(0).integers(0, 255, (96, 96, 3), dtype=np.uint8)
    [one] = striate.predict(trained, [image], out=tmp_path)
    written = json.loads((tmp_path / "objects.json").read_text())["annotations"]
    assert len(written) == len(one.objects) > 0
    left, top, right, bottom = one.objects.boxes.T
    again = np.array([a["bbox"] for a in written])
    assert (again == np.stack([left, top, right - left, bottom - top], 1)).all()
    assert [a["score"] for a in written] == one.objects.scores.tolist()


def test_cvat_6785_a_turned_box_in_coco_json_has_the_upright_box_around_it(tmp_path):
    """CVAT writes the box as it was before, and by how much it was turned among its attributes."""
    turned = {**BOX, "bbox": [20, 24, 24, 8], "segmentation": [], "attributes": {"rotation": 90.0}}
    straight = {**BOX, "id": 1, "bbox": [2, 2, 9, 5], "attributes": {"rotation": 0.0}}
    found, source = objects(coco(tmp_path, [turned, straight]))
    assert found.boxes.tolist() == [[28, 16, 36, 40], [2, 2, 11, 7]]
    assert "1 box is turned" in " ".join(source.notes)


BOXES = np.array([[50.0, 30, 12, 10], [40, 40, 12, 9], [5, 5, 20, 20], [35, 25, 20, 20]])
BOTH = {"torchvision #1120, #997": "width and height", "torchvision #2740": "the right and the bottom edge"}  # fmt: skip


@pytest.mark.parametrize("report", BOTH)
def test_sides_for_corners_and_corners_for_sides_are_said(tmp_path, report):
    """Each box is mended as it stands, and that all would fit if they meant something else is said aloud."""
    if "1120" in report:
        target = {"boxes": torch.from_numpy(BOXES), "labels": torch.ones(4, dtype=int)}
        source = striate.open_source(Pairs(target), task="detect")
    else:
        corners = np.concatenate([BOXES[:, :2], BOXES[:, :2] + BOXES[:, 2:]], 1)
        given = [{**BOX, "id": i, "bbox": b} for i, b in enumerate(corners.tolist())]
        _, source = objects(coco(tmp_path, given))
    (said,) = source.warnings
    assert BOTH[report] in said


def test_a_single_box_in_the_wrong_order_is_a_slip():
    target = {"boxes": torch.tensor([[30.0, 5, 5, 20], *[[5.0, 5, 20, 20 + i] for i in range(9)]])}
    source = striate.open_source(Pairs(target | {"labels": torch.ones(10, dtype=int)}), task="detect")  # fmt: skip
    assert not source.warnings and len(source.faults) == 4


def test_supervision_1085_one_pixel_and_parts_apart_come_back_from_coco(tmp_path):
    dot = {"size": [SIDE, SIDE], "counts": [5 * SIDE + 5, 1, SIDE**2 - 5 * SIDE - 6]}
    parts = [[10, 10, 15, 10, 15, 15, 10, 15], [35, 10, 40, 10, 40, 15, 35, 15]]
    given = [
        {**BOX, "bbox": [5, 5, 1, 1], "segmentation": dot},
        {**BOX, "id": 1, "bbox": [10, 10, 30, 5], "segmentation": parts},
    ]
    striate.api.convert(str(coco(tmp_path / "in", given)), str(tmp_path / "out"), to="coco")
    found, _ = objects(tmp_path / "out", "instances")
    assert found.boxes.tolist() == [[5, 5, 6, 6], [10, 10, 40, 15]]
    assert [r.area for r in found.regions] == [1, 50]


def test_labelme_1212_and_1386_what_is_to_be_ignored_and_fields_of_nothing(tmp_path):
    shape = {"shape_type": "polygon", "flags": None, "group_id": None, "description": None}
    square = [[2, 2], [30, 2], [30, 30], [2, 30]]
    for name, label in (("a", "dog"), ("b", "__ignore__"), ("c", None)):
        save(tmp_path / f"{name}.png", seed=ord(name))
        shapes = [] if label is None else [{**shape, "label": label, "points": square}]
        document = {"flags": None, "shapes": shapes, "imagePath": f"{name}.png", "imageData": None}
        (tmp_path / f"{name}.json").write_text(json.dumps(document))
    source = striate.open_source(str(tmp_path), task="detect")
    held = {k: o for s in source.splits.values() for k, o in zip(s.keys, s.objects, strict=True)}
    assert source.classes == ("dog",) and not source.faults
    assert [held[f"{n}.png"].crowd.tolist() for n in "abc"] == [[False], [True], []]


def test_cvat_9433_lists_of_files_below_a_folder_that_is_not_there(tmp_path):
    """CVAT's lists begin with data/, a folder that the archive does not have, and its names have gaps."""
    for name, text in (("train/a", "2 0.5 0.5 0.25 0.25\n"), ("val/b", "0 0.5 0.5 0.25 0.25\n")):
        save(tmp_path / "images" / f"{name}.png", seed=ord(name[-1]))
        labels = tmp_path / "labels" / f"{name}.txt"
        labels.parent.mkdir(parents=True)
        labels.write_text(text)
        (tmp_path / f"{name.split('/')[0]}.txt").write_text(f"data/images/{name}.png\n")
    names = "names:\n  0: person\n  2: car\n"
    (tmp_path / "data.yaml").write_text(names + "path: .\ntrain: train.txt\nval: val.txt\n")
    source = striate.open_source(str(tmp_path), task="detect")
    assert source.classes == ("person", "car")
    assert [source.splits[n].objects[0].labels.tolist() for n in ("train", "val")] == [[1], [0]]
