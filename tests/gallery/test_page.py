"""Every command of docs/gallery.md runs, in order, in a folder of small images."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
from identities import network, write
from PIL import Image

import striate
from striate.cli import main
from striate.gallery.align import TEMPLATE

PAGE = Path(__file__).parents[2] / "docs" / "gallery.md"


class Whole(torch.nn.Module):
    """A detector that takes every image for one face: a map (N, 5, h / 4, w / 4)."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        made = x.new_full((len(x), 5, x.shape[2] // 4, x.shape[3] // 4), 64.0)
        made[:, 0] = -20
        made[:, 0, 1, 1] = 5
        return made + 0 * x.mean()


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """people/ and strangers/ of made identities, new/, people.csv, points.csv, and a run that knows two classes."""
    write(tmp_path / "people", range(8), 5)
    write(tmp_path / "strangers", range(50, 62), 5)
    (tmp_path / "people" / "person0").rename(tmp_path / "people" / "p0")
    write(tmp_path / "seen", [90], 1)
    (tmp_path / "seen" / "person90").rename(tmp_path / "new")
    (tmp_path / "new" / "0.png").rename(tmp_path / "new" / "a.png")
    names, points = ["file,name,lab"], ["file," + ",".join(f"x{i},y{i}" for i in range(1, 6))]
    for i, file in enumerate(sorted((tmp_path / "people").rglob("*.png"))):
        key = file.relative_to(tmp_path)
        names.append(f"{key},{file.parent.name},{'ab'[i % 2]}")
        at = TEMPLATE * 16 / 112
        points.append(f"{key}," + ",".join(f"{v:.2f}" for v in at.reshape(-1)))
    (tmp_path / "people.csv").write_text("\n".join(names))
    (tmp_path / "points.csv").write_text("\n".join(points))
    for i in range(24):
        folder = tmp_path / "classes" / "ab"[i % 2]
        folder.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(i).integers(0, 255, (16, 16, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.png")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("striate.runs.training.evaluate_run", lambda *given, **more: None)
    monkeypatch.setattr("striate.runs.training.report_run", lambda *given: None)
    striate.train(
        "classes", out="runs/people-1", model="[conv8-relu-pool]-fc16-relu-fc", size=16, epochs=1, workers=0, device="cpu"
    )  # fmt: skip
    known, packaged = striate.load("runs/people-1").trained, network()

    finder = striate.wrap(Whole(), classes=["face"], preprocessing=(16, (0.0,) * 3, (1.0,) * 3), task="detect")  # fmt: skip

    def opened(target: object) -> striate.Trained:
        if Path(str(target)).name == "boxes-1":
            return finder
        return packaged if str(target) == "efficientnet-lite0" else known  # which takes its time

    monkeypatch.setattr("striate.runs.galleries.open_trained", opened)
    return tmp_path


def test_every_command_of_the_page_runs(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = re.findall(r"^    (striate .*)$", PAGE.read_text(encoding="utf-8"), re.M)
    commands = [shlex.split(line, comments=True)[1:] for line in lines]
    assert len(commands) >= 13
    assert {c[1] for c in commands if c[0] == "gallery"} == {
        "enrol", "identify", "compare", "search", "duplicates", "forget",
    }  # fmt: skip
    for command in commands:
        for end in ([], ["--format", "json"]) if command[1] in ("identify", "search") else ([],):
            with pytest.raises(SystemExit) as left:
                main([*command, *end])
            said = capsys.readouterr()
            assert not left.value.code, (command, said.err)
    assert (here / "pairs.html").exists() and (here / "near.html").exists()
