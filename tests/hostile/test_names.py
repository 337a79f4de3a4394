"""Names that make lines, move a terminal or are no text, wherever a command takes or finds one: each shows in one line."""

from __future__ import annotations

import io
import os
import shutil
from pathlib import Path

import files
import numpy as np
import pytest
import torch
from judge import fault, run_here
from PIL import Image
from torch import nn

FORGED = "a\nforged: done"
ODD = {"line": FORGED, "escape": "a\x1b[2Jb", "bytes": os.fsdecode(b"caf\xe9"), "order": "a\u202eb"}
NETWORK = (
    "from torch import nn\ndef make():\n    return nn.Sequential(nn.Flatten(), nn.Linear(192, 2))\n"
)
TINY = ("--epochs", "1", "--set", "workers=0", "--set", "limit=8")
PLAIN = ("--model", "[conv2-relu-pool]-fc", "--size", "12")


def picture(path: Path, seed: int, side: int = 16) -> Path:
    """An image of noise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (side, side, 3)).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    path.write_bytes(stream.getvalue())
    return path


def classes(folder: Path, *names: str) -> Path:
    """Four images of each class."""
    for c, name in enumerate(names):
        for i in range(4):
            picture(folder / name / f"{i}.png", 10 * c + i)
    return folder


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that classifies, one that segments, and a good image."""
    home = tmp_path_factory.mktemp("names")
    classes(home / "sound", "cat", "dog")
    picture(home / "good.png", 1)
    for i in range(8):
        picture(home / "masked" / "images" / f"{i}.png", i)
        mask = home / "masked" / "masks" / f"{i}.png"
        mask.parent.mkdir(exist_ok=True)
        Image.fromarray(np.eye(16, dtype=np.uint8)).save(mask)
    for words in (
        ["train", "sound", *PLAIN, *TINY, "--out", "r"],
        ["train", "masked", "--model", "unet", "--set", "width=4", *TINY, "--out", "s"],
    ):
        done = run_here(words, home, limit=300)
        assert done.status == 0, done
    done = run_here(["gallery", "enrol", "g", "r", "sound"], home, limit=60)
    assert done.status == 0, done
    return home


def place(home: Path, odd: str) -> None:
    """Everything that may carry the name: an image, damage, a folder, masks, tables, a network's file, a concept."""
    shutil.rmtree(home / "o", ignore_errors=True)
    place = home / "o"
    picture(place / f"{odd}.png", 3)
    (place / f"{odd}-cut.png").write_bytes(b"\x89PNG\r\n\x1a\n cut")
    (place / f"{odd}.tif").write_bytes(b"II*\0\x08\0\0\0\xff\xff")
    (place / f"{odd}.pt").write_bytes(b"no weights")
    (place / f"{odd}.txt").write_text("cat\ndog\n")
    (place / f"{odd}.py").write_text(NETWORK)
    classes(place / "data", "cat", "dog")
    (place / "data" / "cat" / f"{odd}.png").write_bytes(b"cut")
    classes(place / f"{odd}-classes", odd, "dog")
    masks = place / "masks" / "masks"
    for i in range(4):
        picture(place / "masks" / "images" / f"{odd}{i}.png", i)
        masks.mkdir(exist_ok=True)
        Image.fromarray(np.eye(16, dtype=np.uint8) * (i % 2)).save(io_ := io.BytesIO(), "PNG")
        (masks / f"{odd}{i}.png").write_bytes(io_.getvalue() if i else b"cut")
    (place / "table").mkdir()
    shutil.copy(place / f"{odd}.png", place / "table" / f"{odd}.png")
    named = os.fsencode(odd).replace(b"\n", b" ")
    (place / "table" / "labels.csv").write_bytes(b"file,label\n" + named + b".png,a\nnone.png,b\n")
    classes(place / "concepts", "red")
    picture(place / "concepts" / odd / "images" / "0.png", 0)
    (place / "concepts" / odd / "masks").mkdir()
    (place / f"{odd}-run").mkdir()
    (place / f"{odd}-run" / "run.toml").write_text("format = 3\n")


