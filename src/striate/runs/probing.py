"""Probing runs: a run's network and its test images brought to the probes, findings stored, the report rewritten."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch

from striate.errors import DataError, RunError, StriateError, UsageError
from striate.findings import Finding
from striate.robustness import (
    Domain,
    Exam,
    Recorder,
    at_chance,
    checklist,
    domain,
    examine,
    line_domains,
    resolve_probes,
)
from striate.robustness import compare as compare_exams
from striate.robustness.calibration import calibration
from striate.robustness.probes import COST, FIXED
from striate.runs.evaluate import report_run
from striate.runs.images import images_of, source_of
from striate.runs.run import Run
from striate.runs.subject import Subject, open_subject

IMAGES = 2000
LEAST = 24  # images that a budget leaves
STRANGE = 1000  # images of another domain
SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"})
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
    if store_temperature and "calibration" not in wanted:
        raise UsageError(
            "--store-temperature needs the probe calibration; add it, or name no probe"
        )
    run, subject = classifier(target)
    source = source_of(run, data)
    batch, labels = images_of(run, "test", limit=images, seed=seed, source=source)
    model = subject.pixels
    for parameter in model.parameters():
        parameter.requires_grad_(False)  # attacks need the gradient of pixels alone
    whole = Exam(model, batch, labels, run.classes, seed, Recorder(model) if record else None)
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
    for i, name in enumerate(wanted):
        if progress is not None:
            progress(name, i, len(wanted))
        exam = whole
        if budget is not None:
            left = max(0.0, 0.9 * budget - (time.perf_counter() - started))
            rest = sum(COST[n] * len(whole) + FIXED.get(n, 0) for n in wanted[i:])
            mine = (COST[name] * len(whole) + FIXED.get(name, 0)) / rest
            passes = left * mine / (pace * slower * (COST[name] + FIXED.get(name, 0) / len(whole)))
            count = int(min(len(whole), max(LEAST, passes)))
            if count < len(whole):
                exam = sampled(whole, count)
        begun = time.perf_counter()
        finding = examine(exam, name, special(name, run, subject, source_of, exam, data, against))
        took = time.perf_counter() - begun
        slower = max(0.2, took / (pace * (COST[name] * len(exam) + FIXED.get(name, 0))))
        if len(exam) < len(whole):
            finding = bounded(finding, len(exam), len(whole), budget)
        found.append(run.add(finding))
        if name == "calibration" and store_temperature and bool(finding.data["fitted"]):
            run.info["temperature"] = round(float(finding.data["temperature"]), 4)
            run.save_info()
    found.append(run.add(checklist(list(run.findings()))))
    report_run(run)
    return found


def bounded(finding: Finding, count: int, of: int, budget: float | None) -> Finding:
    """The finding, saying that a budget made it look at fewer images."""
    from dataclasses import replace

    remark = f" (Sampled {count:,} of {of:,} images to keep to {budget:g} s, so its intervals are wider.)"
    return replace(finding, verdict=finding.verdict + remark)


def sampled(exam: Exam, count: int) -> Exam:
    """Fewer images, with a recorder of their own where the exam has one."""
    some = exam.take(count)
    recorder = Recorder(exam.model) if exam.recorder is not None else None
    return Exam(exam.model, some.images, some.labels, exam.classes, exam.seed, recorder)


def special(
    name: str, run: Run, subject: Subject, opened: Callable, exam: Exam, data: str | None, against: str | None,
) -> Callable[[Exam], Finding] | None:  # fmt: skip
    """The probes that need more than the exam: other images, or validation images."""
    if name == "domain":
        if against is not None:
            return partial(domain, others={Path(against).name: strange(run, subject, against)})
        if run.recipe.data == "lines":
            _, c, h, _ = subject.shape
            return partial(domain, others=line_domains(256, size=h, channels=c, seed=exam.seed))
    if name == "calibration":
        try:
            source = opened(run, data)
            # An empty test split has the validation images tested on: then there are no others.
            others = images_of(run, "val", source=source) if len(source.test) else None
        except StriateError:
            others = None
        return partial(calibration, validation=others, current=run.temperature)
    return None


def strange(run: Run, subject: Subject, against: str) -> Domain:
    """Images of another domain, with labels where its classes are the run's. Raises DataError where there are none."""
    try:
        source = source_of(run, against)
        parts = [s for s in ("test", "val", "train") if len(source.splits[s])]
        batch, labels = images_of(run, parts[0], limit=STRANGE, source=source)
        return Domain(batch, labels)
    except (RunError, DataError, UsageError) as error:
        folder = Path(against)
        if not folder.is_dir():
            # A source by its name whose classes are others: its images are strange all the same.
            others = unlabelled_source(run, against)
            if others is not None:
                return Domain(others)
            raise DataError(
                f"cannot use {against} as another domain: {error}; give a folder or a source"
            ) from error
    files = sorted(f for f in folder.rglob("*") if f.suffix.lower() in SUFFIXES)
    if not files:
        raise DataError(f"{folder} holds no images; give a folder with images or a source")
    rng = np.random.default_rng(0)
    chosen = sorted(rng.permutation(len(files))[:STRANGE].tolist())
    read = [torch.from_numpy(np.ascontiguousarray(subject.read(files[i]))) for i in chosen]
    return Domain(torch.stack(read))


