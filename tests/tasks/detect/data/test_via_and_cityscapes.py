"""VIA's JSON and CSV and Cityscapes' instances, written here as their tools write them, and read back."""

import csv
import json

import numpy as np
import pytest
from PIL import Image

from striate.errors import DataError
from striate.tasks.detect.data.sources import is_box_data, open_boxes
from striate.tasks.table import open_source

SQUARE = {"name": "rect", "x": 4, "y": 6, "width": 20, "height": 10}
TRIANGLE = {"name": "polygon", "all_points_x": [30, 50, 40], "all_points_y": [5, 5, 25]}
ROUND = {"name": "circle", "cx": 20, "cy": 40, "r": 8}
EGG = {"name": "ellipse", "cx": 45, "cy": 40, "rx": 10, "ry": 5, "theta": np.pi / 2}


COLUMNS = (
    "filename", "file_size", "file_attributes", "region_count", "region_id", "region_shape_attributes", "region_attributes",
)  # fmt: skip


def images(folder, count=4):
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for i in range(count):
        Image.fromarray(rng.integers(0, 255, (60, 70, 3), dtype=np.uint8)).save(folder / f"{i}.png")


def entry(name, *regions):
    return {"filename": name, "size": 123, "file_attributes": {}, "regions": list(regions)}


def region(shape, **attributes):
    return {"shape_attributes": shape, "region_attributes": attributes}


def project():
    return {
        "0.png123": entry("0.png", region(SQUARE, label="cat"), region(TRIANGLE, label="dog")),
        "1.png123": entry("1.png", region(ROUND, label="cat"), region(EGG, label="dog")),
        "2.png123": entry("2.png"),
    }


def write_csv(path, content):
    with open(path, "w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(COLUMNS)
        for one in content.values():
            several = one["regions"] or [{"shape_attributes": {}, "region_attributes": {}}]
            for i, r in enumerate(several):
                shape, attributes = (json.dumps(r[n]) for n in ("shape_attributes", "region_attributes"))  # fmt: skip
                rows.writerow([one["filename"], 123, "{}", len(one["regions"]), i, shape, attributes])  # fmt: skip


@pytest.mark.parametrize("form", ["project", "annotations", "numbered", "csv", "csv of a Mac"])
def test_every_form_of_via_gives_the_same_objects(form, tmp_path):
    images(tmp_path)
    content = project()
    if form.startswith("csv"):
        table = tmp_path / "via_region_data.csv"
        write_csv(table, content)
        if form == "csv of a Mac":  # lines that end with a carriage return alone
            table.write_bytes(table.read_bytes().replace(b"\r\n", b"\r"))
    else:
        if form == "numbered":  # VIA 1
            for one in content.values():
                one["regions"] = {str(i): r for i, r in enumerate(one["regions"])}
        if form == "project":
            content = {"_via_settings": {}, "_via_img_metadata": content, "_via_attributes": {}}
        (tmp_path / "via.json").write_text(json.dumps(content))
    assert is_box_data(tmp_path)
    source = open_boxes(tmp_path)
    assert source.classes == ("cat", "dog") and source.format == "VIA"
    found = {k: o for s in source.splits.values() for k, o in zip(s.keys, s.objects, strict=True)}
    assert {k: len(o) for k, o in found.items()} == {"0.png": 2, "1.png": 2, "2.png": 0, "3.png": 0}
    assert found["0.png"].boxes.tolist() == [[4, 6, 24, 16], [30, 5, 50, 25]]
    assert np.allclose(found["1.png"].boxes, [[12, 32, 28, 48], [40, 30, 50, 50]])
    assert found["1.png"].labels.tolist() == [0, 1]
    areas = [r.area for r in found["1.png"].regions]
    assert areas == pytest.approx([np.pi * 64, np.pi * 50], rel=0.05)


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ({"name": "point", "cx": 3, "cy": 4}, "which has no area"),
        ({"name": "rect", "x": None, "y": 1, "width": 2, "height": 3}, "are no numbers"),
        ({"name": "rect", "x": 1e300, "y": 1, "width": 2, "height": 3}, "are no numbers"),
        ({"name": "polygon", "all_points_x": [1, 2], "all_points_y": [1, 2, 3]}, "no two lists"),
        ({"name": "polyline", "all_points_x": [1, 2, 9], "all_points_y": [1, 2, 3]}, "not closed"),
        ({"name": "circle", "cx": "a", "cy": [], "r": {}}, "are no numbers"),
        ({}, "without a name"),
    ],
)
def test_a_broken_region_is_left_out_and_named(shape, words, tmp_path):
    images(tmp_path)
    content = {"0.png1": entry("0.png", region(SQUARE, label="cat"), region(shape, label="cat"))}
    (tmp_path / "via.json").write_text(json.dumps(content))
    source = open_boxes(tmp_path)
    assert sum(len(o) for s in source.splits.values() for o in s.objects) == 1
    assert any(words in f.reason for f in source.faults)


