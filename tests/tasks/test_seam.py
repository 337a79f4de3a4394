"""The seam between tasks and the rest: no kind outside `tasks/`, and a task of these tests' own goes through everything."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import striate
from striate.runs import Run
from striate.runs.explaining import explain_files
from striate.tasks.image_task import ImageTask
from striate.tasks.plan import Plan
from striate.tasks.prediction import Prediction
from striate.tasks.table import TASKS
from striate.tasks.trained import Trained
from striate.training.batch import Batch, Loss, LossFunction

SOURCE = Path(striate.__file__).parent
KINDS = {"classify", "embed", "segment", "detect", "instances", "multilabel", "regression"}
OF_ONE_TASK = {"labels_pixels", "MaskSource", "MaskSplit"}
MAY_NAME_ONE = {
    "runs/migrating.py": "names that the tasks had in format 1",
    "runs/opening.py": "published weights know the classes of ImageNet",
    "cli/wrapping.py": "as runs/wrapping.py",
    "runs/wrapping.py": "a network that was trained elsewhere classifies, unless something else is said",
    "gallery/": "thresholds of similarities, whatever network gives the embeddings",
    "robustness/context.py": "a network that is probed without a task classifies",
    "lectures/experiments": "experiments of the lectures on one task",
}
# Files that still name one, to be emptied: nothing is added here.
LEFT = {"runs/dossiers.py"}


def kinds_named(path: Path) -> Iterator[str]:
    """Where a file names one task: its name as a text, its data, or a module of its folder."""
    text = path.read_text(encoding="utf-8")
    if not any(word in text for word in KINDS | OF_ONE_TASK):  # parsing takes its time
        return
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in KINDS:
            yield f"line {node.lineno}: {node.value!r}"
        name = getattr(node, "id", getattr(node, "attr", None))
        if name in OF_ONE_TASK:
            yield f"line {node.lineno}: {name}"
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            parts = node.module.split(".")
            if parts[:2] == ["striate", "tasks"] and set(parts[2:3]) & KINDS:
                yield f"line {node.lineno}: from {node.module}"


def test_no_file_outside_tasks_asks_which_task_it_is() -> None:
    assert set(TASKS.own) <= KINDS
    found = {}
    for path in sorted(SOURCE.rglob("*.py")):
        name = path.relative_to(SOURCE).as_posix()
        if name.startswith("tasks/") or any(name.startswith(part) for part in MAY_NAME_ONE):
            continue
        if name not in LEFT and (named := list(kinds_named(path))):
            found[name] = named
    assert not found


class Closeness:
    """1 minus the mean error."""

    name, hit = "1 - mean error", False

    def evidence(self, output: Any, target: Any) -> np.ndarray:
        return np.asarray(1 - (output - target).abs()[:, 0].double().numpy())

    def score(self, evidence: np.ndarray, weights: np.ndarray | None = None) -> dict[str, Any]:
        weights = np.ones(len(evidence)) if weights is None else weights
        return {"closeness": weights @ evidence / weights.sum(-1)}


class Brightness(ImageTask):
    """How bright an image is, from 0 to 1; everything that Striate must be told of it."""

    name = "brightness"
    about = "one number an image"
    gives = ("brightness",)

    def targets(self, split: Any) -> Tensor:
        return torch.tensor([[split.image(i).mean() / 255] for i in range(len(split))], dtype=torch.float32)  # fmt: skip

    def loss(self, plan: Plan) -> LossFunction:
        def squared(output: Any, batch: Batch) -> Loss:
            return Loss(((output - batch.targets) ** 2).sum(), len(batch))

        return squared

    def metric(self, classes: Sequence[str]) -> Closeness:
        return Closeness()

    def decode(self, output: Any, trained: Trained, *, top: int = 5) -> list[Prediction]:
        return [Prediction(path=str(i), scalars={"brightness": float(v)}) for i, v in enumerate(output)]  # fmt: skip


def test_a_task_of_ones_own_goes_through_every_verb(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    levels = rng.uniform(20, 235, (160, 1, 1))
    images = (levels + rng.uniform(-20, 20, (160, 8, 8))).astype(np.uint8)
    run = striate.train(
        (images, np.zeros(160, dtype=int)), task=Brightness(), out=tmp_path / "run", model="[conv4-relu-pool]-fc",
        epochs=80, batch=20, lr=0.02, optimizer="adamw", precision="fp32", shift=0, scale=1, rotate=0, erase=0,
    )  # fmt: skip
    assert run.info["task"] == "brightness"
    assert run.info["results"]["closeness"] > 0.9
    found = {finding.name: finding for finding in run.findings()}
    assert {"headline", "data", "data-check", "explanations", "filters", "recipe"} <= set(found)
    assert found["headline"].data["closeness"] == run.info["results"]["closeness"]
    low, high = found["headline"].data["interval"]
    assert low < run.info["results"]["closeness"] < high
    assert "1 - mean error" in (run.path / "report.html").read_text(encoding="utf-8")
    predicts(striate.load(run.path), tmp_path)
    is_explained(run, tmp_path)
    is_probed(run)


def predicts(run: Run, folder: Path) -> None:
    rng = np.random.default_rng(1)
    for name, level in (("dark", 40), ("light", 210)):
        noisy = level + rng.uniform(-20, 20, (8, 8))
        Image.fromarray(noisy.astype(np.uint8)).save(folder / f"{name}.png")
    (folder / "broken.png").write_bytes(b"no image")
    broken, dark, light = striate.predict(run, sorted(folder.glob("*.png")))
    assert broken.error
    assert dark.scalars["brightness"] == pytest.approx(40 / 255, abs=0.1)
    assert light.scalars["brightness"] == pytest.approx(210 / 255, abs=0.1)
    assert light.rows()[0]["brightness"] == light.scalars["brightness"]


def is_explained(run: Run, folder: Path) -> None:
    file = folder / "image.png"
    Image.fromarray((np.arange(64).reshape(8, 8) * 3 + 30).astype(np.uint8)).save(file)
    (found,) = explain_files(run.trained, [str(file)], methods=["gradient"], trust=False)
    assert found.explanation is not None
    shown = found.explanation.maps["gradient"].shown
    assert shown.shape == (8, 8)
    assert (shown > 0).float().mean() > 0.5  # every pixel counts for the brightness


def is_probed(run: Run) -> None:
    found = {finding.name: finding for finding in striate.probe(run, names=["flip", "shift"])}
    assert {"probe-flip", "probe-shift"} <= set(found)
    assert "1 - mean error" in found["probe-flip"].verdict + found["probe-shift"].verdict
    report = (run.path / "report.html").read_text(encoding="utf-8")
    assert all(f.title in report for f in found.values())
