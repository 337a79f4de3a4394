"""COCO JSON as COCO, Roboflow, CVAT and Label Studio write it, and what is wrong with some of it."""

import json

import numpy as np
import pytest
from box_sets import CAT, DOG, coco, picture, pictures, regions, thing, whole

from striate.data.finder import Finder
from striate.data.tree import grow
from striate.errors import DataError
from striate.tasks.detect.data.coco import read_coco
from striate.tasks.detect.data.sources import is_box_data, open_boxes

A_CAT, A_DOG = ("cat", *CAT, False), ("dog", *DOG, False)
SQUARE = [[2, 3, 12, 3, 12, 13, 2, 13]]


def one_file(folder, annotations, images=None, **more):
    pictures(folder / "images", 3)
    given = images or [(i, f"{i}.png", 40, 30) for i in range(3)]
    coco(folder / "annotations.json", given, annotations, **more)
    return folder


def opened(folder, annotations, **more):
    return open_boxes(one_file(folder, annotations, **more))


def test_boxes_are_left_top_width_height_and_an_image_without_is_background(tmp_path):
    source = opened(tmp_path, [thing(1, 0), thing(2, 0, DOG, 2), thing(3, 2, DOG, 2)])
    assert whole(source) == {
        "images/0.png": [A_CAT, A_DOG],
        "images/1.png": [],
        "images/2.png": [A_DOG],
    }
    assert source.format == "COCO JSON" and source.classes == ("cat", "dog")
    assert is_box_data(tmp_path) and is_box_data(tmp_path / "annotations.json")


def test_ids_may_have_gaps_begin_at_0_and_be_texts(tmp_path):
    categories = [{"id": 0, "name": "cat"}, {"id": "77", "name": "dog"}]
    images = [(0, "0.png", 40, 30), (9, "1.png", 40, 30), ("x", "2.png", 40, 30)]
    annotations = [thing(0, 0, CAT, 0), thing(5, 9.0, DOG, 77), thing(6, "x", DOG, "77")]
    source = opened(tmp_path, annotations, images=images, categories=categories)
    assert whole(source) == {
        "images/0.png": [A_CAT],
        "images/1.png": [A_DOG],
        "images/2.png": [A_DOG],
    }


def test_annotations_may_stand_before_images_and_categories(tmp_path):
    pictures(tmp_path, 1)
    (tmp_path / "a.json").write_text(
        json.dumps(
            {
                "annotations": [thing(1, 7)],
                "categories": [{"id": 1, "name": "cat"}],
                "images": [{"id": 7, "file_name": "0.png"}],
            }
        )
    )
    assert whole(open_boxes(tmp_path)) == {"0.png": [A_CAT]}


@pytest.mark.parametrize(
    "segmentation",
    [
        SQUARE,
        SQUARE[0],
        [[[2, 3], [12, 3], [12, 13], [2, 13]]],
        {"size": [30, 40], "counts": [2 * 30 + 3, *[10, 20] * 9, 10, 27 * 30 + 30 - 13 + 30]},
    ],
    ids=["polygon", "bare ring", "pairs", "run lengths"],
)
def test_outlines_in_every_form_give_the_same_region(tmp_path, segmentation):
    source = opened(tmp_path, [thing(1, 0, segmentation=segmentation)])
    (region,) = regions(source)["images/0.png"]
    assert region.box == CAT and region.area == 100
    assert not source.faults


def test_regions_equal_those_of_coco(tmp_path):
    mask = pytest.importorskip("pycocotools.mask")
    rng = np.random.default_rng(3)
    page = np.asfortranarray((rng.random((30, 40)) < 0.3).astype(np.uint8))
    coded = mask.encode(page)
    given = {"size": coded["size"], "counts": coded["counts"].decode()}
    source = opened(
        tmp_path, [thing(1, 0, segmentation=given, iscrowd=1), thing(2, 1, segmentation=SQUARE)]
    )
    (region,) = regions(source)["images/0.png"]
    assert np.array_equal(region.full(30, 40), page.astype(bool))
    crowd = [
        o.crowd
        for s in source.splits.values()
        for k, o in zip(s.keys, s.objects, strict=True)
        if k == "images/0.png"
    ]
    assert crowd[0].tolist() == [True]


def test_splits_by_the_names_of_the_files(tmp_path):
    for number, split in enumerate(("train2017", "val2017")):
        folder = tmp_path / split
        for i in range(3):
            picture(folder / f"{i}.png", 10 * number + i)
        coco(
            tmp_path / "annotations" / f"instances_{split}.json",
            [(i, f"{i}.png", 40, 30) for i in range(3)],
            [thing(1, 0)],
        )
    (tmp_path / "annotations" / "captions_val2017.json").write_text(
        '{"images": [], "annotations": [{"caption": "a cat"}]}'
    )
    source = open_boxes(tmp_path, test=0.34)
    assert {k.split("/")[0] for k in source.val.keys} == {"val2017"} and len(source.val) == 3
    assert len(source.train) + len(source.test) == 3
    only = open_boxes(tmp_path / "annotations" / "instances_train2017.json")
    assert len(only) == 3


