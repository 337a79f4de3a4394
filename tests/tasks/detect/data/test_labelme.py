"""LabelMe JSON: every shape, groups, and what is no area."""

import base64
import io
import json

import numpy as np
import pytest
from box_sets import picture, pictures, regions, whole
from PIL import Image

from striate.errors import DataError
from striate.tasks.detect.data.sources import is_box_data, open_boxes

SQUARE = [[2, 3], [12, 3], [12, 13], [2, 13]]


def shape(label, points, kind="polygon", group=None, **more):
    return {
        "label": label,
        "points": points,
        "shape_type": kind,
        "group_id": group,
        "flags": {},
        **more,
    }


def a_set(folder, *files, size=(30, 40), **more):
    pictures(folder, len(files))
    for i, shapes in enumerate(files):
        content = {
            "version": "5.2.1", "flags": {}, "shapes": shapes, "imagePath": f"{i}.png", "imageData": "iVBORw0KGgo=",
            "imageHeight": size[0], "imageWidth": size[1], **more,
        }  # fmt: skip
        (folder / f"{i}.json").write_text(json.dumps(content))
    return folder


def test_polygons_and_rectangles_in_any_order_of_corners(tmp_path):
    # PaddleDetection #1296: a rectangle is drawn from any corner
    a_set(tmp_path, [shape("cat", SQUARE)], [shape("dog", [[30, 5], [20, 25]], "rectangle")], [])
    source = open_boxes(tmp_path)
    found = whole(source)
    assert found["0.png"] == [("cat", 2, 3, 12, 13, False)]
    assert found["1.png"] == [("dog", 20, 5, 30, 25, False)]
    assert found["2.png"] == []
    assert regions(source)["0.png"][0].mask.all() and regions(source)["1.png"] is None
    assert (
        source.format == "LabelMe JSON"
        and is_box_data(tmp_path)
        and is_box_data(tmp_path / "0.json")
    )


def test_a_circle_is_its_centre_and_a_point_on_it(tmp_path):
    # labelme #537 and #129: converted as the two points
    a_set(tmp_path, [shape("cat", [[20, 15], [20, 5]], "circle")])
    source = open_boxes(tmp_path)
    assert whole(source)["0.png"] == [("cat", 10, 5, 30, 25, False)]
    (region,) = regions(source)["0.png"]
    assert region.area == pytest.approx(np.pi * 100, rel=0.02)


def test_shapes_of_a_group_are_one_object_and_others_are_not(tmp_path):
    # labelme #419 and #487: objects of one class became one
    other = [[20, 5], [30, 5], [30, 25], [20, 25]]
    a_set(
        tmp_path,
        [shape("cat", SQUARE, group=1), shape("cat", other, group=1)],
        [shape("cat", SQUARE), shape("cat", other)],
    )
    source = open_boxes(tmp_path)
    assert whole(source)["0.png"] == [("cat", 2, 3, 30, 25, False)]
    assert regions(source)["0.png"][0].area == 100 + 200
    assert len(whole(source)["1.png"]) == 2


def test_a_group_of_one_number_and_two_classes_is_two(tmp_path):
    a_set(tmp_path, [shape("cat", SQUARE, group=0), shape("dog", SQUARE, group=0)])
    assert len(whole(open_boxes(tmp_path))["0.png"]) == 2


def test_masks_are_pictures_at_a_place(tmp_path):
    mask = np.zeros((5, 4), np.uint8)
    mask[1:4, 1:3] = 255
    stream = io.BytesIO()
    Image.fromarray(mask).save(stream, "PNG")
    text = base64.b64encode(stream.getvalue()).decode()
    a_set(tmp_path, [shape("cat", [[10, 20], [13, 24]], "mask", mask=text)])
    (region,) = regions(open_boxes(tmp_path))["0.png"]
    assert region.box == (11, 21, 13, 24) and region.mask.all()


@pytest.mark.parametrize(
    "bad",
    [
        shape("cat", [[1, 2]], "point"),
        shape("cat", [[1, 2], [3, 4]], "line"),
        shape("cat", [[1, 2], [3, 4]]),
        shape("cat", [[1, 2], [None, 4], [5, 6]]),
        shape("cat", "SQUARE"),
        shape("cat", [[1, 2, 3], [4, 5, 6]]),
        shape("", SQUARE),
        shape("cat", [[1, 2], [3, 4]], "mask", mask="no picture"),
        "shape",
        None,
    ],
    ids=str,
)  # fmt: skip
def test_faults_of_a_shape(tmp_path, bad):
    a_set(tmp_path, [bad, shape("cat", SQUARE)])
    source = open_boxes(tmp_path)
    assert whole(source)["0.png"] == [("cat", 2, 3, 12, 13, False)]
    assert len(source.faults) == 1


@pytest.mark.parametrize(
    "name", ["../shots/0.png", "C:\\Users\\me\\0.png", "..\\shots\\0.png", "old name.png", "", None]
)
def test_the_path_inside_may_be_of_another_machine(tmp_path, name):
    a_set(tmp_path / "set", [shape("cat", SQUARE)], imagePath=name)
    assert list(whole(open_boxes(tmp_path / "set"))) == ["0.png"]


def test_images_and_files_in_folders_of_their_own(tmp_path):
    picture(tmp_path / "images" / "0.png")
    a_set(tmp_path / "json", [shape("cat", SQUARE)], imagePath="..\\images\\0.png")
    (tmp_path / "json" / "0.png").unlink()
    assert whole(open_boxes(tmp_path))["images/0.png"] == [("cat", 2, 3, 12, 13, False)]


@pytest.mark.parametrize("text", ["", '{"shapes": [', "[]", '{"shapes": 5, "imagePath": "1.png"}'])
def test_a_broken_file_is_a_fault_of_its_own(tmp_path, text):
    a_set(tmp_path, [shape("cat", SQUARE)], [shape("cat", SQUARE)])
    (tmp_path / "1.json").write_text(text)
    assert [d.path for d in open_boxes(tmp_path).faults] == ["1.json"]
    (tmp_path / "0.json").write_text(text)
    with pytest.raises(DataError):
        open_boxes(tmp_path)


def test_one_file_is_for_its_own_image(tmp_path):
    a_set(tmp_path, [shape("cat", SQUARE)], [])
    assert list(whole(open_boxes(tmp_path / "0.json"))) == ["0.png"]
