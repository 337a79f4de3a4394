"""Kept epochs: a run's weights as they were after some epochs, where the recipe asks for `snapshots` of them."""

from __future__ import annotations

import copy
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from striate.errors import RunError
from striate.reading import read_file
from striate.runs.run import LARGEST, Run
from striate.tasks.trained import Trained
from striate.training.loop import EpochRecord, Training
from striate.writing import write_atomically

FOLDER = "snapshots"
NAME = re.compile(r"epoch-(\d{1,7})\.safetensors")


def chosen(count: int, epochs: int) -> set[int]:
    """Which of `epochs` are kept, counted from 1: at most `count`, evenly spread, the first and the last among them.

    >>> sorted(chosen(3, 9))
    [1, 5, 9]
    """
    return {round(float(e)) for e in np.linspace(1, max(epochs, 1), min(count, max(epochs, 1)))}


class KeepEpochs:
    """A callback of a training that writes `snapshots/epoch-N.safetensors` into the folder of its run.

    The weights are those that are evaluated, averaged over steps where the recipe says so, at full precision.
    """

    def __init__(self, path: Path, count: int, steps_per_epoch: float) -> None:
        self.folder, self.count, self.steps_per_epoch = path / FOLDER, count, steps_per_epoch
        self._training: Training | None = None

    def on_start(self, training: Training) -> None:
        """See Callback."""
        self._training = training

    def on_epoch(self, record: EpochRecord) -> None:
        """See Callback."""
        training, epoch = self._training, int(record.epoch)
        if training is None or epoch != record.epoch or epoch < 1:
            return
        # How long it becomes may have changed: with a budget it is planned again after each epoch.
        if epoch not in chosen(self.count, round(training.pace.total / self.steps_per_epoch)):
            return
        from safetensors.torch import save

        with training.average.applied() as model:
            state = {
                n: t.detach().cpu().contiguous().clone() for n, t in model.state_dict().items()
            }
        write_atomically(self.folder / f"epoch-{epoch}.safetensors", save(state))


def kept_epochs(path: Path) -> list[int]:
    """The epochs whose weights a run keeps, ascending."""
    folder = path / FOLDER
    names = (NAME.fullmatch(p.name) for p in folder.iterdir()) if folder.is_dir() else ()
    return sorted(int(m[1]) for m in names if m is not None)


def trained_at(run: Run, epoch: int) -> Trained:
    """The network as it was after an epoch. Raises RunError where that was not kept, or is of another network."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    file = run.path / FOLDER / f"epoch-{epoch}.safetensors"
    try:
        state = load(read_file(file, limit=LARGEST))
        model: Any = copy.deepcopy(run.model) if run.finished else run.empty_model()
        with torch.no_grad():
            model.load_state_dict(state)
    except OSError as error:
        raise RunError(
            f"{run.path} keeps no weights of epoch {epoch} ({error.strerror}); train with --set snapshots=20 to keep some"
        ) from error
    except (RuntimeError, ValueError, SafetensorError) as error:
        raise RunError(f"{file} does not fit the network of {run.path}; delete it") from error
    model = model.eval().to(memory_format=torch.channels_last)
    name = f"{run.path.name} after epoch {epoch}"
    return replace(trained_of(run, model), name=name, model=model)


def trained_of(run: Run, model: torch.nn.Module) -> Trained:
    """As `run.trained`, also of a run whose training has not ended."""
    if run.finished:
        return run.trained
    shown = Run(run.path, run.info, model=model, factory=run.factory)
    return shown.trained
