"""A network that was trained elsewhere, by the commands of docs/wrap.md."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

Command = Callable[..., tuple[int, str, str]]

NETWORK = """
import torch
from torch import nn

def build(width=4):
    return nn.Sequential(
        nn.Conv2d(3, width, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 2)
    )
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a network's file, a Lightning checkpoint, class names and photographs, red or blue."""
    monkeypatch.chdir(tmp_path)
    Path("net.py").write_text(NETWORK)
    names: dict[str, object] = {}
    exec(NETWORK, names)
    torch.manual_seed(0)
    network = names["build"]()  # type: ignore[operator]
    with torch.no_grad():  # a channel that is red, one that is blue
        network[0].weight.zero_()
        network[0].weight[0, 0, 1, 1] = network[0].weight[1, 2, 1, 1] = 1
        network[0].bias.zero_()
        network[4].weight.copy_(torch.tensor([[9.0, -9, 0, 0], [-9, 9, 0, 0]]))
        network[4].bias.zero_()
    state = {f"model.{name}": value for name, value in network.state_dict().items()}
    torch.save({"state_dict": state, "epoch": 3, "hyper_parameters": {"lr": 0.1}}, "last.ckpt")
    Path("classes.txt").write_text("red\nblue\n")
    rng = np.random.default_rng(0)
    for c, channel in (("red", 0), ("blue", 2)):
        Path("photos", c).mkdir(parents=True)
        for i in range(12):
            pixels = rng.integers(0, 90, (20, 24, 3), dtype=np.uint8)
            pixels[..., channel] += 120
            Image.fromarray(pixels).save(f"photos/{c}/{i}.png")
    return tmp_path


WRAP = (
    "wrap", "net.py:build", "--weights", "last.ckpt", "--classes", "classes.txt", "--preprocessing",
    "16/0.5,0.5,0.5/0.5,0.5,0.5", "-o", "runs/mine",
)  # fmt: skip
MODEL = ("--model", "net.py:build")


def test_every_verb_works_on_a_wrapped_network(run: Command, place: Path) -> None:
    status, out, err = run(*WRAP, "--look", "photos/red/0.png")
    assert status == 0, err
    assert out.split() == ["runs/mine/report.html", "runs/mine"]
    assert "commands on runs/mine take --model 'net.py:build'" in err
    assert (place / "runs/mine/findings/as-seen.json").is_file()

    status, out, err = run("predict", "runs/mine", "photos", *MODEL, "--format", "json")
    assert status == 0, err
    best = {Path(p["path"]).parts[1] == p["top"][0]["class"] for p in json.loads(out)}
    assert best == {True}

    status, out, err = run("units", "runs/mine", "--data", "photos", *MODEL, "--format", "json")
    assert status == 0, err
    assert "on 24 images" in json.loads(out)[0]["verdict"]  # all that were given

    status, out, err = run("tile", "runs/mine", "photos/red/0.png", *MODEL, "--format", "json")
    assert status == 0, err
    assert json.loads(out)["classes"][0]["class"] == "red"

    explained = (
        "explain",
        "runs/mine",
        "photos/red/0.png",
        *MODEL,
        "-m",
        "gradient",
        "--no-trust",
        "-o",
        "why.npz",
    )
    assert run(*explained)[0] == 0
    assert Path("why.npz").is_file()

    status, out, err = run(
        "units", "runs/mine", *MODEL, "--layer", "0", "--data", "photos", "--format", "json"
    )
    assert status == 0, err
    assert json.loads(out)

    status, out, err = run(
        "probe", "runs/mine", "flip", *MODEL, "--data", "photos", "--format", "json"
    )
    assert status == 0, err
    assert [f["name"] for f in json.loads(out)] == ["probe-flip", "checklist"]

    status, out, err = run("diagnose", "runs/mine", *MODEL, "--data", "photos", "--format", "json")
    assert status == 0, err
    names = [f["name"] for f in json.loads(out)]
    assert names == [
        "diagnose-gradients",
        "diagnose-activations",
        "diagnose-filters",
        "diagnose-labels",
    ]
    assert "rates could not be done: the network was trained elsewhere" in err

    status, out, err = run("summary", "runs/mine", *MODEL, "--format", "json")
    assert status == 0, err

    status, out, err = run("report", "runs/mine", *MODEL, "--data", "photos")
    assert status == 0, err
    found = {file.stem for file in Path("runs/mine/findings").iterdir()}
    assert found >= {
        "headline",
        "confusion",
        "as-seen",
        "explanations",
        "filters",
        "summary",
        "checklist",
    }
    headline = json.loads(Path("runs/mine/findings/headline.json").read_text())
    assert headline["data"]["accuracy"]["value"] == 1
    described = json.loads(Path("runs/mine/findings/data.json").read_text())
    assert described["data"]["counts"] == {
        "train": [0, 0],
        "val": [0, 0],
        "test": [12, 12],
    }  # none was learned from
    assert "trained elsewhere" in Path("runs/mine/report.html").read_text()


def test_images_in_splits_of_their_own_and_long_names(run: Command, place: Path) -> None:
    assert run(*WRAP)[0] == 0
    for i, split in enumerate(("train", "val", "test")):
        for name in ("red", "blue"):
            Path("own", split, name).mkdir(parents=True)
            for k in range(4):
                Path(f"photos/{name}/{4 * i + k}.png").rename(f"own/{split}/{name}/{k}.png")
    status, out, err = run(
        "diagnose", "runs/mine", "activations", "--data", "own", *MODEL, "--format", "json"
    )
    assert status == 0, err
    assert json.loads(out)[0]["name"] == "diagnose-activations"

    long = "own/test/red/a photograph whose name says where, when and by whom it was taken, and of what.png"
    Path("own/test/red/0.png").rename(long)
    status, out, err = run("predict", "runs/mine", "own/test", *MODEL)
    assert status == 0 and any(line.startswith(long) for line in out.splitlines()), out

    status, out, err = run("train", "nowhere", "-o", "runs/other")
    assert status == 2 and "no folder or source 'nowhere'" in err


def test_photographs_without_labels_make_a_report_too(run: Command, place: Path) -> None:
    assert run(*WRAP)[0] == 0
    status, _, err = run("report", "runs/mine", *MODEL, "--data", "photos/red")
    assert status == 0, err
    headline = json.loads(Path("runs/mine/findings/headline.json").read_text())
    assert "12 images without labels" in headline["verdict"]


def test_what_is_missing_or_does_not_fit_says_what_to_do(run: Command, place: Path) -> None:
    status, _, err = run("predict", "runs/mine", "photos")
    assert status != 0
    assert run(*WRAP)[0] == 0
    status, _, err = run("predict", "runs/mine", "photos")
    assert status == 1 and "and not its code" in err and "such as --model net.py:build" in err
    status, _, err = run("predict", "runs/mine", "photos", "--model", "net.py:build(width=5)")
    assert status == 1 and "do not fit the network that model= makes" in err
    status, _, err = run("probe", "runs/mine", *MODEL)
    assert status == 2 and "has no images of its own" in err
    status, _, err = run(*WRAP)
    assert status == 1 and "runs/mine exists" in err
    status, _, err = run(
        *[a.replace("runs/mine", "other").replace("build", "build(width=5)") for a in WRAP]
    )
    assert status == 2 and "last.ckpt does not fit the network" in err
    status, _, err = run(*[a.replace("runs/mine", "other").replace("16/", "16,") for a in WRAP])
    assert status == 2 and "FILE.json or SIZE/MEAN/STD" in err
