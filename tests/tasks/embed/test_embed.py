"""A run of embeddings, from images of identities to its predictions."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import striate
from striate.cli import main
from striate.errors import DataError, UsageError
from striate.models import head, layer_groups
from striate.runs import Listener
from striate.runs.run import Run
from striate.tasks.embed.network import CentredNetwork
from striate.tasks.table import open_source, task_for
from striate.training.loop import Moment

SHORT = {"task": "embed", "epochs": 2, "limit": 400, "device": "cpu", "precision": "fp32"}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return striate.train("digits", out=tmp_path_factory.mktemp("embed") / "run", **SHORT)


def image_of(seed: int, side: int = 12) -> Image.Image:
    return Image.fromarray(
        np.random.default_rng(seed).integers(0, 255, (side, side)).astype(np.uint8)
    )


def folder_of(root: Path, identities: int = 6, each: int = 4) -> Path:
    for k in range(identities):
        (root / f"p{k}").mkdir(parents=True)
        for i in range(each):
            image_of(100 * k + i).save(root / f"p{k}" / f"{i}.png")
    return root


def status_of(*arguments: str) -> object:
    with pytest.raises(SystemExit) as left:
        main(list(arguments))
    return left.value.code


def sides(source: object) -> list[set[str]]:
    return [{source.classes[i] for i in split.labels} for split in source.splits.values()]  # type: ignore[attr-defined]


def test_no_identity_of_the_digits_is_on_two_sides() -> None:
    source = open_source("digits", task="embed")
    train, val, test = sides(source)
    assert not train & val | train & test | val & test
    assert len(train | val | test) == 10 and len(val) >= 2 and len(test) >= 2
    assert sorted(np.unique(source.train.labels)) == list(
        range(len(train))
    )  # its identities come first
    assert len(source) == 1797


def test_a_run_of_embeddings(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run.task.name == "embed" and len(run.classes) == run.recipe.settings.dimensions == 128
    assert 0 <= run.info["results"]["recall_at_1"] <= 1
    assert (run.path / "report.html").is_file()
    model = run.trained.model
    x = torch.zeros(2, 1, 8, 8)
    assert model(x).shape == (2, 128)
    image_of(1, 8).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_text("no image")
    assert status_of("predict", str(run.path), str(tmp_path), "--format", "csv") == 1
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    values = np.array([float(rows[0][f"e{i}"]) for i in range(128)])
    assert np.linalg.norm(values) == pytest.approx(1, abs=1e-5)
    assert rows[1]["error"] and rows[1]["e0"] == ""
    assert status_of("predict", str(run.path), str(tmp_path / "a.png"), "--format", "json") == 0
    [document] = json.loads(capsys.readouterr().out)
    assert document["embedding"] == values.tolist()


def test_folders_and_tables_of_identities(tmp_path: Path) -> None:
    root = folder_of(tmp_path / "people")
    source = open_source(root, task="embed")
    assert [len(s) for s in sides(source)] == [2, 2, 2]
    lines = [
        f"people/p{k}/{i}.png,n{k},{'test' if k < 2 else 'train'}"
        for k in range(6)
        for i in range(4)
    ]
    table = tmp_path / "faces.csv"
    table.write_text("file,label,split\n" + "\n".join(lines) + "\n")
    assert sides(open_source(table, task="embed", val=0))[2] == {"n0", "n1"}
    table.write_text(
        "file,label,split\npeople/p0/0.png,n0,train\npeople/p0/1.png,n0,test\npeople/p1/1.png,n1,train\n"
    )
    with pytest.raises(DataError, match="“n0” in both train and test"):
        open_source(table, task="embed")


def test_the_task_is_named_and_not_guessed(tmp_path: Path) -> None:
    assert task_for(folder_of(tmp_path / "people")).name == "classify"


def given(identities: int = 6, each: int = 8) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(2)
    return rng.integers(0, 255, (identities * each, 8, 8)).astype(np.uint8), np.repeat(
        np.arange(identities), each
    )


@pytest.fixture
def unreported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("striate.runs.training.evaluate_run", lambda *given, **more: None)
    monkeypatch.setattr("striate.runs.training.report_run", lambda *given: None)


def test_a_loss_of_ones_own_gets_embeddings_and_identities_of_whole_batches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unreported: None
) -> None:
    monkeypatch.setattr("striate.training.loop.micro_batch", lambda *given: 3)
    shapes = []

    def spread(embeddings: torch.Tensor, identities: torch.Tensor) -> torch.Tensor:
        shapes.append((tuple(embeddings.shape), len(identities.unique())))
        return (embeddings**2).sum()

    run = striate.train(
        given(),
        loss=spread,
        out=tmp_path / "run",
        batch=8,
        dimensions=5,
        each=4,
        **{**SHORT, "epochs": 1},
    )
    assert set(shapes) == {((8, 5), 2)}  # balanced: 2 identities with 4 images each
    assert run.recipe.settings.loss == "own" and not hasattr(run.model, "centres")


def test_a_loss_of_ones_own_that_is_not_given_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="none was given"):
        striate.train(given(), loss="own", out=tmp_path / "run", **SHORT)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("loss", ["triplet", "supcon"])
def test_losses_of_pairs_train_on_balanced_batches_without_centres(
    loss: str, tmp_path: Path, unreported: None
) -> None:
    run = striate.train(given(), loss=loss, out=tmp_path / "run", **{**SHORT, "epochs": 1})
    settings = run.recipe.settings
    assert settings.loss == loss and settings.sampling == "balanced" and settings.each == 4
    assert not any("centres" in name for name in run.model.state_dict())


def test_training_again_gives_the_same_weights(run: Run, tmp_path: Path, unreported: None) -> None:
    again = striate.train("digits", out=tmp_path / "again", **SHORT)
    assert again.info["model_sha256"] == run.info["model_sha256"]


def test_only_identities_that_are_trained_on_have_a_centre(run: Run) -> None:
    train, _, _ = sides(open_source("digits", task="embed"))
    assert (
        run.recipe.settings.identities
        == len(train)
        == len(run.model.state_dict()["centres.weight"])
    )


def test_fine_tuning_warms_the_new_layers_alone() -> None:
    network = CentredNetwork(striate.build("resnet18", num_classes=8, size=32), 5, 8)
    new = {id(p) for p in head(network).parameters()}
    assert new == {id(p) for p in [*network.network.fc.parameters(), network.centres.weight]}
    groups = layer_groups(network)
    assert {id(p) for p in groups[-1]} == new and len(groups) > 5
    assert sum(map(len, groups)) == len(list(network.parameters()))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"loss": "softmax", "margin": 0.2},
            "margin=0.2 is a setting of loss=arcface or cosface or triplet",
        ),
        ({"loss": "contrastive"}, "loss must be one of arcface, cosface, softmax, triplet, supcon"),
        ({"margin": 3.0}, "margin must be between 0 and 2"),
        ({"each": 4}, "each=4 is of sampling=balanced"),
        (
            {"loss": "triplet", "batch": 8, "each": 5},
            "fewer than 2 identities with 5 images each; make batch 10",
        ),
        ({"label_smoothing": 0.1}, "label_smoothing"),
        ({"mixup": 0.2}, "a mixture of two images is of no identity"),
        ({"dimensions": 0}, "dimensions must be"),
    ],
)
def test_settings_that_have_no_effect_are_refused(
    settings: dict[str, object], message: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=message):
        striate.train("digits", out=tmp_path / "run", **SHORT, **settings)
    assert not (tmp_path / "run").exists()


def test_diagnosing_and_tiling_an_embedding(run: Run, tmp_path: Path) -> None:
    gradients, filters = run.diagnose(names=["gradients", "filters"])
    assert gradients.status == "good" and filters.name == "diagnose-filters"
    with pytest.raises(UsageError, match="an embedding an image"):
        run.diagnose(names=["labels"])
    image_of(3, 8).save(tmp_path / "a.png")
    finding = run.tile(tmp_path / "a.png", tmp_path / "out.json")
    assert len(json.loads((tmp_path / "out.json").read_text())["classes"]) >= 1 and finding.verdict


class PressCtrlC(Listener):
    """Interrupts at one step, as a person would."""

    def step(self, moment: Moment) -> None:
        if moment.step == 5:
            os.kill(os.getpid(), signal.SIGINT)


def test_a_stopped_training_resumes_to_the_same_weights(tmp_path: Path, unreported: None) -> None:
    settings = {
        **SHORT,
        "sampling": "balanced",
        "margin_warmup": 3,
        "limit": 160,
        "width": 16,
        "batch": 16,
    }
    whole = striate.train("digits", out=tmp_path / "whole", **settings)
    stopped = striate.train("digits", out=tmp_path / "part", listener=PressCtrlC(), **settings)
    assert not stopped.finished
    resumed = striate.train("digits", out=tmp_path / "part", resume=True)
    assert resumed.finished and resumed.info["model_sha256"] == whole.info["model_sha256"]
