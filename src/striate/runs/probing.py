"""Probing runs: a run's network and its test images brought to the probes, findings stored, the report rewritten."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from striate.answer import answer_of
from striate.borrow import forward
from striate.errors import StriateError, UsageError
from striate.findings import Finding
from striate.geometry import trace
from striate.robustness import (
    Context,
    Probe,
    Recorder,
    at_chance,
    checklist,
    domain,
    line_domains,
    probes_of,
    resolve_probes,
    run_probe,
)
from striate.robustness.calibration import calibration
from striate.robustness.shortcuts import shortcuts
from striate.runs.allowance import Allowance
from striate.runs.evaluate import report_run
from striate.runs.images import examples_of, images_of, source_of
from striate.runs.opening import Trained, open_trained
from striate.runs.probing_other_domain import other_domain
from striate.runs.probing_samples import refuse_retraining, samples_probe
from striate.runs.probing_share import LeftOut, affordable, bounded, left_out, work_of
from striate.runs.run import Run
from striate.tasks.examples import Examples
from striate.tasks.task import Task
from striate.tasks.trained import FromPixels

IMAGES = 2000
SEARCHED = 800  # training images in which marks are looked for
DRAWN = 5  # small figures that those of a probe cost as much as
SLOWEST = 3.0  # times its forward passes that a probe is taken to need, before it is left out
Progress = Callable[[str, int, int], None]


def probe_run(
    target: str | Path | Run,
    names: Sequence[str | Probe | Callable[[Context], Finding]] = (),
    *,
    data: str | None = None,
    against: str | None = None,
    images: int | None = None,
    budget: float | None = None,
    seed: int = 0,
    store_temperature: bool = False,
    work: float | None = None,
    record: bool = True,
    progress: Progress | None = None,
) -> list[Finding]:
    """Probe a run and store what was found in it, with the checklist; the report is written again.

    names: probes, all if none but `samples`, which trains; also a Probe or a function (context) -> Finding of your own.
    data: test images instead of the run's own. against: a folder or source of another domain.
    images: at most so many; 2,000 if not given, and then fewer for a network so large that all of the probes would take more
    than `work` multiply-adds (more for a small network, if not given). budget: seconds; fewer images are taken, drawn by
    `seed`, and intervals widen; of all probes, those that would not fit even on their fewest images are left out, with a
    finding `probe-left-out`, which is not stored.
    store_temperature: let `predict` use the fitted temperature. record: look for the layer and the channels at which
    failures enter. Raises UsageError for an unknown probe, RunError where the run's images are gone.
    """
    started = time.perf_counter()
    trained = opened_run(target)
    run, task = trained.run, trained.task
    assert run is not None
    chosen = resolve_probes(names, task)
    if (images is not None and images < 1) or (budget is not None and budget <= 0):
        raise UsageError("give at least one image and a budget of more than 0 seconds")
    for option, probe, given, instead in (
        ("--store-temperature", "calibration", store_temperature, "leave it out"),
        ("--against", "domain", against is not None, "give data of the other domain with --data"),
    ):
        if given and probe not in probes_of(task):
            raise UsageError(
                f"{option} has no use for a network that gives {task.about}; {instead}"
            )
        if given and probe not in chosen:
            raise UsageError(f"{option} needs the probe {probe}; add it, or name no probe")
    source = source_of(run, data)
    if "samples" in chosen:
        refuse_retraining(run, source)
    limit, fewest = at_most(task, images or IMAGES), task.probed[1]
    examples = examples_of(run, source, tested_on(run, source), limit=limit, seed=seed)
    whole = context_of(trained, examples, seed, record=record)
    tick = time.perf_counter()
    stopped = at_chance(whole)
    pace = (time.perf_counter() - tick) / len(whole)  # seconds an image
    if stopped is not None:
        run.add(stopped)
        report_run(run)
        return [stopped]
    (run.path / "findings" / "probe-clean.json").unlink(missing_ok=True)
    findings, classes = [], len(whole.classes)
    shared = work_of(trained, whole, work) if images is None and budget is None else None
    missing: list[LeftOut] = []
    figures = Allowance(seconds=budget, started=started)
    if budget is not None:
        figures.measure_figure()  # also brings the drawing into memory, which is then no probe's cost
    drawing = DRAWN * figures.figure
    slower = 1.5  # what a probe costs over its forward passes; corrected after each
    took, made = 0.0, 0
    try:
        # Under a budget the cheap ones first: what they leave of their share is the others'.
        order = (
            list(chosen)
            if budget is None and shared is None
            else sorted(chosen, key=lambda n: chosen[n].passes(len(whole), classes))
        )
        for i, name in enumerate(order):
            if progress is not None:
                progress(name, i, len(order))
            context, share, retraining = whole, None, None
            least = min(fewest, chosen[name].least or fewest)  # masks need fewer already
            if budget is not None:
                left = 0.9 * budget - (time.perf_counter() - started)
                share = left / (len(order) - i) - drawing
            if name == "samples":  # all test images: its time goes into training
                retraining = partial(samples_probe, run, source, budget=share, progress=progress)
            elif share is not None:
                assert budget is not None
                each = pace * slower
                count = affordable(chosen[name], len(whole), share, each, least, classes)
                passes = chosen[name].passes(count, classes)
                # What the cheap probes before it took says little of a large network: drawing, not passes.
                needs = passes * pace * min(slower, SLOWEST) + drawing
                # One that was asked for by name is made on its fewest images all the same.
                if not names and needs > left:
                    missing.append(LeftOut(name, count, needs))
                    continue
                context = sampled(whole, count)
            elif shared is not None:
                # Counted, not timed, so that the same command takes the same images on every machine.
                count = affordable(
                    chosen[name],
                    len(whole),
                    shared.left / (len(order) - i),
                    shared.image,
                    least,
                    classes,
                )
                shared.left -= chosen[name].passes(count, classes) * shared.image
                context = sampled(whole, count)
            begun = time.perf_counter()
            finding = run_probe(
                context,
                name,
                retraining or special(name, trained, source, context, against) or chosen[name].run,
            )
            if retraining is None:
                took += time.perf_counter() - begun - drawing
                made += chosen[name].passes(len(context), classes)
                slower = max(0.3, took / (pace * made))
            if len(context) < len(whole):
                finding = bounded(finding, len(context), len(whole), budget)
            if name == "calibration" and store_temperature:
                finding = stored(run, finding)
            findings.append(run.add(finding))
    finally:
        # What was found before an interruption or an error is in the report all the same.
        place = {f"probe-{name}": i for i, name in enumerate(chosen)}
        if missing and budget is not None:
            used = time.perf_counter() - started
            findings.append(left_out(missing, len(order), budget, used))
        findings.sort(key=lambda f: place.get(f.name, len(place)))
        if findings:
            findings.append(run.add(checklist(list(run.findings()), probes_of(task))))
            report_run(run)
    return findings


class Pixels(FromPixels):
    """A network from pixels in [0, 1] to its prediction alone, without other outputs."""

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) to (N, ...)."""
        return answer_of(super().forward(images))


