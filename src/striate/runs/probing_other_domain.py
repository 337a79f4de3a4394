"""Images of another domain for a run's network, as its own preprocessing makes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from striate.data import load_memory
from striate.data.drawing import drawn
from striate.data.files import find_files
from striate.errors import DataError, RunError, StriateError, UsageError
from striate.robustness import Domain
from striate.runs.images import images_of, source_of
from striate.runs.opening import Trained
from striate.runs.run import Run
from striate.tasks.table import open_source

MOST = 1000  # images of another domain


def other_domain(run: Run, trained: Trained, against: str) -> Domain:
    """Images of another domain, with labels where its classes are the run's. Raises DataError where there are none."""
    try:
        return labelled(run, source_of(run, against), folder=Path(against).is_dir())
    except (RunError, DataError, UsageError) as error:
        if not Path(against).is_dir():
            # A source by its name whose classes are others: its images are out-of-distribution all the same.
            return unlabelled_source(run, against, error)
    return unlabelled_folder(trained, Path(against))


def labelled(run: Run, source: Any, *, folder: bool) -> Domain:
    """Images with labels: of a folder from all its splits, none of which was learned; of a source its test split."""
    names = [name for name in ("test", "val", "train") if len(source.splits[name])]
    names = names if folder else names[:1]
    whole = sum(len(source.splits[name]) for name in names)
    parts = [
        images_of(
            run, name, limit=max(1, round(MOST * len(source.splits[name]) / max(whole, MOST))), source=source
        )
        for name in names
    ]  # fmt: skip
    images, labels = zip(*parts, strict=True)
    return Domain(torch.cat(images), torch.cat(labels))


def unlabelled_folder(trained: Trained, folder: Path) -> Domain:
    """The image files of a folder, at any depth."""
    try:
        files = find_files(folder).files
    except UsageError as error:
        raise DataError(
            f"{folder} holds no images; give a folder with images or a source"
        ) from error
    read: list[torch.Tensor] = []
    reason = ""
    for i in drawn(len(files), MOST):
        try:
            read.append(torch.from_numpy(np.ascontiguousarray(trained.read(files[i]))))
        except DataError as error:
            reason = reason or str(error)  # one file never stops the others
    if not read:
        raise DataError(f"{folder} holds no image that can be read: {reason}")
    return Domain(torch.stack(read))


def unlabelled_source(run: Run, name: str, why: StriateError) -> Domain:
    """Images of a source whose classes the run does not know."""
    try:
        source = open_source(name, task=run.task, seed=0)
        chosen = source.test if len(source.test) else source.val
        if len(chosen) > MOST:
            order = np.random.default_rng(0).permutation(len(chosen))
            chosen = chosen.take(np.sort(order[:MOST]))
        return Domain(load_memory(chosen, run.preprocessing)[0])
    except StriateError:
        raise DataError(
            f"cannot use {name} as another domain: {why}; give a folder or a source"
        ) from why
