"""The scale of images deeper than 8 bits: no few pixels decide, and what no file relates is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from striate.data import Preprocessing, Source, check, choose_preprocessing, describe, open_source
from striate.data.depth import refuse_depth
from striate.data.scale import measure
from striate.errors import DataError, UsageError

SIDE = 16


def folder(root: Path, images: list[np.ndarray], **options: object) -> Source:
    """These images turn about in two classes, all for training; 16-bit ones as PNG, others as TIFF."""
    for i, image in enumerate(images):
        path = root / "ab"[i % 2] / f"{i}"
        path.parent.mkdir(parents=True, exist_ok=True)
        if image.dtype in (np.uint8, np.uint16) and not options:
            Image.fromarray(image).save(path.with_suffix(".png"))
        else:
            tifffile.imwrite(path.with_suffix(".tif"), image, **options)
    return open_source(root, val=0, test=0)


def noise(low: float, high: float, dtype: type = np.uint16, images: int = 8) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.uniform(low, high, (SIDE, SIDE)).astype(dtype) for _ in range(images)]


def greys(source: Source, preprocessing: Preprocessing) -> int:
    """How many of the 256 grey levels reach the network."""
    return len(
        np.unique([source.train.preprocess(i, preprocessing) for i in range(len(source.train))])
    )


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 200, (0, 255)),
        (0, 900, (0, 1023)),
        (0, 4000, (0, 4095)),
        (0, 9000, (0, 16383)),
        (0, 60_000, (0, 65535)),
    ],
)
def test_a_full_scale_that_the_data_use_is_taken(
    tmp_path: Path, low: int, high: int, expected: tuple[int, int]
) -> None:
    scale = measure(folder(tmp_path, noise(low, high)).train)
    assert (scale.black, scale.white) == expected


@pytest.mark.parametrize(
    ("low", "high"), [(51_000, 52_200), (32_768, 36_863), (20_000, 20_300), (3000, 5000)]
)
def test_values_with_an_offset_use_the_grey_levels(tmp_path: Path, low: int, high: int) -> None:
    """Thermal cameras, and 12 bits stored with the offset of a sign."""
    source = folder(tmp_path, noise(low, high))
    preprocessing = choose_preprocessing(source)
    assert low <= preprocessing.black < preprocessing.white <= high
    assert greys(source, preprocessing) > 200
    assert "becomes black" in " ".join(preprocessing.why)


@pytest.mark.parametrize("spoiler", [65535, 0, 60_000, 12_345])
def test_few_pixels_do_not_decide(tmp_path: Path, spoiler: int) -> None:
    images = noise(51_000, 52_200, images=12)
    images[3][2, 5] = images[8][0, 0] = spoiler
    source = folder(tmp_path, images)
    assert greys(source, choose_preprocessing(source)) > 160


@pytest.mark.parametrize(
    ("value", "low", "high", "kind"),
    [
        (-9999, 200, 323, np.float32),
        (-32768, -500, 3000, np.int16),
        (65535, 100, 4000, np.uint16),
        (0, 51_000, 52_200, np.uint16),
        (1e20, 0, 1, np.float32),
    ],
)
def test_a_value_far_outside_stands_for_no_data(
    tmp_path: Path, value: float, low: float, high: float, kind: type
) -> None:
    images = noise(low, high, kind)
    for image in images[::3]:
        image[:, : SIDE // 2] = value
    source = folder(tmp_path, images, photometric="minisblack")
    preprocessing = choose_preprocessing(source)
    assert preprocessing.nodata == (np.float32(value),)
    assert greys(source, preprocessing) > 60
    assert (source.train.preprocess(0, preprocessing)[:, :, :4] == 0).all()
    sentences = " ".join(r["sentence"] for r in check(source).data["remarks"])
    assert f"{np.float32(value):g} stands far outside all other values" in sentences


def test_no_data_that_the_file_names_is_left_out(tmp_path: Path) -> None:
    """GDAL's tag 42113, as GeoTIFFs hold it."""
    images = noise(200, 323, np.float32)
    for image in images[::3]:
        image[: SIDE // 2] = -9999
    source = folder(tmp_path, images, extratags=[(42113, 2, 6, "-9999", True)])
    preprocessing = choose_preprocessing(source)
    assert preprocessing.nodata == ()
    assert preprocessing.white == pytest.approx(323, abs=2)
    assert (source.train.preprocess(0, preprocessing)[:, :4] == 0).all()
    (remark,) = [r for r in check(source).data["remarks"] if r["kind"] == "no data"]
    assert remark["count"] == 3
    assert "3 images hold pixels without data" in remark["sentence"]


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -3.4028234663852886e38])
def test_what_is_no_number_is_no_data(tmp_path: Path, wrong: float) -> None:
    images = noise(0, 1, np.float32)
    images[0][3, 4] = images[5][0, 0] = wrong
    source = folder(tmp_path, images)
    preprocessing = choose_preprocessing(source)
    assert (preprocessing.black, preprocessing.white) == (0, pytest.approx(1, abs=0.01))
    assert source.train.preprocess(0, preprocessing)[0, 3, 4] == 0
    assert "2 images hold pixels without data" in str(check(source).data["remarks"])


def test_the_scale_can_be_given(tmp_path: Path) -> None:
    source = folder(tmp_path, noise(51_000, 52_200))
    preprocessing = choose_preprocessing(source, black=50_000, white=55_100)
    assert (preprocessing.black, preprocessing.white) == (50_000, 55_100)
    assert preprocessing.apply(np.full((SIDE, SIDE), 50_020, np.uint16)).max() == 1
    assert choose_preprocessing(source, black=50_000).white == measure(source.train).white
    with pytest.raises(UsageError, match="white must be above black, got black 60000 and white"):
        choose_preprocessing(source, black=60_000)
    with pytest.raises(UsageError, match="all of these are of 8 bits, from 0 to 255; leave them"):
        choose_preprocessing(open_source("digits"), white=3)


