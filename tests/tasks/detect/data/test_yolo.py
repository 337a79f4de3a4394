"""YOLO txt as Ultralytics, Darknet, Roboflow, CVAT and Label Studio write it."""

import numpy as np
import pytest
from box_sets import pictures, regions, whole

from striate.errors import DataError
from striate.tasks.detect.data.sources import is_box_data, open_boxes

LINE = "0 0.175 0.266667 0.25 0.333333\n"  # of an image of 40 x 30: 2, 3, 12, 13
BOX = ("cat", 2, 3, 12, 13, False)


def near(found, expected):
    assert [(f[0], f[5]) for f in found] == [(e[0], e[5]) for e in expected]
    np.testing.assert_allclose([f[1:5] for f in found], [e[1:5] for e in expected], atol=1e-4)


def a_set(folder, texts, names="names: [cat, dog]\n", images="images", labels="labels"):
    pictures(folder / images, len(texts))
    (folder / labels).mkdir(parents=True, exist_ok=True)
    for i, text in enumerate(texts):
        if text is not None:
            (folder / labels / f"{i}.txt").write_text(text)
    if names is not None:
        (folder / "data.yaml").write_text(names)
    return folder


def test_centres_and_sides_are_shares_and_no_file_is_background(tmp_path):
    a_set(tmp_path, [LINE, LINE + "1 0.5 0.5 1 1\n", "", None])
    source = open_boxes(tmp_path)
    found = whole(source)
    near(found["images/0.png"], [BOX])
    near(found["images/1.png"], [BOX, ("dog", 0, 0, 40, 30, False)])
    assert found["images/2.png"] == [] == found["images/3.png"]
    assert source.format == "YOLO txt" and source.classes == ("cat", "dog") and not source.faults
    assert is_box_data(tmp_path) and is_box_data(tmp_path / "data.yaml")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("data.yaml", "names: [cat, dog]\nnc: 2\n"),
        ("data.yaml", "names:\n  0: cat\n  1: dog\n"),
        ("dataset.yml", "path: .\ntrain: images\nval: images\nnames: {'0': cat, '1': dog}\n"),
        ("labels/classes.txt", "cat\ndog\n\n"),
        ("obj.names", "cat\r\ndog\r\n"),
        ("data.yaml", "names: obj.names\n"),
    ],
)
def test_names_of_classes(tmp_path, name, text):
    a_set(tmp_path, [LINE, LINE.replace("0", "1", 1)], names=None)
    (tmp_path / name).write_text(text)
    if "obj.names" in text:
        (tmp_path / "obj.names").write_text("cat\ndog\n")
    assert open_boxes(tmp_path).classes == ("cat", "dog")


def test_numbers_without_names_stay_numbers(tmp_path):
    a_set(tmp_path, [LINE, LINE.replace("0", "7", 1)], names=None)
    source = open_boxes(tmp_path)
    assert source.classes == ("class 0", "class 7")
    a_set(tmp_path, [LINE, LINE.replace("0", "7", 1)])
    assert open_boxes(tmp_path).classes == ("cat", "class 7")


@pytest.mark.parametrize(
    "text",
    [
        # yolov5 #5107, ultralytics #18323 and roboflow/notebooks #306: folders as the tool's own machine has them
        "train: ../train/images\nval: ../valid/images\ntest: ../test/images\nnames: [cat]\n",
        "path: ./\ntrain: train/images\nval: valid/images\ntest: test/images\nnames: [cat]\n",
        "path: /content/datasets/thing-1\ntrain: thing-1/train/images\nval: thing-1/valid/images\ntest: "
        "test\nnames: [cat]\n",
        "train: [train/images]\nval: [valid/images]\ntest: [test/images]\nnames: [cat]\n",
        "path: C:\\\\data\ntrain: train\\\\images\nval: valid\\\\images\ntest: test\\\\images\nnames: [cat]\n",
        "names: [cat]\n",
    ],
)  # fmt: skip
def test_splits_of_a_yaml(tmp_path, text):
    for number, split in enumerate(("train", "valid", "test")):
        folder = tmp_path / "set" / split
        pictures(folder / "images", number + 1, size=(40 + number, 30))
        (folder / "labels").mkdir()
        (folder / "labels" / "0.txt").write_text(LINE)
    (tmp_path / "set" / "data.yaml").write_text(text)
    source = open_boxes(tmp_path / "set")
    assert [len(s) for s in source.splits.values()] == [1, 2, 3]
    assert sum(map(len, whole(source).values())) == 3
    assert [len(s) for s in open_boxes(tmp_path / "set" / "data.yaml").splits.values()] == [1, 2, 3]


def test_splits_of_lists_of_files(tmp_path):
    a_set(tmp_path, [LINE] * 4, names="train: train.txt\nval: val.txt\nnames: [cat]\n")
    (tmp_path / "train.txt").write_text("./images/0.png\n./images/1.png\n")
    (tmp_path / "val.txt").write_text("/home/me/set/images/2.png\n")
    source = open_boxes(tmp_path, test=0.0)
    assert set(source.train.keys) == {"images/0.png", "images/1.png"}
    assert source.val.keys == ("images/2.png",) and len(source) == 3


