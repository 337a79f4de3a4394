"""Probing a segmentation run."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from striate import train
from striate.errors import RunError, UsageError
from striate.runs import Run
from striate.runs.probing import probe_run
from striate.runs.probing_pairs import compare_runs


def squares(root: Path, count: int, *, names: str = "background\nbright\n") -> Path:
    """Bright squares on grey with their masks."""
    for name in ("images", "masks"):
        (root / name).mkdir(parents=True)
    for i in range(count):
        rng = np.random.default_rng(i)
        image = rng.integers(60, 110, (56, 64, 3), dtype=np.uint8)
        mask = np.zeros((56, 64), np.uint8)
        for _ in range(4):
            top, left = int(rng.integers(0, 44)), int(rng.integers(0, 50))
            image[top : top + 12, left : left + 12] = 220
            mask[top : top + 12, left : left + 12] = 1
        Image.fromarray(image).save(root / "images" / f"{i}.png")
        Image.fromarray(mask).save(root / "masks" / f"{i}.png")
    (root / "classes.txt").write_text(names)
    return root


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("squares")
    return train(
        squares(home / "data", 40), out=home / "run", model="unet", width=4, epochs=12, batch=8, precision="fp32",
    ).path  # fmt: skip


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Run:
    return Run.load(shutil.copytree(trained, tmp_path / "run"))


def test_all_probes_of_maps_are_stored_with_the_checklist_last(run: Run) -> None:
    found = {f.name: f for f in probe_run(run, images=8)}
    assert list(found) == [
        "probe-shift", "probe-rotation", "probe-scale", "probe-flip", "probe-corruption", "probe-calibration", "checklist",
    ]  # fmt: skip
    assert found["probe-shift"].data["stride"] == 16  # four poolings
    assert found["probe-flip"].data["clean"] > 0.8
    assert [f.name for f in run.findings()][-1] == "checklist"
    assert not any("RUN attack" in str(row) for row in found["checklist"].tables[0].rows)


def test_a_stored_temperature_is_the_runs(run: Run) -> None:
    run.info["temperature"] = 9.0
    run.save_info()
    (found, _) = probe_run(Run.load(run.path), ["calibration"], store_temperature=True)
    assert Run.load(run.path).temperature == pytest.approx(found.data["temperature"], abs=1e-4)
    assert found.data["temperature"] < 5 and "is stored with the run" in found.verdict


def test_a_budget_takes_fewer_images(run: Run) -> None:
    (found, _) = probe_run(run, ["corruption"], budget=0.01)
    assert found.data["images"] == 4


def test_what_does_not_fit_is_refused(run: Run, tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match="no probe attack for a network that gives a class for every pixel"
    ):
        probe_run(run, ["attack"])
    with pytest.raises(
        UsageError, match="--against has no use for a network that gives a class for every pixel"
    ):
        probe_run(run, against="lines")
    other = squares(tmp_path / "other", 12, names="background\ndark\n")
    with pytest.raises(
        RunError, match=r"has the classes background, dark, and .* knows background, bright"
    ):
        probe_run(run, ["flip"], data=str(other))


def test_images_of_other_masks_are_taken(run: Run, tmp_path: Path) -> None:
    (found, _) = probe_run(run, ["flip"], data=str(squares(tmp_path / "more", 20)))
    assert found.data["clean"] > 0.8


def test_data_that_is_gone_says_what_to_pass(run: Run, tmp_path: Path) -> None:
    run.info["recipe"]["data"] = str(tmp_path / "gone")
    run.save_info()
    with pytest.raises(
        RunError, match=r"cannot be opened by recipe\.data .*; give where they are with --data"
    ):
        probe_run(Run.load(run.path))


def test_two_runs_are_compared_on_the_same_images(run: Run, tmp_path: Path) -> None:
    twin = Run.load(shutil.copytree(run.path, tmp_path / "twin"))
    found = compare_runs(run, twin, ["flip", "scale"], images=8)
    assert found.data["rows"].keys() == {"clean", "scale ×0.8", "scale ×1.25", "flip left-right"}
    assert found.data["interval"] == [0, 0]
    assert "Neither is more robust" in found.verdict
    assert all(r.path.joinpath("findings/probe-comparison.json").exists() for r in (run, twin))
    with pytest.raises(
        UsageError,
        match="there is no probe attack for a network that gives a class for every pixel",
    ):
        compare_runs(run, twin, ["attack"])
