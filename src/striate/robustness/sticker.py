"""Sticker: one patch, at one place, that changes the predicted class; searched with incremental inference, no gradient."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from striate.inference.incremental import Perturbation, perturb
from striate.inference.incremental.incremental import Incremental
from striate.inference.incremental.occlusion import positions

TRIALS = 12  # random patches tried beside black, white and grey


@dataclass(frozen=True, eq=False)
class Sticker:
    """The patch (C, size, size) at `row`, `column` that leaves the smallest margin to the true class (logits); below 0 it
    wins.
    """

    row: int
    column: int
    patch: Tensor
    margin: float
    clean: float


def find_sticker(
    model: nn.Module, image: Tensor, label: int, *, size: int, generator: torch.Generator, stride: int | None = None,
) -> Sticker:  # fmt: skip
    """Search places and contents for one image (C, H, W) in [0, 1]: every place with black, white and grey, then random
    patches at the place that was best. Only what the patch can change is computed again.
    """

    def margin(output: Tensor) -> Tensor:
        rival = output.clone()
        rival[:, label] = float("-inf")
        return output[:, label] - rival.amax(1)

    session = Incremental(model, image)
    _, _, boxes = positions(image[None], size, stride or max(1, size // 2))
    candidates: list[tuple[float, int, Tensor]] = []
    for level in (0.0, 0.5, 1.0):
        scores = session.scores(boxes, level, margin)
        at = int(scores.argmin())
        patch = torch.full((len(image), size, size), level)
        candidates.append((float(scores[at]), at, patch))
    _, at, _ = min(candidates, key=lambda f: f[0])
    (top, bottom), (left, right) = boxes[at].tolist()
    coarse = torch.rand(TRIALS, len(image), 2, 2, generator=generator).round()
    tried = torch.nn.functional.interpolate(coarse, (size, size), mode="nearest")
    scores = perturb(
        session, None,
        [Perturbation(rows=(top, bottom), columns=(left, right), content=t) for t in tried], margin,
    )  # fmt: skip
    i = int(scores.argmin())
    candidates.append((float(scores[i]), at, tried[i]))
    value, at, patch = min(candidates, key=lambda f: f[0])
    return Sticker(
        row=int(boxes[at][0][0]), column=int(boxes[at][1][0]), patch=patch, margin=value, clean=session.score(margin),
    )  # fmt: skip


def stuck(image: Tensor, sticker: Sticker) -> Tensor:
    """The image (C, H, W) with the sticker on it."""
    out = image.clone()
    size = sticker.patch.shape[-1]
    out[:, sticker.row : sticker.row + size, sticker.column : sticker.column + size] = sticker.patch
    return out