def test_labels_beside_their_images_as_darknet_has_them(tmp_path):
    a_set(tmp_path, [LINE, LINE], names=None, images="obj_train_data", labels="obj_train_data")
    (tmp_path / "obj.names").write_text("cat\n")
    assert len(open_boxes(tmp_path)) == 2


def test_polygons(tmp_path):
    # globox #37: segmentation lines are no syntax error
    a_set(tmp_path, ["0 0.05 0.1 0.3 0.1 0.3 0.4333333 0.05 0.4333333\n"] * 2, names="names: [cat]")
    source = open_boxes(tmp_path)
    assert not source.faults
    near(whole(source)["images/0.png"], [BOX])
    (region,) = regions(source)["images/0.png"]
    assert region.box == (2, 3, 12, 13) and region.mask.all()


def test_oriented_boxes_are_refused(tmp_path):
    a_set(tmp_path, ["0 0.1 0.1 0.3 0.2 0.25 0.4 0.05 0.3\n"])
    with pytest.raises(DataError, match="oriented"):
        open_boxes(tmp_path)
    # A triangle beside it shows that four corners are an outline too.
    (tmp_path / "labels" / "0.txt").write_text(
        "0 0.1 0.1 0.3 0.2 0.25 0.4 0.05 0.3\n0 0.5 0.5 0.9 0.5 0.7 0.9\n"
    )
    assert len(whole(open_boxes(tmp_path))["images/0.png"]) == 2


@pytest.mark.parametrize(
    ("line", "left", "faults"),
    [
        # yolov5 #10632: a place just beyond the border is rounding, and cut
        ("0 0.7511 0.5 0.5 0.5", 1, 0),
        # ultralytics #13924: far beyond is cut and named, and the other objects of the image stay
        ("0 0.9 0.5 0.5 0.5", 1, 1),
        ("0 1.8 0.5 0.5 0.5", 0, 1),
        ("0 -0.2 0.5 0.1 0.5", 0, 1),
        # yolov5 #5210: a line that stands there twice counts once
        (LINE.strip(), 0, 1),
        ("0 0.5 0.5 0 0.2", 0, 1),
        ("0 0.5 0.5 -0.2 0.2", 1, 1),
        ("0 0.5 nan 0.2 0.2", 0, 1),
        ("0 0.5 inf 0.2 0.2", 0, 1),
        ("0 0.5 0.5 0.2", 0, 1),
        ("cat 0.5 0.5 0.2 0.2", 0, 1),
        ("0.5 0.5 0.5 0.2 0.2", 0, 1),
        ("-1 0.5 0.5 0.2 0.2", 0, 1),
        ("0 0.5 0.5 0.2 0.2 0.97", 1, 0),
        ("0,0.5,0.5,0.2,0.2", 1, 0),
        ("0\t0.5\t0.5\t0.2\t0.2\r", 1, 0),
        ("", 0, 0),
    ],
)
def test_faults_of_a_line(tmp_path, line, left, faults):
    a_set(tmp_path, [LINE + line + "\n", LINE])
    source = open_boxes(tmp_path)
    assert len(whole(source)["images/0.png"]) == 1 + left
    assert len(source.faults) == faults, source.faults


def test_numbers_of_pixels_are_recognised(tmp_path):
    a_set(tmp_path, ["0 7 8 10 10\n", "1 25 15 10 20\n"])
    source = open_boxes(tmp_path)
    near(whole(source)["images/0.png"], [BOX])
    assert any("pixels" in w for w in source.warnings)


def test_labels_without_images_are_named(tmp_path):
    a_set(tmp_path, [LINE, LINE])
    (tmp_path / "labels" / "gone.txt").write_text(LINE)
    (tmp_path / "README.txt").write_text("images of cats\n")
    assert [d.path for d in open_boxes(tmp_path).faults] == ["labels/gone.txt"]


def test_two_numbers_of_one_name_stay_two_classes(tmp_path):
    a_set(tmp_path, [LINE, LINE.replace("0", "1", 1)], names="names: [cat, cat]\n")
    assert open_boxes(tmp_path).classes == ("cat (0)", "cat (1)")


def test_mostly_unlabelled_images_are_said_aloud(tmp_path):
    a_set(tmp_path, [LINE, None, None, None])
    assert any("background" in w for w in open_boxes(tmp_path).warnings)


@pytest.mark.parametrize("text", ["a cat on a mat\n", "0.1 0.2\n", "1\n"])
def test_captions_and_tags_beside_images_are_not_claimed(tmp_path, text):
    a_set(tmp_path, [text, text], names=None)
    assert not is_box_data(tmp_path)


def test_a_yaml_cannot_run_anything_nor_name_files_elsewhere(tmp_path):
    (tmp_path / "secret.txt").write_text("password\n")
    a_set(tmp_path / "set", [LINE, LINE], names="names: ../secret.txt\n")
    assert open_boxes(tmp_path / "set").classes == ("class 0",)
    (tmp_path / "set" / "data.yaml").write_text(
        "names: !!python/object/apply:os.system ['touch ran']\n"
    )
    assert open_boxes(tmp_path / "set").classes == ("class 0",)
    assert not (tmp_path / "ran").exists()
