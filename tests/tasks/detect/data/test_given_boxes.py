"""Images and boxes given in Python: as torchvision's detectors take them, and as torchvision's data sets give them."""

import numpy as np
import pytest
import torch
from box_sets import CAT, DOG, coco, picture, pictures, regions, thing, voc, whole
from torchvision import tv_tensors
from torchvision.datasets import CocoDetection, VOCDetection

from striate.errors import DataError, UsageError
from striate.tasks.detect.data.given import open_given_boxes
from striate.tasks.detect.data.sources import open_boxes


def image(number, size=(30, 40)):
    return torch.from_numpy(
        np.random.default_rng(number).integers(0, 255, (3, *size), dtype=np.uint8)
    )


class Data(list):
    """Items by number; class names where they are known."""

    def __init__(self, items, classes=None):
        super().__init__(items)
        if classes is not None:
            self.classes = classes


def target(*boxes, labels=None, **more):
    return {
        "boxes": torch.tensor(boxes).reshape(-1, 4),
        "labels": torch.tensor(labels or [1] * len(boxes)),
        **more,
    }


def test_boxes_and_labels_of_torchvision_and_an_image_without_any():
    data = Data([(image(0), target(CAT, DOG, labels=[1, 2])), (image(1), target())], ["cat", "dog"])
    source = open_given_boxes(data)
    assert whole(source) == {"Data/0": [("cat", *CAT, False), ("dog", *DOG, False)], "Data/1": []}
    assert source.notes and open_boxes(source.name) is source


@pytest.mark.parametrize(
    ("classes", "labels", "expected"),
    [
        (["background", "cat", "dog"], [1, 2], ("cat", "dog")),
        (["cat", "dog"], [0, 1], ("cat", "dog")),
        (["cat", "dog"], [1, 2], ("cat", "dog")),
        (None, [3, 7], ("class 3", "class 7")),
    ],
)
def test_names_of_labels(classes, labels, expected):
    assert (
        open_given_boxes(Data([(image(0), target(CAT, DOG, labels=labels))], classes)).classes
        == expected
    )


def test_masks_and_crowds():
    masks = torch.zeros(2, 30, 40, dtype=torch.bool)
    masks[0, 3:13, 2:12] = masks[1, 5:25, 20:30] = True
    data = Data([(image(0), target(CAT, DOG, masks=masks, iscrowd=torch.tensor([0, 1])))])
    source = open_given_boxes(data)
    assert [r.box for r in regions(source)["Data/0"]] == [CAT, DOG]
    assert [c for *_, c in whole(source)["Data/0"]] == [False, True]


@pytest.mark.parametrize("form", ["XYXY", "XYWH", "CXCYWH"])
def test_forms_of_boxes_of_tv_tensors(form):
    left, top, _, _ = CAT
    given = {"XYXY": CAT, "XYWH": (left, top, 10, 10), "CXCYWH": (left + 5, top + 5, 10, 10)}[form]
    boxes = tv_tensors.BoundingBoxes([given], format=form, canvas_size=(30, 40))
    source = open_given_boxes(Data([(image(0), {"boxes": boxes, "labels": torch.tensor([1])})]))
    assert whole(source)["Data/0"] == [("class 1", *CAT, False)]


def test_coco_detection_of_torchvision(tmp_path):
    pictures(tmp_path, 3)
    segmentation = [[2, 3, 12, 3, 12, 13, 2, 13]]
    things = [
        thing(1, 0, segmentation=segmentation),
        thing(2, 1, DOG, 2, segmentation=[[20, 5, 30, 5, 30, 25]]),
    ]
    coco(tmp_path / "a.json", [(i, f"{i}.png", 40, 30) for i in range(3)], things)
    pytest.importorskip("pycocotools")
    source = open_given_boxes(CocoDetection(str(tmp_path), str(tmp_path / "a.json")))
    ours = open_boxes(tmp_path)
    assert sorted(whole(source).values()) == sorted(whole(ours).values())
    areas = [
        sorted(r.area for own in regions(s).values() for r in own or ()) for s in (source, ours)
    ]
    assert areas[0] == areas[1]


