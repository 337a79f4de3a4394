"""The same images give the same training wherever they lie."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import striate
from striate.data import Preprocessing
from striate.volumes import mount
from tests.volumes.packing import ITEMS, as_folder, as_parquet, as_saved, as_tars

PACKED: list[Callable[[Path], str]] = [as_tars, as_parquet, as_saved]


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize("packed", PACKED, ids=lambda f: f.__name__)
def test_classes_splits_and_pixels_are_those_of_the_folder(tmp_path: Path, packed) -> None:
    if packed is not as_tars:
        pytest.importorskip("pyarrow")
    folder = striate.open_source(str(as_folder(tmp_path)), seed=3)
    source = striate.open_source(packed(tmp_path), seed=3)
    assert source.classes == folder.classes == ("ant", "bee", "cat")
    assert source.fingerprint == folder.fingerprint
    for name, split in source.splits.items():
        images = {folder.splits[name].image(i).tobytes() for i in range(len(split))}
        assert {split.image(i).tobytes() for i in range(len(split))} == images
        labels = [int(split.image(i)[0, 0].argmax()) for i in range(len(split))]
        assert split.labels.tolist() == labels


def losses(data: str, out: Path) -> list[str]:
    """The lines of metrics.csv without their seconds."""
    more = {"model": "[conv4-relu]-gap-fc", "device": "cpu", "epochs": 2, "batch": 8}
    run = striate.train(data, out=str(out), seed=1, **more)
    lines = (run.path / "metrics.csv").read_text().splitlines()
    at = [i for i, name in enumerate(lines[0].split(",")) if "loss" in name]
    return [",".join(line.split(",")[i] for i in at) for line in lines]


def test_a_training_has_the_same_losses_to_the_bit(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    # A folder that lists the images in the order of the archives: a table of labels.
    flat = tmp_path / "flat"
    flat.mkdir()
    for key, data, _ in ITEMS:
        (flat / f"{key}.png").write_bytes(data)
    rows = "\n".join(f"{key}.png,{'abc'[label]}" for key, _, label in ITEMS)
    (flat / "labels.csv").write_text(f"file,label\n{rows}\n")
    wanted = losses(str(flat), tmp_path / "a")
    assert len(set(wanted[1:])) > 1
    assert losses(as_tars(tmp_path), tmp_path / "b") == wanted
    assert losses(as_parquet(tmp_path), tmp_path / "c") == wanted


def test_a_reader_in_another_process_finds_the_volume(tmp_path: Path) -> None:
    import subprocess
    import sys

    root = mount(as_tars(tmp_path))
    code = f"from striate.images import read_image; print(read_image({str(root / '00004.png')!r}).sum())"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    preprocessing = Preprocessing(channels=3, height=12, width=12)
    assert int(out.stdout) == int(
        np.asarray(preprocessing.read(root / "00004.png"), dtype=np.int64).sum()
    )
