"""Boxes of photographs with an EXIF orientation: by the stated size, or by that of the others."""

import numpy as np
import pytest
from box_sets import coco, picture, regions, thing, whole

from striate.images.pixels import upright
from striate.tasks.detect.data.annotations import Polygons
from striate.tasks.detect.data.sources import open_boxes
from striate.tasks.detect.data.turning import upright_boxes, upright_outline
from striate.tasks.detect.objects import Region


@pytest.mark.parametrize("orientation", range(1, 9))
def test_boxes_and_outlines_turn_as_the_pixels_do(orientation):
    stored = np.zeros((7, 11), dtype=bool)
    stored[1:4, 2:9] = True
    turned = upright(stored[..., None], orientation)[..., 0]
    expected = Region.of(turned).box
    height, width = turned.shape
    assert upright_boxes(np.array([[2.0, 1, 9, 4]]), orientation, height, width)[
        0
    ].tolist() == list(expected)
    region = upright_outline(Region.of(stored), orientation, height, width)
    assert np.array_equal(region.full(height, width), turned)
    ring = np.array([[2.0, 1], [9, 1], [9, 4], [2, 4]])
    points = upright_outline(Polygons((ring,)), orientation, height, width).rings[0]
    assert (*points.min(0), *points.max(0)) == expected


@pytest.mark.parametrize("orientation", [3, 6, 8])
@pytest.mark.parametrize("size", ["stored", "upright"])
def test_the_stated_size_decides(tmp_path, orientation, size):
    # detectron2 #788, labelme2coco #9: tools draw on the upright image or on the stored one
    picture(tmp_path / "0.jpg", orientation=orientation)
    picture(tmp_path / "1.jpg", 1, orientation=6)  # decides for those whose two sizes are equal
    stated = (40, 30) if size == "stored" else (30, 40)
    own = stated if orientation > 4 else (40, 30)
    box = (2.0, 3.0, 8.0, 6.0)
    segmentation = [[2, 3, 8, 3, 8, 6, 2, 6]]
    images = [(0, "0.jpg", *own), (1, "1.jpg", *stated)]
    coco(tmp_path / "a.json", images, [thing(1, 0, box, segmentation=segmentation)])
    source = open_boxes(tmp_path)
    height, width = (40, 30) if orientation > 4 else (30, 40)
    expected = (
        upright_boxes(np.array([box]), orientation, height, width)[0] if size == "stored" else box
    )
    assert whole(source)["0.jpg"] == [("cat", *expected, False)]
    assert regions(source)["0.jpg"][0].box == tuple(expected)
    assert not source.warnings and any("EXIF" in note for note in source.notes)


def test_where_nothing_decides_the_upright_image_is_assumed_aloud(tmp_path):
    picture(tmp_path / "0.jpg", orientation=3)
    coco(tmp_path / "a.json", [(0, "0.jpg", 40, 30)], [thing(1, 0)])
    source = open_boxes(tmp_path)
    assert whole(source)["0.jpg"] == [("cat", 2, 3, 12, 13, False)]
    assert any("EXIF" in w for w in source.warnings)


def test_another_size_of_the_same_shape_scales_the_boxes(tmp_path):
    picture(tmp_path / "0.png")
    coco(
        tmp_path / "a.json",
        [(0, "0.png", 80, 60)],
        [thing(1, 0, (4.0, 6.0, 24.0, 26.0), segmentation=[[4, 6, 24, 6, 24, 26, 4, 26]])],
    )
    source = open_boxes(tmp_path)
    assert whole(source)["0.png"] == [("cat", 2, 3, 12, 13, False)]
    assert regions(source)["0.png"][0].box == (2, 3, 12, 13)
    assert len(source.warnings) == 1


def test_another_shape_leaves_out_what_does_not_fit(tmp_path):
    for i in range(2):
        picture(tmp_path / f"{i}.png", i)
    images = [(0, "0.png", 100, 30), (1, "1.png", 100, 30)]
    coco(tmp_path / "a.json", images, [thing(1, 0), thing(2, 1, (50.0, 3.0, 90.0, 13.0))])
    source = open_boxes(tmp_path)
    assert list(whole(source)) == ["0.png"]
    assert [d.path for d in source.damaged] == ["1.png"] and source.warnings


def test_x_and_y_exchanged_in_all_boxes_are_put_right(tmp_path):
    picture(tmp_path / "0.png", size=(100, 20))
    boxes = [(2.0, 60.0, 12.0, 90.0), (3.0, 40.0, 9.0, 50.0), (1.0, 2.0, 5.0, 9.0)]
    coco(
        tmp_path / "a.json", [(0, "0.png", 100, 20)], [thing(i, 0, b) for i, b in enumerate(boxes)]
    )
    source = open_boxes(tmp_path)
    assert whole(source)["0.png"] == sorted(("cat", b[1], b[0], b[3], b[2], False) for b in boxes)
    assert any("exchanged in all" in w for w in source.warnings)


def test_a_single_box_with_x_and_y_exchanged_is_said_and_left(tmp_path):
    picture(tmp_path / "0.png", size=(100, 20))
    boxes = [(60.0 + i, 2.0, 90.0, 12.0) for i in range(30)] + [(2.0, 10.0, 12.0, 90.0)]
    coco(
        tmp_path / "a.json", [(0, "0.png", 100, 20)], [thing(i, 0, b) for i, b in enumerate(boxes)]
    )
    source = open_boxes(tmp_path)
    assert ("cat", 2.0, 10.0, 12.0, 20.0, False) in whole(source)["0.png"]
    assert any("exchanged" in w for w in source.warnings)