def context_of(trained: Trained, examples: Examples, seed: int, *, record: bool = False) -> Context:
    """The probe context of a run's network; its parameters need no gradient from now on."""
    task = trained.task
    # A probe that needs logits takes the prediction; other metrics may need the whole of the output.
    known = "labels" in task.offers or "choices" in task.offers
    made = Pixels if known else FromPixels
    model = made(trained.model, trained.preprocessing).eval()
    for parameter in model.parameters():
        parameter.requires_grad_(False)  # attacks need the gradient of pixels alone
    recipe = None if trained.run is None else trained.run.recipe
    augmented = {k: getattr(recipe, k, None) for k in ("shift", "rotate", "scale", "flip")}
    return Context(
        model,
        examples.images,
        examples.targets,
        trained.classes,
        seed,
        recorder=Recorder(model) if record and "labels" in task.offers else None,
        temperature=trained.temperature,
        trained={k: float(v) for k, v in augmented.items() if v is not None},
        task=task,
        stride=coarsest(trained),
    )


def coarsest(trained: Trained) -> int:
    """Pixels between positions of the network's coarsest map; 1 where it cannot be traced."""
    try:
        layers = trace(trained.model, trained.shape)
    except StriateError:
        return 1
    axes = [axis for layer in layers for axis in layer.receptive_field or () if axis is not None]
    return max((int(axis.stride) for axis in axes), default=1)


