"""Sticker: one patch, at one place, that changes the predicted class; searched with incremental inference, no gradient."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from striate.inference.incremental import Perturbation, perturb
from striate.inference.incremental.incremental import Incremental
from striate.inference.incremental.occlusion import positions

TRIALS = 12  # random patches tried beside black, white and grey


@dataclass(frozen=True, eq=False)
class Sticker:
    """The patch (C, size, size) at `row`, `column` that leaves the smallest margin to the true class (logits) of those
    tried; below 0 it wins.
    """

    row: int
    column: int
    patch: Tensor
    margin: float
    clean: float


def find_sticker(
    model: nn.Module, image: Tensor, label: int, *, size: int, generator: torch.Generator, stride: int | None = None,
) -> Sticker:  # fmt: skip
    """Search places and contents for one image (C, H, W) in [0, 1], until one wins: black, white and grey at places side by
    side, the best of them at the places between, then random patches at the place that was best.

    stride: pixels between all places; half the size if not given. Only what the patch can change is computed again.
    """

    def margin(output: Tensor) -> Tensor:
        rival = output.clone()
        rival[:, label] = float("-inf")
        return output[:, label] - rival.amax(1)

    session = Incremental(model, image)
    step = stride or max(1, size // 2)
    boxes = positions(image[None], size, step)[2]
    coarse = np.flatnonzero((boxes[:, :, 0] // step % max(1, size // step) == 0).all(1))
    candidates: list[tuple[float, int, Tensor]] = []
    for level in (0.0, 0.5, 1.0):
        candidates.append(_best(session, boxes, coarse, level, margin))
        if candidates[-1][0] < 0:  # that it can be done is known: the other contents add nothing
            return _sticker(boxes, candidates[-1], session.score(margin))
    _, at, patch = min(candidates, key=lambda f: f[0])
    far = np.abs(boxes[:, :, 0] - boxes[at, :, 0]).max(1)
    between = np.flatnonzero((far < size) & (far > 0))
    if len(between):
        candidates.append(_best(session, boxes, between, float(patch[0, 0, 0]), margin))
        _, at, _ = min(candidates, key=lambda f: f[0])
    (top, bottom), (left, right) = boxes[at].tolist()
    drawn = torch.rand(TRIALS, len(image), 2, 2, generator=generator).round()
    tried = torch.nn.functional.interpolate(drawn, (size, size), mode="nearest")
    scores = perturb(
        session, None,
        [Perturbation(rows=(top, bottom), columns=(left, right), content=t) for t in tried], margin,
    )  # fmt: skip
    i = int(scores.argmin())
    candidates.append((float(scores[i]), at, tried[i]))
    return _sticker(boxes, min(candidates, key=lambda f: f[0]), session.score(margin))


def _best(
    session: Incremental, boxes: np.ndarray, places: np.ndarray, level: float, margin: Callable[[Tensor], Tensor]
) -> tuple[float, int, Tensor]:  # fmt: skip
    """The smallest margin of a patch of one grey level at some of the boxes, with the box's number and the patch."""
    scores = session.scores(boxes[places], level, margin)
    i = int(scores.argmin())
    (top, bottom), (left, right) = boxes[places[i]].tolist()
    patch = torch.full((session.image.shape[1], bottom - top, right - left), level)
    return float(scores[i]), int(places[i]), patch


def _sticker(boxes: np.ndarray, candidate: tuple[float, int, Tensor], clean: float) -> Sticker:
    """The sticker of a candidate: its margin, its place among the boxes (M, 2, 2), its patch."""
    value, at, patch = candidate
    (top, _), (left, _) = boxes[at].tolist()
    return Sticker(row=int(top), column=int(left), patch=patch, margin=value, clean=clean)


def stuck(image: Tensor, sticker: Sticker) -> Tensor:
    """The image (C, H, W) with the sticker on it."""
    out = image.clone()
    size = sticker.patch.shape[-1]
    out[:, sticker.row : sticker.row + size, sticker.column : sticker.column + size] = sticker.patch
    return out
