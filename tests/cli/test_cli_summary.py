"""`striate summary`: the table, its totals, the figures, and what it refuses."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from striate.cli import layers, main

LECTURE = "[conv32k5valid-relu-pool]-[fc200-relu]-fc"


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stop:
        main(["summary", *arguments])
    return int(stop.value.code or 0)


def shown(width: int, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> list[str]:
    window = Console(width=width, file=io.StringIO(), highlight=False)
    monkeypatch.setattr(layers, "out", window)
    assert run(*arguments) == 0
    assert isinstance(window.file, io.StringIO)
    return window.file.getvalue().splitlines()


def test_all_rows_their_branches_and_the_total_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """ResNet-50 (He et al. 2016): 25,557,032 parameters, 4.089 billion multiply-adds, as torchvision publishes."""
    lines = shown(100, monkeypatch, "resnet50")
    assert max(map(len, lines)) <= 100
    assert sum("Bottleneck" in line for line in lines) == 3 + 4 + 6 + 3
    assert any(line.startswith("└─ 5 ") and "267×267" in line for line in lines)
    (total,) = [line for line in lines if line.startswith("total")]
    assert total.split()[-2:] == ["25,557,032", "4,089.2"]


def test_the_numbers_stay_in_a_narrow_window(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seed 000: 832 parameters and 460,800 products in the first layer."""
    for width in (64, 80, 140):
        lines = shown(width, monkeypatch, LECTURE, "--input", "1x28x28")
        assert max(map(len, lines)) <= width
        (first,) = [line.split() for line in lines if line.startswith("conv1")]
        assert first[first.index("832") :][:4] == ["832", "460,800", "33.3", "%"]
        assert any("█" in line for line in lines) == (width == 140)


def test_csv_has_the_exact_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(LECTURE, "--input", "1x28x28", "--format", "csv") == 0
    first = next(iter(csv.DictReader(io.StringIO(capsys.readouterr().out))))
    assert [first[k] for k in ("layer", "output", "window", "parameters", "multiply_adds")] == [
        "conv1", "1x32x24x24", "5x5", "832", "460800"
    ]  # fmt: skip


def test_figures_are_written_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image = tmp_path / "image.png"
    Image.fromarray(np.arange(60 * 40, dtype=np.uint8).reshape(60, 40)).save(image)
    field, used = tmp_path / "new" / "field.png", tmp_path / "used.svg"
    arguments = ["lenet5", "--figure", str(field), "--image", str(image), "--utilisation", str(used)]  # fmt: skip
    assert run(*arguments, "--layer", "features.conv2", "--format", "csv") == 0
    assert field.read_bytes().startswith(b"\x89PNG")
    assert used.read_text(encoding="utf-8").startswith("<svg")
    assert run(*arguments) == 2
    assert "exists; choose another name, or --force" in capsys.readouterr().err
    assert run(*arguments, "--force", "--format", "csv") == 0


def test_the_effective_field_is_drawn_with_real_weights(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    field = tmp_path / "field.png"
    assert run("lenet5", "--effective", str(field), "--layer", "features.conv2", "--format", "csv") == 0  # fmt: skip
    assert field.read_bytes().startswith(b"\x89PNG")
    said = capsys.readouterr().err
    assert said.startswith("features.conv2 can see 196 pixels, but only ")
    assert "(not trained)" in said


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (
            ("lenet5", "--effective", "field.svg"),
            2,
            "--effective takes a file ending in .png; got field.svg",
        ),
        (("mlp", "--effective", "field.png"), 2, "no layer of this network keeps positions"),
        (
            ("lenet5", "--figure", "field.jpg"),
            2,
            "--figure takes a file ending in .png, .svg; got field.jpg",
        ),
        (("lenet5", "--image", "x.png"), 2, "--image belongs to a figure"),
        (("lenet5", "--figure", "f.png", "--image", "none.png"), 1, "none.png"),
        (("lenet5", "--utilisation", "f.png", "--layer", "con"), 2, "no layer is called 'con'"),
        (("timm/convnext_atto", "--input", "3x8x8"), 2, "give images of at least 32 x 32 pixels"),
        (("lenet5", "--depth", "0"), 2, "depth must be a whole number from 1"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_mistakes_are_one_sentence_and_write_nothing(
    arguments: tuple[str, ...],
    status: int,
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(*arguments) == status
    said = capsys.readouterr().err
    assert words in said
    assert len(said.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())
