"""Diagnosing runs: everything on one digits run, what cannot be done is named, the run is left as it was."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from striate import train
from striate.errors import DataError, RunError, StriateError, UsageError
from striate.runs.cross_validation import folds_of, out_of_fold
from striate.runs.diagnosing import NAMES, begun, diagnose_run
from striate.runs.images import source_of
from striate.runs.run import Run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("diagnosing")
    return train("digits", out=folder / "run", epochs=3, limit=500, watch=True)


def test_every_diagnostic_is_done_and_stored(run: Run) -> None:
    before = (run.path / "model.safetensors").read_bytes()
    told: list[str] = []
    found = diagnose_run(run.path, images=200, progress=lambda name, i, n: told.append(name))
    assert [f.name for f in found] == [f"diagnose-{n}" for n in NAMES] and told == list(NAMES)
    assert {f.name for f in found} <= {f.name for f in Run.load(run.path).findings()}
    assert all(f.title in (run.path / "report.html").read_text() for f in found)
    assert all(f.figures for f in found if f.name in ("diagnose-activations", "diagnose-filters"))
    assert (run.path / "model.safetensors").read_bytes() == before


def test_the_first_weights_are_made_again_exactly(run: Run, tmp_path: Path) -> None:
    still = train("digits", out=tmp_path / "still", epochs=1, limit=100, lr=1e-12, average=0.0)
    first = begun(still)
    assert first is not None
    for name, value in first.named_parameters():
        assert torch.allclose(value, dict(still.model.named_parameters())[name], atol=1e-6)


def test_cross_validated_labels_find_the_planted_ones(run: Run) -> None:
    found = diagnose_run(run, ["labels"], cross_validate=2, images=300)
    assert found[0].data["folds"] == 2 and found[0].data["of"] == 300
    source = source_of(run)
    p, judged = out_of_fold(run, source, 2, epochs=1, limit=100)
    assert p.shape == (100, 10) and len(judged.train) == 100
    assert torch.allclose(p.sum(1), torch.ones(100), atol=1e-5)


def test_folds_share_each_class_evenly() -> None:
    labels = np.repeat([0, 1, 3], [9, 10, 4])
    fold = folds_of(labels, 3, seed=0)
    for c in (0, 1, 3):
        counts = np.bincount(fold[labels == c], minlength=3)
        assert counts.max() - counts.min() <= 1
    with pytest.raises(UsageError, match=r"takes 2 to 4 here.* got 5"):
        folds_of(labels, 5, seed=0)


def test_where_the_images_are_gone_the_rest_is_done(run: Run, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    shutil.copytree(run.path, gone)
    toml = gone / "run.toml"
    toml.write_text(toml.read_text().replace('data = "digits"', 'data = "nowhere/at-all"'))
    refused: dict[str, StriateError] = {}
    found = diagnose_run(gone, refused=refused.__setitem__)
    assert [f.name for f in found] == ["diagnose-filters", "diagnose-updates"]
    assert set(refused) == set(NAMES) - {"filters", "updates"}
    assert all("--data" in str(e) for e in refused.values())
    with pytest.raises(RunError, match="give where they are with --data"):
        diagnose_run(gone, ["labels"], refused=refused.__setitem__)


def test_broken_weights_are_named_by_each_diagnostic(run: Run, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(run.path, broken)
    copy = Run.load(broken)
    state = {k: v.clone() for k, v in copy.model.state_dict().items()}
    state["head.weight"][0, 0] = torch.nan
    copy.save_weights(state)
    copy.save_info()
    refused: dict[str, StriateError] = {}
    found = diagnose_run(broken, refused=refused.__setitem__)
    assert set(refused) == {"gradients", "activations", "filters", "labels"}
    for name in ("gradients", "activations", "filters"):
        assert isinstance(refused[name], DataError) and "head.weight are not finite" in str(
            refused[name]
        )
    assert {f.name for f in found} == {
        f"diagnose-{n}" for n in ("updates", "rates", "initial-loss", "one-batch")
    }


def test_wrong_arguments_are_refused(run: Run) -> None:
    with pytest.raises(UsageError, match=r"no diagnostic .filter.; did you mean filters"):
        diagnose_run(run, ["filter"])
    with pytest.raises(UsageError, match="needs the diagnostic labels"):
        diagnose_run(run, ["filters"], cross_validate=3)
    with pytest.raises(UsageError, match="at least 2 images"):
        diagnose_run(run, images=1)
    with pytest.raises(UsageError, match="resnet18 is no run's folder"):
        diagnose_run("resnet18")
    with pytest.raises(RunError, match="there is no run at"):
        diagnose_run("no/such/run")


def test_a_run_that_labels_pixels_is_diagnosed_as_far_as_that_goes(tmp_path: Path) -> None:
    masks = train(
        "scenes",
        model="unet",
        width=8,
        out=tmp_path / "masks",
        epochs=1,
        count=24,
        size=32,
        batch=4,
    )
    refused: dict[str, StriateError] = {}
    names = ("activations", "filters", "initial-loss", "one-batch", "labels")
    found = diagnose_run(masks, names, images=2, refused=refused.__setitem__)
    assert set(refused) == {"one-batch", "labels"}
    assert all("this run gives a class for every pixel" in str(e) for e in refused.values())
    assert [f.name for f in found] == [f"diagnose-{n}" for n in names[:3]]