def unlabelled_source(run: Run, name: str) -> torch.Tensor | None:
    """Images of a source whose classes the run does not know, uint8 as the network sees them; None if there is none."""
    from striate.data import load_memory, open_source

    try:
        source = open_source(name, seed=0)
        chosen = source.test if len(source.test) else source.val
        if len(chosen) > STRANGE:
            chosen = chosen.take(
                np.sort(np.random.default_rng(0).permutation(len(chosen))[:STRANGE])
            )
        batch, _ = load_memory(chosen, run.preparation)
    except StriateError:
        return None
    return batch


def classifier(target: str | Path | Run) -> tuple[Run, Subject]:
    """A run that names classes of images. Raises UsageError for anything else."""
    subject = open_subject(target)
    if subject.run is None:
        raise UsageError(
            f"{target} is a model without images of its own; train it first, and probe the run's folder"
        )
    if subject.run.labels_pixels:
        raise UsageError(
            f"{target} labels pixels; probes are for runs that give an image one class"
        )
    return subject.run, subject


def compare_runs(
    first: str | Path | Run, second: str | Path | Run, names: Sequence[str] = (), *, data: str | None = None,
    images: int = IMAGES, seed: int = 0, progress: Progress | None = None,
) -> Finding:  # fmt: skip
    """Two runs under the same changes of the same test images; stored in both.

    Raises RunError where one may have learned the other's test images: then pass --data with images new to both.
    """
    probes = resolve_probes(names) if names else []
    subjects = [classifier(first), classifier(second)]
    (a, _), (b, _) = subjects
    if a.classes != b.classes:
        raise UsageError(
            f"{a.path} and {b.path} know different classes; compare runs of the same data"
        )
    if data is None:
        same = a.info["data"]["fingerprint"] == b.info["data"]["fingerprint"]
        splits = [(r.recipe.seed, r.recipe.val, r.recipe.test) for r in (a, b)]
        # A source with a test split of its own has the same one whatever the seed.
        test = [source_of(r).test.keys for r in (a, b)] if same and splits[0] != splits[1] else None
        if not same or (test is not None and list(test[0]) != list(test[1])):
            raise RunError(
                f"{a.path} and {b.path} were tested on different images, so one may have learned the other's; "
                "pass images that are new to both with --data"
            )
    exams = []
    for run, subject in subjects:
        batch, labels = images_of(run, "test", limit=images, seed=seed, data=data)
        model = subject.pixels
        for parameter in model.parameters():
            parameter.requires_grad_(False)
        exam = Exam(model, batch, labels, run.classes, seed)
        stopped = at_chance(exam)
        if stopped is not None:
            raise DataError(f"{run.path}: {stopped.verdict}")
        exams.append(exam)
    titles = (a.path.name, b.path.name)
    if titles[0] == titles[1]:
        titles = (str(a.path), str(b.path))
    found = compare_exams(exams[0], exams[1], titles, probes, progress)
    for run, _ in subjects:
        run.add(found)
        report_run(run)
    return found