def test_roboflow_has_a_file_a_split_beside_the_images_and_a_category_above_others(tmp_path):
    categories = [
        {"id": 0, "name": "animals", "supercategory": "none"},
        {"id": 1, "name": "cat", "supercategory": "animals"},
    ]
    for number, split in enumerate(("train", "valid", "test")):
        picture(tmp_path / split / "a_jpg.rf.0.jpg", number)
        coco(
            tmp_path / split / "_annotations.coco.json",
            [(0, "a_jpg.rf.0.jpg", 40, 30)],
            [thing(0, 0)],
            categories,
        )
    source = open_boxes(tmp_path)
    assert source.classes == ("cat",)
    assert [len(s) for s in source.splits.values()] == [1, 1, 1]


def test_what_tools_write_before_the_name(tmp_path):
    pictures(tmp_path / "images", 3)
    names = ["images/0.png", "C:\\Users\\me\\shots\\1.png", "/data/upload/7/2.png"]
    coco(
        tmp_path / "result.json",
        [(i, n, 40, 30) for i, n in enumerate(names)],
        [thing(1, i) for i in range(3)],
    )
    assert all(len(objects) == 1 for objects in whole(open_boxes(tmp_path)).values())


# What is wrong with some of it: each trial was reported to a reader of annotations.


def kinds(source):
    return [d.reason for d in source.faults]


@pytest.mark.parametrize(
    ("annotation", "left", "faults"),
    [
        # cocoapi #139 and #348: a first ring of two points was taken for a box
        (thing(1, 0, segmentation=[[1, 1, 5, 5], *SQUARE]), 1, 0),
        # cvat #6014: run lengths written as a polygon
        (thing(1, 0, segmentation=[[1203, 778, 457]]), 1, 1),
        # mmdetection #4436: no area, or one of 0, is no reason to leave a box out
        (thing(1, 0, area=0), 1, 0),
        ({"id": 1, "image_id": 0, "category_id": 1, "bbox": [2, 3, 10, 10]}, 1, 0),
        # cocodataset.github.io #54: an entry that stands for "no object"
        ({"id": 1, "image_id": 0, "category_id": 1, "bbox": [], "segmentation": [[]]}, 0, 1),
        # SARDet_100K #3, modern-yolonas #56: COCO itself has boxes of no height
        (thing(1, 0, (19.0, 1.0, 30.0, 1.0)), 0, 1),
        # torchvision #2740: corners as width and height
        (thing(1, 0, (12.0, 13.0, 2.0, 3.0)), 1, 1),
        # cocoapi #488: run lengths of another image
        (thing(1, 0, segmentation={"size": [3, 4], "counts": [1, 3]}), 1, 1),
        (thing(1, 0, segmentation={"size": [30, 40], "counts": "P"}), 1, 1),
        (thing(1, 0, segmentation="none"), 1, 0),
        (thing(1, 0, category=99), 0, 1),
        (thing(1, 99), 0, 1),
        (thing(1, 0, (50.0, 3.0, 60.0, 13.0)), 0, 1),
        (thing(1, 0, (2.0, 3.0, 60.0, 13.0)), 1, 1),
        (thing(1, 0, bbox=[float("nan"), 3, 4, 5]), 0, 1),
        (thing(1, 0, bbox=[2, 3, float("inf"), 5]), 0, 1),
        (thing(1, 0, bbox=["2", "3", "10", "10"]), 1, 0),
        (thing(1, 0, bbox=[2, 3, "ten", 10]), 0, 1),
        (thing(1, 0, bbox={"x": 2}), 0, 1),
        (thing(1, 0, bbox=[2, 3, 10**400, 10]), 0, 1),
        # SeaDronesSee #34: no iscrowd
        ({k: v for k, v in thing(1, 0).items() if k != "iscrowd"}, 1, 0),
        ("nonsense", 0, 1),
    ],
)  # fmt: skip
def test_faults_are_named_and_the_rest_is_read(tmp_path, annotation, left, faults):
    source = opened(tmp_path, [annotation, thing(2, 1)])
    found = whole(source)
    assert len(found["images/0.png"]) == left
    assert found["images/1.png"] == [A_CAT]
    assert len(source.faults) == faults, kinds(source)
    if left and annotation["bbox"] == [2.0, 3.0, 10.0, 10.0]:
        assert found["images/0.png"] == [A_CAT]


def test_duplicates_go_and_a_category_of_two_names_does_not(tmp_path):
    source = opened(tmp_path, [thing(1, 0), thing(2, 0), thing(3, 0, category=2)])
    assert len(whole(source)["images/0.png"]) == 2
    assert len(source.faults) == 1


