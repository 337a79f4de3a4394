"""Every kind of image file reads as a person sees it, and every broken one gets one sentence."""

from __future__ import annotations

import io
import struct
import threading
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from skimage import data as pictures

from striate.errors import DataError
from striate.images import SUFFIXES, decode, identify, read_image, reason

RGB = pictures.astronaut()[100:140, 200:260]  # (40, 60, 3), a real photograph
GREY = pictures.camera()[100:140, 200:260]


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def read(tmp_path: Path, raw: bytes, **options: bool) -> np.ndarray:
    path = tmp_path / "image"
    path.write_bytes(raw)
    return read_image(path, **options)


def png(width: int, height: int, colour: int, bits: int, rows: bytes, *more: bytes) -> bytes:
    """A PNG by hand (PNG specification, 11.2): `rows` holds each row after its filter byte 0."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    parts = chunk(b"IHDR", header), *more, chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("PNG", {}),
        ("BMP", {}),
        ("WEBP", {"lossless": True}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_deflate"}),
        ("PPM", {}),
    ],
    ids=lambda v: str(v),
)
@pytest.mark.parametrize("pixels", [RGB, GREY], ids=["rgb", "grey"])
def test_formats_without_loss_give_back_the_pixels(
    tmp_path: Path, kind: str, options: dict[str, object], pixels: np.ndarray
) -> None:
    found = read(tmp_path, saved(Image.fromarray(pixels), kind, **options))
    expected = pixels if pixels.ndim == 3 else pixels[..., None]
    if kind == "WEBP":  # the format knows no grey
        expected = np.repeat(expected, 3, axis=-1) if pixels.ndim == 2 else expected
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize(("pixels", "channels"), [(RGB, 3), (GREY, 1)])
def test_jpeg(tmp_path: Path, pixels: np.ndarray, channels: int, progressive: bool) -> None:
    raw = saved(Image.fromarray(pixels), "JPEG", quality=97, progressive=progressive)
    found = read(tmp_path, raw).astype(int)
    assert found.shape == (40, 60, channels)
    assert np.abs(found - pixels.reshape(found.shape)).mean() < 4


def test_one_bit_becomes_black_and_white(tmp_path: Path) -> None:
    bits = GREY > 128
    found = read(tmp_path, saved(Image.fromarray(bits), "PNG"))
    np.testing.assert_array_equal(found[..., 0], np.where(bits, 255, 0))


def test_palette_becomes_colour(tmp_path: Path) -> None:
    image = Image.fromarray(RGB).quantize(16)
    found = read(tmp_path, saved(image, "PNG"))
    np.testing.assert_array_equal(found, np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("kind", ["PNG", "GIF"])
def test_transparent_colour_of_a_palette_is_laid_on_white(tmp_path: Path, kind: str) -> None:
    image = Image.new("P", (4, 2), 1)
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.putpixel((0, 0), 0)
    found = read(tmp_path, saved(image, kind, transparency=0))
    assert found[0, 0].tolist() == [255, 255, 255]
    assert found[1, 3].tolist() == [0, 0, 255]


def test_transparency_of_every_palette_entry(tmp_path: Path) -> None:
    image = Image.new("P", (2, 1), 1)
    image.putpalette([0, 0, 0, 200, 0, 0])
    image.putpixel((0, 0), 0)
    found = read(tmp_path, saved(image, "PNG", transparency=bytes([0, 128])))
    assert found[0, 0].tolist() == [255, 255, 255]
    # 200 * 128/255 + 255 * 127/255 = 227.4; 0 * ... + 127 = 127
    np.testing.assert_allclose(found[0, 1].astype(int), [227, 127, 127], atol=1)


def test_alpha_is_laid_on_white_or_kept(tmp_path: Path) -> None:
    image = np.zeros((2, 2, 4), dtype=np.uint8)
    image[0, 0] = (10, 20, 30, 255)
    image[0, 1] = (10, 20, 30, 0)
    image[1, 0] = (0, 0, 0, 51)  # a fifth of black: 255 * 4/5 = 204
    raw = saved(Image.fromarray(image), "PNG")
    found = read(tmp_path, raw)
    assert found.shape == (2, 2, 3)
    assert found[0, 0].tolist() == [10, 20, 30]
    assert found[0, 1].tolist() == [255, 255, 255]
    assert found[1, 0].tolist() == [204, 204, 204]
    np.testing.assert_array_equal(read(tmp_path, raw, alpha=True), image)


def test_grey_with_alpha_stays_grey(tmp_path: Path) -> None:
    image = np.array([[[100, 255], [100, 0]]], dtype=np.uint8)
    found = read(tmp_path, saved(Image.fromarray(image, "LA"), "PNG"))
    assert found[..., 0].tolist() == [[100, 255]]
    assert found.shape == (1, 2, 1)


def test_transparent_grey_level_is_white(tmp_path: Path) -> None:
    image = Image.fromarray(np.array([[7, 9]], dtype=np.uint8))
    found = read(tmp_path, saved(image, "PNG", transparency=7))
    assert found[..., 0].tolist() == [[255, 9]]


@pytest.mark.parametrize(
    ("ink", "colour"),
    [((255, 255, 0, 0), "blue"), ((0, 0, 0, 0), "white"), ((0, 0, 0, 255), "black")],
)
@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk_becomes_rgb(tmp_path: Path, ink: tuple[int, ...], colour: str, kind: str) -> None:
    found = read(tmp_path, saved(Image.new("CMYK", (16, 16), ink), kind))
    expected = {"blue": (0, 0, 255), "white": (255, 255, 255), "black": (0, 0, 0)}[colour]
    assert found.shape == (16, 16, 3)
    np.testing.assert_allclose(found[8, 8].astype(int), expected, atol=3)


def test_grey_png_of_16_bits_keeps_them(tmp_path: Path) -> None:
    deep = (np.arange(12, dtype=np.uint16) * 5000).reshape(3, 4)
    found = read(tmp_path, saved(Image.fromarray(deep), "PNG"))
    assert found.dtype == np.uint16
    np.testing.assert_array_equal(found[..., 0], deep)


@pytest.mark.parametrize(
    ("colour", "values", "expected"),
    [
        (2, [[1000, 30000, 65535], [0, 1, 256]], [[1000, 30000, 65535], [0, 1, 256]]),
        (6, [[1000, 30000, 0, 65535], [9, 9, 9, 0]], [[1000, 30000, 0], [65535, 65535, 65535]]),
        (4, [[1000, 65535], [1000, 0]], [[1000], [65535]]),
    ],
    ids=["rgb", "rgba", "grey and alpha"],
)
def test_colour_png_of_16_bits_keeps_them(
    tmp_path: Path, colour: int, values: list[list[int]], expected: list[list[int]]
) -> None:
    pytest.importorskip("imagecodecs")
    rows = b"\0" + np.array(values, dtype=">u2").tobytes()
    found = read(tmp_path, png(2, 1, colour, 16, rows))
    assert found.dtype == np.uint16
    assert found[0].tolist() == expected


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_few_bits_reach_from_black_to_white(tmp_path: Path, bits: int) -> None:
    top = (1 << bits) - 1
    rows = b"\0" + bytes([top << (8 - bits)])  # white, then black
    assert read(tmp_path, png(2, 1, 0, bits, rows))[..., 0].tolist() == [[255, 0]]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_orientation_is_honoured(tmp_path: Path, kind: str, orientation: int) -> None:
    """Exif 2.32, tag 274: where the picture's first row and column are stored."""
    upright = np.zeros((32, 64), dtype=np.uint8)
    upright[:16, :16] = 255  # white top-left corner
    upright[:16, 48:] = 128  # grey top-right corner
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.T,
        6: np.rot90(upright),  # shown after a turn clockwise
        7: upright[::-1, ::-1].T,
        8: np.rot90(upright, -1),
    }[orientation]
    image = Image.fromarray(np.ascontiguousarray(stored)).convert("RGB")
    exif = Image.Exif()
    exif[274] = orientation
    options = {"exif": exif} if kind != "TIFF" else {"tiffinfo": {274: orientation}}
    found = read(tmp_path, saved(image, kind, **options)).astype(int)
    assert found.shape == (32, 64, 3)
    np.testing.assert_allclose(found[..., 0], upright, atol=60)
    assert abs(found[4:12, 4:12].mean() - 255) < 8
    assert abs(found[4:12, 52:60].mean() - 128) < 8