def commands(odd: str) -> dict[str, list[str]]:
    """Commands by what carries the name."""
    image, cut, tif = f"o/{odd}.png", f"o/{odd}-cut.png", f"o/{odd}.tif"
    made = f"new/{odd}"
    more = ["-m", "saliency", "--no-trust"]
    return {
        "predict": ["predict", "r", image, cut, tif, f"o/{odd}-none.png"],
        "predict csv": ["predict", "r", image, cut, "--format", "csv"],
        "predict masks": ["predict", "s", image, cut, "-o", made],
        "explain": ["explain", "r", image, *more, "-o", f"{made}.png"],
        "explain damage": ["explain", "r", cut, *more, "-o", f"{made}.png"],
        "explain at": ["explain", "r", "good.png", *more, "-o", f"{made}/x/e.html"],
        "tile": ["tile", "s", image, "-o", f"{made}.tif"],
        "tile damage": ["tile", "s", tif, "-o", f"{made}.tif"],
        "tile npy": ["tile", "s", image, "-o", f"{made}.npy"],
        "tile nowhere": ["tile", "s", image, "-o", f"{made}.xyz"],
        "tile again": ["tile", "s", "good.png", "-o", image],
        "compare": ["compare", image, "good.png", "--network", "r"],
        "compare damage": ["compare", cut, "good.png", "--network", "r"],
        "compare folder": ["compare", f"o/{odd}-classes", "o/data", "--network", "r"],
        "enrol": ["gallery", "enrol", f"new/{odd}", "r", f"o/{odd}-classes"],
        "enrol damage": ["gallery", "enrol", "new/g", "r", "o/data"],
        "enrol name": ["gallery", "enrol", "new/g", "r", image, "--name", odd],
        "enrol table": ["gallery", "enrol", "new/g", "r", "o/table/labels.csv", "--group", odd],
        "enrol strangers": ["gallery", "enrol", "new/g", "r", "o/data", "--impostors", f"o/{odd}-none"],
        "identify": ["gallery", "identify", "g", image, cut, tif],
        "identify csv": ["gallery", "identify", "g", image, cut, "--format", "csv"],
        "identify nowhere": ["gallery", "identify", f"o/{odd}-run", image],
        "gallery compare": ["gallery", "compare", "g", image, cut],
        "search": ["gallery", "search", "g", image],
        "duplicates": ["gallery", "duplicates", "g", f"o/{odd}-classes", "--page", f"{made}.html"],
        "forget": ["gallery", "forget", "g", odd],
        "units": ["units", "r", "--layer", "conv1", "--limit", "4", "-o", f"{made}.html"],
        "units image": ["units", "r", "--layer", "conv1", "--limit", "4", "--image", cut],
        "dissect": ["dissect", "r", "--layer", "conv1", "--concepts", "o/concepts", "--limit", "4"],
        "dissect out": ["dissect", "r", "--layer", "conv1", "--concepts", f"o/{odd}-none"],
        "probe": ["probe", "r", "flip", "--limit", "4", "--data", f"o/{odd}-none"],
        "diagnose": ["diagnose", "r", "filters", "--data", f"o/{odd}-classes"],
        "report": ["report", f"o/{odd}-run"],
        "summary": ["summary", f"o/{odd}-run"],
        "summary figure": ["summary", "r", "--figure", f"{made}.xyz"],
        "data": ["data", "o/data"],
        "convert": ["convert", f"o/{odd}-classes", made],
        "data classes": ["data", f"o/{odd}-classes"],
        "data masks": ["data", "o/masks"],
        "data table": ["data", "o/table"],
        "data page": ["data", "o/data", "--page", f"{made}.html"],
        "data no page": ["data", "o/data", "--page", f"{made}.xyz"],
        "train out": ["train", "o/data", *PLAIN, *TINY, "--out", made],
        "train config": ["train", "o/data", "--set", f"{odd}=1"],
        "train weights": ["train", "o/data", *PLAIN, "--set", f"weights=o/{odd}.pt", "--out", "new/w"],
        "train masks": ["train", "o/masks", "--set", "masks=" + odd, "--out", "new/m"],
        "train python": ["train", "o/data", "--model", f"o/{odd}.py:make", "--size", "8", *TINY, "--out", "new/p"],
        "train model": ["train", "o/data", "--model", f"o/{odd}-none.py:make", "--out", "new/p"],
        "wrap weights": ["wrap", "net.py:make", "--weights", f"o/{odd}.pt", "--classes", f"o/{odd}.txt", "-o", made],
        "wrap factory": ["wrap", f"o/{odd}.py:make", "--weights", "net.pt", "--classes", f"o/{odd}.txt", "-o", made,
                         "--preprocessing", "8/0.5/0.5"],
        "wrap nothing": ["wrap", f"o/{odd}-none.py:make", "--weights", "w.pt", "--classes", "c.txt", "-o", made],
        "export": ["export", "r", f"{made}.xyz"],
        "export run": ["export", f"o/{odd}-run", "new/m.onnx"],
        "verify": ["verify", image],
        "studio": ["studio", f"o/{odd}-run"],
        "review": ["review", f"o/{odd}-run", "--apply"],
        "predict shard": ["predict", "r", image, cut, "--shard", "1/1", "--parts", made],
        "tile shard": ["tile", "r", image, "-o", f"{made}.json", "--shard", "1/1", "--parts", f"{made}-tiles"],
        "sweep": ["sweep", f"o/{odd}-none", "--over", "lr=0.1", "-o", made],
        "merge": ["merge", f"o/{odd}-classes"],
        "merge nowhere": ["merge", f"o/{odd}-none"],
        "verify nowhere": ["verify", f"o/{odd}-none.onnx"],
        "extra": ["report", "r", odd],
        "lecture": ["lecture", odd],
        "experiment": ["experiment", odd],
        "models": ["models", odd],
    }  # fmt: skip


