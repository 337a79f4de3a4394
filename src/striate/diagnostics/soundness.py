"""What every diagnosis asks first: parameters that are there and finite, images and labels that fit."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from striate.errors import DataError, UsageError


def require_parameters(model: nn.Module) -> None:
    """Raise UsageError where a module has no parameters, DataError where one is not finite, by name."""
    named = [(n, p) for n, p in model.named_parameters() if p.numel()]
    if not named:
        raise UsageError(
            f"{type(model).__name__} has no parameters, so there is nothing to diagnose; give a network that learns"
        )
    buffers = [(n, b) for n, b in model.named_buffers() if b.is_floating_point()]
    for name, tensor in [*named, *buffers]:
        bad = int((~torch.isfinite(tensor.detach())).sum())
        if bad:
            raise DataError(
                f"{bad:,} of {tensor.numel():,} numbers of {name} are not finite; the training diverged: train again "
                "with a lower learning rate, or restore the weights"
            )


def require_images(images: Tensor, labels: Tensor | None = None, *, least: int = 1) -> None:
    """Raise UsageError where images (N, ...) are too few or have another number of labels, DataError for NaN."""
    if images.dim() < 2 or len(images) < least:
        got = f"{len(images)}" if images.dim() > 1 else f"the shape {tuple(images.shape)}"
        raise UsageError(f"give {least} or more images, got {got}")
    if labels is not None and len(labels) != len(images):
        raise UsageError(
            f"each image needs a label, got {len(images)} images and {len(labels)} labels"
        )
    if images.is_floating_point() and not bool(torch.isfinite(images).all()):
        raise DataError("the images hold values that are not finite; look for damaged files")
