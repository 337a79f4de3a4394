"""Small trainings of every task, as the loop gets them; in one process or as one of several."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from striate.runs.planning import plan_from
from striate.runs.preparing import prepare
from striate.tasks.plan import Job
from striate.tasks.table import find_task, recipe_for, take_data
from striate.training.callbacks import Listener
from striate.training.loop import Moment, fit
from striate.training.parts import whole

NORMED = "[conv4-bn-relu-pool]*2-[conv8-bn-relu]-dropout0.2-fc"
STEPS = 20


def images(count: int, side: int = 12) -> np.ndarray:
    """(N, H, W, 3) uint8, each with a gradient of its own so that they can be told apart."""
    return np.random.default_rng(3).integers(0, 255, (count, side, side, 3)).astype(np.uint8)


def classified() -> Any:
    """50 images of three classes."""
    return images(50), np.arange(50) % 3


def tagged() -> Any:
    """48 images of two tags."""
    return images(48), np.stack([np.arange(48) % 2, np.arange(48) % 3 == 0], 1).astype(int)


def numbered() -> Any:
    """48 images of a number each."""
    return images(48), np.linspace(0, 9, 48)


def identified() -> Any:
    """80 images of 20 identities."""
    return images(80), np.repeat(np.arange(20), 4)


PLAIN = {
    "model": NORMED, "batch": 10, "optimizer": "sgd", "lr": 0.02, "average": 0.9, "precision": "fp32", "device": "cpu",
    "epochs": 5,
}  # fmt: skip
SCENES = {
    "count": 16, "size": 32, "epochs": 4, "batch": 5, "optimizer": "sgd", "lr": 0.005, "precision": "fp32", "device": "cpu",
}  # fmt: skip
CASES: dict[str, tuple[str, Callable[[], Any] | str, dict[str, Any]]] = {
    "classify": ("classify", classified, {**PLAIN, "mixup": 0.2, "shift": 1, "rotate": 10.0, "erase": 0.2, "scale": 0.8}),
    "micro": ("classify", lambda: (images(50, 96), np.arange(50) % 3), {**PLAIN, "batch": 34}),
    "multilabel": ("multilabel", tagged, PLAIN),
    "regression": ("regression", numbered, PLAIN),
    "arcface": ("embed", identified, {**PLAIN, "dimensions": 6}),
    "triplet": ("embed", identified, {**PLAIN, "dimensions": 6, "loss": "triplet", "batch": 16, "each": 4}),
    "segment": ("segment", "scenes", {**SCENES, "model": "unet", "width": 4, "zoom": 1.2, "rotate": 9.0, "jitter": 0.1}),
    "centernet": ("detect", "scenes", {**SCENES, "model": "centernet", "width": 4, "zoom": 1.2, "jitter": 0.1}),
    "fcos": ("detect", "scenes", {**SCENES, "model": "fcos", "width": 4}),
    "yolo": ("detect", "scenes", {**SCENES, "model": "yolo", "width": 4}),
    "rcnn": ("detect", "scenes", {**SCENES, "model": "faster-rcnn:resnet18"}),
    "instances": ("instances", "scenes", {**SCENES, "width": 4}),
}  # fmt: skip


def job_of(name: str, **more: Any) -> Job:
    """Everything that a case's training needs, made anew."""
    task, data, settings = CASES[name]
    settings = {**settings, **more}
    learned = find_task(task)
    device = torch.device("cpu")
    if isinstance(data, str):
        plan = plan_from(
            learned, recipe_for(learned, {**settings, "data": data}), device, Listener()
        )
    else:
        source = take_data(
            data(), recipe_for(learned, {**settings, "data": "x"}), learned, lambda done, of: None
        )
        plan = plan_from(
            learned,
            recipe_for(learned, {**settings, "data": source.name}),
            device,
            Listener(),
            source,
        )
    return prepare(plan, device, Listener())


def trained(
    name: str,
    steps: int = STEPS,
    *,
    double: bool = False,
    state: Any = None,
    keep_at: int = -1,
    **more: Any,
) -> dict[str, Any]:
    """What a training of `steps` steps leaves: parameters and buffers, the averaged ones, losses, sample numbers, scores.

    double: computed in float64, without validation. state: of a training that goes on. keep_at: the step after
    which the state is kept as `state`.
    """
    job = job_of(name, **more)
    training = job.training
    training.pace.total = steps
    losses, samples = [], []
    batches = Noting(job.batches, samples, torch.float64 if double else torch.float32)
    if double:
        training.model.double()
        if training.average.state:
            training.average.state = copy.deepcopy(training.model.state_dict())
    evaluate = None if double else job.evaluate
    if state is not None:
        training.load_state_dict(state)
    kept: list[dict[str, Any]] = []

    def on_step(moment: Moment) -> None:
        losses.append(moment.loss)
        if moment.step == keep_at:
            kept.append(copy.deepcopy(training.state_dict()))

    fit(training, batches, evaluate=evaluate, on_step=on_step)
    return {
        "weights": {n: whole(t).clone() for n, t in training.model.state_dict().items()},
        "averaged": {n: whole(t).clone() for n, t in training.average.state.items()},
        "losses": losses,
        "samples": samples,
        "scores": [record.val for record in training.history or []],
        "rng": torch.get_rng_state(),
        "state": kept[0] if kept else None,
    }


class Noting:
    """Batches that note which samples they hold, with images of a kind of number."""

    def __init__(self, batches: Any, samples: list[list[int]], kind: torch.dtype) -> None:
        self.batches, self.samples, self.kind = batches, samples, kind

    @property
    def steps_per_epoch(self) -> int:
        """See Batches."""
        return self.batches.steps_per_epoch

    def from_step(self, step: int) -> Any:
        """See Batches."""
        for batch in self.batches.from_step(step):
            samples = getattr(batch, "samples", None)
            self.samples.append([] if samples is None else [int(i) for i in samples])
            yield replace(batch, images=batch.images.to(self.kind))
