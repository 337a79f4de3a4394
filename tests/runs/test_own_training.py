"""A loss, an augmentation and callbacks of a person's own."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import striate
from striate.errors import UsageError
from striate.runs import Listener, Run
from striate.runs.allowance import Allowance
from striate.runs.own import Own
from striate.runs.planning import first_info, plan_from
from striate.runs.preparing import prepare
from striate.runs.run import new_folder
from striate.runs.training import train_run
from striate.tasks.table import find_task, recipe_for
from striate.training.batch import Batch, Loss
from striate.training.callbacks import Callback, Callbacks
from striate.training.loop import EpochRecord, Moment, Training

SMALL: dict[str, Any] = {
    "data": "digits", "task": "classify", "model": "[conv4-relu-pool]-fc", "epochs": 2, "limit": 120, "batch": 40,
    "precision": "fp32", "average": 0.0, "size": 8,
}  # fmt: skip
CPU = torch.device("cpu")


def train(tmp_path: Path, *, callbacks: Any = (), **more: Any) -> Run:
    """A training without its evaluation and report."""
    task = find_task("classify")
    own = Own(
        loss=more.pop("loss", None),
        augment=more.pop("augment", None),
        callbacks=Callbacks(callbacks),
    )
    recipe = recipe_for(task, own.settings({**SMALL, **more}, task))
    plan = own.into(plan_from(task, recipe, CPU, Listener()))
    job = prepare(plan, CPU, Listener())
    run = Run(new_folder(tmp_path / "run", numbered=False), first_info(plan) | own.info())
    run.info["finished"] = train_run(
        run, plan, job, Allowance(seconds=None, started=0.0), Listener(), own.callbacks
    )
    return run


def losses(run: Run) -> list[float]:
    return [row["train_loss"] for row in run.metrics]


def mean(output: Tensor, target: Tensor) -> Tensor:
    return F.cross_entropy(output, target)


def each(output: Tensor, target: Tensor) -> Tensor:
    return F.cross_entropy(output, target, reduction="none")


def summed(output: Any, batch: Batch) -> Loss:
    return Loss(F.cross_entropy(output, batch.targets, reduction="sum"), len(batch))


@pytest.mark.parametrize(
    "loss", [mean, each, summed, nn.CrossEntropyLoss()], ids=["mean", "each", "Loss", "module"]
)
def test_a_loss_of_ones_own_trains_as_the_same_loss_of_the_task(tmp_path: Path, loss: Any) -> None:
    run = train(tmp_path, loss=loss)
    plain = train(tmp_path / "plain", label_smoothing=0.0)
    assert losses(run) == pytest.approx(losses(plain), rel=1e-5)
    assert "train_accuracy" in run.metrics[0]
    assert run.info["own"]["loss"].endswith(("mean", "each", "summed", "CrossEntropyLoss"))


def test_the_validation_loss_is_the_same_kind(tmp_path: Path) -> None:
    run = train(tmp_path, loss=lambda output, target: 1000 + F.cross_entropy(output, target))
    assert run.metrics[-1]["val_loss"] > 1000


@pytest.mark.parametrize(
    ("loss", "words"),
    [
        (lambda output, target: output, r"float32 \(\d+, 10\) for \d+ images"),
        (lambda output, target: 0.5, "gives float"),
        (lambda output: output.sum(), "takes 1 arguments"),
        (nn.CrossEntropyLoss, r"make one of it: CrossEntropyLoss\(\)"),
        ("cross-entropy", "cannot be called"),
        (lambda output, target: output @ target, "raised RuntimeError for an output float32"),
    ],
    ids=["shape", "number", "one argument", "class", "text", "raises"],
)
def test_a_loss_that_is_none_is_refused(tmp_path: Path, loss: Any, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        train(tmp_path, loss=loss)
    assert not (tmp_path / "run").exists()


def test_an_augmentation_replaces_that_of_the_recipe(tmp_path: Path) -> None:
    seen = []

    def invert(images: Tensor, generator: torch.Generator) -> Tensor:
        seen.append((images.dtype, tuple(images.shape[1:]), int(torch.randint(9, (), generator=generator))))  # fmt: skip
        return 255 - images

    run = train(tmp_path, augment=invert)
    assert seen[0][:2] == (torch.uint8, (1, 8, 8))
    assert (run.recipe.shift, run.recipe.scale, run.recipe.rotate) == (0, 1.0, 0.0)
    upright = train(tmp_path / "plain", augment=lambda images, generator: images)
    assert run.metrics[-1]["val_accuracy"] < upright.metrics[-1]["val_accuracy"]
    again = seen[: len(seen) // 2]
    train(tmp_path / "again", augment=invert)
    assert seen[len(again) * 2 :] == seen[: len(again) * 2]  # the generator is seeded by the step


def test_a_transform_of_one_image_is_repeatable(tmp_path: Path) -> None:
    from torchvision.transforms import v2

    flips = v2.RandomHorizontalFlip()
    runs = [train(tmp_path / name, augment=flips) for name in "ab"]
    assert losses(runs[0]) == losses(runs[1])


@pytest.mark.parametrize(
    ("augment", "words"),
    [
        (lambda images, generator: images.float(), "gives float32"),
        (lambda images, generator: images[:1], r"gives uint8 \(1, 1, 8, 8\)"),
        (lambda image: image[:, 1:], r"gives uint8 \(1, 7, 8\) for images uint8 \(1, 8, 8\)"),
        (lambda images, generator: images @ images.float(), "raised RuntimeError"),
    ],
    ids=["floats", "fewer", "smaller", "raises"],
)
def test_an_augmentation_that_is_none_is_refused(tmp_path: Path, augment: Any, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        train(tmp_path, augment=augment)


def test_settings_of_a_replaced_augmentation_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="shift=2 has no effect"):
        train(tmp_path, augment=lambda images, generator: images, shift=2)


class Notes(Callback):
    def __init__(self, *, stop_at: int = 10**9, halve_at: int = 10**9) -> None:
        self.stop_at, self.halve_at, self.heard = stop_at, halve_at, list[str]()

    def on_start(self, training: Training) -> None:
        self.training = training
        self.heard.append("start")

    def on_step(self, moment: Moment) -> bool | None:
        self.heard.append(f"step {moment.step}")
        if moment.step == self.halve_at:
            self.training.lr /= 2
        return False if moment.step == self.stop_at else None

    def on_epoch(self, record: EpochRecord) -> None:
        self.heard.append(f"epoch {record.epoch:g} {record.lr:.6f}")

    def on_end(self, run: Run) -> None:
        self.heard.append(f"end {'accuracy' in run.info['results']}")


def test_callbacks_hear_everything_in_order(tmp_path: Path) -> None:
    notes = Notes()
    train(tmp_path, callbacks=[notes])
    words = [line.split()[0] for line in notes.heard]
    assert words == ["start", *["step"] * 3, "epoch", *["step"] * 3, "epoch"]


def test_a_callback_ends_the_training(tmp_path: Path) -> None:
    notes = Notes(stop_at=2)
    run = train(tmp_path, callbacks=[notes])
    assert run.info["finished"] is True
    assert run.info["training"]["steps"] == 2
    assert run.info["training"]["ended_by"] == "Notes"
    assert len(run.metrics) == 1


def test_an_epoch_that_gives_false_ends_the_training_too(tmp_path: Path) -> None:
    class Enough:
        def on_epoch(self, record: EpochRecord) -> bool:
            return False

    assert len(train(tmp_path, callbacks=[Enough()]).metrics) == 1


def test_a_callback_changes_the_learning_rate(tmp_path: Path) -> None:
    plain, halved = Notes(), Notes(halve_at=1)
    train(tmp_path / "a", callbacks=[plain], lr=0.1)
    train(tmp_path / "b", callbacks=[halved], lr=0.1)
    rates = [
        [float(line.split()[2]) for line in notes.heard if line.startswith("epoch")]
        for notes in (plain, halved)
    ]
    assert rates[1] == pytest.approx([rate / 2 for rate in rates[0]], abs=1e-6)


@pytest.mark.parametrize(
    ("callback", "words"),
    [(Notes, r"make one of it: Notes\(\)"), (print, "none of these methods")],
    ids=["class", "function"],
)
def test_what_is_no_callback_is_refused(tmp_path: Path, callback: Any, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        train(tmp_path, callbacks=[callback])


class StopOnce:
    """Ends as a Ctrl-C does: the run stays open."""

    def on_step(self, moment: Moment) -> None:
        if moment.step == 2:
            os.kill(os.getpid(), signal.SIGINT)


def test_a_whole_training_and_its_resumption(tmp_path: Path) -> None:
    settings = {k: v for k, v in SMALL.items() if k not in ("data", "task")}
    more: dict[str, Any] = {"loss": each, "augment": lambda images, generator: images}
    notes = Notes()
    stopped = striate.train("digits", out=tmp_path / "run", **settings, **more, callbacks=[StopOnce(), notes])  # fmt: skip
    assert not stopped.finished
    assert notes.heard[-1] == "end True"
    with pytest.raises(UsageError, match="keeps its loss"):
        striate.train("digits", out=stopped.path, resume=True)
    assert Run.load(stopped.path).info["own"]["loss"] == f"{__name__}:each"
