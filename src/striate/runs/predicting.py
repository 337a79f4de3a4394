"""Predict: classes of image files, streamed, so that memory stays the same however many there are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from striate.data.files import Found, Paths, find_files
from striate.errors import DataError, UsageError
from striate.runs.run import Run, load
from striate.training.loop import predict_logits
from striate.training.machine import choose_device, choose_precision

BATCH = 64


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """One file's answer: the `top` classes with their probabilities, best first, or the `error` why there is none."""

    path: str
    top: tuple[tuple[str, float], ...] = ()
    error: str | None = None


def predict(
    run: Run | str | Path, paths: Paths | Found, *, top: int = 5, device: str = "auto"
) -> Iterator[Prediction]:
    """Predictions for files, folders and globs, in order, as they are ready.

    run: a run or its folder. top: how many classes a file gets (at most all). A file that cannot be read gives a Prediction
    with its error. Raises UsageError for a path that names nothing, before the first prediction.
    """
    run = opened(run)
    if run.labels_pixels:
        raise UsageError(
            f"{run.path} labels every pixel; use striate.predict_masks, or `striate predict`, which writes masks"
        )
    if top < 1:
        raise UsageError(f"top must be at least 1, got {top}")
    files = find_files(paths).files  # a wrong path is an error before anything is loaded
    return _predictions(run, files, top, device)


def opened(run: Run | str | Path) -> Run:
    """A run, from itself or its folder. Raises UsageError for anything else."""
    if isinstance(run, str | Path):
        return load(run)
    if not isinstance(run, Run):
        raise UsageError(
            f"run must be a run or the folder of one, such as runs/digits-1; got {type(run).__name__}"
        )
    return run


def _predictions(run: Run, files: Sequence[str], top: int, device: str) -> Iterator[Prediction]:
    place = choose_device(device)
    dtype = choose_precision(run.recipe.precision, place)
    model = run.model.to(place)

    def prepare(name: str) -> np.ndarray | str:
        try:
            return run.preparation.read(Path(name))
        except DataError as error:
            return str(error)

    stream = iter(files)
    with ThreadPoolExecutor() as pool:
        waiting = submit(pool, prepare, stream)
        while waiting:
            following = submit(pool, prepare, stream)  # decoded while the network works
            yield from answer(run, model, [(n, f.result()) for n, f in waiting], top, place, dtype)
            waiting = following


def submit(
    pool: ThreadPoolExecutor, work: object, names: Iterator[str]
) -> list[tuple[str, Future[np.ndarray | str]]]:
    """Hand the next batch of names to the pool."""
    return [(name, pool.submit(work, name)) for name in islice(names, BATCH)]  # type: ignore[arg-type]


def answer(
    run: Run,
    model: torch.nn.Module,
    prepared: list[tuple[str, np.ndarray | str]],
    top: int,
    device: torch.device,
    dtype: torch.dtype,
) -> Iterator[Prediction]:
    """The predictions of one batch of prepared images (C, H, W) uint8, or reasons."""
    images = [image for _, image in prepared if not isinstance(image, str)]
    rows: Iterator[torch.Tensor] = iter(())
    if images:
        x = run.preparation.normalise(torch.from_numpy(np.stack(images)).to(device))
        logits = predict_logits(model, [x], dtype=dtype, flip=bool(run.recipe.flip_test))
        rows = iter(torch.softmax(logits / run.temperature, 1))
    for name, image in prepared:
        if isinstance(image, str):
            yield Prediction(path=name, error=image)
            continue
        values, indices = next(rows).topk(min(top, len(run.classes)))
        pairs = zip(indices.tolist(), values.tolist(), strict=True)
        yield Prediction(path=name, top=tuple((run.classes[i], p) for i, p in pairs))