def test_voc_detection_of_torchvision(tmp_path):
    root = tmp_path / "VOCdevkit" / "VOC2012"
    for i in range(2):
        picture(root / "JPEGImages" / f"{i}.jpg", i)
        voc(
            root / "Annotations" / f"{i}.xml",
            [("cat", 3, 4, 12, 13, "<difficult>1</difficult>")],
            filename=f"{i}.jpg",
        )
    (root / "ImageSets" / "Main").mkdir(parents=True)
    (root / "ImageSets" / "Main" / "train.txt").write_text("0\n1\n")
    source = open_given_boxes(VOCDetection(str(tmp_path), year="2012", image_set="train"))
    assert sorted(whole(source).values()) == [[("cat", *CAT, True)]] * 2


def test_objects_of_hugging_face():
    items = [
        {
            "image": np.asarray(image(0)).transpose(1, 2, 0),
            "objects": {"bbox": [[2, 3, 10, 10]], "category": [4]},
        }
    ]
    assert whole(open_given_boxes(Data(items)))["Data/0"] == [("class 4", *CAT, False)]


def test_a_dict_of_coco(tmp_path):
    pictures(tmp_path / "images", 2)
    content = {
        "root": tmp_path / "images",
        "images": [{"id": i, "file_name": f"{i}.png"} for i in range(2)],
        "annotations": [thing(1, 0), thing(2, 1, DOG, 2)],
        "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
    }
    source = open_given_boxes(content)
    assert whole(source) == {"0.png": [("cat", *CAT, False)], "1.png": [("dog", *DOG, False)]}
    assert open_boxes(source.name) is source
    content["images"][0]["file_name"] = "../secret.png"
    with pytest.raises(DataError):
        open_given_boxes(content)


def test_faults_are_named_by_item():
    data = Data(
        [(image(0), target(CAT, (90.0, 1, 95, 5), (12.0, 13, 2, 3), CAT)), (image(1), target(CAT))]
    )
    source = open_given_boxes(data)
    assert len(whole(source)["Data/0"]) == 1
    assert [d.path for d in source.faults] == ["Data/0"] * 4


@pytest.mark.parametrize(
    "wrong",
    [
        {"boxes": torch.tensor([CAT])[:, :3], "labels": torch.tensor([1])},
        {"boxes": torch.tensor([CAT]), "labels": torch.tensor([1, 2])},
        {"boxes": torch.tensor([CAT]), "labels": torch.tensor([0.5])},
        {"boxes": torch.tensor([CAT]), "labels": torch.tensor([-1])},
        {"boxes": "none", "labels": torch.tensor([1])},
        {"boxes": torch.tensor([CAT]), "labels": torch.tensor([1]), "masks": torch.zeros(1, 5, 5)},
        {"boxes": torch.tensor([CAT]), "labels": torch.tensor([1]), "iscrowd": torch.zeros(3)},
        {"labels": torch.tensor([1])},
        {},
        7,
        [{"bbox": [1, 2, 3]}],
        {"annotation": {"object": [{"name": "cat"}]}},
    ],
)
def test_targets_that_are_none_are_refused_with_their_number(wrong):
    with pytest.raises(DataError, match="item 1"):
        open_given_boxes(Data([(image(0), target(CAT)), (image(1), wrong)]))


def test_no_data_and_no_box_and_a_transform_that_draws():
    with pytest.raises(UsageError):
        open_given_boxes(7)
    with pytest.raises(DataError):
        open_given_boxes(Data([]))
    with pytest.raises(DataError):
        open_given_boxes(Data([(image(0), target())]))
    with pytest.raises(DataError):
        open_given_boxes(Data([(image(0), target(CAT, labels=[9]))], ["cat"]))

    class Noise(Data):
        def __getitem__(self, number):
            return torch.randint(0, 255, (3, 30, 40), dtype=torch.uint8), target(CAT)

    with pytest.raises(DataError, match="differs"):
        open_given_boxes(Noise([0, 1]))
