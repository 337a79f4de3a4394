"""Instance masks: numbers, colours, a file an object, or one value whose parts are objects."""

import numpy as np
import pytest
import tifffile
from box_sets import picture, regions, whole
from PIL import Image

from striate.tasks.detect.data.sources import is_box_data, open_boxes

NUMBERS = np.zeros((30, 40), np.uint16)
NUMBERS[3:13, 2:12] = 1
NUMBERS[5:25, 20:30] = 700
TOUCHING = np.zeros((30, 40), np.uint16)
TOUCHING[3:13, 2:12], TOUCHING[3:13, 12:20] = 2, 3
BOXES = [("object", 2, 3, 12, 13, False), ("object", 20, 5, 30, 25, False)]


def write(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".tif":
        tifffile.imwrite(path, values)
    else:
        Image.fromarray(values).save(path)


def a_set(folder, suffix, *masks):
    for i, values in enumerate(masks):
        picture(folder / "images" / f"{i}.png", i)
        write(folder / "masks" / f"{i}{suffix}", values)
    return folder


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_numbers_are_objects_touching_ones_too(tmp_path, suffix):
    source = open_boxes(a_set(tmp_path, suffix, NUMBERS, TOUCHING))
    assert whole(source)["images/0.png"] == BOXES
    assert [r.box for r in regions(source)["images/1.png"]] == [(2, 3, 12, 13), (12, 3, 20, 13)]
    assert source.format == "instance masks" and source.classes == ("object",)


def test_colours_are_objects(tmp_path):
    page = np.zeros((30, 40, 3), np.uint8)
    page[NUMBERS == 1], page[NUMBERS == 700] = (200, 30, 30), (30, 200, 31)
    assert (
        whole(open_boxes(a_set(tmp_path, ".png", page, page[::-1].copy())))["images/0.png"] == BOXES
    )


def test_one_value_has_its_connected_parts_as_objects(tmp_path):
    page = ((NUMBERS > 0) * 255).astype(np.uint8)
    source = open_boxes(a_set(tmp_path, ".png", page, page[::-1].copy()))
    assert whole(source)["images/0.png"] == BOXES
    assert any("connected" in note for note in source.notes)


def test_folders_of_masks_are_claimed_by_segmentation(tmp_path):
    assert not is_box_data(a_set(tmp_path, ".png", NUMBERS))


def test_a_mask_of_the_stored_size_turns_with_its_photograph(tmp_path):
    a_set(tmp_path, ".png", NUMBERS)
    (tmp_path / "images" / "0.png").unlink()
    picture(tmp_path / "images" / "0.jpg", orientation=6)
    (objects,) = whole(open_boxes(tmp_path)).values()
    assert objects == [("object", 5, 20, 25, 30, False), ("object", 17, 2, 27, 12, False)]
