"""Images are read region by region from every format, and results are written as they are made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image
from torch import nn

from striate.errors import GeometryError, StriateError, UsageError
from striate.inference.tiled import Tiled, open_file, tiled

RNG = np.random.default_rng(0)
COLOUR = RNG.integers(0, 256, (3, 91, 120), dtype=np.uint8)
DEEP = RNG.integers(0, 65536, (3, 91, 120), dtype=np.uint16)


def network(channels: int = 3) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(channels, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 2, 5, padding=2)
    ).eval()


def whole(pixels: np.ndarray, module: nn.Module | None = None) -> torch.Tensor:
    top = {"uint8": 255, "uint16": 65535}.get(pixels.dtype.name, 1)
    with torch.no_grad():
        return (module or network(len(pixels)))(
            torch.from_numpy(pixels.astype(np.float32) / np.float32(top))[None]
        )


def close(got: Any, want: torch.Tensor) -> bool:
    got = got if isinstance(got, torch.Tensor) else torch.from_numpy(np.asarray(got))
    return bool((got.reshape(want.shape) - want).abs().max() <= 1e-5 * want.abs().max())


def zarr_store(path: Path, pixels: np.ndarray) -> None:
    import zarr

    zarr.open(str(path), mode="w", shape=pixels.shape, dtype=pixels.dtype, chunks=(1, 32, 32))[:] = pixels  # fmt: skip


def last(pixels: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(pixels.transpose(1, 2, 0))


WRITERS: dict[str, Any] = {
    "strips.tif": lambda p: tifffile.imwrite(p, last(COLOUR), photometric="rgb", rowsperstrip=7),
    "tiles.tif": lambda p: tifffile.imwrite(
        p, last(COLOUR), photometric="rgb", tile=(32, 48), compression="zlib", predictor=True
    ),
    "lzw.tif": lambda p: tifffile.imwrite(p, last(DEEP), photometric="rgb", compression="lzw"),
    "big-endian.tif": lambda p: tifffile.imwrite(
        p, last(DEEP), photometric="rgb", byteorder=">", tile=(16, 16)
    ),
    "planes.tif": lambda p: tifffile.imwrite(
        p, COLOUR, photometric="rgb", planarconfig="separate", tile=(16, 32)
    ),
    "channels.tif": lambda p: tifffile.imwrite(
        p, COLOUR, photometric="minisblack", compression="zlib", metadata={"axes": "CYX"}
    ),
    "imagej.tif": lambda p: tifffile.imwrite(p, COLOUR, imagej=True, metadata={"axes": "CYX"}),
    "big.tif": lambda p: tifffile.imwrite(p, last(COLOUR), photometric="rgb", bigtiff=True),
    "channels.ome.tif": lambda p: tifffile.imwrite(
        p, DEEP, ome=True, photometric="minisblack", tile=(32, 32), metadata={"axes": "CYX"}
    ),
    "pyramid.ome.tif": lambda p: pyramid(p),
    "numbers.npy": lambda p: np.save(p, COLOUR.astype(np.float32) / 255),
    "bytes.npy": lambda p: np.save(p, COLOUR),
    "chunks.zarr": lambda p: zarr_store(p, COLOUR),
    "five.zarr": lambda p: zarr_store_of_five(p),
    "colour.png": lambda p: Image.fromarray(last(COLOUR)).save(p),
    "lossless.webp": lambda p: Image.fromarray(last(COLOUR)).save(p, lossless=True),
}  # fmt: skip


def pyramid(path: Path) -> None:
    """Full size first, a smaller picture below it: as slides come."""
    with tifffile.TiffWriter(path, ome=True) as file:
        file.write(last(COLOUR), photometric="rgb", tile=(32, 32), subifds=1)
        file.write(last(COLOUR)[::2, ::2].copy(), photometric="rgb", tile=(32, 32), subfiletype=1)


def zarr_store_of_five(path: Path) -> None:
    """An OME-Zarr image: a group whose level 0 is (T, C, Z, Y, X) with only channels."""
    import zarr

    group = zarr.open_group(str(path), mode="w")
    level = group.create_array("0", shape=(1, 1, *COLOUR.shape), dtype=np.uint8, chunks=(1, 1, 3, 32, 32))  # fmt: skip
    level[:] = COLOUR[None, None]


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_is_read_by_regions(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    WRITERS[name](path)
    pixels = DEEP if name in ("lzw.tif", "big-endian.tif", "channels.ome.tif") else COLOUR
    assert close(tiled(network(), path, tile=32), whole(pixels))


def test_a_jpeg_is_decoded_once(tmp_path: Path) -> None:
    path = tmp_path / "photograph.jpg"
    Image.fromarray(last(COLOUR)).save(path)
    pixels = np.asarray(Image.open(path)).transpose(2, 0, 1)
    assert close(tiled(network(), path, tile=32), whole(pixels))


def test_arrays_and_tensors_are_read_as_they_are(tmp_path: Path) -> None:
    numbers = RNG.standard_normal((2, 3, 60, 70)).astype(np.float32)
    np.save(tmp_path / "two.npy", numbers)
    mapped = np.load(tmp_path / "two.npy", mmap_mode="r")
    with torch.no_grad():
        want = network()(torch.from_numpy(numbers))
    for image in (numbers, mapped, torch.from_numpy(numbers)):
        assert close(tiled(network(), image, tile=24), want)
    assert close(tiled(network(), numbers[1], tile=24), want[1])


def test_prepare_stands_between_pixels_and_network(tmp_path: Path) -> None:
    np.save(tmp_path / "bytes.npy", COLOUR)
    got = tiled(
        network(1), tmp_path / "bytes.npy", tile=32, preprocess=lambda x: x[:, 1:2].float() - 9
    )
    with torch.no_grad():
        want = network(1)(torch.from_numpy(COLOUR[None, 1:2]).float() - 9)
    assert close(got, want)


def read(path: Path) -> np.ndarray:
    if path.suffix == ".npy":
        return np.load(path)
    if path.suffix == ".zarr":
        import zarr

        return np.asarray(zarr.open(str(path), mode="r")[:])
    return tifffile.imread(path)


@pytest.mark.parametrize("suffix", [".tif", ".npy", ".zarr"])
@pytest.mark.parametrize("strategy", ["halo", "carry"])
def test_the_result_goes_to_a_file(tmp_path: Path, suffix: str, strategy: str) -> None:
    out = tmp_path / f"map{suffix}"
    got = tiled(network(), torch.from_numpy(COLOUR / np.float32(255)), tile=32, out=out, strategy=strategy)  # fmt: skip
    assert got == out
    assert read(out).shape == (2, 91, 120)
    assert close(read(out), whole(COLOUR))
    assert not list(tmp_path.glob("*.partial"))


def classes(logits: torch.Tensor) -> torch.Tensor:
    return logits.argmax(1).to(torch.uint8)


@pytest.mark.parametrize("suffix", [".tif", ".npy", ".zarr"])
def test_a_map_of_classes_takes_a_byte_a_pixel(tmp_path: Path, suffix: str) -> None:
    out, image = tmp_path / f"classes{suffix}", torch.from_numpy(COLOUR / np.float32(255))
    tiled(network(), image, tile=32, out=out, finish=classes)
    want = whole(COLOUR).argmax(1)[0].numpy()
    assert read(out).dtype == np.uint8
    assert np.array_equal(read(out).squeeze(), want)
    if suffix == ".tif":
        assert out.stat().st_size < 91 * 120 + 5000
    assert np.array_equal(tiled(network(), image, tile=32, finish=classes)[0].numpy(), want)


@pytest.mark.parametrize(
    ("finish", "shape"),
    [
        (lambda x: x.softmax(1), (1, 2, 91, 120)),
        (lambda x: x[0].numpy().argmax(0).astype(np.int16), (1, 1, 91, 120)),
        (lambda x: x[0] > 0, (1, 2, 91, 120)),
    ],
)
def test_finish_gives_any_channels_and_numbers(finish: Any, shape: tuple[int, ...]) -> None:
    got = tiled(network(), COLOUR[None] / np.float32(255), tile=32, finish=finish)
    want = finish(whole(COLOUR))
    assert got.shape == shape
    assert close(got.float(), torch.as_tensor(want).float().reshape(shape))


@pytest.mark.parametrize("finish", [lambda x: x.mean(), lambda x: x[..., 1:], lambda x: "classes"])
def test_finish_keeps_the_positions(finish: Any) -> None:
    with pytest.raises(UsageError, match=r"finish= takes a crop .* of the same positions"):
        Tiled(network(), COLOUR[None] / np.float32(255), tile=32, finish=finish)


def test_finish_and_out_need_one_map(tmp_path: Path) -> None:
    classifier = nn.Sequential(network(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    image = torch.rand(1, 3, 40, 40)
    with pytest.raises(UsageError, match=r"finish= takes one map .* returns 1x2"):
        Tiled(classifier, image, finish=classes)
    with pytest.raises(UsageError, match=r"out= takes one map .* returns 1x2"):
        Tiled(classifier, image, out=tmp_path / "map.tif")
    with pytest.raises(UsageError, match=r"each of 2"):
        Tiled(network(), torch.rand(2, 3, 40, 40), out=tmp_path / "map.tif")


def test_an_output_that_exists_stays(tmp_path: Path) -> None:
    out = tmp_path / "map.npy"
    out.write_bytes(b"mine")
    image = torch.from_numpy(COLOUR / np.float32(255))
    with pytest.raises(UsageError, match=r"map\.npy exists; .*force=True"):
        tiled(network(), image, tile=32, out=out)
    assert out.read_bytes() == b"mine"
    tiled(network(), image, tile=32, out=out, force=True)
    assert close(np.load(out), whole(COLOUR))


@pytest.mark.parametrize(
    ("out", "message"),
    [("map.jpg", r"an output ends in \.tif"), ("nowhere/map.tif", "there is no folder")],
)
def test_an_output_that_cannot_be(tmp_path: Path, out: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Tiled(network(), torch.rand(1, 3, 40, 40), out=tmp_path / out)


@pytest.mark.parametrize("name", ["strips.tif", "tiles.tif", "channels.tif", "bytes.npy"])
def test_a_file_that_is_cut_short_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    WRITERS[name](path)
    raw = path.read_bytes()
    path.write_bytes(raw[: len(raw) * 2 // 3])
    with pytest.raises(GeometryError, match=r"is cut short|cannot read"):
        tiled(network(), path, tile=32)


def test_a_damaged_tile_is_named(tmp_path: Path) -> None:
    path = tmp_path / "tiles.tif"
    WRITERS["tiles.tif"](path)
    with tifffile.TiffFile(path) as file:
        place = file.pages[0].dataoffsets[4]
    raw = bytearray(path.read_bytes())
    raw[place : place + 16] = b"\xff" * 16
    path.write_bytes(raw)
    with pytest.raises(GeometryError, match=r"tile 4 of page 0 cannot be decoded"):
        tiled(network(), path, tile=32)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.tif", None, "there is no image"),
        ("text.tif", b"not a picture", "cannot read"),
        ("text.png", b"not a picture", "cannot read"),
        ("text.npy", b"not a picture", "cannot read"),
        ("empty.jpg", b"", "cannot read"),
    ],
)
def test_what_is_no_image_is_said(
    tmp_path: Path, name: str, content: bytes | None, message: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(StriateError, match=message) as caught:
        Tiled(network(), tmp_path / name)
    assert name in str(caught.value)


def test_shapes_that_are_no_image(tmp_path: Path) -> None:
    np.save(tmp_path / "line.npy", np.zeros(9))
    with pytest.raises(GeometryError, match=r"holds an array of shape \(9,\)"):
        Tiled(network(), tmp_path / "line.npy")
    stack = np.zeros((4, 3, 20, 20), np.uint8)
    path = tmp_path / "stack.tif"
    tifffile.imwrite(path, stack, photometric="minisblack", metadata={"axes": "TCYX"})
    with pytest.raises(UsageError, match=r"holds 4 pages, not one image; give the one that is"):
        Tiled(network(), tmp_path / "stack.tif")
    assert Tiled(network(), open_file(path, page=2)).run().shape == (1, 2, 20, 20)
    with pytest.raises(GeometryError, match=r"stack.tif: it has 4 pages, no page 9"):
        open_file(path, page=8)
    with pytest.raises(UsageError, match=r"shape \(C, H, W\) or \(N, C, H, W\).*got \(9,\)"):
        Tiled(network(), np.zeros(9))
    with pytest.raises(UsageError, match=r"an array .* or the path of a file; got int"):
        Tiled(network(), 7)


def test_a_gigapixel_in_a_hundred_megabytes(tmp_path: Path) -> None:
    """16384 x 16384 pixels, of which only the marked ones are not zero; every seam of the tiles is among them."""
    path, n = tmp_path / "slide.tif", 16384
    image = tifffile.memmap(path, shape=(n, n), dtype=np.uint8)
    image[::4096, ::4096] = 255
    image[-1, -1] = 255
    image.flush()
    del image
    module = nn.Sequential(nn.Conv2d(1, 2, 8, 8), nn.ReLU(), nn.Conv2d(2, 1, 3, padding=1)).eval()
    with torch.no_grad():
        for conv in (module[0], module[2]):
            conv.weight.abs_()
            conv.bias.zero_()
    job = Tiled(module, path, memory="100MB")
    got = job.run(certificate=True)
    assert job.certificate is not None
    assert job.certificate.exact
    assert job.certificate.samples == 3
    assert (job.certificate.measured_bytes or 0) < 100e6
    with torch.no_grad():
        lone = torch.zeros(1, 1, 24, 24)
        lone[..., 8, 8] = 1
        spot = module(lone)
    assert torch.allclose(got[0, 0, 511:514, 511:514], spot[0, 0], atol=1e-6)
    # 3 x 3 positions see a mark: 9 marks inside, 6 at an edge, 2 in a corner.
    assert int((got != 0).sum()) == 9 * 9 + 6 * 6 + 2 * 4


@pytest.mark.parametrize(
    "header", [b"{'descr': '<f4', (", b"{'shape': (1L, 2", b"((((", b"{" * 300, b"\xff\xfe", b"'"]
)
def test_a_numpy_header_that_is_no_header_is_a_sentence(tmp_path: Path, header: bytes) -> None:
    file = tmp_path / "odd.npy"
    padded = header.ljust(118) + b"\n"
    for version in (b"\x01\x00", b"\x02\x00"):
        size = len(padded).to_bytes(2 if version == b"\x01\x00" else 4, "little")
        file.write_bytes(b"\x93NUMPY" + version + size + padded)
        with pytest.raises(GeometryError, match=r"cannot read .*odd\.npy: .*numpy\.save"):
            open_file(file)
