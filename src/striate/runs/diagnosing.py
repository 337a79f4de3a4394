"""Diagnosing runs: a run's network and its training images brought to the diagnostics, findings stored."""

from __future__ import annotations

import difflib
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from striate.answer import answer_of
from striate.borrow import forward
from striate.diagnostics import (
    activations,
    check_gradients,
    filters,
    initial_loss,
    label_errors,
    overfit_batch,
)
from striate.errors import StriateError, UsageError
from striate.findings import Finding
from striate.robustness.probes import NEEDS as IN_WORDS
from striate.runs.cross_validation import out_of_fold
from striate.runs.evaluate import report_run
from striate.runs.images import examples_of, source_of
from striate.runs.opening import open_trained
from striate.runs.preparing import prepare
from striate.runs.recipe_keys import from_recipe
from striate.runs.run import Run
from striate.runs.training import rate
from striate.runs.watching import UPDATES, updates_of
from striate.tasks.examples import Examples
from striate.tasks.network import first_network
from striate.tasks.plan import Plan
from striate.training.batch import Batch
from striate.training.callbacks import Listener
from striate.wording import in_quotes

FEW, BATCH = 4, 32  # images of the gradient check and of the one batch
CHUNK = 256
IMAGES = 2000
NAMES = (
    "gradients", "activations", "filters", "updates", "rates", "initial-loss", "one-batch", "labels",
)  # fmt: skip
NEEDS = {
    "initial-loss": "choices",
    "one-batch": "labels",
    "labels": "labels",
}  # of a task's `offers`
Progress = Callable[[str, int, int], None]
Refused = Callable[[str, StriateError], None]


def diagnose_run(
    target: str | Path | Run,
    names: Sequence[str] = (),
    *,
    data: str | None = None,
    images: int | None = None,
    cross_validate: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
    refused: Refused | None = None,
) -> list[Finding]:
    """Diagnose a run on its training images and store what was found in it; the report is written again.

    names: diagnostics, all if none. data: images instead of the run's own. images: at most so many, drawn by `seed`; 2,000
    if not given, all for cross-validation. cross_validate: ask for labels so many networks, each trained without the images
    that it judges. refused: called with a diagnostic that cannot be done and the reason; without it that is raised.
    Raises UsageError for an unknown name or where `target` is no run, and what the first diagnostic raised where none could
    be done; what opening `data` raises.
    """
    chosen = resolve(names)
    if images is not None and images < 2:
        raise UsageError(f"give at least 2 images, got {images}")
    if cross_validate is not None and "labels" not in chosen:
        raise UsageError("--cross-validate needs the diagnostic labels; add it, or name none")
    run = target if isinstance(target, Run) else opened(target)
    if not names:
        chosen = [n for n in chosen if NEEDS.get(n) is None or NEEDS[n] in run.task.offers]
    if not names and not (run.path / UPDATES).is_file():
        chosen.remove("updates")  # updates that were not watched are not known, which is no fault
    bench = Bench(run, data, images, cross_validate, seed, progress)
    if data is not None:
        _ = (
            bench.source
        )  # a wrong name is an error, also where no diagnostic asked for would look at an image
    findings: list[Finding] = []
    first: StriateError | None = None
    for i, name in enumerate(chosen):
        if progress is not None:
            progress(name, i, len(chosen))
        begun = time.perf_counter()
        try:
            needs = NEEDS.get(name)
            if needs is not None and needs not in run.task.offers:
                raise UsageError(
                    f"{name} needs {IN_WORDS[needs]}, and this run gives {run.task.about}; leave it out"
                )
            finding = bench.make(name)
        except StriateError as error:
            if refused is None:
                raise
            first = first or error
            refused(name, error)
            continue
        seconds = round(time.perf_counter() - begun, 3)
        findings.append(run.add(replace(finding, seed=seed, seconds=seconds)))
    if not findings and first is not None:
        raise first
    report_run(run)
    return findings


def opened(target: str | Path) -> Run:
    """The run of a folder. Raises UsageError for a model's name, RunError where there is no run."""
    if not Path(target).is_dir() and not any(c in str(target) for c in "/\\"):
        raise UsageError(
            f"{target} is no run's folder, which holds a run.toml; give the one that `striate train` made, such as "
            "runs/digits-1"
        )
    return Run.load(target)


def resolve(names: Sequence[str]) -> list[str]:
    """The names in the order of NAMES, all if none. Raises UsageError for one that does not exist."""
    for name in names:
        if name not in NAMES:
            near = difflib.get_close_matches(name, NAMES, 1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(NAMES)}"
            raise UsageError(f"there is no diagnostic {in_quotes(name)}; {hint}")
    return [n for n in NAMES if not names or n in names]


