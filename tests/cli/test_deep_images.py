"""Images deeper than 8 bits through every command: trained to the report, predicted, tiled, explained, probed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from striate.runs import load

from .conftest import Run

SIDE = 24
# kind -> dtype, black and white of the data
KINDS = {
    "thermal": (np.uint16, 51_000, 52_200),
    "signed": (np.int16, -500, 3000),
}


def write(root: Path, kind: str, images: int = 16) -> list[Path]:
    """Bright bars that stand in one class and lie in the other."""
    dtype, low, high = KINDS[kind]
    paths = []
    for i in range(images):
        rng = np.random.default_rng(i)
        values = rng.uniform(0, 0.4, (SIDE, SIDE))
        y, x = rng.integers(0, SIDE - 12, 2)
        values[
            (slice(y, y + 12), slice(x, x + 3)) if i % 2 else (slice(y, y + 3), slice(x, x + 12))
        ] += 0.6
        path = root / ("lying", "standing")[i % 2] / f"{i}"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = (low + values * (high - low)).astype(dtype)
        if dtype == np.uint16:
            Image.fromarray(pixels).save(path.with_suffix(".png"))
            paths.append(path.with_suffix(".png"))
        else:
            tifffile.imwrite(path.with_suffix(".tif"), pixels)
            paths.append(path.with_suffix(".tif"))
    return paths


@pytest.mark.parametrize("kind", KINDS)  # pixels of every kind: tests/data/test_scale.py
def test_deep_images_are_trained_to_the_report(tmp_path: Path, run: Run, kind: str) -> None:
    paths = write(tmp_path / "data", kind)
    options = (
        "--model",
        "[conv8-relu-pool]*2-fc",
        "--epochs",
        "1",
        "--set",
        "workers=0",
        "--precision",
        "fp32",
    )
    status, out, err = run("train", tmp_path / "data", *options, "--out", tmp_path / "run")
    assert status == 0, err
    made = load(tmp_path / "run")
    assert made.finished
    assert "How often each value occurs" in (tmp_path / "run" / "report.html").read_text()
    assert made.preprocessing.full_scale == (65535 if KINDS[kind][0] == np.uint16 else 0)
    status, out, err = run("predict", tmp_path / "run", paths[0], paths[1], "--format", "json")
    assert status == 0, err
    (predicted, _) = json.loads(out)
    status, out, err = run("tile", tmp_path / "run", paths[0], "--format", "json")
    assert status == 0, err
    assert len(predicted["top"]) == 2
    for ours, theirs in zip(json.loads(out)["classes"], predicted["top"], strict=True):
        assert ours["class"] == theirs["class"]
        assert ours["probability"] == pytest.approx(theirs["probability"], abs=1e-4)
    if kind == "signed":  # the rest sees images as the network does
        for command in (
            ("explain", tmp_path / "run", paths[0], "-o", tmp_path / "map.png"),
            ("units", tmp_path / "run"),
            ("probe", tmp_path / "run", "shift"),
            ("diagnose", tmp_path / "run"),
        ):
            status, _, err = run(*command)
            assert status == 0, (command, err)