@pytest.mark.parametrize(
    "text",
    ['{"_via_img_metadata": [1]}', '{"_via_img_metadata": {"a": {}}}', '{"_via_settings": {}, '],
)
def test_a_broken_file_is_refused(text, tmp_path):
    images(tmp_path)
    (tmp_path / "via.json").write_text(text)
    with pytest.raises(DataError, match=r"via\.json"):
        open_boxes(tmp_path)


def test_ticked_boxes_name_a_class_and_no_attribute_is_one(tmp_path):
    images(tmp_path)
    ticked = {"0.png1": entry("0.png", region(SQUARE, kind={"cat": True, "dog": False}))}
    (tmp_path / "via.json").write_text(json.dumps(ticked))
    assert open_boxes(tmp_path).classes == ("cat",)
    (tmp_path / "via.json").write_text(json.dumps({"0.png1": entry("0.png", region(SQUARE))}))
    assert open_boxes(tmp_path).classes == ("object",)


def test_cityscapes_instances_come_back_to_the_pixel(tmp_path):
    rng = np.random.default_rng(0)
    truth = {}
    for split, city in (("train", "aachen"), ("train", "ulm"), ("val", "bonn")):
        for name in ("leftImg8bit", "gtFine"):
            (tmp_path / name / split / city).mkdir(parents=True, exist_ok=True)
        stem = f"{city}_000000_000019"
        pixels = rng.integers(0, 255, (40, 60, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(
            tmp_path / f"leftImg8bit/{split}/{city}/{stem}_leftImg8bit.png"
        )
        ids = np.full((40, 60), 7, dtype=np.uint16)  # the road
        ids[5:15, 5:20], ids[20:30, 5:15], ids[20:35, 40:55], ids[0:3] = 26000, 26001, 24007, 24
        ids[8:12, 18:24] = 26001  # in two parts
        Image.fromarray(ids).save(tmp_path / f"gtFine/{split}/{city}/{stem}_gtFine_instanceIds.png")
        labels = Image.fromarray((ids // 1000).astype(np.uint8))
        labels.save(tmp_path / f"gtFine/{split}/{city}/{stem}_gtFine_labelIds.png")
        truth[f"leftImg8bit/{split}/{city}/{stem}_leftImg8bit.png"] = ids
    source = open_source(tmp_path, task="instances")
    assert source.classes == ("car", "person")
    seen = 0
    for name, split in source.splits.items():
        for key, objects in zip(split.keys, split.objects, strict=True):
            ids = truth[key]
            seen += 1
            assert name == "test" or ("bonn" in key) == (name in ("val", "test"))
            assert objects.labels.tolist() == [1, 1, 0, 0]
            assert objects.crowd.tolist() == [True, False, False, False]
            for region, number in zip(objects.regions, (24, 24007, 26000, 26001), strict=True):
                assert np.array_equal(region.full(40, 60), ids == number)
    assert seen == 3


def test_noise_and_colours_are_no_instances(tmp_path):
    images(tmp_path, 2)
    rng = np.random.default_rng(0)
    noise = rng.integers(1000, 60000, (900, 900)).astype(np.uint16)
    Image.fromarray(noise).save(tmp_path / "0_gtFine_instanceIds.png")
    colours = Image.fromarray(rng.integers(0, 255, (60, 70, 3), dtype=np.uint8))
    colours.save(tmp_path / "1_gtFine_instanceIds.png")
    with pytest.raises(DataError, match="scattered"):
        open_source(tmp_path, task="instances")
