"""A region of a file holds the same pixels as the whole of it, whatever the file: one reader with one meaning."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image
from skimage import data as pictures

from striate.images import open_picture, pages_of, read_image

RGB = np.ascontiguousarray(pictures.astronaut()[100:141, 200:267])  # (41, 67, 3)
GREY = np.ascontiguousarray(pictures.camera()[100:141, 200:267])
DEEP = (GREY.astype(np.uint16) << 8) + 77
ALPHA = np.dstack([RGB, (255 - GREY)])
REGIONS = [((0, 41), (0, 67)), ((3, 20), (11, 67)), ((17, 18), (0, 1)), ((32, 41), (40, 61))]

Write = Callable[[Path], object]


def tiff(values: np.ndarray, **options: object) -> Write:
    return lambda path: tifffile.imwrite(path, values, **options)


def pillow(values: np.ndarray, mode: str | None = None, **options: object) -> Write:
    image = Image.fromarray(values)
    return lambda path: (image.convert(mode) if mode else image).save(path, **options)


FILES: dict[str, Write] = {
    "strips.tif": tiff(RGB, photometric="rgb", rowsperstrip=7),
    "tiles.tif": tiff(RGB, photometric="rgb", tile=(16, 32), compression="zlib", predictor=True),
    "planes.tif": tiff(
        np.moveaxis(RGB, -1, 0).copy(), photometric="rgb", planarconfig="separate", tile=(16, 16)
    ),
    "planes of grey.tif": tiff(
        np.moveaxis(RGB, -1, 0).copy(), photometric="minisblack", planarconfig="separate"
    ),
    "white is zero.tif": tiff(DEEP, photometric="miniswhite", rowsperstrip=5),
    "big endian.tif": tiff(DEEP, photometric="minisblack", byteorder=">", bigtiff=True),
    "float.tif": tiff(
        DEEP.astype(np.float32) - 900, tile=(16, 16), compression="lzw", predictor=3
    ),
    "half.tif": tiff(GREY.astype(np.float16)),
    "signed.tif": tiff(DEEP.astype(np.int32) - 30_000, compression="zstd"),
    "alpha.tif": tiff(ALPHA, photometric="rgb", extrasamples=["unassalpha"], tile=(16, 16)),
    "premultiplied.tif": tiff(ALPHA, photometric="rgb", extrasamples=["assocalpha"]),
    "palette.tif": pillow(RGB, "P", compression="tiff_lzw"),
    "bilevel.tif": pillow(GREY, "1", compression="group4"),
    "cmyk.tif": pillow(RGB, "CMYK"),
    "ycbcr.tif": pillow(RGB, "YCbCr"),
    "jpeg.tif": tiff(RGB, photometric="ycbcr", compression="jpeg", tile=(16, 32), subsampling=(2, 2)),
    "jpeg of libtiff.tif": pillow(RGB, compression="jpeg"),
    "jpeg grey.tif": tiff(GREY, compression="jpeg", tile=(32, 32)),
    "jpeg 2000.tif": tiff(RGB, photometric="rgb", compression="jpeg2000", tile=(32, 32)),
    "webp.tif": tiff(RGB, photometric="rgb", compression="webp", tile=(32, 32)),
    "lerc.tif": tiff(DEEP.astype(np.float32), compression="lerc", tile=(32, 32)),
    "rgba.png": pillow(ALPHA),
    "palette.png": pillow(RGB, "P"),
    "deep.png": pillow(DEEP),
    "photo.jpg": pillow(RGB),
    "lossless.webp": pillow(ALPHA, lossless=True),
    "still.gif": pillow(RGB),
    "grey.jp2": pillow(DEEP),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_a_region_is_as_the_whole(tmp_path: Path, name: str) -> None:
    FILES[name](tmp_path / name)
    whole, picture = read_image(tmp_path / name), open_picture(tmp_path / name)
    assert whole.shape[:2] == (41, 67)
    assert picture.shape == whole.shape
    assert picture.dtype == whole.dtype
    for rows, columns in REGIONS:
        part = picture.read(rows, columns)
        np.testing.assert_array_equal(part, whole[slice(*rows), slice(*columns)])


@pytest.mark.parametrize("orientation", range(1, 9))
def test_regions_of_a_turned_file(tmp_path: Path, orientation: int) -> None:
    path = tmp_path / "turned.tif"
    tifffile.imwrite(
        path, RGB, photometric="rgb", tile=(16, 16), extratags=[(274, 3, 1, orientation)]
    )
    whole, picture = read_image(path), open_picture(path)
    assert whole.shape == ((41, 67, 3) if orientation < 5 else (67, 41, 3))
    rows, columns = (5, 21), (9, 40)
    np.testing.assert_array_equal(picture.read(rows, columns), whole[5:21, 9:40])


def test_jpeg_inside_tiff_is_what_libtiff_reads(tmp_path: Path) -> None:
    """With tables shared by all tiles and thinned colours, as slide scanners write; Pillow reads by libtiff."""
    path = tmp_path / "slide.tif"
    tifffile.imwrite(
        path, RGB, photometric="ycbcr", compression="jpeg", tile=(16, 32), subsampling=(2, 1)
    )
    theirs = np.asarray(Image.open(path).convert("RGB")).astype(int)
    assert np.abs(read_image(path).astype(int) - theirs).mean() < 1.5


def test_ycbcr_without_compression_is_what_pillow_reads(tmp_path: Path) -> None:
    path = tmp_path / "ycbcr.tif"
    Image.fromarray(RGB).convert("YCbCr").save(path)
    theirs = np.asarray(Image.open(path).convert("RGB")).astype(int)
    assert np.abs(read_image(path).astype(int) - theirs).max() <= 2


@pytest.mark.parametrize(
    ("options", "shape", "pages", "first"),
    [
        ({"photometric": "minisblack"}, (7, 41, 67), 7, (41, 67, 1)),
        ({"photometric": "minisblack", "metadata": None}, (7, 41, 67), 7, (41, 67, 1)),
        ({"photometric": "minisblack", "metadata": {"axes": "CYX"}}, (3, 41, 67), 1, (41, 67, 3)),
        ({"imagej": True, "metadata": {"axes": "TCYX"}}, (5, 3, 41, 67), 5, (41, 67, 3)),
        ({"ome": True, "metadata": {"axes": "ZCYX"}, "photometric": "minisblack"}, (5, 3, 41, 67), 5, (41, 67, 3)),
        ({"photometric": "rgb"}, (2, 41, 67, 3), 2, (41, 67, 3)),
    ],
    ids=["stack", "pages", "channels", "hyperstack", "OME", "colour pages"],
)  # fmt: skip
def test_pages_are_images_and_channels_are_channels(
    tmp_path: Path, options: dict[str, object], shape: tuple[int, ...], pages: int, first: object
) -> None:
    values = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    path = tmp_path / "many.tif"
    tifffile.imwrite(path, values, **options)
    assert pages_of(path) == pages
    last = values[-1] if pages > 1 else values
    last = last[..., None] if last.ndim == 2 else last
    last = last if last.shape[-1] == 3 or last.shape[-1] == 1 else np.moveaxis(last, 0, -1)
    assert open_picture(path).shape == first
    np.testing.assert_array_equal(read_image(path, page=pages - 1), last)


def test_of_a_pyramid_the_full_size_is_read(tmp_path: Path) -> None:
    path = tmp_path / "pyramid.tif"
    with tifffile.TiffWriter(path) as file:
        file.write(RGB[::4, ::4].copy(), photometric="rgb", subfiletype=1, metadata=None)
        file.write(RGB, photometric="rgb", tile=(16, 16), metadata=None)
        file.write(RGB[::2, ::2].copy(), photometric="rgb", subfiletype=1, metadata=None)
    assert pages_of(path) == 1
    np.testing.assert_array_equal(read_image(path), RGB)
