"""Folders of images and masks: what is paired, what values mean, and what is said before training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from striate.errors import DataError, UsageError
from striate.tasks.segment.data import IGNORE, is_mask_data, open_masks
from striate.tasks.segment.data.checks import check_masks
from striate.tasks.segment.data.coding import Coding
from striate.tasks.segment.data.deciding import decide
from striate.tasks.segment.data.description import describe_masks
from striate.tasks.segment.data.reading import read_mask
from striate.tasks.segment.data.source import MaskSource
from striate.tasks.segment.data.values import Tally

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write n images with masks; `mask(i)` gives the mask's array or Pillow image."""

    def make(
        n: int = 12, *, mask: Callable[[int], Any] | None = None, suffix: str = ".png", at: str = ""
    ) -> Path:
        rng = np.random.default_rng(n)
        for folder in ("images", "masks"):
            (tmp_path / at / folder).mkdir(parents=True, exist_ok=True)
        for i in range(n):
            pixels = rng.integers(0, 256, (20, 24, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / at / "images" / f"{at.replace('/', '')}{i}.png")
            values = np.zeros((20, 24), dtype=np.uint8) if mask is None else mask(i)
            if mask is None:
                values[5:12, 4:20] = 1
                values[14:18, 2:10] = 2
            target = tmp_path / at / "masks" / f"{at.replace('/', '')}{i}{suffix}"
            if isinstance(values, Image.Image):
                values.save(target)
            elif suffix == ".tif":
                tifffile.imwrite(target, values)
            else:
                Image.fromarray(values).save(target)
        return tmp_path

    return make


def square(value: int, inside: int = 0, dtype: Any = np.uint8) -> np.ndarray:
    mask = np.full((20, 24), inside, dtype=dtype)
    mask[5:12, 4:20] = value
    return mask


def said(source: MaskSource) -> str:
    return " ".join(str(row[2]) for table in check_masks(source).tables[:1] for row in table.rows)


def test_images_and_masks_are_paired_and_split(write: Write) -> None:
    source = open_masks(write())
    assert source.classes == ("background", "class 1", "class 2")
    assert [len(s) for s in source.splits.values()] == [8, 2, 2]
    mask = source.train.mask(0)
    assert mask.dtype == np.uint8 and mask.shape == (20, 24)
    assert np.bincount(mask.ravel()).tolist() == [20 * 24 - 112 - 32, 112, 32]
    assert source.train.pixels[0].tolist() == np.bincount(mask.ravel()).tolist()
    for c, places in source.train.anchors[0].items():
        assert (mask[places[:, 0], places[:, 1]] == c).all()


def test_a_folder_is_told_from_class_folders(write: Write, tmp_path: Path) -> None:
    assert is_mask_data("scenes") and not is_mask_data("digits")
    assert is_mask_data(write())
    for name in ("cat", "masks"):
        (tmp_path / "classes" / name).mkdir(parents=True)
        Image.new("L", (8, 8)).save(tmp_path / "classes" / name / "0.png")
    assert not is_mask_data(tmp_path / "classes")
    assert not is_mask_data(tmp_path / "nothing")


def test_split_folders_are_honoured(write: Write) -> None:
    write(6, at="train")
    write(2, at="val")
    source = open_masks(write(3, at="test"))
    assert [len(s) for s in source.splits.values()] == [6, 2, 3]
    assert all(key.startswith("test/") for key in source.test.keys)


def test_a_mask_may_carry_an_ending(write: Write) -> None:
    root = write(4)
    for file in (root / "masks").iterdir():
        file.rename(file.with_name(f"{file.stem}_mask.png"))
    assert len(open_masks(root)) == 4


def test_0_and_255_are_background_and_object_and_the_switch_is_offered(write: Write) -> None:
    root = write(mask=lambda i: square(255))
    source = open_masks(root)
    assert source.classes == ("background", "object")
    assert set(np.unique(source.train.mask(0)).tolist()) == {0, 1}
    assert "only 0 and 255: taken as background and object (--set ignore=255" in source.notes[0]
    with pytest.raises(DataError, match="hold one value, 0, so they tell nothing apart"):
        open_masks(root, ignore="255")


def test_255_beside_classes_is_ignored_and_the_switch_is_offered(write: Write) -> None:
    def mask(i: int) -> np.ndarray:
        values = square(1)
        values[:2] = 255
        return values

    root = write(mask=mask)
    source = open_masks(root)
    assert source.classes == ("background", "object")
    assert (source.train.mask(0)[:2] == IGNORE).all()
    assert "--set ignore=none" in source.notes[0]
    assert len(open_masks(root, ignore="none").classes) == 3


def test_palette_images_give_their_numbers(write: Write) -> None:
    def mask(i: int) -> Image.Image:
        picture = Image.fromarray(square(2), "P")
        picture.putpalette([9, 9, 9, 200, 0, 0, 0, 200, 0])
        return picture

    assert set(np.unique(open_masks(write(mask=mask)).train.mask(0)).tolist()) == {0, 2}


def test_16_bits_and_sparse_values_become_classes_in_order(write: Write) -> None:
    source = open_masks(write(mask=lambda i: square(1000, 7, np.uint16), suffix=".tif"))
    assert set(np.unique(source.train.mask(0)).tolist()) == {0, 1}
    assert source.notes == ("the values 7, 1000 are taken as classes 0 to 1, in that order",)


def test_colours_are_classes_and_a_table_names_them(write: Write) -> None:
    def mask(i: int) -> np.ndarray:
        rgb = np.zeros((20, 24, 3), dtype=np.uint8)
        rgb[5:12, 4:20] = (0, 128, 255)
        rgb[:1] = (9, 9, 10)
        return rgb

    root = write(mask=mask)
    assert open_masks(root).classes == ("#000000", "#0080ff", "#09090a")
    (root / "classes.csv").write_text("name,r,g,b\nroad,0,0,0\nsea,0,128,255\n")
    source = open_masks(root)
    assert source.classes == ("road", "sea")
    assert (source.train.mask(0)[0] == IGNORE).all()
    assert "24 pixels of no class (#09090a)" in said(source)


def test_class_names_come_from_a_list(write: Write) -> None:
    root = write()
    (root / "classes.txt").write_text("ground\ncell\nnucleus\n")
    assert open_masks(root).classes == ("ground", "cell", "nucleus")
    (root / "classes.txt").write_text("ground\n")
    with pytest.raises(DataError, match=r"classes.txt cannot be understood; write a line a class"):
        open_masks(root)


def test_pages_are_paired_with_pages(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    stack = rng.integers(0, 65536, (10, 20, 24), dtype=np.uint16)
    tifffile.imwrite(tmp_path / "images" / "stack.tif", stack)
    masks = np.stack([square(i % 2 + 1) for i in range(10)])
    tifffile.imwrite(tmp_path / "masks" / "stack.tif", masks)
    source = open_masks(tmp_path)
    assert len(source) == 10
    key = source.train.keys[0]
    page = int(key.partition("#")[2]) - 1
    np.testing.assert_array_equal(source.train.image(0)[..., 0], stack[page])
    np.testing.assert_array_equal(source.train.mask(0), masks[page])
    tifffile.imwrite(tmp_path / "masks" / "stack.tif", masks[:9])
    with pytest.raises(
        DataError, match=r"no pair in .* can be used; the first, .*10 pages, its mask 9"
    ):
        open_masks(tmp_path)


def test_everything_wrong_is_said_before_training(write: Write) -> None:
    root = write(14)
    (root / "masks" / "3.png").unlink()
    (root / "images" / "4.png").unlink()
    Image.new("L", (9, 9)).save(root / "masks" / "5.png")
    (root / "images" / "6.png").write_bytes(b"\x89PNG\r\n\x1a\n but no more")
    (root / "masks" / "7.png").write_bytes(b"text, not a mask")
    (root / "classes.csv").write_text("background\nroof\nroad\ntree\n")
    found = check_masks(open_masks(root))
    text = " ".join(str(row[2]) for row in found.tables[0].rows)
    for words in (
        "2 images cannot be used and are left out",
        "1 image has another size or number of pictures than its mask and is left out "
        "(images/5.png: 24 x 20 pixels, its mask 9 x 9)",
        "2 files have no partner and are left out (images/3.png, masks/4.png)",
        "No mask has a pixel of 'tree'",
    ):
        assert words in text
    assert found.status == "warning"


def test_a_class_that_only_held_out_images_show(write: Write) -> None:
    write(6, at="train", mask=lambda i: square(1))
    root = write(3, at="test", mask=lambda i: square(2))
    found = check_masks(open_masks(root))
    assert found.status == "problem"
    assert "Only held-out images show 'class 2': the network will never learn it." in found.verdict


def test_a_copy_of_a_test_image_does_not_train(write: Write) -> None:
    write(6, at="train")
    root = write(3, at="test")
    (root / "train" / "images" / "train0.png").write_bytes(
        (root / "test" / "images" / "test0.png").read_bytes()
    )
    source = open_masks(root)
    assert len(source.train) + len(source.val) == 5
    assert "also in the held-out images" in said(source)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (
            "jpeg",
            "JPEG or WebP smears the values at every edge, so the classes are not known; save masks as PNG",
        ),
        ("shades", "different values up to .*, which look like shades or numbers of objects"),
        ("one", "hold one value, 0, so they tell nothing apart"),
        ("fractions", "it holds fractions; save whole class numbers"),
    ],
)
def test_masks_that_are_none(write: Write, kind: str, message: str) -> None:
    ramp = (
        np.tile(np.arange(24, dtype=np.uint16) * 100, (20, 1))
        + np.arange(20, dtype=np.uint16)[:, None]
    )
    masks: dict[str, tuple[Any, str]] = {
        "jpeg": (lambda i: square(200), ".jpg"),
        "shades": (lambda i: ramp, ".tif"),
        "one": (lambda i: square(0), ".png"),
        "fractions": (lambda i: square(1).astype(np.float32) / 3, ".tif"),
    }
    mask, suffix = masks[kind]
    with pytest.raises(DataError, match=message):
        open_masks(write(mask=mask, suffix=suffix))