class Bench:
    """What the diagnostics of one run share, each part made when first asked for."""

    def __init__(
        self, run: Run, data: str | None, images: int | None, folds: int | None, seed: int, progress: Progress | None
    ) -> None:  # fmt: skip
        self.run, self.data, self.limit, self.folds, self.seed = run, data, images, folds, seed
        self.progress = progress

    def make(self, name: str) -> Finding:
        """One diagnostic."""
        run, seed = self.run, self.seed
        if name == "gradients":
            few = Batch(self.inputs[:FEW], self.examples.targets).take(slice(FEW))
            model = self.model.requires_grad_(True)
            return check_gradients(
                model, few.images, few.targets, partial(self.mean_loss, few.images), seed=seed
            )
        if name == "activations":
            labels = self.examples.targets[:CHUNK] if "labels" in run.task.offers else None
            return activations(self.model, self.inputs[:CHUNK], labels, seed=seed)
        if name == "filters":
            shape = (run.preprocessing.channels, *run.preprocessing.size)
            return filters(self.model, start=begun(run), shape=shape, seed=seed)
        if name == "updates":
            return updates_of(run)
        if name == "rates":
            return self.rates()
        if name == "initial-loss":
            return initial_loss(
                first_model(run), self.inputs[:CHUNK], self.examples.targets[:CHUNK], len(run.classes),
                pretrained=given(run), loss=self.choice_loss,
            )  # fmt: skip
        if name == "one-batch":
            return overfit_batch(
                first_model(run), self.inputs[:BATCH], self.examples.targets[:BATCH]
            )
        return self.labels()

    @cached_property
    def model(self) -> nn.Module:
        """The trained network."""
        return open_trained(self.run).model

    @cached_property
    def source(self) -> Any:
        """The run's own data, or what was given in its place."""
        return source_of(self.run, self.data)

    @cached_property
    def examples(self) -> Examples:
        """Training images with targets, in an order drawn by seed."""
        most = self.run.task.probed[0]
        # Backpropagation through maps takes several times a probe's memory.
        limit = self.limit or IMAGES if most is None else min(self.limit or most, most // 4)
        examples = examples_of(self.run, self.source, "train", limit=limit, seed=self.seed)
        drawn = torch.randperm(
            len(examples), generator=torch.Generator().manual_seed(self.seed)
        ).tolist()
        batch = Batch(examples.images, examples.targets).take(drawn)
        return Examples(batch.images, batch.targets, tuple(examples.keys[i] for i in drawn))

    @cached_property
    def inputs(self) -> Tensor:
        """The images as the network takes them."""
        return self.run.preprocessing.normalise(self.examples.images)

    @cached_property
    def plan(self) -> Plan:
        """The run's recipe on its images."""
        recipe = self.run.recipe.replace(budget=None)
        return Plan(recipe=recipe, source=self.source, preprocessing=self.run.preprocessing, why=[])

    def mean_loss(self, images: Tensor, output: Any, targets: Any) -> Tensor:
        """The task's loss, (), of the output for a batch."""
        return self.run.task.loss(self.plan)(output, Batch(images, targets)).mean

    def choice_loss(self, output: Any, targets: Any) -> Tensor:
        """Mean cross-entropy of the choices among classes that a batch holds: ln K where each class is as likely."""
        generator = torch.Generator().manual_seed(self.seed)
        return cross_entropy(*self.run.task.choices(output, targets, generator))

    def labels(self) -> Finding:
        """Labels that are contradicted, by the network itself or by ones that have not learned them."""
        run, source = self.run, self.source
        if self.folds is None:
            shown = self.examples
            p = probabilities(self.model, self.inputs, run.temperature)
            return label_errors(
                p,
                shown.targets,
                run.classes,
                keys=list(shown.keys),
                images=lambda at: shown.images[at],
            )

        def progress(fold: int, of: int) -> None:
            if self.progress is not None:
                self.progress(f"labels, network {fold + 1} of {of}", fold, of)

        p, judged = out_of_fold(
            run, source, self.folds, seed=self.seed, limit=self.limit, progress=progress
        )

        def images(at: Sequence[int]) -> Tensor:
            part = judged.train.take(at)
            return run.task.load_examples(judged, part, run.preprocessing, run.classes).images

        return label_errors(
            p, torch.from_numpy(judged.train.labels), judged.classes, keys=judged.train.keys, images=images,
            folds=self.folds,
        )  # fmt: skip

    def rates(self) -> Finding:
        """The range test of the run's recipe on its images."""
        if self.run.wrapped:
            raise UsageError("the network was trained elsewhere, and by which recipe is not known")
        job = prepare(self.plan, torch.device("cpu"), Listener())
        return rate(self.plan, job, Listener(), used=self.plan.recipe.lr)


def given(run: Run) -> bool:
    """Whether the training began with weights that were given, not drawn."""
    return bool(run.recipe.pretrained or run.recipe.weights or run.wrapped)


def begun(run: Run) -> nn.Module | None:
    """The network with the weights that the run's training drew at its beginning; None where they were given."""
    return None if given(run) else first_model(run)


def first_model(run: Run) -> nn.Module:
    """The network as the run's training began with it. Raises UsageError for one that was trained elsewhere."""
    if run.wrapped:
        raise UsageError("the network was trained elsewhere, and how it began is not known")
    with from_recipe(run.path, run.info["recipe"], "weights", "model"):
        return first_network(run.task, run.recipe, run.preprocessing, len(run.classes))


def probabilities(model: nn.Module, x: Tensor, temperature: float) -> Tensor:
    """Softmax of the network's outputs over chunks of the images: (N, C)."""
    with torch.inference_mode():
        return torch.cat(
            [
                (answer_of(forward(model, c)).float() / temperature).softmax(1)
                for c in x.split(CHUNK)
            ]
        )
