"""CVAT's XML for images: boxes, polygons, masks, ellipses, and what has no area."""

import numpy as np
import pytest
from box_sets import picture, pictures, regions, whole

from striate.errors import DataError
from striate.tasks.detect.data.sources import is_box_data, open_boxes

BOX = (
    '<box label="cat" occluded="0" xtl="2.00" ytl="3.00" xbr="12.00" ybr="13.00" z_order="0"></box>'
)
A_CAT = ("cat", 2, 3, 12, 13, False)


def a_set(folder, *shapes, head='<?xml version="1.0" encoding="utf-8"?>', more=""):
    pictures(folder / "images", len(shapes))
    images = "".join(
        f'<image id="{i}" name="{i}.png" width="40" height="30"{more}>{text}</image>'
        for i, text in enumerate(shapes)
    )
    (folder / "annotations.xml").write_text(
        f"{head}<annotations><version>1.1</version><meta><task><labels><label><name>cat</name></label></labels></task>"
        f"</meta>{images}</annotations>"
    )
    return folder


def test_boxes_and_background(tmp_path):
    source = open_boxes(a_set(tmp_path, BOX, BOX.replace('"0" xtl', '"1" xtl'), ""))
    assert whole(source) == {"images/0.png": [A_CAT], "images/1.png": [A_CAT], "images/2.png": []}
    assert (
        source.format == "CVAT XML"
        and is_box_data(tmp_path)
        and is_box_data(tmp_path / "annotations.xml")
    )


def test_polygons(tmp_path):
    source = open_boxes(
        a_set(tmp_path, '<polygon label="cat" points="2.0,3.0;12,3;12.00,13;2,13" z_order="0"/>')
    )
    assert whole(source)["images/0.png"] == [A_CAT]
    assert regions(source)["images/0.png"][0].mask.all()


def test_masks_go_row_by_row_in_their_own_box(tmp_path):
    # cvat #6487, #5828 and #8124: taken for COCO's run lengths, of the whole image and column by column
    # . X X
    # X . .
    shapes = [
        f'<mask label="cat" rle="{rle}" left="5" top="7" width="3" height="2"/>'
        for rle in ("1, 3, 2", "1, 3")
    ]
    source = open_boxes(a_set(tmp_path, *shapes))
    for key in ("images/0.png", "images/1.png"):
        (region,) = regions(source)[key]
        assert region.box == (5, 7, 8, 9)
        assert region.mask.tolist() == [[False, True, True], [True, False, False]]


def test_turned_boxes_and_ellipses_have_the_upright_box_around_them(tmp_path):
    turned = '<box label="cat" xtl="10" ytl="10" xbr="30" ybr="14" rotation="90.0"/>'
    ellipse = '<ellipse label="cat" cx="20" cy="15" rx="10" ry="5"/>'
    source = open_boxes(a_set(tmp_path, turned, ellipse))
    np.testing.assert_allclose(whole(source)["images/0.png"][0][1:5], (18, 2, 22, 22), atol=1e-6)
    assert whole(source)["images/1.png"] == [("cat", 10, 10, 30, 20, False)]
    assert regions(source)["images/1.png"][0].area == pytest.approx(np.pi * 50, rel=0.03)


def test_what_is_outside_a_frame_is_not_there_and_tags_are_no_objects(tmp_path):
    source = open_boxes(
        a_set(
            tmp_path, BOX + BOX.replace("occluded", 'outside="1" occluded') + '<tag label="cat"/>'
        )
    )
    assert whole(source)["images/0.png"] == [A_CAT] and not source.faults


@pytest.mark.parametrize(
    "bad",
    [
        '<polyline label="cat" points="1,2;3,4"/>',
        '<points label="cat" points="1,2"/>',
        '<polygon label="cat" points="1,2;3,4"/>',
        '<polygon label="cat" points="1,2;3;4,5"/>',
        '<polygon label="cat"/>',
        '<box label="cat" xtl="2" ytl="nan" xbr="12" ybr="13"/>',
        '<box label="cat" xtl="2" ytl="3" xbr="2" ybr="13"/>',
        '<box label="cat" xtl="2" ytl="3" xbr="12"/>',
        '<box xtl="2" ytl="3" xbr="12" ybr="13"/>',
        # cvat #9460: run lengths of more pixels than their box
        '<mask label="cat" rle="1, 9" left="5" top="7" width="3" height="2"/>',
        '<mask label="cat" rle="6" left="5" top="7" width="3" height="2"/>',
        '<mask label="cat" rle="1, x" left="5" top="7" width="3" height="2"/>',
        '<mask label="cat" rle="1" left="5" top="7" width="300000" height="200000"/>',
        '<mask label="cat" rle="-1, 7" left="5" top="7" width="3" height="2"/>',
    ],
)
def test_faults_of_a_shape(tmp_path, bad):
    source = open_boxes(a_set(tmp_path, BOX + bad))
    assert whole(source)["images/0.png"] == [A_CAT]
    assert len(source.faults) == 1, source.faults


def test_subsets_are_splits(tmp_path):
    a_set(tmp_path, BOX, BOX, BOX)
    path = tmp_path / "annotations.xml"
    text = path.read_text()
    for i, split in enumerate(("Train", "Validation", "Test")):
        text = text.replace(f'name="{i}.png"', f'name="{i}.png" subset="{split}"')
    path.write_text(text)
    assert [len(s) for s in open_boxes(tmp_path).splits.values()] == [1, 1, 1]


def test_a_video_a_broken_file_and_one_with_entities_are_refused(tmp_path):
    for text in (
        '<annotations><track id="0" label="cat"><box frame="0" xtl="1" ytl="1" xbr="5" ybr="5"/></track></annotations>',
        '<annotations><image id="0" name="0.png"><box ',
        '<annotations><image id="0"/></annotations>',
        "<annotations/>",
        '<!DOCTYPE a [<!ENTITY b "c">]><annotations><image id="0" name="&b;"/></annotations>',
    ):
        picture(tmp_path / "0.png")
        (tmp_path / "annotations.xml").write_text(text)
        with pytest.raises(DataError):
            open_boxes(tmp_path / "annotations.xml" if "<annotations>" in text[:20] else tmp_path)
