"""Predict: what a run says of image files, streamed, so that memory stays the same however many there are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from striate.data.files import Found, Paths, find_images
from striate.errors import UsageError
from striate.models import MODELS
from striate.paths import given_path, user_cache
from striate.ranges import check_ranges
from striate.runs.opening import open_trained
from striate.runs.run import Run, load
from striate.tasks.prediction import Prediction
from striate.tasks.trained import Trained
from striate.training.machine import choose_device


def predict(
    run: Run | Trained | str | Path,
    images: Paths | Found | Any,
    *,
    top: int = 5,
    out: str | Path | None = None,
    force: bool = False,
    device: str = "auto",
    engine: str = "auto",
    say: Callable[[str], None] | None = None,
) -> Iterator[Prediction]:
    """Predictions for images, in order, as they are ready.

    images: files, folders and patterns, or images themselves: arrays (H, W, C), tensors (C, H, W) or several, of uint8 or of
    0 to 1, at any size, not normalised. run: a run, its folder, a Trained, or a model with published weights, such as
    "efficientnet-lite0". top: how many classes a file gets (at most all). out, force: the folder of what is written for each
    image, of tasks that write something, such as masks; write over what is there. engine: what runs the network: "torch", or
    "onnxruntime" or "openvino" once it has given the same answers on this machine; "auto" takes the fastest that has. say:
    is told of an engine's proof. A file that cannot be read gives a Prediction with its error. Raises UsageError for a path
    that names nothing, before the first prediction.
    """
    check_ranges(top=top)
    folder = None if out is None else given_path(out, "-o")
    trained = opened(run)
    # A wrong path is an error before anything is predicted.
    files = find_images(images, numbers=trained.preprocessing.numbers)
    trained = on_engine(trained, engine, device, say)
    return trained.task.predict(trained, files, top=top, device=device, out=folder, force=force)


def on_engine(
    trained: Trained, engine: str, device: str = "auto", say: Callable[[str], None] | None = None
) -> Trained:
    """The network on an engine, see `striate.export`. Raises UsageError for one that does not go with the device."""
    kept = user_cache("engines")
    if engine == "torch" or (engine == "auto" and (kept is None or not kept.is_dir())):
        return trained  # nothing was proven here
    place = choose_device(device)
    if place.type == "cpu":
        from striate import export  # what needs no engine does not wait for it

        return export.on_engine(trained, engine, say=say or (lambda text: None))
    if engine != "auto":
        raise UsageError(
            f"the engine {engine} runs on the processor, and the device is {place.type}; give --device cpu, or leave "
            "--engine out"
        )
    return trained


def on_crops(
    trained: Trained, engine: str, say: Callable[[str], None] | None = None
) -> tuple[Trained | None, float]:
    """The network on an engine that computes its crops, and the share of the largest value by which they may differ; None
    for torch, which computes them itself, and for a network that "auto" has no faster engine for."""
    if engine == "torch" or (engine == "auto" and trained.task.axes != 4):
        return None, 0.0
    fast = on_engine(trained, engine, "cpu", say)
    if fast is trained:
        return None, 0.0
    from striate import export

    return fast, export.share_of(engine)


def _names_weights(spec: str) -> bool:
    """Whether this is a model with published weights, and no folder of that name."""
    return (spec in MODELS or spec.startswith("timm/")) and not Path(spec).is_dir()


def opened(run: Run | Trained | str | Path) -> Trained:
    """What was trained, from itself, its run, the run's folder or a spec. Raises UsageError for anything else."""
    if isinstance(run, str | Path):
        if _names_weights(str(run)):
            return open_trained(run)
        run = load(run)
    if isinstance(run, Run):
        return run.trained
    if not isinstance(run, Trained):
        raise UsageError(
            f"run must be a run or the folder of one, such as runs/digits-1; got {type(run).__name__}"
        )
    return run
