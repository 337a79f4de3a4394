"""From an image of any size to what the network sees: worked by hand, and against torchvision."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import tomli_w
import torch
import torchvision.transforms.v2.functional as tv
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from skimage import data as pictures
from torchvision.transforms.v2 import InterpolationMode

from striate.data import Preprocessing, read_image
from striate.errors import DataError, UsageError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PHOTO = pictures.astronaut()[:400, :300]  # 400 high, 300 wide


def prepare(image: np.ndarray, size: tuple[int, int] = (64, 64), **more: object) -> np.ndarray:
    channels = more.pop("channels", 3)
    return Preprocessing(channels=channels, height=size[0], width=size[1], **more).apply(image)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("size", [(64, 64), (224, 160), (500, 700)])
def test_squash_is_torchvisions_antialiased_resize(
    size: tuple[int, int], interpolation: str
) -> None:
    found = prepare(PHOTO, size, interpolation=interpolation)
    peer = tv.resize(Image.fromarray(PHOTO), list(size), InterpolationMode(interpolation))
    np.testing.assert_array_equal(found, np.asarray(peer).transpose(2, 0, 1))


@pytest.mark.parametrize("fraction", [1.0, 0.875])
def test_crop_is_torchvisions_resize_and_centre_crop(fraction: float) -> None:
    """The usual evaluation transform: the shorter side to 224 / 0.875 = 256, the middle 224."""
    photo = pictures.astronaut()[:480, :320]  # 384 x 256 after the resize, or 336 x 224
    found = prepare(photo, (224, 224), fit="crop", crop_fraction=fraction, interpolation="bicubic")
    resized = tv.resize(Image.fromarray(photo), [round(224 / fraction)], InterpolationMode.BICUBIC)
    peer = np.asarray(tv.center_crop(resized, [224, 224])).transpose(2, 0, 1)
    inside = np.s_[:, 3:-3, 3:-3]  # ours does not look beyond what is kept
    # Both round once between rows and columns, at different places.
    difference = np.abs(found[inside].astype(int) - peer[inside])
    assert difference.mean() < 0.5
    assert difference.max() <= 8


def test_crop_takes_the_middle() -> None:
    image = np.zeros((4, 8, 1), dtype=np.uint8)
    image[:, 2:6] = np.arange(16, dtype=np.uint8).reshape(4, 4, 1)
    found = prepare(image, (4, 4), channels=1, fit="crop")
    np.testing.assert_array_equal(found[0], np.arange(16).reshape(4, 4))


def test_pad_keeps_the_shape_and_fills_with_the_mean() -> None:
    image = np.full((10, 20, 3), 200, dtype=np.uint8)
    found = prepare(image, (40, 40), fit="pad", mean=(0.2, 0.4, 0.6))
    np.testing.assert_array_equal(found[:, 10:30], 200)
    for bars in (found[:, :10], found[:, 30:]):
        np.testing.assert_array_equal(bars, np.broadcast_to([[[51]], [[102]], [[153]]], bars.shape))


def test_an_image_of_the_right_size_is_not_touched() -> None:
    for fit in ("squash", "crop", "pad"):
        found = prepare(PHOTO, (400, 300), fit=fit)
        np.testing.assert_array_equal(found, PHOTO.transpose(2, 0, 1))
    assert found.flags.c_contiguous


def test_shrinking_does_not_alias() -> None:
    """A chessboard of single pixels becomes an even grey, not black or white."""
    board = (np.indices((64, 64)).sum(axis=0) % 2 * 255).astype(np.uint8)[..., None]
    found = prepare(board, (8, 8), channels=1)
    assert np.abs(found.astype(int) - 127.5).max() < 2
    coarse = prepare(board, (8, 8), channels=1, interpolation="nearest")
    assert set(np.unique(coarse)) <= {0, 255}


def test_colour_becomes_grey_by_the_weights_of_bt601() -> None:
    """ITU-R BT.601: 0.299 red + 0.587 green + 0.114 blue; times 255: 76, 150, 29."""
    image = np.eye(3, dtype=np.uint8)[None] * 255
    found = prepare(image, (1, 3), channels=1)
    np.testing.assert_array_equal(found, [[[76, 150, 29]]])


def test_grey_becomes_colour_by_repetition() -> None:
    image = np.arange(12, dtype=np.uint8).reshape(3, 4)
    found = prepare(image, (3, 4))
    np.testing.assert_array_equal(found, np.broadcast_to(image, (3, 3, 4)))


def test_alpha_is_laid_on_white() -> None:
    image = np.array([[[0, 0, 0, 255], [0, 0, 0, 0]]], dtype=np.uint8)
    assert prepare(image, (1, 2))[0].tolist() == [[0, 255]]


def test_deep_images_share_one_scale() -> None:
    levels = {"channels": 1, "white": 4095}
    bright = np.array([[0, 2048, 4095, 60000]], dtype=np.uint16)
    dark = np.array([[0, 16, 32, 64]], dtype=np.uint16)
    # 2048 / 4095 * 255 = 127.5, to the even 128; 16 / 4095 * 255 = 0.996
    assert prepare(bright, (1, 4), **levels)[0, 0].tolist() == [0, 128, 255, 255]
    assert prepare(dark, (1, 4), **levels)[0, 0].tolist() == [0, 1, 2, 4]


def test_floats_and_signed_numbers_use_black_and_white() -> None:
    image = np.array([[-1000.0, 0.0, 1000.0, 5000.0]], dtype=np.float32)
    found = prepare(image, (1, 4), channels=1, black=-1000, white=1000)
    assert found[0, 0].tolist() == [0, 128, 255, 255]
    found = prepare(image.astype(np.int16), (1, 4), channels=1, black=-1000, white=1000)
    assert found[0, 0].tolist() == [0, 128, 255, 255]


def test_8_bits_are_never_scaled() -> None:
    image = np.array([[0, 100, 200]], dtype=np.uint8)
    assert prepare(image, (1, 3), channels=1, white=1000)[0, 0].tolist() == [0, 100, 200]


@given(
    st.integers(1, 60),
    st.integers(1, 60),
    st.integers(1, 40),
    st.integers(1, 40),
    st.sampled_from(["squash", "crop", "pad"]),
    st.sampled_from(["nearest", "bilinear", "bicubic", "lanczos", "box"]),
    st.sampled_from([0.5, 0.875, 1.0]),
    st.sampled_from([1, 3]),
    st.sampled_from([1, 3]),
    st.integers(0, 255),
)
def test_any_image_becomes_what_was_promised(
    height: int,
    width: int,
    to_height: int,
    to_width: int,
    fit: str,
    interpolation: str,
    fraction: float,
    channels: int,
    to_channels: int,
    value: int,
) -> None:
    preprocessing = Preprocessing(
        channels=to_channels,
        height=to_height,
        width=to_width,
        fit=fit,  # type: ignore[arg-type]
        interpolation=interpolation,  # type: ignore[arg-type]
        crop_fraction=fraction,
        mean=(value / 255,) * to_channels,
    )
    found = preprocessing.apply(np.full((height, width, channels), value, dtype=np.uint8))
    assert found.shape == (to_channels, to_height, to_width)
    assert found.dtype == np.uint8
    assert found.flags.c_contiguous
    # Without detail there is none afterwards, and the bars have the same colour.
    assert np.abs(found.astype(int) - value).max() <= 1
    lost = preprocessing.lost_fraction(height, width)
    assert 0 <= lost < 1
    left, upper, right, lower = preprocessing.box(height, width)
    assert -1e-6 <= left < right <= width + 1e-6
    assert -1e-6 <= upper < lower <= height + 1e-6


@pytest.mark.parametrize(
    ("fit", "fraction", "lost"),
    [
        ("crop", 1.0, 0.25),  # 300 of 400 rows
        ("crop", 0.8, 1 - 0.64 * 0.75),
        ("squash", 1.0, 0.25),  # one axis by 64/400, the other by 64/300
        ("pad", 1.0, 0.0),
    ],
)
def test_what_an_image_of_300_by_400_loses(fit: str, fraction: float, lost: float) -> None:
    preprocessing = Preprocessing(channels=3, height=64, width=64, fit=fit, crop_fraction=fraction)
    assert preprocessing.lost_fraction(400, 300) == pytest.approx(lost)
    assert preprocessing.lost_fraction(300, 400) == pytest.approx(lost)


@pytest.mark.parametrize(
    ("size", "more", "factor"),
    [
        ((3000, 4000), {}, 4),  # 3000 / 224 = 13.4: a quarter leaves 3.3 pixels for one
        ((3000, 4000), {"fit": "crop", "crop_fraction": 0.5}, 2),
        ((3000, 4000), {"fit": "pad"}, 8),  # 4000 / 224 = 17.9
        ((3000, 4000), {"interpolation": "nearest"}, 1),
        ((896, 896), {}, 2),
        ((895, 2000), {}, 1),
        ((100, 100), {}, 1),
    ],
)
def test_how_far_a_jpeg_may_shrink_while_it_is_decoded(
    size: tuple[int, int], more: dict[str, object], factor: int
) -> None:
    assert Preprocessing(channels=3, height=224, width=224, **more).shrink(*size) == factor  # type: ignore[arg-type]


@pytest.mark.parametrize("fit", ["squash", "crop", "pad"])
@pytest.mark.parametrize("orientation", [1, 6])
def test_a_file_reads_as_the_whole_image_does(tmp_path: Path, fit: str, orientation: int) -> None:
    photo = Image.fromarray(pictures.astronaut()[:400]).resize((768, 600))
    exif = Image.Exif()
    exif[274] = orientation
    photo.save(tmp_path / "photo.jpg", quality=90, exif=exif)
    preprocessing = Preprocessing(channels=3, height=64, width=80, fit=fit)  # type: ignore[arg-type]
    found = preprocessing.read(tmp_path / "photo.jpg")
    whole = preprocessing.apply(read_image(tmp_path / "photo.jpg"))
    assert preprocessing.shrink(*read_image(tmp_path / "photo.jpg").shape[:2]) > 1
    assert np.abs(found.astype(int) - whole).mean() < 1
    photo.save(tmp_path / "photo.png")
    lossless = preprocessing.apply(read_image(tmp_path / "photo.png"))
    np.testing.assert_array_equal(preprocessing.read(tmp_path / "photo.png"), lossless)


# The scale


def test_normalise_is_torchvisions() -> None:
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    preprocessing = Preprocessing(channels=3, height=8, width=8, mean=mean, std=std)
    batch = torch.randint(0, 256, (4, 3, 8, 8), dtype=torch.uint8)
    found = preprocessing.normalise(batch)
    peer = tv.normalize(batch.float() / 255, list(mean), list(std))
    torch.testing.assert_close(found, peer, rtol=0, atol=2e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("channels", [1, 3])
def test_normalise_keeps_channels_last_and_rounds_once(dtype: torch.dtype, channels: int) -> None:
    preprocessing = Preprocessing(
        channels=channels, height=6, width=5, mean=(0.3,) * channels, std=(0.2,) * channels
    )
    batch = torch.randint(0, 256, (4, channels, 6, 5), dtype=torch.uint8)
    batch = batch.to(memory_format=torch.channels_last)
    found = preprocessing.normalise(batch, dtype=dtype)
    assert found.dtype == dtype
    assert found.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(found, preprocessing.normalise(batch).to(dtype), rtol=0, atol=0)


@pytest.mark.parametrize("mean", [0.0, 0.2860, 1.0])
@pytest.mark.parametrize("std", [1 / 255, 0.3530, 1.0])
def test_restore_gives_back_every_value(mean: float, std: float) -> None:
    preprocessing = Preprocessing(channels=1, height=16, width=16, mean=(mean,), std=(std,))
    batch = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    assert torch.equal(preprocessing.restore(preprocessing.normalise(batch)), batch)
    out_of_range = torch.tensor([-1e9, 1e9]).view(1, 1, 1, 2)
    assert preprocessing.restore(out_of_range).flatten().tolist() == [0, 255]


# The record


def test_it_goes_through_toml_and_json() -> None:
    preprocessing = Preprocessing(
        channels=3,
        height=224,
        width=192,
        fit="crop",
        interpolation="bicubic",
        crop_fraction=0.875,
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
        white=4095,
        black=-3.5,
        why=("Because.", "And so."),
    )
    for text in (
        tomllib.loads(tomli_w.dumps(preprocessing.to_dict())),
        json.loads(json.dumps(preprocessing.to_dict())),
    ):
        again = Preprocessing.from_dict(text)
        assert again == preprocessing
        assert again.why == preprocessing.why
        np.testing.assert_array_equal(again.apply(PHOTO), preprocessing.apply(PHOTO))


def test_reasons_are_not_compared() -> None:
    plain = Preprocessing(channels=1, height=8, width=8)
    assert plain == Preprocessing(channels=1, height=8, width=8, why=("Because.",))
    assert plain != Preprocessing(channels=1, height=8, width=9)
    assert plain.size == (8, 8)
    assert (plain.mean, plain.std) == ((0.0,), (1.0,))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"channels": 2}, r"channels must be 1 \(grey\) or 3 \(RGB\), got 2"),
        ({"height": 0}, "height must be 1 to 8192 pixels, got 0"),
        ({"width": 10_000}, "width must be 1 to 8192 pixels, got 10000"),
        ({"height": 8.0}, "height must be 1 to 8192 pixels, got 8.0"),
        ({"fit": "stretch"}, "fit must be one of squash, crop, pad, got 'stretch'"),
        ({"interpolation": "cubic"}, "interpolation must be one of nearest, bilinear, .* 'cubic'"),
        ({"crop_fraction": 0}, "crop_fraction must be above 0, at most 1, got 0"),
        ({"mean": (0.1, 0.2)}, r"mean must be 1 numbers, one a channel, got \(0.1, 0.2\)"),
        ({"mean": (float("nan"),)}, "mean must be 1 numbers"),
        ({"std": (0.0,)}, r"std must be above 0, got \(0.0,\)"),
        ({"white": 0}, "white must be above black, got 0 and 0"),
    ],
)
def test_what_cannot_be_is_refused(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Preprocessing(**{"channels": 1, "height": 8, "width": 8, **wrong})  # type: ignore[arg-type]


def test_a_record_of_another_form_is_refused() -> None:
    with pytest.raises(UsageError, match="unknown entries in a preprocessing: heigth"):
        Preprocessing.from_dict({"channels": 1, "heigth": 8, "width": 8})
    with pytest.raises(UsageError, match="a preprocessing lacks height, width"):
        Preprocessing.from_dict({"channels": 1})


@pytest.mark.parametrize("shape", [(8,), (8, 8, 2), (2, 8, 8, 3), (0, 8, 3), (8, 8, 5)])
def test_what_is_no_image_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match=r"must be .height, width, channels. with 1, 3 or 4"):
        prepare(np.zeros(shape, dtype=np.uint8))
    with pytest.raises(DataError, match="an image must hold numbers, got complex64"):
        prepare(np.zeros((4, 4), dtype=np.complex64))
