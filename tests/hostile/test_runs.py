"""Altered runs: every key of every stored file to every wrong kind, bytes that flip, files that are gone; on each a command.

`STRIATE_FUZZ=3000 pytest tests/hostile/test_runs.py -k altered` makes that many trials.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomli_w
from altered import ALTERATIONS, Alteration
from judge import Outcome, fault, run_here
from PIL import Image

from striate.runs.stored import parsed, signed
from striate.runs.training import train
from striate.training.callbacks import Listener

TRIALS = int(os.environ.get("STRIATE_FUZZ", "80"))
BLOCKS = 2  # tests, each with its part of the trials
NETWORK = {
    "predict",
    "explain",
    "tile",
    "probe",
    "diagnose",
    "compare",
    "units",
    "dissect",
}  # these open the network itself
WRITES = (
    "run",
    "image-explained.png",
    "image-explained-2.png",
    "out.json",
    "out.png",
    "run-units",
    "run-dissection",
    "objects",
)


def commands(random: random.Random, *, detector: bool = False) -> list[str]:
    """A command on the run, or on one that finds objects."""
    if detector:
        return random.choice(
            [
                ["predict", "run", "image.png", "--format", "json"],
                ["predict", "run", "image.png", "--format", "csv"],
                ["report", "run"],
                ["summary", "run", "--format", "json"],
                ["tile", "run", "image.png", "--out", "out.json", "--format", "json"],
                ["train", "things", "--out", "run", "--resume"],
                ["explain", "run", "image.png", "-m", "gradient", "--no-trust", "-o", "out.png"],
                ["probe", "run", "flip", "--limit", "4"],
                ["diagnose", "run", "filters", "--format", "json"],
            ]
        )
    return random.choice(
        [
            ["predict", "run", "image.png", "--format", "json"],
            ["predict", "run", "image.png", "--format", "json"],
            ["predict", "run", "image.png", "--format", "csv"],
            ["report", "run"],
            ["report", "run"],
            ["summary", "run", "--format", "json"],
            ["diagnose", "run", "filters", "--format", "json"],
            ["tile", "run", "image.png", "--out", "out.json", "--format", "json"],
            ["train", "few", "--out", "run", "--resume"],
            ["explain", "run", "image.png", "-m", "gradient", "--no-trust", "-o", "out.png"],
            ["compare", "image.png", "few/a/0.png", "--network", "run", "--format", "json"],
            ["units", "run", "--layer", "conv1", "--limit", "4"],
            ["probe", "run", "flip", "--limit", "4"],
            ["dissect", "run", "--layer", "conv1", "--concepts", "concepts", "--limit", "4"],
        ]
    )


@contextlib.contextmanager
def inside(folder: Path) -> Iterator[None]:
    """In a folder, for the duration of a `with`."""
    here = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(here)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """See `make_template`."""
    return make_template(tmp_path_factory.mktemp("template"))


class Keeps(Listener):
    """Keeps the run as it is after the first epoch, with its checkpoint."""

    def __init__(self, run: Path, kept: Path) -> None:
        self.run, self.kept, self.epochs = run, kept, 0

    def epoch(self, record: Any) -> None:
        self.epochs += 1
        if self.epochs == 2:
            shutil.copytree(self.run, self.kept)


def stopped(home: Path, data: str, name: str, **settings: Any) -> None:
    """A run in the folder `home` that was stopped in its evaluation, with findings, a checkpoint and a report."""
    kept = home / "kept"
    with inside(home):  # where the commands run, so that the run finds its data
        run = train(
            data, out=home / name, epochs=2, listener=Keeps(home / name, kept), precision="fp32", device="cpu", batch=4,
            **settings,
        )  # fmt: skip
    shutil.copytree(kept / "checkpoint", run.path / "checkpoint")
    shutil.rmtree(kept)
    run.info["finished"] = False
    run.save_info()


def make_template(base: Path) -> Path:
    """A folder with an image, a run of classes that was stopped, and one that finds objects, `boxes`."""
    home = base / "template"
    home.mkdir()
    pixels = np.random.default_rng(0).integers(0, 255, (24, 8, 8), dtype=np.uint8)
    for i, image in enumerate(pixels):
        folder = home / "few" / "ab"[i % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / f"{i}.png")
    for name, shade in (("bright", 255), ("dark", 40)):
        (home / "concepts" / name).mkdir(parents=True)
        for i in range(2):
            Image.fromarray(pixels[i] // (256 // shade)).save(home / "concepts" / name / f"{i}.png")
    (home / "things").mkdir()
    for i in range(8):
        shown = np.zeros((32, 32), dtype=np.uint8)
        shown[4:14, 4 + i : 14 + i] = 250
        Image.fromarray(shown + pixels[0, 0, 0] % 5).save(home / "things" / f"{i}.png")
    rows = ["0.png,5,5,9,9,a", *(f"{i}.png,{4 + i},4,10,10,a" for i in range(8))]
    (home / "things" / "boxes.csv").write_text("\n".join(["file,x,y,w,h,label", *rows]))
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8) * 4).save(home / "image.png")
    stopped(home, "few", "run", model="[conv2-relu-pool]-fc", size=8)
    stopped(home, "things", "boxes", width=8)
    return home


def trial(template: Path, home: Path, seed: int) -> tuple[str | None, Alteration, Outcome]:
    """One alteration and one command; what breaks the rule, or None."""
    drawn = random.Random(seed)
    shutil.copytree(template, home, symlinks=True)
    detector = seed % 3 == 1
    if detector:  # under the name that the commands know
        shutil.rmtree(home / "run")
        (home / "boxes").rename(home / "run")
    kinds, weights = zip(*ALTERATIONS, strict=True)
    made = drawn.choices(kinds, weights)[0](home / "run", drawn)
    command = commands(drawn, detector=detector)
    outcome = run_here(command, home, limit=60)
    names = ["run.toml", "image.png", *Path(made.file).parts]
    found = fault(outcome, names=names, writes=WRITES)
    if found is None and made.refused and command[0] in NETWORK and outcome.status == 0:
        found = "an alteration of what decides the answer was accepted"
    left = [p.name for p in home.rglob(".striate-*")]
    if found is None and left:
        found = f"left behind: {left}"
    return found, made, outcome


def remove(home: Path) -> None:
    """Delete a trial's folder, whatever rights were taken from its files."""
    for path in home.rglob("*"):
        if path.is_file() and not path.is_symlink():
            path.chmod(0o600)
    shutil.rmtree(home)


