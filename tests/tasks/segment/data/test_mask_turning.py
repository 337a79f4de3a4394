"""EXIF orientation of images and masks: whatever carries it, a mask lies on its image as it was drawn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from striate.images.pixels import upright
from striate.tasks.segment.data import open_masks
from striate.tasks.segment.data.source import MaskSource

BACK = {1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 8, 7: 7, 8: 6}  # the orientation that undoes each


def write(
    root: Path, image: int, mask: int, *, drawn: str, width: int = 28, noise: bool = False, tiff: bool = False, n: int = 6
) -> Path:  # fmt: skip
    """n grey images with a red disc, stored in orientation `image`, and masks that state orientation `mask`.

    drawn: whether the mask's pixels stand as in the "upright" image or in the "stored" one.
    """
    for i in range(n):
        y, x = np.mgrid[:20, :width]
        disc = (y - 6) ** 2 + (x - 7 - i % 3) ** 2 < 20
        rng = np.random.default_rng(i)
        pixels = rng.integers(80, 100, (20, width, 3), dtype=np.uint8)
        pixels[disc, 0] = 200
        if noise:
            pixels = rng.integers(0, 256, pixels.shape, dtype=np.uint8)
        labels = disc.astype(np.uint8)[..., None]
        for folder, values, orientation in (
            ("images", upright(pixels, BACK[image]), image),
            ("masks", labels if drawn == "upright" else upright(labels, BACK[image]), mask),
        ):
            (root / folder).mkdir(exist_ok=True)
            if tiff and folder == "masks":
                tags = [(274, 3, 1, orientation, True)]
                tifffile.imwrite(root / folder / f"{i}.tif", values[..., 0], extratags=tags)
                continue
            exif = Image.Exif()
            exif[0x0112] = orientation
            picture = Image.fromarray(values if values.shape[-1] == 3 else values[..., 0])
            picture.save(root / folder / f"{i}.png", **({"exif": exif} if orientation > 1 else {}))
    return root


def redness(source: MaskSource) -> float:
    """Mean red over green and blue inside the masks, minus the same outside: 100 to 120 where they lie on the discs."""
    inside, outside = [], []
    for split in source.splits.values():
        for i in range(len(split)):
            image = split.image(i).astype(float)
            red = image[..., 0] - image[..., 1:].mean(-1)
            inside.append(red[split.mask(i) == 1].mean())
            outside.append(red[split.mask(i) == 0].mean())
    return float(np.min(inside) - np.max(outside))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_both_state_the_same(tmp_path: Path, orientation: int) -> None:
    source = open_masks(write(tmp_path, orientation, orientation, drawn="stored"))
    assert len(source) == 6 and redness(source) > 90
    assert not source.warnings and "EXIF" not in " ".join(source.notes)


@pytest.mark.parametrize("drawn", ["upright", "stored"])
@pytest.mark.parametrize(
    ("orientation", "width", "how"),
    [(6, 28, "as the sizes show"), (8, 20, "edges"), (3, 28, "edges")],
)
def test_only_the_image_states_it(
    tmp_path: Path, drawn: str, orientation: int, width: int, how: str
) -> None:
    source = open_masks(write(tmp_path, orientation, 1, drawn=drawn, width=width))
    assert redness(source) > 90
    note = next(n for n in source.notes if "EXIF" in n)
    assert (
        how in note and ("the upright image" if drawn == "upright" else "the stored pixels") in note
    )


def test_only_the_mask_states_it(tmp_path: Path) -> None:
    source = open_masks(write(tmp_path, 1, 3, drawn="upright"))
    assert redness(source) > 90 and "it is not applied" in " ".join(source.notes)


def test_a_copied_tag_is_seen_by_the_size(tmp_path: Path) -> None:
    """A program that turns the pixels and copies the tag all the same."""
    source = open_masks(write(tmp_path, 6, 6, drawn="upright"))
    assert len(source) == 6 and redness(source) > 90


def test_tiff_states_it_too(tmp_path: Path) -> None:
    assert redness(open_masks(write(tmp_path, 3, 3, drawn="stored", tiff=True))) > 90


def test_what_cannot_be_seen_is_assumed_with_a_warning_and_the_remedy_works(tmp_path: Path) -> None:
    root = write(tmp_path, 3, 1, drawn="stored", noise=True)
    source = open_masks(root)
    assert "taken as drawn on the upright image" in source.warnings[0]
    assert "remove the orientation from the files that carry it" in source.warnings[0]
    for file in (root / "images").iterdir():
        with Image.open(file) as image:
            image.load()
            stored = np.asarray(image).copy()
        Image.fromarray(stored).save(file)
    again = open_masks(root)
    assert not again.warnings
    key = again.train.keys[0]
    disc = np.asarray(Image.open(root / "masks" / Path(key).name))
    assert (again.train.mask(0) == disc).all()


def test_masks_of_another_size_are_told_by_how_much(tmp_path: Path) -> None:
    root = write(tmp_path, 1, 1, drawn="upright")
    for i, size in ((0, (14, 10)), (1, (56, 40)), (2, (27, 20))):
        Image.fromarray(np.eye(size[1], size[0], dtype=np.uint8)).save(root / "masks" / f"{i}.png")
    reasons = [d.reason for d in open_masks(root).misfits]
    assert reasons == [
        "28 x 20 pixels, its mask 14 x 10, 1/2 of it",
        "28 x 20 pixels, its mask 56 x 40, 2 times as large",
        "28 x 20 pixels, its mask 27 x 20",
    ]
