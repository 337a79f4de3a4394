"""A training has its folder for itself, from its first second; stopped before its first checkpoint it begins again."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from striate.errors import DataError, RunError, UsageError
from striate.runs.claiming import claim_again, claim_new
from striate.runs.run import Run, latest_unfinished
from striate.runs.training import train
from striate.training.callbacks import Listener

QUICK: dict[str, Any] = {
    "model": "[conv4-relu-pool]-fc", "epochs": 1, "precision": "fp32", "limit": 100, "device": "cpu",
}  # fmt: skip
HOLD = """
import sys, time
from pathlib import Path
from striate.runs.claiming import claim_again
with claim_again(Path(sys.argv[1])).held():
    print("held", flush=True)
    time.sleep(60)
"""


class Stops(Listener):
    """Ctrl-C, at a stage."""

    def __init__(self, stage: str) -> None:
        self.at = stage

    def stage(self, text: str) -> None:
        if text == self.at:
            raise KeyboardInterrupt


def weights(run: Run) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = run.model.state_dict()
    return state


def test_a_run_that_was_stopped_before_its_first_step_begins_again(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        train("digits", out=tmp_path / "cut", listener=Stops("measuring"), seed=3, **QUICK)
    assert not Run.load(tmp_path / "cut").finished
    resumed = train("digits", out=tmp_path / "cut", resume=True)
    whole = train("digits", out=tmp_path / "whole", seed=3, **QUICK)
    assert resumed.path.name == "cut" and resumed.recipe == whole.recipe
    assert resumed.info["model_sha256"] == whole.info["model_sha256"]
    assert {p.name for p in resumed.path.iterdir()} == {p.name for p in whole.path.iterdir()}


@pytest.fixture
def few(tmp_path: Path) -> Path:
    """A folder of images of two classes."""
    for i in range(24):
        folder = tmp_path / "few" / "ab"[i % 2]
        folder.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(i).integers(0, 120 + 100 * (i % 2), (8, 8), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.png")
    return tmp_path / "few"


FEW = {key: value for key, value in QUICK.items() if key != "limit"} | {"batch": 8}


def test_a_training_that_was_stopped_while_its_images_were_read_begins_again(
    few: Path, tmp_path: Path
) -> None:
    """With the recipe that was asked for, whatever the data decide; a run lies below the images that it was reading."""
    cut = few / "runs" / "cut"
    with pytest.raises(KeyboardInterrupt):
        train(few, out=cut, listener=Stops("reading images"), seed=3, **FEW)
    assert [p.name for p in cut.iterdir()] == ["begun.toml"]
    with pytest.raises(RunError, match=r"has no run.toml yet: .* --resume` begins it again"):
        Run.load(cut)
    with pytest.raises(UsageError, match="began with seed=3, got seed=4"):
        train(few, out=cut, resume=True, seed=4)
    resumed = train(few, out=cut, resume=True)
    whole = train(few, out=tmp_path / "whole", seed=3, **FEW)
    assert resumed.path == cut and resumed.recipe == whole.recipe
    assert resumed.info["model_sha256"] == whole.info["model_sha256"]
    assert {p.name for p in cut.iterdir()} == {p.name for p in whole.path.iterdir()}


def test_the_newest_that_was_begun_is_resumed_under_a_number(few: Path, tmp_path: Path) -> None:
    train(few, out=tmp_path / "run", **FEW)
    for stage in ("reading images", "measuring"):
        with pytest.raises(KeyboardInterrupt):
            train(few, out=tmp_path / "run", listener=Stops(stage), find_rate=True, **FEW)
    assert (tmp_path / "run-2" / "begun.toml").is_file()
    assert (tmp_path / "run-3" / "run.toml").is_file()
    os.utime(tmp_path / "run-2" / "begun.toml")
    resumed = train(few, out=tmp_path / "run", resume=True)
    assert resumed.path.name == "run-2"
    assert (resumed.path / "findings" / "diagnose-rates.json").is_file()


@pytest.mark.parametrize("edit", ['seed = "x"', "seed = 9", "[", ""])
def test_what_was_begun_is_checked(few: Path, tmp_path: Path, edit: str) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(few, out=tmp_path / "run", listener=Stops("reading images"), **FEW)
    file = tmp_path / "run" / "begun.toml"
    file.write_text(file.read_text().replace("seed = 0", edit) if edit.startswith("seed") else edit)
    with pytest.raises(RunError, match=r"begun\.toml was altered and cannot be read"):
        train(few, out=tmp_path / "run", resume=True)


def test_data_that_are_refused_leave_no_run(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError):
        train(tmp_path / "empty", out=tmp_path / "runs" / "deep" / "run", **FEW)
    assert [p.name for p in tmp_path.iterdir()] == ["empty"]


def test_a_range_test_that_was_stopped_is_made_again(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(
            "digits",
            out=tmp_path / "cut",
            listener=Stops("learning rates"),
            find_rate=True,
            **QUICK,
        )
    resumed = train("digits", out=tmp_path / "cut", resume=True)
    assert "find_rate" not in resumed.info
    assert (resumed.path / "findings" / "diagnose-rates.json").is_file()
    again = Run.load(resumed.path)
    assert again.recipe.lr == resumed.info["recipe"]["lr"]


def test_a_run_that_cannot_begin_leaves_nothing(tmp_path: Path) -> None:
    def narrow() -> torch.nn.Module:
        return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3, 10))

    with pytest.raises(UsageError):
        train("digits", out=tmp_path / "run", model=narrow, epochs=1, device="cpu")
    assert list(tmp_path.iterdir()) == []


def test_of_many_that_ask_at_once_each_gets_a_folder(tmp_path: Path) -> None:
    claims, barrier = [], threading.Barrier(8)

    def ask(wanted: Path) -> None:
        barrier.wait()
        claim = claim_new(wanted, numbered=False)
        (claim.path / "run.toml").write_text("x")
        claims.append(claim)

    (tmp_path / "empty").mkdir()
    for name, expected in (("run", "run"), ("empty", "empty")):
        claims.clear()
        threads = [threading.Thread(target=ask, args=(tmp_path / name,)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        names = {claim.path.name for claim in claims}
        assert len(names) == 8 and expected in names
        for claim in claims:
            with claim.held():
                pass


def test_a_file_of_that_name_and_a_full_folder_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("x")
    (tmp_path / "run-2").mkdir()
    (tmp_path / "run-2" / "x").touch()
    with claim_new(tmp_path / "run", numbered=False).held():
        assert (tmp_path / "run-3").is_dir()
    with pytest.raises(RunError, match=r"cannot make the folder .*; choose another with --out"):
        claim_new(tmp_path / "run" / "below", numbered=False)


def test_a_run_that_is_trained_cannot_be_resumed(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        train("digits", out=tmp_path / "run", listener=Stops("measuring"), **QUICK)
    other = subprocess.Popen([sys.executable, "-c", HOLD, tmp_path / "run"], stdout=subprocess.PIPE)
    try:
        assert other.stdout is not None and other.stdout.readline() == b"held\n"
        with pytest.raises(RunError, match="is being trained by another process; wait for its end"):
            train("digits", out=tmp_path / "run", resume=True)
    finally:
        other.kill()
        other.communicate()
    with claim_again(tmp_path / "run").held():  # the one that was killed holds it no longer
        pass


def test_a_stopped_run_without_its_checkpoint_is_not_begun_again(tmp_path: Path) -> None:
    run = train("digits", out=tmp_path / "run", **QUICK)
    run.info["finished"] = False
    run.save_info()
    with pytest.raises(RunError, match="its checkpoint is missing"):
        latest_unfinished(tmp_path / "run")


def test_a_training_that_cannot_begin_leaves_no_folder_that_was_made_for_it(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    for out in ("new/deep/run", "mine/run"):
        with pytest.raises(UsageError, match="no weights file"):
            train("digits", out=tmp_path / out, weights=str(tmp_path / "none.pt"), **QUICK)
    assert [p.name for p in tmp_path.rglob("*")] == ["mine"]
