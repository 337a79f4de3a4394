"""What files state beside their numbers: masks of valid pixels, colour profiles, and transparency that hides everything."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngInfo

from striate.errors import DataError
from striate.images import decode, open_picture, read_image

VALID = np.zeros((24, 32), dtype=bool)
VALID[4:20, 6:30] = True


def with_mask(path: Path, pixels: np.ndarray) -> Path:
    """As GDAL writes a mask into the file: a second page of one bit a pixel, of the kind "mask"."""
    with tifffile.TiffWriter(path) as tif:
        tif.write(pixels, photometric="rgb" if pixels.ndim == 3 else "minisblack", metadata=None)
        tif.write(VALID, photometric="mask", subfiletype=4, metadata=None)
    return path


@pytest.mark.parametrize("dtype", ["float32", "uint16", "uint8"])
def test_a_mask_in_the_file_says_what_is_no_data(tmp_path: Path, dtype: str) -> None:
    pixels = np.random.default_rng(0).integers(1, 250, (24, 32)).astype(dtype)
    file = with_mask(tmp_path / "a.tif", pixels)
    found = decode(file)
    assert found.missing == (~VALID).sum()
    wanted = {"float32": np.where(VALID, pixels, np.nan), "uint16": np.where(VALID, pixels, 0), "uint8": pixels}  # fmt: skip
    assert np.array_equal(found.pixels[..., 0], wanted[dtype], equal_nan=dtype == "float32")
    picture = open_picture(file)
    assert picture.pages == 1
    region = picture.read((3, 17), (2, 31))
    assert np.array_equal(region, found.pixels[3:17, 2:31], equal_nan=dtype == "float32")


@pytest.mark.parametrize("suffix", [".png", ".webp", ".tif"])
def test_a_wholly_transparent_image_is_refused_with_what_to_do(tmp_path: Path, suffix: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (8, 9, 4), dtype=np.uint8)
    pixels[..., 3] = 0
    hidden, shown = tmp_path / f"hidden{suffix}", tmp_path / f"shown{suffix}"
    Image.fromarray(pixels).save(hidden, **({"lossless": True, "exact": True} if suffix == ".webp" else {}))  # fmt: skip
    with pytest.raises(
        DataError, match=r"all of its pixels are transparent.*save it without its alpha"
    ):
        read_image(hidden)
    assert (read_image(hidden, alpha=True)[..., 3] == 0).all()
    Image.fromarray(pixels[..., :3]).save(
        shown, **({"lossless": True} if suffix == ".webp" else {})
    )
    assert (read_image(shown) == pixels[..., :3]).all()  # the remedy
    white = np.full((8, 9, 4), 255, dtype=np.uint8)
    Image.fromarray(white).save(shown)
    assert (read_image(shown) == 255).all()


def test_colour_profiles_are_named_and_numbers_kept(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (8, 9, 3), dtype=np.uint8)
    image = Image.fromarray(pixels)
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    for name, profile, stated in (
        ("plain", None, ""),
        ("srgb", srgb, ""),
        (
            "p3",
            srgb.replace(b"s\0R\0G\0B", b"\0D\0P\03").replace(b"sRGB", b"P3  "),
            "an ICC profile",
        ),
        ("lab", lab, "an ICC profile"),
    ):
        for suffix in (".png", ".tif"):
            file = tmp_path / (name + suffix)
            image.save(file, **({} if profile is None else {"icc_profile": profile}))
            found = decode(file)
            assert found.profile == stated, name
            assert (found.pixels == pixels).all()


def test_a_gamma_other_than_that_of_srgb_is_named(tmp_path: Path) -> None:
    image = Image.fromarray(np.zeros((8, 9), dtype=np.uint8))
    for gamma, stated in ((100000, "gamma 1"), (45455, ""), (55556, "gamma 1.8")):
        info = PngInfo()
        info.add(b"gAMA", gamma.to_bytes(4, "big"))
        image.save(tmp_path / "a.png", pnginfo=info)
        assert decode(tmp_path / "a.png").profile == stated