def test_listed_images_that_are_missing_and_images_that_are_not_listed(tmp_path):
    # yolact_edge #60: images were deleted and stayed in the file
    images = [(0, "0.png", 40, 30), (5, "gone.png", 40, 30)]
    source = opened(tmp_path, [thing(1, 0), thing(2, 5)], images=images)
    assert list(whole(source)) == ["images/0.png"]
    assert [d.path for d in source.damaged] == ["gone.png"]
    assert sum("1.png" in note for note in source.notes) == 1


@pytest.mark.parametrize("first", ["images", "annotations"])
def test_of_images_that_are_not_there_no_object_is_kept(tmp_path, first):
    """A file for all of COCO beside a few of its images takes the memory of these; classes stay all that it has."""
    pictures(tmp_path, 2)
    names = ("0.PNG", "deep/folder/0001.jpg", "http://images.of/gone.png")
    lists = {
        "images": [{"id": i, "file_name": name} for i, name in enumerate(names)],
        "annotations": [thing(i, i % 3, category=1 + (i % 3 == 2)) for i in range(3 * 40)],
        "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
    }
    order = (first, *(key for key in lists if key != first))
    (tmp_path / "a.json").write_text(json.dumps({key: lists[key] for key in order}))
    read = read_coco(tmp_path, [("a.json",)], Finder(tmp_path, ("a",), grow(tmp_path).images))
    assert [len(image) for image in read.images] == [40, 40, 0]
    assert read.classes == ("cat", "dog")
    source = open_boxes(tmp_path)
    assert source.classes == ("cat", "dog") and set(whole(source)) == {"0.png", "1.png"}
    assert [d.path for d in source.damaged] == ["http://images.of/gone.png"]


@pytest.mark.parametrize(
    "text",
    [
        "", "   ", "[]", "7", "nonsense", '{"images": [{"id": 1, "file_na', '{"images": []}',
        '{"images": [{"id": 1}], "annotations": [{]}',
    ],
)  # fmt: skip
def test_files_that_are_none_end_in_one_sentence(tmp_path, text):
    picture(tmp_path / "0.png")
    (tmp_path / "instances.json").write_text(text)
    with pytest.raises(DataError):
        open_boxes(tmp_path / "instances.json")
    with pytest.raises(DataError):
        open_boxes(tmp_path)


def test_a_half_written_file_is_refused_with_its_place(tmp_path):
    one_file(tmp_path, [thing(i, 0) for i in range(1000)])
    path = tmp_path / "annotations.json"
    path.write_text(path.read_text()[:-40_000])
    with pytest.raises(DataError, match=r"half written.*'annotations'|'annotations'.*half written"):
        open_boxes(tmp_path)


def test_files_outside_the_folder_are_not_read(tmp_path):
    picture(tmp_path / "secret.png", 9)
    images = [(0, "0.png", 40, 30), (1, "../../secret.png", 40, 30)]
    source = opened(tmp_path / "set", [thing(1, 0), thing(2, 1)], images=images)
    assert list(whole(source)) == ["images/0.png"]
    assert [d.path for d in source.damaged] == ["../../secret.png"]


def test_copies_of_held_out_images_leave_the_training_images(tmp_path):
    for split in ("train", "val"):
        for i in range(2):
            picture(tmp_path / split / f"{i}.png", i if split == "train" else 1 + i)
        coco(
            tmp_path / f"instances_{split}.json",
            [(i, f"{split}/{i}.png", 40, 30) for i in range(2)],
            [thing(1, 0)],
        )
    source = open_boxes(tmp_path, test=0.0)
    assert source.train.keys == ("train/0.png",)
    assert source.duplicates[0].dropped == ("train/1.png",)


def test_twenty_thousand_objects_in_one_image(tmp_path):
    picture(tmp_path / "0.png", size=(400, 300))
    rng = np.random.default_rng(0)
    corners = rng.random((20_000, 2)) * (380, 280)
    things = [
        thing(i, 0, (x, y, x + 5, y + 6), segmentation=[[x, y, x + 5, y, x + 5, y + 6]])
        for i, (x, y) in enumerate(corners)
    ]
    coco(tmp_path / "a.json", [(0, "0.png", 400, 300)], things)
    source = open_boxes(tmp_path)
    (objects,) = [o for s in source.splits.values() for o in s.objects]
    assert len(objects) == 20_000 and len(objects.regions) == 20_000


def test_names_that_are_no_utf_8_are_found(tmp_path):
    name = b"caf\xe9.png"
    try:
        (tmp_path / name.decode("utf-8", "surrogateescape")).write_bytes(
            picture(tmp_path / "x.png").read_bytes()
        )
    except OSError:
        pytest.skip("the file system takes UTF-8 alone")
    (tmp_path / "x.png").unlink()
    content = (
        b'{"images": [{"id": 1, "file_name": "'
        + name
        + b'"}], "categories": [{"id": 1, "name": "cat"}], "annotations": ['
    )
    (tmp_path / "a.json").write_bytes(content + json.dumps(thing(1, 1)).encode() + b"]}")
    assert list(whole(open_boxes(tmp_path)).values()) == [[A_CAT]]
