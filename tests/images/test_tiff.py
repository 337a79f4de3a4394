"""TIFF, the format of microscopes and satellites, in the forms in which they write it."""

from __future__ import annotations

import io

import numpy as np
import pytest
import tifffile
from PIL import Image
from skimage import data as pictures

from striate.errors import DataError
from striate.images import decode

RGB = pictures.astronaut()[100:140, 200:260]  # (40, 60, 3)
GREY = pictures.camera()[100:140, 200:260]
DEEP = np.random.default_rng(0).integers(0, 65536, (40, 60)).astype(np.uint16)


def written(values: np.ndarray, **options: object) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, values, **options)
    return buffer.getvalue()


def read(values: np.ndarray, **options: object) -> np.ndarray:
    return decode(written(values, **options)).pixels


@pytest.mark.parametrize("compression", [None, "zlib", "lzw", "packbits", "zstd"])
@pytest.mark.parametrize("tile", [None, (16, 32)], ids=["strips", "tiles"])
@pytest.mark.parametrize("values", [RGB, GREY, DEEP], ids=["rgb", "grey", "16 bit"])
def test_compressions_and_tiles(
    values: np.ndarray, tile: tuple[int, int] | None, compression: str | None
) -> None:
    if compression in {"lzw", "packbits", "zstd"}:
        pytest.importorskip("imagecodecs")
    found = read(values, compression=compression, tile=tile)
    assert found.dtype == values.dtype
    np.testing.assert_array_equal(found, values.reshape(40, 60, -1))


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("big", [False, True], ids=["classic", "BigTIFF"])
def test_byte_orders(order: str, big: bool) -> None:
    found = read(DEEP, byteorder=order, bigtiff=big)
    np.testing.assert_array_equal(found[..., 0], DEEP)
    assert found.dtype == np.uint16
    assert found.dtype.isnative


def test_predictor() -> None:
    pytest.importorskip("imagecodecs")
    np.testing.assert_array_equal(read(DEEP, compression="lzw", predictor=True)[..., 0], DEEP)


def test_planes_are_put_together() -> None:
    found = read(np.moveaxis(RGB, -1, 0), planarconfig="separate", photometric="rgb")
    np.testing.assert_array_equal(found, RGB)


def test_white_is_zero_is_inverted() -> None:
    np.testing.assert_array_equal(read(GREY, photometric="miniswhite")[..., 0], 255 - GREY)
    np.testing.assert_array_equal(read(DEEP, photometric="miniswhite")[..., 0], 65535 - DEEP)


@pytest.mark.parametrize("scale", [257, 1], ids=["16 bits a colour", "8 bits a colour"])
def test_palette(scale: int) -> None:
    table = np.zeros((3, 256), dtype=np.uint16)
    table[:, 1] = np.array([10, 20, 30]) * scale
    table[:, 2] = np.array([255, 0, 255]) * scale
    found = read(np.array([[0, 1, 2]], dtype=np.uint8), photometric="palette", colormap=table)
    assert found.tolist() == [[[0, 0, 0], [10, 20, 30], [255, 0, 255]]]


def test_one_bit() -> None:
    bits = GREY > 100
    image = io.BytesIO()
    Image.fromarray(bits).save(image, "TIFF")
    np.testing.assert_array_equal(decode(image.getvalue()).pixels[..., 0], bits * 255)


def test_alpha_is_laid_on_white() -> None:
    image = np.array([[[10, 20, 30, 255], [10, 20, 30, 0], [0, 0, 0, 51]]], dtype=np.uint8)
    plain = read(image, photometric="rgb", extrasamples=["unassalpha"])
    assert plain.tolist() == [[[10, 20, 30], [255] * 3, [204] * 3]]
    # Premultiplied: the colour is stored as colour x alpha already.
    image[0, 1, :3] = 0
    premultiplied = read(image, photometric="rgb", extrasamples=["assocalpha"])
    assert premultiplied.tolist() == [[[10, 20, 30], [255] * 3, [204] * 3]]


def test_a_further_channel_that_is_no_alpha_is_left_out() -> None:
    image = np.dstack([RGB, GREY])
    found = read(image, photometric="rgb", extrasamples=["unspecified"])
    np.testing.assert_array_equal(found, RGB)


def test_cmyk_of_16_bits() -> None:
    ink = np.array([[[0, 0, 0, 0], [65535, 65535, 0, 0], [0, 0, 0, 65535]]], dtype=np.uint16)
    found = read(ink, photometric="separated")
    assert found.tolist() == [[[65535] * 3, [0, 0, 65535], [0, 0, 0]]]


@pytest.mark.parametrize("kind", [np.float32, np.float64, np.int16, np.int32, np.uint32])
def test_other_numbers_become_float32(kind: type) -> None:
    values = (np.arange(12).reshape(3, 4) * 100 - (0 if kind == np.uint32 else 300)).astype(kind)
    found = read(values)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found[..., 0], values)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, 1e300, -3.4028234663852886e38])
def test_numbers_that_are_none_are_no_data(wrong: float) -> None:
    values = np.zeros((3, 4))
    values[1, 2] = wrong
    found = decode(written(values))
    assert found.missing == 1
    assert np.isnan(found.pixels[1, 2, 0])
    assert np.isnan(found.pixels).sum() == 1
    with pytest.raises(DataError, match="none of its values is a number"):
        read(np.full((3, 4), wrong))


def test_the_first_of_several_pages_is_read() -> None:
    stack = np.stack([DEEP, DEEP[::-1]])
    image = decode(written(stack, photometric="minisblack"))
    assert image.several_pages
    np.testing.assert_array_equal(image.pixels[..., 0], DEEP)


def test_many_channels_are_refused_with_their_number() -> None:
    spectral = np.zeros((8, 9, 7), dtype=np.uint8)
    with pytest.raises(DataError, match=r"it has 7 channels; 1 .grey., 3 .RGB. or 4"):
        read(spectral, photometric="minisblack", planarconfig="contig")


def test_a_volume_is_refused() -> None:
    with pytest.raises(DataError, match="has the axes ZYX, not an image; save it slice by slice"):
        read(np.zeros((4, 8, 8), dtype=np.uint8), volumetric=True, photometric="minisblack")


@pytest.mark.parametrize("compression", [None, "zlib", "lzw"])
@pytest.mark.parametrize("share", [0.5, 0.95])
def test_a_tiff_whose_end_is_missing_is_refused(compression: str | None, share: float) -> None:
    if compression == "lzw":
        pytest.importorskip("imagecodecs")
    raw = written(DEEP, compression=compression, rowsperstrip=4)
    with pytest.raises(DataError, match="it is cut short"):
        decode(raw[: int(len(raw) * share)])


def test_a_huge_tiff_is_refused_by_its_header() -> None:
    raw = bytearray(written(GREY))
    with tifffile.TiffFile(io.BytesIO(bytes(raw))) as tif:
        for code in (256, 257):
            tag = tif.pages.first.tags[code]
            raw[tag.valueoffset : tag.valueoffset + 4] = (60_000).to_bytes(4, "little")
    with pytest.raises(DataError, match="60000 x 60000 = 3,600 million pixels"):
        decode(bytes(raw))
