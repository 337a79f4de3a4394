"""`striate data` on masks: settings as in a training, a page with the masks over their images, and refusals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from striate.cli import main


@pytest.fixture
def smoothed(tmp_path: Path) -> Path:
    """Images with masks of 0 and 255 that were resized with smoothing."""
    rng = np.random.default_rng(0)
    for folder in ("images", "masks"):
        (tmp_path / "data" / folder).mkdir(parents=True)
    for i in range(8):
        small = np.zeros((16, 16), dtype=np.uint8)
        small[4 + i % 3 : 11, 3:12] = 255
        mask = Image.fromarray(small).resize((32, 32), Image.Resampling.BICUBIC)
        mask.save(tmp_path / "data" / "masks" / f"{i}.png")
        pixels = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "data" / "images" / f"{i}.png")
    return tmp_path / "data"


def status(*arguments: object) -> int:
    try:
        main([str(a) for a in arguments])
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def test_the_remedy_that_a_refusal_names_works_in_both_commands(
    smoothed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status("data", smoothed) == 1
    said = " ".join(capsys.readouterr().err.split())
    assert "they are shades" in said and "--set masks=nearest" in said and "Traceback" not in said
    page = tmp_path / "data.html"
    assert status("data", smoothed, "--set", "masks=nearest", "--page", page) == 0
    assert "255 or near it" in capsys.readouterr().out
    assert "data:image/webp" in page.read_text()
    assert status("data", smoothed, "--set", "masks=nearest", "--page", page) == 2
    assert "exists; choose another name" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("digits", "--set", "masks=nearest"),
            "has no effect on digits, which has one class an image; leave it out",
        ),
        (
            ("scenes", "--set", "masks=red"),
            "masks must be one of numbers, colours, binary, nearest",
        ),
        (("digits", "--page", "x.pdf"), "is no .html file"),
    ],
)
def test_settings_that_cannot_be(
    arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status("data", *arguments) == 2
    assert message in " ".join(capsys.readouterr().err.split())
