"""Hostile annotations of objects: one rule for every format, and each fault that was found, as a test.

`STRIATE_FUZZ=3000 pytest tests/hostile/test_boxes.py -k trials` makes that many trials.
"""

from __future__ import annotations

import base64
import io
import json
import os
import shutil
from pathlib import Path
from typing import Any

import boxes
import numpy as np
import pytest
from judge import fault, run_here
from payloads import RLES, XMLS, YAMLS
from PIL import Image

TRIALS = int(os.environ.get("STRIATE_FUZZ", "36"))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """See `boxes.make_home`."""
    return boxes.make_home(tmp_path_factory.mktemp("boxes"))


@pytest.mark.parametrize("to", boxes.FORMATS)
def test_trials_of_every_format(to: str, home: Path) -> None:
    number = boxes.FORMATS.index(to)
    found = [boxes.run(n, home, to) for n in range(number, TRIALS, len(boxes.FORMATS))]
    faults = [one for one in found if one is not None]
    assert not faults, f"{len(faults)} of {len(found)} trials\n" + "\n\n".join(faults[:5])


def images(folder: Path, count: int = 2) -> Path:
    """A folder of small images."""
    folder.mkdir()
    for i in range(count):
        pixels = np.random.default_rng(i).integers(0, 256, (24, 24), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.png")
    return folder


def data(folder: Path, status: int = 0) -> dict[str, Any]:
    """What `striate data` says of a folder that it must be able to read, or to refuse."""
    before = boxes.peak()
    outcome = run_here(["data", folder.name, "--task", "detect", "--format", "json"], folder.parent)
    assert outcome.status == status and fault(outcome) is None, outcome
    assert boxes.peak(reset=False) - before < boxes.MOST, "it took too much memory"
    return {"text": outcome.out, "findings": None if status else json.loads(outcome.out)}


OBJECT = {"image_id": 0, "category_id": 1, "bbox": [1, 1, 5, 5]}


def coco(objects: list[dict[str, Any]]) -> str:
    """A document of two images, whose sides are SIDE."""
    sides = {"height": "SIDE", "width": "SIDE"}
    entries = [{"id": i, "file_name": f"{i}.png", **sides} for i in range(2)]
    categories = [{"id": 1, "name": "a"}]
    return json.dumps({"images": entries, "annotations": objects, "categories": categories})


SOUND = {"label": "a", "points": [[1, 1], [9, 9]], "shape_type": "rectangle"}
SHAPES: dict[str, list[dict[str, Any]]] = {
    "a circle without end": [{"label": "a", "points": [[1e20, 0], [0, 1e20]], "shape_type": "circle"}],
    "a circle of infinite radius": [{"label": "a", "points": [[1e308, 0], [-1e308, 0]], "shape_type": "circle"}],
    "a box of many digits": [{**SOUND, "shape_type": "mask", "mask": "", "box": [10**400] * 4}],
    "a group far apart": [
        {"label": "a", "points": [[0, 0], [9, 9]], "shape_type": "mask", "group_id": 1, "mask": "PNG"},
        {"label": "a", "points": [[1e6, 1e6], [1e6, 1e6]], "shape_type": "mask", "group_id": 1, "mask": "PNG"},
    ],
    "a ring without end": [
        {"label": "a", "points": [[0, 0], [9, 9]], "shape_type": "mask", "group_id": 1, "mask": "PNG"},
        {"label": "a", "points": [[0, 0], [1e9, 0], [1e9, 1e9]], "shape_type": "polygon", "group_id": 1},
    ],
}  # fmt: skip


@pytest.mark.parametrize("kind", SHAPES)
def test_shapes_of_labelme_that_no_image_holds(kind: str, tmp_path: Path) -> None:
    stream = io.BytesIO()
    Image.fromarray(np.full((9, 9), 255, np.uint8)).save(stream, "PNG")
    folder = images(tmp_path / "d")
    mask = json.dumps(base64.b64encode(stream.getvalue()).decode())
    text = json.dumps({"shapes": [SOUND, *SHAPES[kind]]})
    (folder / "0.json").write_text(text.replace('"PNG"', mask))
    (folder / "1.json").write_text(
        json.dumps({"shapes": [SOUND], "imageHeight": 24, "imageWidth": 24})
    )
    data(folder)


@pytest.mark.parametrize("side", ["1e999", "1" + "0" * 400, "-1", '"x"', "NaN", "true"])
def test_sides_that_no_image_has(side: str, tmp_path: Path) -> None:
    folder = images(tmp_path / "d")
    for i in range(2):
        sides = f'"imageHeight": {side}, "imageWidth": {side}, "height": {side}, "width": {side}'
        (folder / f"{i}.json").write_text(f'{{"shapes": [{json.dumps(SOUND)}], {sides}}}')
    data(folder)
    for i in range(2):
        (folder / f"{i}.json").unlink()
    (folder / "a.json").write_text(coco([OBJECT]).replace('"SIDE"', side))
    data(folder)


@pytest.mark.parametrize("rle", [0, 2, 3, 6], ids=str)
def test_run_lengths_take_no_more_than_images_may(rle: int, tmp_path: Path) -> None:
    folder = images(tmp_path / "d")
    hostile = {**OBJECT, "image_id": 1, "segmentation": RLES[rle]}
    (folder / "a.json").write_text(coco([OBJECT, hostile]).replace('"SIDE"', "24"))
    said = data(folder)["text"]
    assert (
        "run lengths" in said or rle == 3
    )  # as many pixels as an image may have, of which ours holds few


CVAT = """<annotations>
<image id="0" name="0.png" width="24" height="24"><box label="a" xtl="1" ytl="1" xbr="9" ybr="9"/></image>
<image id="1" name="1.png" {sides}><box label="a" xtl="2" ytl="1" xbr="9" ybr="9"/>{shape}</image>
</annotations>"""


@pytest.mark.parametrize(
    "shape",
    [
        '<box label="a" xtl="1" ytl="1" xbr="9" ybr="9" rotation="inf"/>',
        '<mask label="a" left="0" top="0" width="99999" height="99999" rle="0, 9999800001"/>',
        '<mask label="a" left="0" top="0" width="9" height="9" rle="9223372036854775807, 9223372036854775807"/>',
        '<mask label="a" left="1e300" top="0" width="9" height="9" rle="0, 81"/>',
        '<ellipse label="a" cx="inf" cy="1" rx="1" ry="1"/>',
    ],
    ids=lambda text: text[1:8],
)  # fmt: skip
def test_shapes_of_cvat_that_no_image_holds(shape: str, tmp_path: Path) -> None:
    for sides in ('width="24" height="24"', 'width="inf" height="1e999"'):
        folder = images(tmp_path / sides[7:10])
        (folder / "a.xml").write_text(CVAT.format(sides=sides, shape=shape))
        assert "left out" in data(folder)["text"]


@pytest.mark.parametrize("text", YAMLS, ids=lambda text: ascii(text[:24]))
def test_a_data_yaml_makes_nothing_and_takes_nothing(text: str, home: Path) -> None:
    shutil.rmtree(home / "d", ignore_errors=True)
    shutil.copytree(home / "sets" / "yolo", home / "d")
    (home / "d" / "data.yaml").write_text(text, encoding="utf-8")
    data(home / "d", status=int("val: ../.." in text))  # which says that no image is for training
    assert not (home / "OWNED").exists()


@pytest.mark.parametrize("text", XMLS, ids=lambda text: ascii(text[:24]))
def test_an_xml_expands_nothing(text: str, home: Path) -> None:
    shutil.rmtree(home / "d", ignore_errors=True)
    shutil.copytree(home / "sets" / "voc", home / "d")
    file = boxes.annotation_files(home / "d")[0]
    file.write_text(text.replace("{0}", "annotation"), encoding="utf-8")
    assert "root:x" not in data(home / "d")["text"]


def test_a_photograph_is_no_mask_of_objects(tmp_path: Path) -> None:
    folder = images(tmp_path / "d")
    for name in ("images", "masks"):
        (folder / name).mkdir()
    noise = np.random.default_rng(0).integers(0, 65_536, (600, 600)).astype(np.uint16)
    parts = np.zeros((600, 600), np.uint16)
    parts[9:90, 9:90], parts[200:290, 9:90] = 1, 2
    for i, mask in enumerate((noise, parts)):
        (folder / f"{i}.png").rename(folder / "images" / f"{i}.png")
        Image.fromarray(np.zeros((600, 600), np.uint8)).save(folder / "images" / f"{i}.png")
        Image.fromarray(mask).save(folder / "masks" / f"{i}.png")
    assert "photograph" in data(folder)["text"]


def test_classes_of_thousands_of_digits_have_an_order(tmp_path: Path) -> None:
    folder = images(tmp_path / "d")
    rows = [f"{i}.png,1,1,5,5,{label}" for i in range(2) for label in ("9", "10", "9" * 5000)]
    (folder / "boxes.csv").write_text("\n".join(["file,x,y,w,h,label", *rows]))
    text = data(folder)["text"]
    assert text.index('"9"') < text.index('"10"') < text.index(f'"{"9" * 5000}"')
