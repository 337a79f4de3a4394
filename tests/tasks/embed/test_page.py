"""Every command of docs/embed.md runs, in order, in a folder of small images; trainings are cut to one pass."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from striate.cli import main
from striate.runs import evaluate
from striate.tasks.embed.settings import COSINE, PAIRS

PAGE = (Path(__file__).parents[3] / "docs" / "embed.md").read_text(encoding="utf-8")
PARTS = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", PAGE, re.M | re.S))
OWN = """
from torch import nn

def make():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 8))
"""


def commands_of(part: str) -> list[list[str]]:
    """The commands of a part of the page, without their comments."""
    lines = [line.strip() for line in PARTS[part].splitlines() if line.startswith("    striate ")]
    return [shlex.split(line, comments=True)[1:] for line in lines]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    rng = np.random.default_rng(0)
    (tmp_path / "new").mkdir()
    lines = ["file,label,camera"]
    for k in range(7):
        (tmp_path / "people" / f"p{k}").mkdir(parents=True)
        for i in range(4):
            pixels = rng.integers(0, 255, (16, 16, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "people" / f"p{k}" / f"{i}.png")
            lines.append(f"people/p{k}/{i}.png,n{k},{'ab'[i % 2]}")
    Image.fromarray(pixels).save(tmp_path / "new" / "a.png")
    (tmp_path / "people.csv").write_text("\n".join(lines) + "\n")
    (tmp_path / "own.py").write_text(OWN)
    names: dict[str, object] = {}
    exec(OWN, names)
    torch.save(names["make"]().state_dict(), tmp_path / "own.pt")  # type: ignore[operator]
    monkeypatch.chdir(tmp_path)
    reported: list[object] = []

    def once(run: object, *given: object, **more: object) -> None:
        if not reported:  # one report of the several trainings, which are most of the time
            evaluate.evaluate_run(run, *given, **more)  # type: ignore[arg-type]
        reported.append(run)

    monkeypatch.setattr("striate.runs.training.evaluate_run", once)
    monkeypatch.setattr(evaluate, "explain_in_time", lambda *given: None)
    return tmp_path


@pytest.mark.parametrize("part", ["Training", "How good it is", "A network that was trained elsewhere"])  # fmt: skip
def test_every_command_of_the_page_runs(
    part: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    commands = commands_of(part)
    assert commands
    for command in commands:
        short = {
            "train": ["--epochs", "1", "--set", "workers=0"],
            "data": [],
            "predict": [],
            "wrap": [],
        }[command[0]]
        if "glyphs" in command:
            short = [*short, "--set", "count=96", "--size", "16"]
        with pytest.raises(SystemExit) as left:
            main([*command, *short])
        assert left.value.code == 0, (command, capsys.readouterr().err)
    assert "e0" in capsys.readouterr().out or part != "Training"
    if part == "How good it is":
        [found] = (here / "runs").glob("*/findings/by-group.json")
        assert [g["group"] for g in json.loads(found.read_text())["data"]["groups"]] == ["a", "b"]


def test_the_page_names_every_loss() -> None:
    losses = PAGE.split("| `--set loss=` |")[1].split("\n\n")[0]
    assert re.findall(r"^\| `(\w+)`", losses, re.M) == [*COSINE, *PAIRS]
