"""A run of embeddings, from images of identities to its predictions."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import striate
from striate.cli import main
from striate.errors import DataError
from striate.runs.run import Run
from striate.tasks.table import open_source, task_for

SHORT = {"task": "embed", "epochs": 2, "device": "cpu", "precision": "fp32"}


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