@pytest.mark.parametrize("block", range(BLOCKS))
def test_altered_runs(template: Path, tmp_path: Path, block: int) -> None:
    faults = []
    for seed in range(block, TRIALS, BLOCKS):
        home = tmp_path / str(seed)
        found, made, outcome = trial(template, home, seed)
        if found is not None:
            faults.append(f"seed {seed}: {made}: {found}\n{outcome}")
        remove(home)
    assert not faults, f"{len(faults)} of {TRIALS // BLOCKS}\n\n" + "\n\n".join(faults[:20])


@pytest.mark.parametrize("how", ["fingerprint", "format", "gone"])
@pytest.mark.parametrize(
    "words",
    [
        ["predict", "run", "image.png"], ["report", "run"], ["summary", "run"],
        ["tile", "run", "image.png"], ["train", "few", "--out", "run", "--resume"],
        ["probe", "run", "flip", "--limit", "4"], ["diagnose", "run", "labels"],
        ["units", "run", "--layer", "conv1", "--limit", "4"],
        ["explain", "run", "image.png", "-m", "gradient"],
        ["dissect", "run", "--layer", "conv1", "--concepts", "concepts", "--limit", "4"],
    ],
    ids=lambda words: words[0],
)  # fmt: skip
def test_what_is_refused_for_run_toml_names_it(
    template: Path, tmp_path: Path, how: str, words: list[str]
) -> None:
    """The images' fingerprint, altered and signed anew; a format to come; no run.toml at all."""
    home = tmp_path / "home"
    shutil.copytree(template, home)
    file = home / "run" / "run.toml"
    info = parsed(file.read_bytes())
    if how == "fingerprint":
        info["data"]["fingerprint"] = "0"
        info["digests"] = signed({k: v for k, v in info.items() if k != "digests"})
    elif how == "format":
        info["format"] = 2**63 - 1
    file.write_text(tomli_w.dumps(info), encoding="utf-8")
    if how == "gone":
        file.unlink()
    outcome = run_here(words, home, limit=60)
    assert fault(outcome, names=["run.toml"], writes=WRITES) is None, outcome
    needs_images = words[0] in ("probe", "diagnose", "train", "units")
    assert outcome.status or (how == "fingerprint" and not needs_images), outcome


def test_a_report_without_findings_names_their_folder(template: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    shutil.copytree(template, home)
    shutil.rmtree(home / "run" / "findings")
    outcome = run_here(["report", "run"], home, limit=60)
    assert outcome.status and fault(outcome, names=["findings"]) is None, outcome


@pytest.mark.parametrize("name", ["run", "boxes"])
@pytest.mark.parametrize(
    "entry", ["recipe.lr", "recipe.batch", "recipe.optimizer", "versions.timm"]
)
def test_what_a_stopped_training_needs_is_there(
    template: Path, tmp_path: Path, name: str, entry: str
) -> None:
    """An entry that is gone, or is a table, in a file that was signed anew."""
    home = tmp_path / "home"
    shutil.copytree(template, home)
    file = home / name / "run.toml"
    info = parsed(file.read_bytes())
    table, key = entry.split(".")
    if table == "recipe":
        del info["recipe"][key]
    else:
        info[table][key] = {"x": 1}
    info["digests"] = signed({k: v for k, v in info.items() if k != "digests"})
    file.write_text(tomli_w.dumps(info), encoding="utf-8")
    data = {"run": "few", "boxes": "things"}[name]
    outcome = run_here(["train", data, "--out", name, "--resume"], home, limit=60)
    assert outcome.status == 1 and fault(outcome, names=["run.toml"], writes=WRITES) is None, (
        outcome
    )
    assert entry in outcome.err, outcome
