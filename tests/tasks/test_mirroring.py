"""The mirrored pass is made where it gains something on the validation images, and nowhere else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import striate
from striate.runs import Run
from striate.tasks.classify.metric import Accuracy
from striate.tasks.image_task import Outputs
from striate.tasks.mirroring import gain_of, mirroring
from striate.tasks.regression.metric import RSquared


def outputs(right: np.ndarray) -> Outputs:
    """Logits of two classes that are right where `right` (N,) is 1; the class of all is 0."""
    logits = torch.zeros(len(right), 2)
    logits[range(len(right)), torch.from_numpy(1 - right.astype(np.int64))] = 1
    return Outputs(logits, torch.zeros(len(right), dtype=torch.int64))


@pytest.mark.parametrize(
    ("mended", "spoilt", "on"),
    # of 200 images: 2 right becomes 0 and so on; 95 % of a sign test's chance is passed by 14 to 2, not by 4 to 2
    [(0, 0, False), (4, 2, False), (14, 2, True), (2, 14, False), (40, 0, True)],
)
def test_it_is_made_where_its_gain_is_beyond_chance(mended: int, spoilt: int, on: bool) -> None:
    before = np.ones(200)
    before[:60] = 0
    after = before.copy()
    after[:mended], after[100 : 100 + spoilt] = 1, 0
    found = mirroring(Accuracy(), outputs(before), outputs(after))
    assert found.data["on"] is on
    assert found.data["gain"] == pytest.approx((mended - spoilt) / 200)
    assert found.data["low"] <= found.data["gain"] <= found.data["high"]
    assert ("is made at every prediction" in found.verdict) is on


def test_a_score_that_is_no_mean_is_resampled() -> None:
    rng = np.random.default_rng(0)
    target = rng.normal(size=(120, 1))
    noisy, better = target + rng.normal(size=target.shape), target + rng.normal(size=target.shape) / 3  # fmt: skip
    plain, mirrored = (np.stack((values, target), 1) for values in (noisy, better))
    assert float(gain_of(RSquared(), plain, mirrored).low) > 0
    assert float(gain_of(RSquared(), mirrored, plain).high) < 0
    assert float(gain_of(RSquared(), plain, plain).low) == 0


def test_what_cannot_be_measured_is_left_out_and_said() -> None:
    same = Outputs(torch.randn(6, 1, generator=torch.manual_seed(0)), torch.zeros(6, 1))
    found = mirroring(RSquared(), same, same)
    assert found.data["on"] is False
    assert "cannot be measured" in found.verdict and "nan" not in found.verdict


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Bright against dark squares: a mirror image changes nothing."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("mirroring")
    rng = np.random.default_rng(0)
    for kind, level in (("dark", 60), ("light", 190)):
        (folder / "photos" / kind).mkdir(parents=True)
        for i in range(12):
            pixels = rng.integers(level - 50, level + 50, (16, 16, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(folder / "photos" / kind / f"{i}.png")
    return striate.train(
        folder / "photos", model="compact", epochs=1, out=folder / "run", flip=True
    )


def test_a_training_decides_and_stores_it(made: Run) -> None:
    found = {finding.name: finding for finding in made.findings()}["mirroring"]
    stored = striate.load(made.path)
    assert found.data["on"] is False
    assert stored.recipe.flip_test is False
    assert stored.trained.flip_test is False
    assert "Mirrored pass" in (made.path / "report.html").read_text(encoding="utf-8")


def test_what_the_recipe_says_is_kept(made: Run, tmp_path: Path) -> None:
    again = striate.train(
        made.path.parent / "photos", model="compact", epochs=1, out=tmp_path / "run", flip=True,
        flip_test=True,
    )  # fmt: skip
    assert striate.load(again.path).trained.flip_test is True
    assert "mirroring" not in {finding.name for finding in again.findings()}