def stored(run: Run, finding: Finding) -> Finding:
    """Store the temperature that was fitted, if one was; the finding says what happened."""
    if finding.data["fitted"]:
        run.info["temperature"] = round(float(finding.data["temperature"]), 4)
        run.save_info()
        remark = f" {run.temperature:g} is stored with the run; `striate predict` uses it."
    else:
        remark = f" None is stored; `striate predict` keeps {run.temperature:g}."
    return replace(finding, verdict=finding.verdict + remark, advice="")


def at_most(task: Task, images: int) -> int:
    """How many images are taken where so many are asked for."""
    most = task.probed[0]
    return images if most is None else min(images, most)


def tested_on(run: Run, source: Any) -> str:
    """The split to be examined on: the test split; images that are not the run's own may be too few to have one."""
    own = source.fingerprint == run.info["data"]["fingerprint"]
    return "test" if own or len(source.test) or len(source.val) else "train"


def sampled(context: Context, count: int) -> Context:
    """Fewer images, with a recorder of their own where the context has one; itself where there are no more."""
    if count >= len(context):
        return context
    recorder = Recorder(context.model) if context.recorder is not None else None
    return replace(context.take(count), recorder=recorder)


def special(
    name: str, trained: Trained, source: Any, context: Context, against: str | None
) -> Callable[[Context], Finding] | None:
    """The probes that need more than the context: other images, or validation images."""
    run = trained.run
    assert run is not None
    if name == "domain":
        if against is not None:
            return partial(
                domain, others={Path(against).name or against: other_domain(run, trained, against)}
            )
        if run.recipe.data == "lines":
            _, c, h, _ = trained.shape
            return partial(domain, others=line_domains(256, size=h, channels=c, seed=context.seed))
    if name == "shortcuts":
        try:
            searched = images_of(run, "train", limit=SEARCHED, seed=context.seed, source=source)
        except StriateError:  # images that are not the run's own may have no training split
            searched = None
        return partial(shortcuts, training=searched)
    if name == "calibration" and "calibration" not in trained.task.probes:
        limit, others = trained.task.probed[0], None
        try:
            # An empty test split has the validation images tested on: then there are no others.
            if len(source.test):
                others = images_of(run, "val", limit=limit, seed=context.seed, source=source)
        except StriateError:
            pass

        def calibrated(given: Context) -> Finding:
            # Confidence is that of `predict`, which may take the mean with the mirrored image.
            used = Mirrored(given.model).eval() if run.recipe.flip_test else given.model
            as_used = replace(given, model=used, recorder=None)
            return calibration(as_used, others, current=run.temperature)

        return calibrated
    return None


class Mirrored(nn.Module):
    """The mean of a network's logits for an image and its mirror image."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, K), or (N, K, H, W) of maps, of images (N, C, H, W)."""
        plain, mirrored = forward(self.model, images), forward(self.model, images.flip(-1))
        return torch.stack([plain, mirrored.flip(-1) if mirrored.dim() == 4 else mirrored]).mean(0)


def refuse_unknown(target: Any, names: Sequence[Any]) -> None:
    """Raise UsageError for a probe that the target's task does not have, before its network or images are read."""
    if isinstance(target, str | Path) and (Path(target) / "run.toml").is_file():
        target = Run.load(target)
    task = getattr(target, "task", None)
    if isinstance(task, Task):
        resolve_probes(names, task)


def opened_run(target: str | Path | Run) -> Trained:
    """A run's network. Raises UsageError for anything else, RunError for a run that is damaged."""
    if not isinstance(target, Run) and not Path(target).is_dir():
        raise UsageError(
            f"there is no run at {target}; probes need the images of one, so give the folder that `striate train` made"
        )
    return open_trained(target)