def test_broken_exif_does_not_cost_the_picture(tmp_path: Path) -> None:
    raw = saved(Image.fromarray(RGB), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff broken")
    assert read(tmp_path, raw).shape == RGB.shape


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "TIFF", "PNG"])
def test_of_several_pages_the_first_is_read(tmp_path: Path, kind: str) -> None:
    pages = [Image.new("L", (8, 8), value) for value in (250, 5, 100)]
    raw = saved(pages[0], kind, save_all=True, append_images=pages[1:])
    image = decode(raw)
    assert image.several_pages
    assert abs(int(image.pixels[4, 4, 0]) - 250) < 3
    assert not decode(saved(pages[0], kind)).several_pages


# Damage


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_file_cut_short_is_refused(tmp_path: Path, kind: str, share: float) -> None:
    raw = saved(Image.fromarray(RGB), kind)
    with pytest.raises(DataError, match=r"^cannot read .*image: it is (cut short|broken)"):
        read(tmp_path, raw[: int(share * len(raw))])


def test_a_jpeg_cut_short_is_found_at_an_eighth_too() -> None:
    def eighth(height: int, width: int) -> int:
        return 8

    raw = saved(Image.fromarray(pictures.astronaut()), "JPEG")
    assert decode(raw, shrink=eighth).size == (512, 512)
    assert decode(raw, shrink=eighth).pixels.shape == (64, 64, 3)
    with pytest.raises(DataError, match="cut short"):
        decode(raw[: len(raw) * 3 // 4], shrink=eighth)


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", r"it is empty \(0 bytes\)"),
        (b"hello, I am a text file\n", "it holds text, not an image"),
        (b"<html><body>404 Not Found</body></html>", "it holds text, not an image"),
        (b"\0" * 500, "it holds only zero bytes; copy it again"),
        (b"\0\0\0\x20ftypheic\0\0\0\0mif1", "it is a HEIC or video file; save it as JPEG"),
        (b"PK\x03\x04\x14\0\0\0\x08\0\xb3\x99\x8d\x58\0\0", "it is a ZIP archive, which is not read"),
        (b"\x89PNG\r\n\x1a\n", "it is (cut short|broken)"),
        (b"II*\0", "it is (cut short|broken)"),
        (b"BM", "it is (cut short|broken)"),
        (b"GIF89a", "it is (cut short|broken)"),
        (b"P6\n", "it is (cut short|broken)"),
        (b"\xff\xd8\xff", "it is (cut short|broken)"),
        (b"RIFF\x10\0\0\0WEBP", "it is (cut short|broken)"),
        (saved(Image.fromarray(GREY), "PNG").replace(b"IDAT", b"IDAX"), "it is (cut short|broken)"),
    ],
    ids=lambda v: repr(v[:12]) if isinstance(v, bytes) else "",
)  # fmt: skip
def test_what_is_no_image_gets_one_sentence(tmp_path: Path, raw: bytes, reason: str) -> None:
    with pytest.raises(DataError, match=rf"^cannot read .*image: {reason}") as caught:
        read(tmp_path, raw)
    assert "\n" not in str(caught.value)


