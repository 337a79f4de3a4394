"""Probing runs: a run's network and its test images brought to the probes, findings stored, the report rewritten."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from striate.borrow import forward
from striate.data import Source
from striate.errors import StriateError, UsageError
from striate.findings import Finding
from striate.robustness import (
    Exam,
    Recorder,
    at_chance,
    checklist,
    domain,
    examine,
    line_domains,
    resolve_probes,
)
from striate.robustness.calibration import calibration
from striate.robustness.probes import passes
from striate.robustness.shortcuts import shortcuts
from striate.runs.evaluate import report_run
from striate.runs.images import images_of, source_of
from striate.runs.opening import Trained, open_trained
from striate.runs.probing_masks import probe_mask_run, stored
from striate.runs.probing_strangers import strange
from striate.runs.run import Run

IMAGES = 2000
SEARCHED = 800  # training images in which marks are looked for
LEAST = 24  # images that a budget leaves
DRAWING = 0.4  # seconds that a probe spends on its figures
Progress = Callable[[str, int, int], None]


def probe_run(
    target: str | Path | Run,
    names: Sequence[str] = (),
    *,
    data: str | None = None,
    against: str | None = None,
    images: int = IMAGES,
    budget: float | None = None,
    seed: int = 0,
    store_temperature: bool = False,
    record: bool = True,
    progress: Progress | None = None,
) -> list[Finding]:
    """Probe a run and store what was found in it, with the checklist; the report is written again.

    names: probes, all if none. data: test images instead of the run's own. against: a folder or source of another domain.
    images: at most so many. budget: seconds; fewer images are taken, drawn by `seed`, and intervals widen.
    store_temperature: let `predict` use the fitted temperature. record: look for the layers and channels to blame.
    Raises UsageError for an unknown probe, RunError where the run's images are gone.
    """
    started = time.perf_counter()
    wanted = resolve_probes(names)
    if images < 1 or (budget is not None and budget <= 0):
        raise UsageError("give at least one image and a budget of more than 0 seconds")
    for option, probe, given in (
        ("--store-temperature", "calibration", store_temperature),
        ("--against", "domain", against is not None),
    ):
        if given and probe not in wanted:
            raise UsageError(f"{option} needs the probe {probe}; add it, or name no probe")
    trained = opened_run(target)
    run = trained.run
    assert run is not None
    if run.labels_pixels:
        return probe_mask_run(
            trained, names, data=data, against=against, images=images, budget=budget, seed=seed,
            store_temperature=store_temperature, progress=progress,
        )  # fmt: skip
    source = source_of(run, data)
    batch, labels = images_of(run, tested_on(run, source), limit=images, seed=seed, source=source)
    whole = exam_of(trained, batch, labels, seed, record=record)
    tick = time.perf_counter()
    stopped = at_chance(whole)
    pace = (time.perf_counter() - tick) / len(whole)  # seconds an image
    if stopped is not None:
        run.add(stopped)
        report_run(run)
        return [stopped]
    (run.path / "findings" / "probe-clean.json").unlink(missing_ok=True)
    found = []
    slower = 1.5  # what a probe costs over its forward passes; corrected after each
    took, made = 0.0, 0
    try:
        # Under a budget the cheap ones first: what they leave of their share is the others'.
        order = wanted if budget is None else sorted(wanted, key=lambda n: passes(n, len(whole)))
        for i, name in enumerate(order):
            if progress is not None:
                progress(name, i, len(order))
            exam = whole
            if budget is not None:
                left = 0.9 * budget - (time.perf_counter() - started)
                count = affordable(name, len(whole), left / (len(order) - i), pace * slower)
                exam = sampled(whole, count) if count < len(whole) else whole
            begun = time.perf_counter()
            finding = examine(exam, name, special(name, trained, source, exam, against))
            took += time.perf_counter() - begun - DRAWING
            made += passes(name, len(exam))
            slower = max(0.3, took / (pace * made))
            if len(exam) < len(whole):
                finding = bounded(finding, len(exam), len(whole), budget)
            if name == "calibration" and store_temperature:
                finding = stored(run, finding)
            found.append(run.add(finding))
    finally:
        # What was found before an interruption or an error is in the report all the same.
        found.sort(key=lambda f: wanted.index(f.name.removeprefix("probe-")))
        if found:
            found.append(run.add(checklist(list(run.findings()))))
            report_run(run)
    return found


def exam_of(
    trained: Trained, images: Tensor, labels: Tensor, seed: int, *, record: bool = False
) -> Exam:
    """The exam of a run's network on prepared images; its parameters need no gradient from now on."""
    model = trained.pixels
    for parameter in model.parameters():
        parameter.requires_grad_(False)  # attacks need the gradient of pixels alone
    recorder = Recorder(model) if record else None
    recipe = None if trained.run is None else trained.run.recipe
    augmented = {k: getattr(recipe, k, None) for k in ("shift", "rotate", "scale", "flip")}
    seen = {k: float(v) for k, v in augmented.items() if v is not None}
    return Exam(model, images, labels, trained.classes, seed, recorder, trained.temperature, seen)


