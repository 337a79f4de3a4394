"""Runs of earlier formats, stored as they were written, open and predict as they did.

`old/classes` and `old/masks` are runs of format 1: `striate train digits --model '[conv2-relu-pool]-fc' --epochs 1` and
`striate train scenes --set count=40 --model unet --set width=1 --epochs 1`, of the last code that wrote this format;
`old/classes-2` is the first of these of format 2, which had no digests, by the last code that wrote that one.
`old/predictions.json` holds what that code's networks gave for `picture`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import striate
from striate.runs.migrating import migrated
from striate.tasks.classify.prediction import ClassPrediction
from striate.tasks.segment.predict import MaskPrediction

OLD = Path(__file__).parent / "old"
EXPECTED: dict[str, dict[str, Any]] = json.loads((OLD / "predictions.json").read_text())


def picture(path: Path, side: int, channels: int) -> Path:
    """A file of stripes."""
    rows, cols = np.mgrid[0:side, 0:side]
    planes = [(rows * (7 + c) + cols * (13 - c)) % 256 for c in range(channels)]
    pixels = np.stack(planes, -1).astype(np.uint8)
    Image.fromarray(pixels[..., 0] if channels == 1 else pixels).save(path)
    return path


@pytest.mark.parametrize(("kind", "task", "side"), [
    ("classes", "classify", 8), ("classes-2", "classify", 8), ("masks", "segment", 64),
])  # fmt: skip
def test_a_run_of_an_earlier_format_predicts_as_it_did(
    tmp_path: Path, kind: str, task: str, side: int
) -> None:
    before = (OLD / kind / "run.toml").read_bytes()
    run = striate.load(OLD / kind)
    expected = EXPECTED[kind.removesuffix("-2")]
    assert run.info["format"] == 3
    assert run.task.name == task
    assert run.recipe.epochs == 1
    assert run.temperature == expected["temperature"]
    file = picture(tmp_path / "picture.png", side, run.preprocessing.channels)
    x = run.preprocessing.normalise(torch.from_numpy(run.trained.read(file))[None])
    with torch.no_grad():
        y = run.model(x)
    assert (y[0] if y.dim() == 2 else y[0, :, 20, 30]).tolist() == pytest.approx(
        expected["logits"], abs=1e-4
    )
    (prediction,) = striate.predict(run, file)
    if isinstance(prediction, ClassPrediction):
        assert prediction.top[0][0] == run.classes[int(np.argmax(expected["logits"]))]
    else:
        assert isinstance(prediction, MaskPrediction)
        counts = torch.bincount(y[0].argmax(0).flatten(), minlength=len(run.classes)).tolist()
        assert list(y.shape) == expected["shape"]
        assert np.abs(np.subtract(counts, expected["pixels"])).sum() <= 4  # ties, by rounding
    assert (OLD / kind / "run.toml").read_bytes() == before  # migrated in memory alone


def test_googlenet_of_earlier_formats_is_torchvisions() -> None:
    """The name meant 3 x 3 kernels until format 3; the weights of such a run fit no other network."""
    path = Path("runs/old/run.toml")
    old = {"format": 2, "recipe": {"model": "googlenet", "task": "classify"}}
    assert migrated(old, path)["recipe"]["model"] == "googlenet-torchvision"
    new = {"format": 3, "digests": {}, "recipe": {"model": "googlenet", "task": "classify"}}
    assert migrated(new, path)["recipe"]["model"] == "googlenet"
