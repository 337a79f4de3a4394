"""Hidden: the probability of a class with a patch of the image hidden, at each place (lecture 004, figure 13)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from striate.answer import answer_of
from striate.attribution.gradients import Baseline
from striate.attribution.images import as_images, output_of
from striate.attribution.occluding import patch_scores, patches_of
from striate.borrow import borrowed
from striate.errors import UsageError
from striate.inference.incremental.target import bare, batched


@dataclass(frozen=True, kw_only=True)
class Hidden:
    """What hiding each patch leaves of a class's probability.

    values (rows, columns): the probability with the patch at each place. tops, lefts: the first pixel row and column of
    each place. patch: its (rows, columns), in pixels. whole: the probability with nothing hidden.
    """

    values: Tensor
    tops: tuple[int, ...]
    lefts: tuple[int, ...]
    patch: tuple[int, int]
    whole: float

    def pixels(self, size: tuple[int, int]) -> Tensor:
        """The map over the image, (H, W): at a patch's middle its probability, between middles in proportion, and from
        the outermost middles to the border the same (a patch's middle gets no nearer to it)."""
        rows, columns = (
            np.interp(np.arange(n), np.array(starts) + (p - 1) / 2, np.arange(len(starts)))
            for n, starts, p in zip(size, (self.tops, self.lefts), self.patch, strict=True)
        )
        values = self.values.double().numpy()
        down = [np.interp(rows, np.arange(len(values)), column) for column in values.T]
        across = [np.interp(columns, np.arange(values.shape[1]), row) for row in np.array(down).T]
        return torch.from_numpy(np.array(across)).float()

    @property
    def strength(self) -> tuple[float, float]:
        """The probabilities at which the overlay has no colour and all of it: the largest and the least of the map."""
        return max(float(self.values.max()), self.whole), float(self.values.min())


def occlusion_probability(
    module: nn.Module,
    image: Tensor,
    target: int,
    *,
    patch: int | tuple[int, int] | None = None,
    stride: int | tuple[int, int] | None = None,
    baseline: Baseline = 0.0,
    temperature: float = 1.0,
    progress: Callable[[int, int], None] | None = None,
) -> Hidden:
    """The softmax probability of class `target` while a patch hides a part of the image, at every place of the patch.

    "A probability map of an image being labelled when part of the image is occluded" (lecture 004, figure 13; Zeiler and
    Fergus 2014). image (C, H, W) or (1, C, H, W); patch, stride, baseline: as `occlusion_map`, whose places these are.
    temperature: of the softmax. Raises UsageError for a network that gives no logits of two classes or more.
    """
    x = as_images(module, image)
    if len(x) != 1:
        raise UsageError(f"occlusion takes one image at a time, got {len(x)}")
    with borrowed(module), torch.no_grad():
        output = output_of(module, x)
    answer = answer_of(output)
    logits = batched(answer) if bare(answer) else answer
    if logits.dim() != 2 or logits.shape[1] < 2:
        raise UsageError("the probability of a class needs the logits of two classes or more")
    if not 0 <= target < logits.shape[1]:
        raise UsageError(
            f"target {target} is out of range: the network has {logits.shape[1]} classes, 0 to {logits.shape[1] - 1}"
        )

    def log_probability(output: Any) -> Tensor:
        rows = answer_of(output).reshape(-1, logits.shape[1])
        return torch.log_softmax(rows.double() / temperature, 1)[:, target]

    tops, lefts, sides = patches_of((x.shape[2], x.shape[3]), patch, stride)
    corner = np.stack(np.meshgrid(tops, lefts, indexing="ij"), -1).reshape(-1, 2)
    boxes = np.stack([corner, corner + np.array(sides)], -1)
    scores = patch_scores(module, x, boxes, baseline, log_probability, progress)
    return Hidden(
        values=scores.double().exp().reshape(len(tops), len(lefts)),
        tops=tuple(tops.tolist()),
        lefts=tuple(lefts.tolist()),
        patch=sides,
        whole=float(log_probability(output).exp()[0]),
    )