def test_the_scale_is_shown(tmp_path: Path) -> None:
    images = noise(51_000, 52_200)
    images[0][:3] = 0
    found = describe(folder(tmp_path, images))
    assert found.data["scale"]["nodata"] == [0.0]
    assert found.data["scale"]["black"] > 50_900
    (table,) = [t for t in found.tables if "deeper than 8 bits" in t.caption]
    assert "0 is taken as no data" in table.caption
    assert sum(float(row[1]) for row in table.rows) == pytest.approx(1)
    assert any("How often each value occurs" in figure.caption for figure in found.figures)


# Depths that meet


def made(kind: np.dtype | type, black: float, white: float) -> Preprocessing:
    """A preprocessing as a training on images of this kind leaves it."""
    full = {"uint8": 255, "uint16": 65535}.get(np.dtype(kind).name, 0)
    return Preprocessing(
        channels=1, height=1, width=3, black=black, white=white, full_scale=full
    )  # fmt: skip


@pytest.mark.parametrize(
    ("learned", "image", "expected"),
    [
        (made(np.uint8, 0, 65535), np.array([[0, 32896, 65535]], np.uint16), [0, 128, 255]),
        (made(np.uint16, 0, 65535), np.array([[0, 128, 255]], np.uint8), [0, 128, 255]),
        (made(np.uint16, 0, 4095), np.array([[0, 128, 255]], np.uint8), [0, 128, 255]),
        # 8 bits state that 255 is white, as 16 bits state it of 65535: 40 of 255 are 10,280 of 65535.
        (made(np.uint16, 5140, 15_420), np.array([[20, 40, 60]], np.uint8), [0, 128, 255]),
        (made(np.uint16, 1000, 2000), np.array([[1000, 1500, 2000]], np.float32), [0, 128, 255]),
        (made(np.float32, 0, 100), np.array([[0, 50, 100]], np.uint16), [0, 128, 255]),
    ],
    ids=["16 in 8", "8 in 16", "8 in 12", "8 in a part of 16", "float in 16", "16 in float"],
)
def test_another_depth_is_converted_by_what_it_states(
    learned: Preprocessing, image: np.ndarray, expected: list[int]
) -> None:
    refuse_depth(image, learned)
    assert learned.apply(image).ravel().tolist() == expected


@pytest.mark.parametrize(
    ("learned", "image", "message"),
    [
        (made(np.uint8, 0, 65535), np.array([[0, 900, 4000]], np.uint16), "values end at 4,000, as those of 12 bits"),
        (made(np.uint8, 0, 65535), np.array([[0, 0.5, 1]], np.float32), "which state no white"),
        (made(np.uint16, 51_000, 52_200), np.array([[0, 128, 255]], np.uint8), "as 16 bits, from 0 to 65535 lie mostly"),
        (made(np.uint16, 0, 4095), np.array([[9000, 30_000, 60_000]], np.uint16), "lie mostly far outside the 0 to 4095"),
        (made(np.uint16, 0, 65535), np.array([[0, 0.5, 1]], np.float32), "from 0 to 1 all lie within one grey level"),
        (made(np.float32, 0, 1), np.array([[0, 128, 255]], np.uint8), "which no file relates to 8 bits"),
    ],
    ids=["12 in 8", "float in 8", "8 in thermal", "16 in 12", "unit in 16", "8 in float"],
)  # fmt: skip
def test_a_depth_that_nothing_relates_is_refused(
    tmp_path: Path, learned: Preprocessing, image: np.ndarray, message: str
) -> None:
    tifffile.imwrite(tmp_path / "x.tif", image, photometric="minisblack")
    with pytest.raises(DataError, match=rf"cannot use .*x\.tif: .*{message}"):
        learned.read(tmp_path / "x.tif")


def test_a_run_of_old_takes_all_depths_as_it_did() -> None:
    old = Preprocessing.from_dict(
        {"channels": 1, "height": 1, "width": 3, "white": 4095.0, "black": 0.0}
    )
    assert old.full_scale == -1
    for image in (np.array([[0, 2048, 4095]], np.uint16), np.array([[0, 2048, 4095]], np.float32)):
        refuse_depth(image, old)
        assert old.apply(image).ravel().tolist() == [0, 128, 255]
    assert old.apply(np.array([[0, 7, 255]], np.uint8)).ravel().tolist() == [0, 7, 255]


def test_depths_in_one_folder_are_said(tmp_path: Path) -> None:
    images = [*noise(0, 60_000), *noise(0, 255, np.uint8, images=3)]
    source = folder(tmp_path, images)
    (remark,) = [r for r in check(source).data["remarks"] if r["kind"] == "depths"]
    assert "3 of 8 bits and 8 of 16 bits" in remark["sentence"]
    assert choose_preprocessing(source).full_scale == 65535


def test_depths_in_one_folder_that_nothing_relates_are_refused(tmp_path: Path) -> None:
    source = folder(tmp_path, [*noise(51_000, 52_200), *noise(0, 255, np.uint8, images=2)])
    assert check(source).status == "problem"
    with pytest.raises(
        DataError, match=r"2 of 10 images are of 8 bits .*others of 16 bits from 510"
    ):
        choose_preprocessing(source)
    assert choose_preprocessing(source, black=0, white=65535).white == 65535
