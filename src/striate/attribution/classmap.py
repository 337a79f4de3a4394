"""Class map: the prediction for each window of an image by itself, by dense prediction (lecture 003)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from striate.attribution.images import as_images
from striate.attribution.targets import Target
from striate.borrow import borrowed
from striate.errors import GeometryError, UsageError
from striate.inference.dense import dense


def class_map(
    module: nn.Module,
    image: Tensor,
    target: int,
    *,
    window: int | tuple[int, int],
    stride: int | tuple[int, int] = 8,
) -> Tensor:
    """The target's logit for each window of an image, by dense prediction: (rows, columns).

    image (C, H, W) or (1, C, H, W); entry (r, c) is what `module` gives for the window x window pixels that begin at
    (r * stride, c * stride). Raises UsageError for a class that does not exist, and for what `dense` refuses.
    """
    x = as_images(module, image)
    if len(x) != 1:
        raise UsageError(f"one image at a time, got {len(x)}")
    with borrowed(module), torch.no_grad():
        scores = dense(module, x, window=window, stride=stride)[0]
    if not 0 <= target < len(scores):
        raise UsageError(
            f"target {target} is out of range: the network has {len(scores)} classes, 0 to {len(scores) - 1}"
        )
    return scores[target]


STEPS = 8  # windows from one border to the other, less one


MUCH = 1 / 3  # share of the image from which on a blank part has to be accounted for


@dataclass(frozen=True, kw_only=True)
class Windows:
    """A class map over the pixels.

    values (H, W): for each pixel the mean logit of the windows that hold it, less the mean of all windows. scores (rows,
    columns): each window's logit. window: its sides; stride: pixels from one to the next.
    """

    values: Tensor
    scores: Tensor
    window: tuple[int, int]
    stride: tuple[int, int]

    @property
    def blank(self) -> str:
        """Why nothing is drawn over a large part of the image, in one sentence; "" where that is drawn.

        Each pixel of a half lies in the windows along that half's border, because windows are half a side: where those
        score least they take the mean of every pixel of the half below the mean of all windows, and what is below speaks
        against the class and is not drawn.
        """
        below = (self.values <= 0).double().numpy()
        share = float(below.mean())
        if share < MUCH or not bool((self.values > 0).any()):
            return ""
        h, w = below.shape
        halves = {
            "lower": (below[h // 2 :], self.scores[-1]),
            "upper": (below[: h // 2], self.scores[0]),
            "right": (below[:, w // 2 :], self.scores[:, -1]),
            "left": (below[:, : w // 2], self.scores[:, 0]),
        }
        half = max(halves, key=lambda name: float(halves[name][0].mean()))
        part, border = halves[half]
        mean, edge = float(self.scores.double().mean()), float(border.double().mean())
        text = f"blank over {share:.0%}: "
        if float(part.mean()) > 0.8 and edge < mean:
            side = {"lower": "bottom", "upper": "top", "right": "right", "left": "left"}[half]
            return text + (
                f"windows along the {side} edge score {edge:.1f}, all {self.scores.numel()} {mean:.1f} on average; half a "
                f"side each, they take every pixel of the {half} half below that, and what is below is not drawn"
            )
        return text + (
            f"there the windows that hold a pixel score less than all {self.scores.numel()} on average, {mean:.1f}, which "
            "is not drawn"
        )


def window_map(module: nn.Module, image: Tensor, target: Target) -> Windows:
    """The class map of an image by windows of half its sides.

    image (C, H, W) or (1, C, H, W). target: a class of a classifier. Raises UsageError for another target, and for a
    network that reads images of one size only, which has no smaller window.
    """
    x = as_images(module, image)
    if not isinstance(target, int):
        raise UsageError(
            "a class map shows one class of a classifier, not a place on a map or a function"
        )
    size = (x.shape[2], x.shape[3])
    window = (max(1, size[0] // 2), max(1, size[1] // 2))
    stride = (max(1, (size[0] - window[0]) // STEPS), max(1, (size[1] - window[1]) // STEPS))
    try:
        scores = class_map(module, x, target, window=window, stride=stride)
    except GeometryError as error:
        raise UsageError(
            f"it reads windows of {window[0]} × {window[1]} pixels, and this network no image smaller than "
            f"{size[0]} × {size[1]}"
        ) from error
    total, count = np.zeros(size), np.zeros(size)
    for (row, column), score in np.ndenumerate(scores.double().cpu().numpy()):
        top, left = row * stride[0], column * stride[1]
        total[top : top + window[0], left : left + window[1]] += score
        count[top : top + window[0], left : left + window[1]] += 1
    means = total / np.maximum(count, 1)
    means = np.where(count > 0, means - scores.double().mean().item(), 0)
    values = torch.from_numpy(means).to(x.dtype)
    return Windows(values=values, scores=scores.cpu(), window=window, stride=stride)
