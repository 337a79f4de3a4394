"""The program that goes with an exported file, in a process that has numpy, Pillow and onnxruntime alone."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from striate import api
from striate.export import write_script
from striate.export.envelope import Envelope
from striate.export.script import reader

from .conftest import Exported

ALONE = """
import builtins, runpy, sys
real = builtins.__import__
def guarded(name, *args, **kwargs):
    assert name.split(".")[0] not in {"torch", "striate", "onnx", "torchvision", "timm"}, name
    return real(name, *args, **kwargs)
builtins.__import__ = guarded
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def files(folder: Path) -> list[Path]:
    """Images as people have them: grey, alpha, palette, EXIF, 16 bits, one pixel, a large JPEG."""
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (61, 43, 3)).astype(np.uint8)
    made = {
        "rgb.png": Image.fromarray(noise),
        "grey.png": Image.fromarray(noise[..., 0]),
        "bits.png": Image.fromarray(noise[..., 0]).convert("1"),
        "palette.png": Image.fromarray(noise).convert("P", palette=Image.Palette.ADAPTIVE),
        "alpha.png": Image.fromarray(np.concatenate([noise, noise[..., :1]], -1)),
        "grey-alpha.png": Image.fromarray(noise[..., :2]),
        "deep.png": Image.fromarray(noise[..., 0].astype(np.uint16) * 257 + 100),
        "pixel.png": Image.fromarray(noise[:1, :1]),
        "row.png": Image.fromarray(noise[:1]),
        "large.jpg": Image.fromarray(noise).resize((430, 610), Image.Resampling.BICUBIC),
        "cmyk.jpg": Image.fromarray(noise).convert("CMYK"),
    }
    for name, image in made.items():
        image.save(folder / name)
    turned = Image.Exif()
    turned[0x0112] = 6
    made["large.jpg"].save(folder / "turned.jpg", exif=turned)
    return sorted(folder.iterdir())


def test_the_script_gives_the_answers_of_predict(exported: Exported, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    given = files(tmp_path / "images")
    script = tmp_path / "predict.py"
    write_script(script)
    assert len(script.read_text().splitlines()) < 60
    command = [sys.executable, "-c", ALONE, str(script), str(exported.path), *map(str, given)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    expected = list(api.predict(exported.trained, given, top=4))
    assert [one["path"] for one in found] == [p.path for p in expected]
    for one, prediction in zip(found, expected, strict=True):
        assert prediction.error is None, prediction.error
        for name, share in prediction.top:
            assert abs(one[name] - share) < 1e-5, (prediction.path, one, prediction.top)


def test_an_image_that_does_not_fit_ends_in_a_sentence(exported: Exported, tmp_path: Path) -> None:
    about = json.loads(Envelope.open(exported.path.read_bytes()).texts["striate"])
    about["input"]["size"] = [24, 20]
    Image.new("RGB", (31, 17)).save(tmp_path / "image.png")
    with pytest.raises(
        ValueError, match=r"17 x 31 pixels, and the file takes \[24, 20\]: resize it"
    ):
        reader().read(tmp_path / "image.png", about)
    write_script(tmp_path / "predict.py")
    (tmp_path / "text.png").write_text("no image")
    command = [
        sys.executable,
        "-c",
        ALONE,
        str(tmp_path / "predict.py"),
        str(exported.path),
        str(tmp_path / "text.png"),
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1 and "cannot use" in done.stderr and "Traceback" not in done.stderr
