"""Diagnosing runs: a run's network and its training images brought to the diagnostics, findings stored."""

from __future__ import annotations

import difflib
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from striate.diagnostics import (
    activations,
    check_gradients,
    filters,
    initial_loss,
    label_errors,
    overfit_batch,
)
from striate.errors import UsageError
from striate.findings import Finding
from striate.models import build
from striate.runs.evaluate import report_run
from striate.runs.images import balanced, images_of, source_of
from striate.runs.run import Run
from striate.runs.subject import open_subject

FEW, BATCH = 4, 32  # images of the gradient check and of the one batch
CHUNK = 256
NAMES = ("gradients", "activations", "filters", "initial-loss", "one-batch", "labels")
Progress = Callable[[str, int, int], None]


def diagnose_run(
    target: str | Path | Run,
    names: Sequence[str] = (),
    *,
    data: str | None = None,
    images: int = 2000,
    seed: int = 0,
    progress: Progress | None = None,
) -> list[Finding]:
    """Diagnose a run on its training images and store what was found in it; the report is written again.

    names: diagnostics, all if none. data: images instead of the run's own. images: at most so many, drawn by `seed`.
    Raises UsageError for an unknown name or a network that labels pixels, RunError where the run's images are gone.
    """
    wanted = resolve(names)
    if images < 2:
        raise UsageError(f"give at least 2 images, got {images}")
    subject = open_subject(target)
    run = subject.run
    if run is None or run.labels_pixels:
        raise UsageError(
            f"{target} is no run that gives an image one class; give the folder of one that `striate train` made"
        )
    source = source_of(run, data)
    raw, labels = images_of(run, "train", limit=images, seed=seed, source=source)
    keys = list(source.train.keys)
    if images < len(keys):
        keys = [keys[i] for i in balanced(source.train.labels, images, seed).tolist()]
    x = subject.normalise(raw)
    drawn = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))
    x, labels, keys = x[drawn], labels[drawn], [str(keys[i]) for i in drawn.tolist()]
    model = subject.model
    make: dict[str, Callable[[], Finding]] = {
        "gradients": lambda: check_gradients(learnable(model), x[:FEW], labels[:FEW], seed=seed),
        "activations": lambda: activations(model, x[:CHUNK], labels[:CHUNK], seed=seed),
        "filters": lambda: filters(
            model, start=begun(run), shape=(run.preparation.channels, *run.preparation.size)
        ),
        "initial-loss": lambda: initial_loss(
            untrained(run, seed), x[:CHUNK], labels[:CHUNK], len(run.classes)
        ),
        "one-batch": lambda: overfit_batch(untrained(run, seed), x[:BATCH], labels[:BATCH]),
        "labels": lambda: label_errors(
            probabilities(model, x, subject.temperature), labels, run.classes, keys=keys
        ),
    }
    found = []
    for i, name in enumerate(wanted):
        if progress is not None:
            progress(name, i, len(wanted))
        begun = time.perf_counter()
        finding = make[name]()
        seconds = round(time.perf_counter() - begun, 3)
        found.append(run.add(replace(finding, seed=seed, seconds=seconds)))
    report_run(run)
    return found


def resolve(names: Sequence[str]) -> list[str]:
    """The names in the order of NAMES, all if none. Raises UsageError for one that does not exist."""
    for name in names:
        if name not in NAMES:
            near = difflib.get_close_matches(name, NAMES, 1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(NAMES)}"
            raise UsageError(f"there is no diagnostic {name}; {hint}")
    return [n for n in NAMES if not names or n in names]


def learnable(model: nn.Module) -> nn.Module:
    """The network with every parameter asking for a gradient."""
    return model.requires_grad_(True)


def begun(run: Run) -> nn.Module | None:
    """The network with the weights that the run's training began with; None where they were given, not drawn."""
    if run.recipe.pretrained or run.recipe.weights:
        return None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(run.recipe.seed)
        return run.empty_model()


def untrained(run: Run, seed: int) -> nn.Module:
    """The run's network with new first weights, without touching the caller's random state."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build(
            str(run.recipe.model),
            in_channels=run.preparation.channels,
            num_classes=len(run.classes),
            size=run.preparation.size,
            pretrained=False,
            **run.recipe.model_options,
        )


def probabilities(model: nn.Module, x: Tensor, temperature: float) -> Tensor:
    """Softmax of the network's outputs over chunks of the images: (N, C)."""
    with torch.inference_mode():
        return torch.cat([(model(c).float() / temperature).softmax(1) for c in x.split(CHUNK)])
