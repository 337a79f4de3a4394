"""A manifest gives what the folder gives, and its bytes do not depend on how it was made."""

from __future__ import annotations

import csv
import hashlib
import io
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import striate
from striate.data import manifest as making
from striate.data.manifest import make_manifest, open_manifest
from striate.errors import DataError, UsageError

pytest.importorskip("pyarrow")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """48 images of three classes, copies among them within and between classes, and one that is damaged."""
    for i in range(48):
        pixels = np.random.default_rng(i if i not in (7, 8) else 6).integers(0, 255, (6, 6, 3))
        place = tmp_path / "photos" / f"c{i % 3 if i != 7 else 0}" / f"{i}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.astype(np.uint8)).save(place)
    (tmp_path / "photos" / "c1" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    return tmp_path / "photos"


@pytest.mark.parametrize("settings", [{}, {"seed": 4}, {"val": 0.3, "test": 0.0}], ids=str)
def test_the_source_is_that_of_the_folder(photos: Path, tmp_path: Path, settings) -> None:
    make_manifest(photos, tmp_path / "m.arrow", processes=1)
    ours, folder = (striate.open_source(str(p), **settings) for p in (tmp_path / "m.arrow", photos))
    assert ours.fingerprint == folder.fingerprint
    assert (ours.classes, ours.damaged) == (folder.classes, folder.damaged)
    assert {frozenset(d.keys) for d in ours.duplicates} == {
        frozenset(d.keys) for d in folder.duplicates
    }
    for name, split in ours.splits.items():
        other = folder.splits[name]
        assert dict(zip(split.keys, split.labels, strict=True)) == dict(
            zip(other.keys, other.labels, strict=True)
        )
        for i, key in enumerate(split.keys):
            assert np.array_equal(split.image(i), other.image(other.keys.index(key)))
    part = ours.train.take([3, 1])
    assert list(part.keys) == [ours.train.keys[3], ours.train.keys[1]]
    assert list(pickle.loads(pickle.dumps(part)).keys) == list(part.keys)


def test_splits_that_folders_state_are_kept(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "split").mkdir()
    os.rename(photos, tmp_path / "split" / "train")
    copied = tmp_path / "split" / "train" / "c0" / "0.png"
    (tmp_path / "split" / "test" / "c0").mkdir(parents=True)
    (tmp_path / "split" / "test" / "c0" / "x.png").write_bytes(copied.read_bytes())
    make_manifest(tmp_path / "split", tmp_path / "m.arrow", processes=1)
    ours, folder = (striate.open_source(str(tmp_path / p)) for p in ("m.arrow", "split"))
    assert ours.fingerprint == folder.fingerprint
    assert [len(s) for s in ours.splits.values()] == [len(s) for s in folder.splits.values()]
    assert "train/c0/0.png" not in ours.train.keys


def test_the_rows_are_what_the_files_are(photos: Path, tmp_path: Path) -> None:
    rows = make_manifest(photos, tmp_path / "m.arrow", processes=1).table.to_pylist()
    assert len(rows) == 48
    assert [r["path"] for r in rows] == sorted(r["path"] for r in rows)
    for row in rows:
        file = photos / row["path"]
        assert row["size"] == file.stat().st_size
        assert row["label"] == file.parent.name
        with Image.open(file) as image:
            pixels = np.asarray(image)
        stated = repr((pixels.shape, pixels.dtype.str)).encode()
        digest = hashlib.blake2b(pixels.tobytes() + stated, digest_size=16)
        assert row["digest"] == digest.digest()
        assert (row["height"], row["width"], row["channels"]) == pixels.shape


def test_the_bytes_are_the_same_whatever_made_them(
    photos: Path, tmp_path: Path, monkeypatch
) -> None:
    whole = make_manifest(photos, tmp_path / "a.arrow", processes=1).path.read_bytes()
    monkeypatch.setattr(making, "PART", 5)
    assert make_manifest(photos, tmp_path / "b.arrow", processes=3).path.read_bytes() == whole
    real = os.scandir

    class Turned:
        def __init__(self, folder) -> None:
            with real(folder) as entries:
                self.entries = list(entries)[::-1]

        def __enter__(self):
            return iter(self.entries)

        def __exit__(self, *_: object) -> None: ...

    monkeypatch.setattr("striate.data.tree.os.scandir", Turned)
    assert make_manifest(photos, tmp_path / "c.arrow", processes=2).path.read_bytes() == whole


def test_what_was_killed_goes_on_after_its_last_part(photos: Path, tmp_path: Path) -> None:
    whole = make_manifest(photos, tmp_path / "a.arrow", processes=1).path.read_bytes()
    code = (
        "import os, signal, sys\nfrom pathlib import Path\nfrom striate.data import manifest\nmanifest.PART = 5\n"
        "def seen(done, of):\n    if done == 23: os.kill(os.getpid(), signal.SIGKILL)\n"
        f"manifest.make_manifest({str(photos)!r}, Path({str(tmp_path / 'b.arrow')!r}), progress=seen, processes=1)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
    parts = tmp_path / "b.arrow.parts"
    assert len(list(parts.glob("*.json"))) == 4
    assert not (tmp_path / "b.arrow").exists()
    made: list[int] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(making, "PART", 5)
        make_manifest(
            photos, tmp_path / "b.arrow", progress=lambda n, of: made.append(n), processes=1
        )
    assert len(made) == 49 - 20  # the files of four parts were not looked at again
    assert (tmp_path / "b.arrow").read_bytes() == whole
    assert not parts.exists()


def test_training_and_prediction_take_a_manifest(photos: Path, tmp_path: Path) -> None:
    def losses(data: Path, out: str) -> list[str]:
        more = {"model": "[conv4-relu]-gap-fc", "device": "cpu", "epochs": 1, "batch": 8}
        run = striate.train(str(data), out=str(tmp_path / out), **more)
        lines = list(csv.DictReader(io.StringIO((run.path / "metrics.csv").read_text())))
        return [line["train_loss"] for line in lines]

    make_manifest(photos, tmp_path / "m.arrow", processes=1)
    table = tmp_path / "photos" / "labels.csv"
    known = open_manifest(tmp_path / "m.arrow").table
    rows = zip(known.column("path").to_pylist(), known.column("label").to_pylist(), strict=True)
    table.write_text("file,label\n" + "\n".join(f"{path},{label}" for path, label in rows))
    assert losses(tmp_path / "m.arrow", "a") == losses(table, "b")
    found = striate.load(tmp_path / "a").predict(str(tmp_path / "m.arrow"))
    assert len(list(found)) == 48


def test_what_is_no_manifest_is_said(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"name it m\.arrow"):
        make_manifest(photos, tmp_path / "m.csv")
    make_manifest(photos, tmp_path / "m.arrow", processes=1)
    data = (tmp_path / "m.arrow").read_bytes()
    (tmp_path / "cut.arrow").write_bytes(data[: len(data) // 2])
    with pytest.raises(DataError, match="is cut short"):
        open_manifest(tmp_path / "cut.arrow")
