"""Perceptual distance of what people have: files, arrays, tensors, runs; and what is refused, with what to do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import striate
from striate.errors import UsageError
from striate.models import build


@pytest.fixture(scope="module")
def network() -> nn.Module:
    torch.manual_seed(0)
    return build("compact", in_channels=3, num_classes=3, size=(32, 32)).eval()


@pytest.fixture(scope="module")
def trained(network: nn.Module) -> striate.Trained:
    return striate.wrap(
        network, classes=["a", "b", "c"], preprocessing=(32, (0.5,) * 3, (0.25,) * 3)
    )


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 48, 3), dtype=np.uint8)
    other = pixels.copy()
    other[10:20, 12:24] = 128
    for name, image in (("a.png", pixels), ("b.png", other)):
        Image.fromarray(image).save(tmp_path / name)
    return tmp_path / "a.png", tmp_path / "b.png"


def pixels_of(file: Path) -> np.ndarray:
    with Image.open(file) as image:
        return np.asarray(image)


def test_files_arrays_and_tensors_agree(files: tuple[Path, Path], trained: striate.Trained) -> None:
    a, b = files
    x, y = (pixels_of(f) for f in files)
    by_file = striate.perceptual_distance(a, b, trained)
    by_array = striate.perceptual_distance(x, y, trained)
    tensors = [torch.from_numpy(v.copy()).permute(2, 0, 1).float() / 255 for v in (x, y)]
    by_tensor = striate.perceptual_distance(*tensors, trained)
    assert by_file.map.shape == (1, 40, 48)
    assert by_file.distance.item() == pytest.approx(by_array.distance.item())
    assert by_file.distance.item() == pytest.approx(by_tensor.distance.item(), rel=1e-5)
    inside = by_file.map[0, 10:20, 12:24].mean()
    assert inside > 3 * by_file.map[0, 26:, 30:].mean()


def test_a_module_takes_tensors_as_it_reads_them(network: nn.Module) -> None:
    a = torch.randn(2, 3, 32, 32)
    assert striate.perceptual_distance(a, a, network).distance.tolist() == [0, 0]


def test_refused(files: tuple[Path, Path], trained: striate.Trained, tmp_path: Path) -> None:
    a, _ = files
    Image.new("RGB", (50, 40)).save(tmp_path / "wide.png")
    with pytest.raises(UsageError, match="--resize"):
        striate.perceptual_distance(a, tmp_path / "wide.png", trained)
    same = striate.perceptual_distance(a, tmp_path / "wide.png", trained, resize=True)
    assert same.map.shape == (1, 32, 32)
    with pytest.raises(
        UsageError, match=rf"in pairs, got 2 \(the first is .*{a.name}\) and 1 \(.*{a.name}\)"
    ):
        striate.perceptual_distance([a, a], a, trained)
    with pytest.raises(UsageError, match="before they are normalised"):
        striate.perceptual_distance(torch.randn(3, 32, 32), torch.randn(3, 32, 32), trained)


def test_linear_weights_from_a_file(files: tuple[Path, Path], trained: striate.Trained, tmp_path: Path) -> None:  # fmt: skip
    """Weights of 2 for every channel double the distance; the layers have to be named for a network of one's own."""
    layers = ["stem.2"]
    plain = striate.perceptual_distance(*files, trained, layers=layers)
    torch.save({"lin0.model.1.weight": torch.full((1, 16, 1, 1), 2.0)}, tmp_path / "lin.pth")
    both = striate.perceptual_distance(*files, trained, layers=layers, weights=tmp_path / "lin.pth")
    assert both.weighted
    assert both.distance.item() == pytest.approx(2 * plain.distance.item(), rel=1e-5)
    with pytest.raises(UsageError, match="belong to no published network"):
        striate.perceptual_distance(*files, trained, weights=tmp_path / "lin.pth")
    with pytest.raises(UsageError, match="two files hold linear weights"):
        striate.perceptual_distance(*files, trained, weights=[tmp_path / "lin.pth"] * 2)


def test_finding(files: tuple[Path, Path], trained: striate.Trained, tmp_path: Path) -> None:
    found = striate.compare_images(*files, trained, out=tmp_path / "where.png")
    scale = found.data["scale"]
    assert list(scale.values()) == sorted(scale.values()) and len(scale) == 9
    assert sum(found.data["layers"].values()) == pytest.approx(found.data["distance"], rel=1e-5)
    assert found.data["ms-ssim"] is None  # 40 pixels are too few
    with Image.open(tmp_path / "where.png") as picture:
        assert picture.width > 600
    equal = striate.compare_images(files[0], files[0], trained)
    assert equal.verdict.endswith("a.png.") and "no difference" in equal.verdict
    with pytest.raises(UsageError, match="exists"):
        striate.compare_images(*files, trained, out=tmp_path / "where.png")


def test_floats_take_the_colours_of_the_network(trained: striate.Trained) -> None:
    """Grey is three equal channels, as the authors of LPIPS advise, and as it is for files."""
    a, b = torch.rand(2, 1, 1, 40, 48).unbind(0)
    grey = striate.perceptual_distance(a, b, trained)
    every = striate.perceptual_distance(*(x.expand(-1, 3, -1, -1) for x in (a, b)), trained)
    assert grey.distance.item() == every.distance.item()
    torch.manual_seed(0)
    one = build("compact", in_channels=1, num_classes=3, size=(32, 32)).eval()
    small = striate.wrap(one, classes=["a", "b", "c"], preprocessing=(32, (0.5,), (0.25,)))
    pixels = np.random.default_rng(1).integers(0, 256, (2, 40, 48, 3), dtype=np.uint8)
    floats = [torch.from_numpy(x).permute(2, 0, 1) / 255 for x in pixels]
    by_float = striate.perceptual_distance(*floats, small).distance.item()
    by_array = striate.perceptual_distance(*pixels, small).distance.item()
    assert by_float == pytest.approx(by_array, rel=0.02)  # files are rounded to 256 greys
    for channels in (2, 4, 5):
        with pytest.raises(UsageError, match=rf"have {channels} channels.*takes 3"):
            striate.perceptual_distance(
                torch.rand(channels, 40, 48), torch.rand(channels, 40, 48), trained
            )


@pytest.mark.parametrize("images", [None, 3, object()])
def test_what_is_no_image_is_refused(images: object, trained: striate.Trained) -> None:
    with pytest.raises(UsageError, match="got"):
        striate.perceptual_distance(images, images, trained)


def test_numbers_just_above_one_are_shown(trained: striate.Trained) -> None:
    image = torch.rand(3, 40, 48)
    image[0, 0, 0] = 1.00012
    with pytest.raises(UsageError, match=r"to 1\.00012"):
        striate.perceptual_distance(image, image, trained)


def test_black_and_white_have_a_psnr_of_zero() -> None:
    from striate.similarity import pixel_scores

    psnr = pixel_scores(torch.zeros(3, 16, 16), torch.ones(3, 16, 16))["psnr"]
    assert f"{psnr:g}" == "0"
