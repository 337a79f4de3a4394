"""`probe RUN samples`: the recipe trained again on parts of the run's images; refused where it cannot be; only by name."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import striate
from striate.errors import RunError, UsageError
from striate.robustness import resolve_probes
from striate.runs.probing_samples import GRIDS, SHORTER, choose, refuse_retraining
from striate.runs.run import Run
from striate.tasks.table import find_task, open_source

MLP = "[flatten-fc24-relu]-fc"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return striate.train(
        "digits",
        model=MLP,
        epochs=10,
        out=tmp_path_factory.mktemp("samples") / "run",
        seed=2,
        flip_test=False,
    )


def test_it_runs_only_where_it_is_named() -> None:
    task = find_task("classify")
    assert "samples" not in resolve_probes([], task)
    assert list(resolve_probes(["samples"], task)) == ["samples"]
    with pytest.raises(UsageError, match="one class an image"):
        resolve_probes(["samples"], find_task("segment"))


def test_a_run_learns_again_on_parts_of_its_images(run: Run) -> None:
    before = {k: v.clone() for k, v in run.trained.model.state_dict().items()}
    found = {f.name: f for f in run.probe(names=["samples"], budget=20.0)}
    page = found["probe-samples"]
    curve = page.data["curve"]
    images = run.info["data"]["train"]
    assert curve["images"][0] == 10 or page.data["dropped"]
    assert curve["images"][-1] == images or page.data["dropped"]
    assert curve["accuracy"][-1] > curve["accuracy"][0]
    assert curve["twice"]["images"] == 2 * curve["images"][-1]
    assert (run.path / "findings" / "probe-samples.json").is_file()
    after = run.trained.model.state_dict()
    assert all(torch.equal(v, after[k]) for k, v in before.items())


def test_data_of_others_and_networks_without_a_recipe_are_refused(run: Run) -> None:
    with pytest.raises(RunError, match="these are others; leave --data out"):
        refuse_retraining(run, open_source("digits", seed=99))
    wrapped = striate.wrap(
        nn.Sequential(nn.Flatten(), nn.Linear(64, 10)),
        classes=run.classes,
        preprocessing=run.preprocessing,
    )
    with pytest.raises(RunError, match="these are others"):
        striate.probe(wrapped, "digits", names=["samples"])


def test_what_does_not_fit_is_coarser_and_shorter() -> None:
    assert choose(1000, 10, 500, 0.001, 1e6).length == 1.0
    long, short = choose(1000, 10, 500, 0.001, 1e6), choose(1000, 10, 500, 0.1, 300.0)
    assert (len(long.sizes), long.seeds) == GRIDS[0]
    assert short.length < 1 and short.length in SHORTER
    assert choose(1000, 10, 500, 10.0, 1.0) == choose(1000, 10, 500, 100.0, 1.0)
    assert choose(12, 10, 50, 0.001, 1e6).sizes[0] == 10  # one image a class
    assert choose(300, 200, 50, 0.001, 1e6).sizes[0] == 200
