"""Files of images and masks as cameras, microscopes and GIS write them: which of their pages and values count."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from striate.errors import DataError
from striate.tasks.segment.data import open_masks

Write = Callable[[int, Path], None]


def truth(i: int) -> np.ndarray:
    mask = np.zeros((16, 20), np.uint8)
    mask[3 + i % 4 : 9 + i % 4, 4:12] = 1
    mask[2:4, 14:18] = 2
    return mask


def image(i: int) -> np.ndarray:
    return np.random.default_rng(i).integers(100, 3000, (16, 20)).astype(np.uint16)


def fill(root: Path, image_of: Write, mask_of: Write, n: int = 8) -> Path:
    for folder, write in (("images", image_of), ("masks", mask_of)):
        (root / folder).mkdir()
        for i in range(n):
            write(i, root / folder / f"a{i}")
    return root


def png(i: int, path: Path) -> None:
    Image.fromarray(truth(i)).save(path.with_suffix(".png"))


def ome(i: int, path: Path) -> None:
    planes = np.stack([image(i), image(i) // 2, image(i) // 3])
    tifffile.imwrite(
        path.with_suffix(".tif"), planes, ome=True, metadata={"axes": "CYX"}, photometric="minisblack"
    )  # fmt: skip


def with_overviews(pixels: np.ndarray, path: Path) -> None:
    with tifffile.TiffWriter(path.with_suffix(".tif")) as tif:
        tif.write(pixels)
        tif.write(pixels[::2, ::2], subfiletype=1)


@pytest.mark.parametrize(
    ("image_of", "mask_of", "channels"),
    [
        (ome, png, 3),
        (lambda i, p: with_overviews(image(i), p), png, 1),
        (lambda i, p: with_overviews(image(i), p), lambda i, p: with_overviews(truth(i), p), 1),
    ],
    ids=["OME channels", "overviews", "overviews in both"],
)
def test_channels_and_overviews_are_no_pages(
    tmp_path: Path, image_of: Write, mask_of: Write, channels: int
) -> None:
    source = open_masks(fill(tmp_path, image_of, mask_of), val=0, test=0)
    assert len(source.train) == 8 and not source.damaged and not source.misfits
    for index, key in enumerate(source.train.keys):
        i = int(key[len("images/a")])
        np.testing.assert_array_equal(source.train.image(index)[..., 0], image(i))
        assert source.train.image(index).shape[-1] == channels
        np.testing.assert_array_equal(source.train.mask(index), truth(i))


def test_pictures_that_move_are_refused(tmp_path: Path) -> None:
    def moving(i: int, path: Path) -> None:
        frames = [Image.fromarray(truth(i + k) * 100) for k in range(3)]
        frames[0].save(path.with_suffix(".gif"), save_all=True, append_images=frames[1:])

    with pytest.raises(DataError, match=r"images/a0.gif moves; save the pictures that are meant"):
        open_masks(fill(tmp_path, moving, moving))


@pytest.mark.parametrize(("value", "ignore", "lost"), [(9, None, True), (255, None, True), (9, "none", False)])  # fmt: skip
def test_no_data_that_a_mask_states_is_no_class(
    tmp_path: Path, value: int, ignore: str | None, lost: bool
) -> None:
    def mask(i: int, path: Path) -> None:
        pixels = truth(i)
        pixels[0] = value
        tags = [(42113, "s", 0, str(value), True)]
        tifffile.imwrite(path.with_suffix(".tif"), pixels, extratags=tags)

    root = fill(tmp_path, lambda i, p: tifffile.imwrite(p.with_suffix(".tif"), image(i)), mask)
    source = open_masks(root, val=0, test=0, ignore=ignore)
    assert len(source.classes) == (3 if lost else 4)
    assert (source.train.mask(0)[0] == 255).all() == lost
    assert any("as the files state" in note for note in source.notes) == lost


def test_no_data_of_0_is_said_and_taken_as_background(tmp_path: Path) -> None:
    def mask(i: int, path: Path) -> None:
        tags = [(42113, "s", 0, "0", True)]
        tifffile.imwrite(path.with_suffix(".tif"), truth(i), extratags=tags)

    root = fill(tmp_path, lambda i, p: tifffile.imwrite(p.with_suffix(".tif"), image(i)), mask)
    source = open_masks(root)
    assert source.classes == ("background", "class 1", "class 2")
    assert any("--set ignore=0 leaves it out" in note for note in source.notes)
    assert open_masks(root, ignore="0").classes == ("class 1", "class 2")
