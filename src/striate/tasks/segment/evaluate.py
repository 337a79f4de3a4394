"""Evaluate a segmentation: what was counted on held-out images, and everything that a report says of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch

from striate.errors import StriateError
from striate.findings import Finding
from striate.statistics.calibration import calibration
from striate.statistics.temperature import fit_temperature
from striate.tasks.segment.data import IGNORE, MaskSource
from striate.tasks.segment.data.key import with_key
from striate.tasks.segment.data.palette import overlay
from striate.tasks.segment.data.source import MaskSplit
from striate.tasks.segment.findings.classwise import per_class_masks
from striate.tasks.segment.findings.gallery import gallery
from striate.tasks.segment.findings.headline import headline_masks
from striate.tasks.segment.findings.receptive_field import how_far
from striate.tasks.segment.forward import label
from striate.tasks.segment.metrics import MaskScores, boundary_hits, confusion_matrix
from striate.tasks.task import Enough, Progress, Say, mute, never, silent
from striate.tasks.trained import Trained
from striate.training.machine import choose_precision

SAMPLED = 400  # pixels an image whose probabilities are kept for calibration
LEAST_FOR_TEMPERATURE = 4  # validation images
MOST_FOR_TEMPERATURE = 64


@dataclass(frozen=True, eq=False)
class Assessed:
    """Counts of every image, and probabilities (M, K) and labels (M,) of some pixels of each, made on a device."""

    scores: MaskScores
    probabilities: np.ndarray
    labels: np.ndarray
    device: torch.device

    def __len__(self) -> int:
        return len(self.scores)


def report_on(
    trained: Trained, source: MaskSource, split: MaskSplit, assessed: Assessed, *, say: Say = mute
) -> Iterator[Finding]:
    """What the report says of the held-out images; the headline first."""
    scores, seed, device = assessed.scores, trained.seed, assessed.device
    yield headline_masks(scores, seed=seed)
    yield per_class_masks(scores, seed=seed)
    predictions: dict[int, np.ndarray] = {}

    def predicted(index: int) -> np.ndarray:
        if index not in predictions:
            logits = logits_of_image(trained, split, index, device)
            predictions[index] = logits.argmax(0).byte().numpy()
        return predictions[index]

    yield gallery(
        scores,
        lambda i: trained.preprocessing.colours(split.image(i)).transpose(1, 2, 0),
        split.mask,
        predicted,
        lambda image, mask: overlay(image, mask, trained.classes),
        lambda picture, masks: with_key(picture, masks, trained.classes),
    )
    if len(assessed.labels):
        finding = calibration(assessed.probabilities, assessed.labels, trained.classes, seed=seed)
        yield of_pixels(finding)
    try:
        yield how_far(trained, source, split)
    except StriateError as error:
        say(f"no measure of how far it sees: {error}")


def of_pixels(finding: Finding) -> Finding:
    """A finding on calibration that speaks of pixels."""

    def words(text: str) -> str:
        return text.replace("images", "pixels").replace("image", "pixel")

    return replace(
        finding,
        verdict=words(finding.verdict),
        advice=words(finding.advice),
        tables=tuple(replace(t, caption=words(t.caption)) for t in finding.tables),
        figures=tuple(
            replace(f, caption=words(f.caption), alt=words(f.alt)) for f in finding.figures
        ),
    )


def logits_of_image(
    trained: Trained, split: MaskSplit, index: int, device: torch.device
) -> torch.Tensor:
    """Logits (K, H, W) of one image of a split."""
    image = torch.from_numpy(trained.preprocessing.colours(split.image(index)))
    return label(
        trained.model.to(device),
        trained.preprocessing,
        image,
        device=device,
        dtype=choose_precision(trained.precision, device),
        flip=trained.flip_test,
    )


def assess_masks(
    trained: Trained, split: MaskSplit, device: torch.device, progress: Progress = silent, enough: Enough = never
) -> Assessed:  # fmt: skip
    """Label the images of a split, in order until there are enough, and count."""
    classes = len(trained.classes)
    counts, near, total = [], [], []
    sampled: list[np.ndarray] = []
    truths: list[np.ndarray] = []
    rng = np.random.default_rng(trained.seed)
    try:
        for i in range(len(split)):
            logits = logits_of_image(trained, split, i, device)
            truth = split.mask(i)
            predicted = logits.argmax(0)
            counts.append(confusion_matrix(predicted, torch.from_numpy(truth), classes))
            hits = boundary_hits(predicted.byte().numpy(), truth, classes)
            near.append(hits[0])
            total.append(hits[1])
            valid = np.flatnonzero(truth.ravel() != IGNORE)
            if len(valid):
                at = rng.choice(valid, min(SAMPLED, len(valid)), replace=False)
                picked = logits.flatten(1)[:, torch.from_numpy(at)].T / trained.temperature
                sampled.append(torch.softmax(picked, 1).numpy())
                truths.append(truth.ravel()[at].astype(np.int64))
            progress(i + 1, len(split))
            if enough(i + 1):
                break
    finally:
        trained.model.cpu()
    scores = MaskScores(
        counts=np.stack(counts),
        near=np.stack(near),
        total=np.stack(total),
        classes=trained.classes,
        keys=split.keys[: len(counts)],
    )
    if not sampled:
        return Assessed(scores, np.zeros((0, classes), np.float32), np.zeros(0, np.int64), device)
    return Assessed(scores, np.concatenate(sampled), np.concatenate(truths), device)


def temperature_of(trained: Trained, source: MaskSource, device: torch.device) -> float | None:
    """The temperature of pixels of the validation images; None where there are too few."""
    if len(source.val) < LEAST_FOR_TEMPERATURE or not len(source.test):
        return None
    rng = np.random.default_rng(trained.seed)
    rows, labels = [], []
    for i in range(min(len(source.val), MOST_FOR_TEMPERATURE)):
        logits = logits_of_image(trained, source.val, i, device).flatten(1)
        truth = source.val.mask(i).ravel()
        valid = np.flatnonzero(truth != IGNORE)
        at = rng.choice(valid, min(SAMPLED, len(valid)), replace=False)
        rows.append(logits[:, torch.from_numpy(at)].T)
        labels.append(torch.from_numpy(truth[at].astype(np.int64)))
    trained.model.cpu()
    return round(fit_temperature(torch.cat(rows), torch.cat(labels)), 4)