@given(
    st.sampled_from(["JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "PPM"]),
    st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), min_size=1, max_size=6),
    st.floats(0, 1),
)
@settings(max_examples=300, deadline=None)
def test_a_broken_file_gives_an_image_or_one_sentence(
    kind: str, changes: list[tuple[int, int]], kept: float
) -> None:
    raw = bytearray(saved(Image.fromarray(RGB[:12, :16]), kind))
    for place, value in changes:
        raw[place % len(raw)] = value
    raw = raw[: int(kept * len(raw)) or len(raw)]
    reason, pixels = "", np.zeros((1, 1, 1), dtype=np.uint8)
    try:
        pixels = decode(bytes(raw), max_pixels=1_000_000).pixels
    except DataError as error:
        reason = str(error)
    if reason:
        assert 10 < len(reason) < 300
        assert "\n" not in reason
    else:
        assert pixels.ndim == 3
        assert pixels.shape[-1] in (1, 3)
        assert pixels.dtype in (np.uint8, np.uint16, np.float32)


def test_missing_files_and_folders(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot read .*gone.png: there is no such file"):
        read_image(tmp_path / "gone.png")
    with pytest.raises(DataError, match="it is a folder, not an image"):
        read_image(tmp_path)


def test_a_bomb_is_refused_by_its_header() -> None:
    """30,000 x 30,000 RGB pixels, 2.7 GB, in a file of 100 bytes that holds none of them."""
    with pytest.raises(DataError, match=r"30000 x 30000 = 900 million pixels, more than the 100"):
        decode(png(30_000, 30_000, 2, 8, b""))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF", "PPM"])
def test_the_limit_on_pixels_is_the_callers(tmp_path: Path, kind: str) -> None:
    raw = saved(Image.fromarray(RGB), kind)
    (tmp_path / "x").write_bytes(raw)
    assert read_image(tmp_path / "x", max_pixels=2400).shape == (40, 60, 3)
    with pytest.raises(DataError, match="60 x 40 = 2,400 pixels, more than the 2,399 allowed"):
        read_image(tmp_path / "x", max_pixels=2399)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP", "GIF", "PPM"])
def test_a_large_picture_warns_nobody(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow warns from a number of pixels on, 89 million by default; we refuse by our own limit."""
    raw = saved(Image.fromarray(RGB), kind)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 2000)
    assert decode(raw).size == (40, 60)
    with pytest.raises(DataError, match="60 x 40 = 2,400 pixels, more than the 2,399 allowed"):
        decode(raw, max_pixels=2399)


def test_warnings_are_silent_in_many_threads_and_restored_after() -> None:
    raw = saved(Image.fromarray(RGB), "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff broken")
    before = list(warnings.filters)
    heard: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(50):
                decode(raw)
        except BaseException as error:
            heard.append(error)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert heard == []
    assert list(warnings.filters) == before


def test_other_peoples_warnings_still_pass() -> None:
    from striate.images import quiet

    with quiet(), pytest.warns(UserWarning, match="mine"):
        warnings.warn("mine", UserWarning, stacklevel=1)


def test_every_suffix_that_is_read_has_a_decoder() -> None:
    heads = {
        "PNG": saved(Image.fromarray(RGB), "PNG"),
        "JPEG": saved(Image.fromarray(RGB), "JPEG"),
        "WebP": saved(Image.fromarray(RGB), "WEBP"),
        "BMP": saved(Image.fromarray(RGB), "BMP"),
        "GIF": saved(Image.fromarray(RGB), "GIF"),
        "TIFF": saved(Image.fromarray(RGB), "TIFF"),
        "PNM": saved(Image.fromarray(RGB), "PPM"),
    }
    assert {identify(raw[:16]) for raw in heads.values()} == set(heads)
    assert {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"} <= SUFFIXES


def test_a_transparent_grey_of_16_bits_is_white(tmp_path: Path) -> None:
    """tRNS names one grey level; Pillow keeps the 16 bits and forgets the transparency."""
    body = b"tRNS" + struct.pack(">H", 256)
    trns = struct.pack(">I", 2) + body + struct.pack(">I", zlib.crc32(body))
    rows = b"\0" + np.array([1000, 256], dtype=">u2").tobytes()
    found = read(tmp_path, png(2, 1, 0, 16, rows, trns))
    assert found.dtype == np.uint16
    assert found[..., 0].tolist() == [[1000, 65535]]


@pytest.mark.parametrize(("kind", "channels"), [(b"P5", 1), (b"P6", 3)])
def test_pnm_of_16_bits_keeps_them(tmp_path: Path, kind: bytes, channels: int) -> None:
    """Pillow cuts colour down to 8 bits; what the header calls white becomes white."""
    values = (np.arange(2 * channels) * 500).astype(">u2")
    raw = kind + b"\n# made by hand\n2 1\n4095\n" + values.tobytes()
    found = read(tmp_path, raw)
    assert found.dtype == np.uint16
    assert found.reshape(-1).tolist() == [round(int(v) * 65535 / 4095) for v in values]


def test_jpeg_of_12_bits(tmp_path: Path) -> None:
    """12 bits as X-ray machines write them; 4095 is white."""
    codecs = pytest.importorskip("imagecodecs")
    slope = np.linspace(0, 4095, 64 * 64).reshape(64, 64).astype(np.uint16)
    found = read(tmp_path, codecs.jpeg_encode(slope, bitspersample=12, level=99))
    assert found.dtype == np.uint16
    assert np.abs(found[..., 0] / 65535 - slope / 4095).max() < 0.01


def test_a_reason_names_no_object_of_ours() -> None:
    said = reason(OSError("cannot identify image file <_io.BytesIO object at 0x7f7bc79472e0>"))
    assert said == "it is broken; copy it again from where it came"
