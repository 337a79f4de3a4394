"""Sizes are reckoned before anything is made: what a small file or a short text asks for may be larger than the machine."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from judge import judge, run_here
from PIL import Image

import striate
from striate.errors import DataError, UsageError
from striate.images import open_picture
from striate.models import build


def chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def blank_png(path: Path, side: int) -> Path:
    """A PNG of one bit a pixel, all of them 0; a thousandth of its pixels in bytes."""
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    rows = zlib.compress(bytes((side // 8 + 1) * side), 9)
    parts = [chunk(b"IHDR", header), chunk(b"IDAT", rows), chunk(b"IEND", b"")]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))
    return path


def test_a_small_file_of_many_pixels_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    file = blank_png(tmp_path / "blank.png", 8000)
    with pytest.raises(DataError, match=r"blank\.png: decoding it takes 256 MB, and 100 MB may be"):
        open_picture(file, max_bytes=100_000_000)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA", "I;16"])
def test_what_decoding_takes_is_more_than_the_pixels_that_are_kept(
    tmp_path: Path, mode: str
) -> None:
    file = tmp_path / "a.png"
    Image.new(mode, (64, 64), "white" if mode in ("RGBA", "LA") else 0).save(file)
    with pytest.raises(DataError, match="may be used"):
        open_picture(file, max_bytes=open_picture(file).held)


def test_a_strip_of_a_whole_tiff_counts(tmp_path: Path) -> None:
    """Compressed strips are decoded whole, however small the region that is asked for."""
    file = tmp_path / "a.tif"
    tifffile.imwrite(file, np.zeros((512, 512), np.uint8), compression="zlib", rowsperstrip=512)
    assert open_picture(file, max_bytes=600_000).read((0, 1), (0, 1)).shape == (1, 1, 1)
    with pytest.raises(DataError, match="tiled TIFF"):
        open_picture(file, max_bytes=500_000)


def test_a_pattern_of_more_activations_than_memory_is_refused_before_any_weight_is_made() -> None:
    """512 channels of 20,000 x 20,000 numbers of 4 bytes: 819.2 GB in and as many out."""
    drawn = torch.get_rng_state()
    with pytest.raises(
        UsageError,
        match=r"has 1,188,354 parameters, which take 0\.0 GB, and its activations on one image of 20000 x 20000 pixels "
        r"take 1,638\.4 GB",
    ):
        build("[conv256]-[conv512]-relu-gap-fc", in_channels=3, num_classes=2, size=20_000)
    assert torch.equal(drawn, torch.get_rng_state())


def test_training_names_weights_and_activations(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError,
        match=r"GB for weights with their gradients, and [\d,.]+ GB for activations of 8 images",
    ):
        striate.train("digits", model="[conv512-relu]*4-gap-fc", size=3000, out=tmp_path / "run")
    assert not list(tmp_path.iterdir())


def test_memory_that_torch_is_refused_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*args: object, **more: object) -> None:
        torch.empty(2**50)

    monkeypatch.setattr("striate.api.report", refused)
    outcome = judge(run_here(["report", "run"], tmp_path), names=["not enough memory"])
    assert outcome.status == 1, outcome


def test_a_pattern_of_more_weights_than_memory_is_refused_before_any_is_made() -> None:
    drawn = torch.get_rng_state()
    with pytest.raises(UsageError, match=r"has 2,0\d\d,\d{3},\d{3},\d{3} parameters, which take"):
        build("[fc46000]*960-fc", in_channels=3, num_classes=2, size=16)
    assert torch.equal(drawn, torch.get_rng_state())