@pytest.mark.parametrize("kind", ODD)
def test_no_name_makes_a_line_or_moves_a_terminal(kind: str, home: Path) -> None:
    odd = ODD[kind]
    place(home, odd)
    (home / "net.py").write_text(NETWORK)
    torch.save(nn.Sequential(nn.Flatten(), nn.Linear(192, 2)).state_dict(), home / "net.pt")
    faults = []
    for name, words in commands(odd).items():
        shutil.rmtree(home / "new", ignore_errors=True)
        outcome = run_here(words, home, limit=60)
        found = fault(outcome, writes=("new", "r", "s", "masks"))
        if found is None and any(c in outcome.out + outcome.err for c in "\u202e\udce9"):
            found = "a name is printed as it is"
        if found is not None:
            faults.append(f"{name}: {found}\n{outcome}")
    assert not faults, f"{len(faults)} of {len(commands(odd))}\n\n" + "\n\n".join(faults)


def test_the_names_reach_every_command_that_takes_one() -> None:
    from striate.cli.app import ORDER

    assert {words[0] for words in commands(FORGED).values()} == {*ORDER, "gallery"}
    assert any(FORGED.split("\n")[1].encode() in name for name in files.NAMES) or any(
        b"\nforged: " in name for name in files.NAMES
    )


def test_pictures_of_units_write_over_nothing(home: Path) -> None:
    """`-o x.png` writes several files; those that exist stay, unless --force is given."""
    place = home / "pictures"
    place.mkdir()
    kept = {name: place / name for name in ("x.svg", "x-2.png", "x-2.svg")}
    for path in kept.values():
        path.write_text("mine")
    words = ["units", "r", "--layer", "conv1", "--limit", "4", "-o", "pictures/x.png"]
    outcome = run_here(words, home, limit=60)
    assert outcome.status == 0 and fault(outcome, writes=("pictures",)) is None, outcome
    assert all(path.read_text() == "mine" for path in kept.values())
    assert {p.name for p in place.iterdir()} > set(kept)


def test_an_experiment_that_is_refused_leaves_no_folder(home: Path) -> None:
    outcome = run_here(["experiment", "architectures", "--data", "nowhere"], home)
    assert outcome.status == 2 and fault(outcome, names=["takes no data"]) is None, outcome
