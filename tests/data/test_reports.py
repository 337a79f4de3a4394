"""Folders and files as people reported them elsewhere, each once read in silence as something else."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from striate.data import open_source
from striate.data.checks import check
from striate.errors import DataError
from striate.images import read_image
from striate.tasks.segment.data import open_masks
from striate.tasks.segment.data.cityscapes import IDS, TRAIN_IDS


def picture(path: Path, number: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(number).integers(0, 255, (12, 16, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def mask(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def two_classes(i: int) -> np.ndarray:
    pixels = np.zeros((12, 16), np.uint8)
    pixels[2:6, 2 : 6 + i % 3] = 1
    pixels[7:11, 8:14] = 2
    return pixels


def test_parts_of_one_set_are_no_classes_beside_a_table(tmp_path: Path) -> None:
    """HAM10000: two folders of images, and a table of another name than labels.csv."""
    lines = ["lesion_id,image_id,dx,age"]
    for i in range(20):
        picture(tmp_path / f"HAM10000_images_part_{1 + i // 10}" / f"ISIC_{i:07}.jpg", i)
        lines.append(f"HAM_{i},ISIC_{i:07},{'nv' if i % 2 else 'mel'},{40 + i}")
    table = tmp_path / "HAM10000_metadata.csv"
    table.write_text("\n".join(lines))
    with pytest.raises(DataError, match=r"parts of one set, .* has no label column: .*, dx, age"):
        open_source(tmp_path)
    table.write_text("\n".join(lines).replace("dx", "label"))
    with pytest.raises(
        DataError, match=r"parts of one set, .* gives 20 of 20 images the classes mel"
    ):
        open_source(tmp_path)
    assert open_source(table).classes == ("mel", "nv")  # the remedies
    table.rename(tmp_path / "notes.txt")
    assert len(open_source(tmp_path).classes) == 2


def test_a_table_that_says_other_classes_than_the_folders_is_named(tmp_path: Path) -> None:
    lines = ["file,breed"]
    for i in range(20):
        picture(tmp_path / ("cat" if i % 2 else "dog") / f"{i}.png", i)
        lines.append(f"{i}.png,{'abcd'[i % 4]}")
    (tmp_path / "breeds.csv").write_text("\n".join(lines))
    source = open_source(tmp_path)
    assert source.classes == ("cat", "dog")
    assert any(
        "breeds.csv gives the images other classes (a, b, c and 1 more)" in n for n in source.notes
    )
    lines = ["file,animal", *(f"{i}.png,{'CAT' if i % 2 else 'DOG'}" for i in range(20))]
    (tmp_path / "breeds.csv").write_text("\n".join(lines))
    assert not open_source(tmp_path).notes


@pytest.mark.parametrize(
    ("inner", "said"),
    [
        (("cat", "dog"), "are taken as the classes; if cat, dog are"),
        (("test", "train"), "not taken as splits"),
    ],
)
def test_the_same_folders_in_every_class_are_said(
    tmp_path: Path, inner: tuple[str, str], said: str
) -> None:
    for k, top in enumerate(("colour", "grey")):
        for j, name in enumerate(inner):
            for i in range(4):
                picture(tmp_path / top / name / f"{name}{i}.png", 100 * k + 10 * j + i)
    source = open_source(tmp_path)
    assert source.classes == ("colour", "grey")
    assert any(said in note for note in source.notes)


def test_sidecars_of_images_are_no_images(tmp_path: Path) -> None:
    for i in range(8):
        path = tmp_path / "ab"[i % 2] / f"{i}.tif"
        picture(path, i)
        for end in (".msk", ".ovr"):
            tifffile.imwrite(path.with_name(path.name + end), np.full((6, 8), 255, np.uint8))
    source = open_source(tmp_path)
    assert len(source) == 8
    (left,) = [found for found in source.left_out if found.kind == "sidecar"]
    assert len(left.paths) == 16 and left.weighty
    assert any(
        "16 masks and overviews of images" in r["sentence"] for r in check(source).data["remarks"]
    )


@pytest.mark.parametrize(("samples", "compression"), [(1, None), (3, None), (1, "group4")])
def test_tiff_that_does_not_state_its_colours(
    tmp_path: Path, samples: int, compression: str | None
) -> None:
    """As libtiff takes them: black at 0, RGB, and faxes white at 0."""
    pixels = np.random.default_rng(0).integers(0, 255, (12, 16, samples), dtype=np.uint8)
    path = tmp_path / "a.tif"
    if compression:
        Image.fromarray(pixels[..., 0] > 128).save(path, compression=compression)
    else:
        tifffile.imwrite(
            path, pixels.squeeze(), photometric="rgb" if samples == 3 else "minisblack"
        )
    stated = read_image(path)
    data = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as tif:
        tag = tif.pages[0].tags[262]  # type: ignore[union-attr]
        at, order, fax_kind = tag.offset, tif.byteorder, int(tag.value)
    data[at : at + 2] = struct.pack(order + "H", 65000)
    path.write_bytes(data)
    found = read_image(path)
    white_first = compression is not None and fax_kind == 1  # written the other way about
    assert (found == (255 - stated if white_first else stated)).all()


def nnunet(root: Path, labels: dict[str, int]) -> Path:
    for i in range(8):
        picture(root / "imagesTr" / f"c{i}_0000.png", i)
        mask(root / "labelsTr" / f"c{i}.png", two_classes(i))
    (root / "dataset.json").write_text(json.dumps({"labels": labels, "file_ending": ".png"}))
    return root


def test_what_a_table_calls_ignore_is_no_class(tmp_path: Path) -> None:
    """nnU-Net names the number of pixels without a label in dataset.json."""
    source = open_masks(
        nnunet(tmp_path, {"background": 0, "tumour": 1, "ignore": 2}), val=0, test=0
    )
    assert source.classes == ("background", "tumour")
    assert (source.train.mask(0)[two_classes(0) == 2] == 255).all()
    assert any("names ignore (2): taken as 'no label'" in note for note in source.notes)
    kept = open_masks(tmp_path, val=0, test=0, ignore="none")
    assert kept.classes == ("background", "tumour", "ignore")


def test_masks_of_single_objects_alone_are_said(tmp_path: Path) -> None:
    for i in range(8):
        picture(tmp_path / "JPEGImages" / f"{i}.jpg", i)
        colours = np.zeros((12, 16, 3), np.uint8)
        colours[two_classes(i) == 1 + i % 2] = (255, 0, 0)
        colours[two_classes(i) == 2 - i % 2] = (0, 255, 0)
        mask(tmp_path / "SegmentationObject" / f"{i}.png", colours)
    notes = open_masks(tmp_path, val=0, test=0).notes
    assert any(
        "single objects, as their names say" in n and "--set masks=binary" in n for n in notes
    )
    assert open_masks(tmp_path, val=0, test=0, masks="binary").classes == ("background", "object")


@pytest.mark.parametrize(
    ("kind", "names", "value"), [("labelIds", IDS, 26), ("labelTrainIds", TRAIN_IDS, 13)]
)
def test_cityscapes_numbers_have_names(
    tmp_path: Path, kind: str, names: tuple[str, ...], value: int
) -> None:
    def write(root: Path, stem: Callable[[int], str]) -> None:
        for i in range(6):
            picture(root / "leftImg8bit/train/ulm" / f"{stem(i)}_leftImg8bit.png", i)
            pixels = np.full((12, 16), names.index("road"), np.uint8)
            pixels[3:8, 4 : 9 + i] = value
            mask(root / "gtFine/train/ulm" / f"{stem(i)}_gtFine_{kind}.png", pixels)

    write(tmp_path / "own", lambda i: f"ulm_00000{i}_000019")
    source = open_masks(tmp_path / "own", val=0, test=0)
    assert source.classes == names
    assert names[source.train.mask(0)[5, 6]] == "car"
    write(
        tmp_path / "other", lambda i: f"street{i}"
    )  # a tool that writes the format, with numbers of its own
    assert "car" not in open_masks(tmp_path / "other", val=0, test=0).classes