def test_no_masks_and_strange_arguments(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no folder or source 'scene'"):
        open_masks("scene")
    with pytest.raises(UsageError, match="count must be 10 or more"):
        open_masks("scenes", count=3)
    with pytest.raises(UsageError, match="size must be 32 to 8192 pixels, got 8"):
        open_masks("scenes", size=8)
    (tmp_path / "images").mkdir()
    Image.new("L", (8, 8)).save(tmp_path / "images" / "a.png")
    with pytest.raises(DataError, match="holds no images/ and masks/ side by side"):
        open_masks(tmp_path)


def test_a_coding_maps_any_value() -> None:
    coding = Coding(colour=False, values=(5, 0, 9))
    raw = np.array([[0, 5, 9], [1, 255, 10]])
    assert coding.apply(raw).tolist() == [[1, 0, 2], [IGNORE, IGNORE, IGNORE]]


def test_dense_values_keep_their_numbers_even_with_gaps() -> None:
    held = [{0: 5, 3: 2}, {1: 4}]
    found = decide(
        [Tally(key=str(i), kind="number", counts=c, distinct=2) for i, c in enumerate(held)]
    )
    assert found.coding.values == (0, 1, 2, 3) and len(found.classes) == 4


def test_grey_saved_as_colour_gives_numbers(tmp_path: Path) -> None:
    Image.fromarray(np.repeat(square(3)[..., None], 3, -1)).save(tmp_path / "m.png")
    mask = read_mask(tmp_path / "m.png")
    assert mask.kind == "grey" and set(np.unique(mask.numbers()).tolist()) == {0, 3}


def test_the_description_counts_pixels_and_shows_them(write: Write) -> None:
    found = describe_masks(open_masks(write()))
    shares = {row[0]: row[2] for row in found.tables[0].rows}
    assert [row[1] for row in found.tables[0].rows] == ["0", "1", "2"]
    assert shares["class 1"] == pytest.approx(112 / 480)
    assert found.verdict.startswith("12 images with a class for every pixel, 3 classes (8 train")
    assert len(found.figures) == 2


def test_scenes_have_exact_labels_and_depend_on_the_seed_alone() -> None:
    a, b, c = (open_masks("scenes", count=12, seed=s) for s in (0, 0, 1))
    assert a.fingerprint == b.fingerprint != c.fingerprint
    assert a.classes == ("background", *"0123456789")
    np.testing.assert_array_equal(a.train.image(0), b.train.image(0))
    shares = a.shares().sum(1) / a.shares().sum()
    assert 0.6 < shares[0] < 0.95 and (shares[1:] > 0).sum() >= 8
    # An item is one colour: inside it neighbours differ less than across its edge.
    image, mask = a.train.image(0).astype(float), a.train.mask(0)
    step = np.abs(np.diff(image, axis=1)).mean(-1)
    same = (mask[:, 1:] == mask[:, :-1]) & (mask[:, 1:] > 0)
    across = mask[:, 1:] != mask[:, :-1]
    assert step[same].mean() < 0.5 * step[across].mean()