def tested_on(run: Run, source: Source) -> str:
    """The split to be examined on: the test split; images that are not the run's own may be too few to have one."""
    own = source.fingerprint == run.info["data"]["fingerprint"]
    return "test" if own or len(source.test) or len(source.val) else "train"


def bounded(finding: Finding, count: int, of: int, budget: float | None) -> Finding:
    """The finding, saying that a budget made it look at fewer images."""
    remark = f" (Sampled {count:,} of {of:,} images to keep to {budget:g} s, so its intervals are wider.)"
    return replace(finding, verdict=finding.verdict + remark)


def affordable(name: str, most: int, left: float, pace: float) -> int:
    """Images for a probe that is to end in `left` seconds; at least 24, as far as there are.

    pace: seconds a forward pass of an image.
    """
    count = most
    while count > LEAST and passes(name, count) * pace > left - DRAWING:
        count = int(0.95 * count)
    return min(most, max(LEAST, count))


def sampled(exam: Exam, count: int) -> Exam:
    """Fewer images, with a recorder of their own where the exam has one."""
    recorder = Recorder(exam.model) if exam.recorder is not None else None
    return replace(exam.take(count), recorder=recorder)


def special(
    name: str, trained: Trained, source: Source, exam: Exam, against: str | None
) -> Callable[[Exam], Finding] | None:
    """The probes that need more than the exam: other images, or validation images."""
    run = trained.run
    assert run is not None
    if name == "domain":
        if against is not None:
            return partial(
                domain, others={Path(against).name or against: strange(run, trained, against)}
            )
        if run.recipe.data == "lines":
            _, c, h, _ = trained.shape
            return partial(domain, others=line_domains(256, size=h, channels=c, seed=exam.seed))
    if name == "shortcuts":
        try:
            searched = images_of(run, "train", limit=SEARCHED, seed=exam.seed, source=source)
        except StriateError:  # images that are not the run's own may have no training split
            searched = None
        return partial(shortcuts, training=searched)
    if name == "calibration":
        try:
            # An empty test split has the validation images tested on: then there are no others.
            others = images_of(run, "val", source=source) if len(source.test) else None
        except StriateError:
            others = None

        def calibrated(given: Exam) -> Finding:
            # Confidence is that of `predict`, which may take the mean with the mirrored image.
            used = Mirrored(given.model).eval() if run.recipe.flip_test else given.model
            as_used = Exam(used, given.images, given.labels, given.classes, given.seed)
            return calibration(as_used, others, current=run.temperature)

        return calibrated
    return None


class Mirrored(nn.Module):
    """The mean of a network's logits for an image and its mirror image."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, K) of images (N, C, H, W)."""
        return torch.stack(
            [forward(self.model, images), forward(self.model, images.flip(-1))]
        ).mean(0)


def opened_run(target: str | Path | Run) -> Trained:
    """A run's network. Raises UsageError for anything else, RunError for a run that is damaged."""
    if not isinstance(target, Run) and not Path(target).is_dir():
        raise UsageError(
            f"there is no run at {target}; probes need the images of one, so give the folder that `striate train` made"
        )
    return open_trained(target)
