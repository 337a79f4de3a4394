"""Class map: the target's score at each position of an image that is larger than what the network reads (seed 003)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from striate.attribution.borrowing import borrowed
from striate.attribution.images import as_images
from striate.errors import UsageError
from striate.inference.dense import dense


def class_map(
    module: nn.Module, image: Tensor, target: int, *, window: int, stride: int = 8
) -> Tensor:
    """The target's logit for each window of a larger image, by dense prediction: (rows, columns).

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
