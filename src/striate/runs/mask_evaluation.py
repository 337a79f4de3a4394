"""Evaluate a network that labels pixels: everything that its run's report says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from striate.data.masks import IGNORE, MaskSource
from striate.data.masks.checks import check_masks
from striate.data.masks.description import describe_masks
from striate.data.masks.palette import overlay
from striate.data.masks.source import MaskSplit
from striate.errors import StriateError
from striate.findings import Finding
from striate.geometry import summary, trace
from striate.runs import provenance
from striate.runs.allowance import FIGURES, Allowance
from striate.runs.run import Run
from striate.runs.seeing import how_far
from striate.runs.training_curves import training_curves
from striate.statistics.temperature import fit_temperature
from striate.tasks.classify import findings
from striate.tasks.segment.findings.classwise import per_class_masks
from striate.tasks.segment.findings.gallery import gallery
from striate.tasks.segment.findings.headline import headline_masks
from striate.tasks.segment.forward import label
from striate.tasks.segment.metrics import MaskScores, boundary_hits, confusion_matrix
from striate.training.callbacks import Listener
from striate.training.machine import choose_precision

SAMPLED = 400  # pixels an image whose probabilities are kept for calibration
LEAST_FOR_TEMPERATURE = 4  # validation images
LEAST_SCORED = 4  # test images, however short the budget


def evaluate_masks(
    run: Run,
    source: MaskSource,
    listener: Listener,
    *,
    device: torch.device | None = None,
    why: Sequence[str] = (),
    allowance: Allowance | None = None,
) -> None:
    """Evaluate `run` on its held-out images, store the findings and leave the numbers in `run.info`.

    Uses the test split, or the validation split where there is no test split. allowance: the command's time; where it has
    a budget, as many images as fit into it are measured, drawn at random, and the headline says so.
    """
    listener.stage("evaluating")
    device = device or torch.device("cpu")
    split = source.test if len(source.test) else source.val
    run.add(describe_masks(source, run.preparation))
    run.add(check_masks(source))
    headline = None
    if len(split):
        chosen, scores, probabilities, labels = score(run, split, device, listener, allowance)
        headline = headline_masks(scores, seed=run.recipe.seed)
        if len(chosen) < len(split):
            part = f"Measured on {len(chosen):,} of {len(split):,} images, drawn at random: as many as the budget allowed."
            headline = replace(headline, verdict=f"{headline.verdict} {part}")
        headline = run.add(headline)
        total = scores.counts.sum(0)
        run.info["results"] = {
            "split": "test" if len(source.test) else "val",
            "images": len(chosen),
            "accuracy": float(total.trace() / max(total.sum(), 1)),
            "mean_iou": headline.data["iou"]["value"],
        }
        run.add(per_class_masks(scores, seed=run.recipe.seed))
        said: dict[int, np.ndarray] = {}

        def predicted(index: int) -> np.ndarray:
            if index not in said:
                logits = logits_of_image(run, split, chosen[index], device)
                said[index] = logits.argmax(0).byte().numpy()
            return said[index]

        run.add(
            gallery(
                scores,
                lambda i: run.preparation.colours(split.image(chosen[i])).transpose(1, 2, 0),
                lambda i: split.mask(chosen[i]),
                predicted,
                lambda image, mask: overlay(image, mask, run.classes),
            )
        )
        if len(labels):
            found = findings.calibration(probabilities, labels, run.classes, seed=run.recipe.seed)
            run.add(of_pixels(found))
        try:
            run.add(how_far(run, source, split))
        except StriateError as error:
            listener.say(f"no measure of how far it sees: {error}")
    if run.metrics:
        run.add(training_curves(run.metrics))
    try:
        run.add(summary(trace(run.model, (1, run.preparation.channels, *run.preparation.size))))
    except StriateError as error:
        listener.say(f"no layer table: {error}")
    facts = {
        **run.info.get("training", {}),
        "data": run.info["data"]["where"],
        "fingerprint": source.fingerprint,
    }
    run.add(
        provenance.recipe(
            run.info["recipe"], run.info["versions"], facts=facts | {"decided": list(why)}
        )
    )
    if headline is not None:
        listener.finding(headline)


def of_pixels(found: Finding) -> Finding:
    """A finding on calibration that speaks of pixels."""

    def words(text: str) -> str:
        return text.replace("images", "pixels").replace("image", "pixel")

    return replace(
        found,
        verdict=words(found.verdict),
        advice=words(found.advice),
        tables=tuple(replace(t, caption=words(t.caption)) for t in found.tables),
        figures=tuple(
            replace(f, caption=words(f.caption), alt=words(f.alt)) for f in found.figures
        ),
    )


def logits_of_image(run: Run, split: MaskSplit, index: int, device: torch.device) -> torch.Tensor:
    """Logits (K, H, W) of one image of a split."""
    image = torch.from_numpy(run.preparation.colours(split.image(index)))
    return label(
        run.model.to(device),
        run.preparation,
        image,
        device=device,
        dtype=choose_precision(run.recipe.precision, device),
        flip=bool(run.recipe.flip_test),
    )


def score(
    run: Run,
    split: MaskSplit,
    device: torch.device,
    listener: Listener,
    allowance: Allowance | None = None,
) -> tuple[list[int], MaskScores, np.ndarray, np.ndarray]:
    """Which images were measured, their counts, and probabilities (M, K) and labels (M,) of some pixels of each.

    All images in order; with a budget in a random order until what is left is needed for the figures that follow, at
    least LEAST_SCORED.
    """
    classes = len(run.classes)
    counts, near, total = [], [], []
    sampled: list[np.ndarray] = []
    truths: list[np.ndarray] = []
    rng = np.random.default_rng(run.recipe.seed)
    order = np.arange(len(split))
    needed = 0.0
    if allowance is not None and allowance.seconds is not None:
        order = np.random.default_rng(run.recipe.seed).permutation(len(split))
        needed = FIGURES * allowance.figure
    chosen: list[int] = []
    try:
        for i in order.tolist():
            if allowance and len(chosen) >= LEAST_SCORED and allowance.left() < needed:
                break
            chosen.append(i)
            logits = logits_of_image(run, split, i, device)
            truth = split.mask(i)
            said = logits.argmax(0)
            counts.append(confusion_matrix(said, torch.from_numpy(truth), classes))
            hits = boundary_hits(said.byte().numpy(), truth, classes)
            near.append(hits[0])
            total.append(hits[1])
            valid = np.flatnonzero(truth.ravel() != IGNORE)
            if len(valid):
                at = rng.choice(valid, min(SAMPLED, len(valid)), replace=False)
                picked = logits.flatten(1)[:, torch.from_numpy(at)].T / run.temperature
                sampled.append(torch.softmax(picked, 1).numpy())
                truths.append(truth.ravel()[at].astype(np.int64))
            listener.count(len(chosen), len(split))
    finally:
        run.model.cpu()
    place = np.argsort(chosen)  # in the order of the files
    chosen = sorted(chosen)
    scores = MaskScores(
        counts=np.stack(counts)[place],
        near=np.stack(near)[place],
        total=np.stack(total)[place],
        classes=run.classes,
        keys=tuple(split.keys[i] for i in chosen),
    )
    if not sampled:
        none = np.zeros((0, classes), dtype=np.float32), np.zeros(0, dtype=np.int64)
        return chosen, scores, *none
    return chosen, scores, np.concatenate(sampled), np.concatenate(truths)


def calibrate_masks(run: Run, source: MaskSource, device: torch.device) -> None:
    """Fit the run's temperature on pixels of its validation images, if there are enough of them."""
    if len(source.val) < LEAST_FOR_TEMPERATURE or not len(source.test):
        return
    rng = np.random.default_rng(run.recipe.seed)
    rows, labels = [], []
    for i in range(min(len(source.val), 64)):
        logits = logits_of_image(run, source.val, i, device).flatten(1)
        truth = source.val.mask(i).ravel()
        valid = np.flatnonzero(truth != IGNORE)
        at = rng.choice(valid, min(SAMPLED, len(valid)), replace=False)
        rows.append(logits[:, torch.from_numpy(at)].T)
        labels.append(torch.from_numpy(truth[at].astype(np.int64)))
    run.model.cpu()
    run.info["temperature"] = round(fit_temperature(torch.cat(rows), torch.cat(labels)), 4)
