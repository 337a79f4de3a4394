"""Targets: which number of a network's output is explained."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from striate.answer import answer_of
from striate.errors import UsageError
from striate.inference.incremental.target import Score, bare, batched, score_of
from striate.inference.incremental.target import Target as Place

Target = Place | Tensor


def scorer(target: Target, clean: Any, images: int | None = None) -> Score:
    """A function from the network's output to one number an image, (N,).

    target: of a classifier a class, or classes (N,) int64, one an image. In semantic segmentation, (N, classes, H, W), a
    class: the mean of its logit over the pixels that the clean image has in this class (over all if there are none), or
    (class, row, column), where row and column may be (start, stop) or a slice and the mean over that region is taken.
    Of an output that is no tensor this is its prediction, see `answer_of`. Or any function of the whole output. clean: the
    output for the clean images, one or as many as are scored later. images: how many these are; an output of one image
    without its dimension, by `squeeze()`, is then taken as one.
    Raises UsageError for a target that does not fit the output.
    """
    if not callable(target) and not isinstance(clean, Tensor):
        inner = scorer(target, answer_of(clean), images)
        return lambda output: inner(answer_of(output))
    if images == 1 and bare(clean) and not callable(target):
        return of_bare(clean, lambda output: scorer(target, output))
    if isinstance(target, np.integer):
        target = int(target)
    if isinstance(target, Tensor):
        return _one_an_image(target, clean)
    whole = isinstance(target, int) and not isinstance(target, bool)
    if whole and isinstance(clean, Tensor) and clean.dim() == 4:
        return _class_over_map(int(target), clean)  # type: ignore[arg-type]
    return score_of(target, clean)


def of_bare(clean: Tensor, make: Callable[[Tensor], Score]) -> Score:
    """What `make` makes of an output (1, ...), for a network that gives `clean` for one image, without that dimension."""
    inner = make(batched(clean))

    def score(output: Tensor) -> Tensor:
        if output.dim() <= clean.dim():
            return inner(batched(output))
        return inner(output if clean.dim() else output[:, None])  # of many images

    return score


def _one_an_image(target: Tensor, clean: Any) -> Score:
    if target.dim() == 0:
        return scorer(int(target), clean)
    if not isinstance(clean, Tensor) or clean.dim() != 2 or target.shape != clean.shape[:1]:
        got = tuple(clean.shape) if isinstance(clean, Tensor) else type(clean).__name__
        raise UsageError(
            f"classes of shape {tuple(target.shape)} do not fit an output of {got}; give one class an image of a "
            "classifier"
        )
    if target.is_floating_point() or bool(((target < 0) | (target >= clean.shape[1])).any()):
        raise UsageError(
            f"targets {target.tolist()} are not all classes; the network has {clean.shape[1]}, "
            f"0 to {clean.shape[1] - 1}"
        )
    index = target.to(clean.device)[:, None]
    return lambda output: output.gather(1, index)[:, 0]


def _class_over_map(target: int, clean: Tensor) -> Score:
    if not 0 <= target < clean.shape[1]:
        raise UsageError(
            f"target {target} is out of range: the network has {clean.shape[1]} classes, 0 to {clean.shape[1] - 1}"
        )
    here = labelled(target, clean)
    weight = here / here.sum((1, 2), keepdim=True)

    def score(output: Tensor) -> Tensor:
        return (output[:, target] * weight.to(output.dtype)).sum((1, 2))

    return score


def labelled(target: int, clean: Tensor) -> Tensor:
    """Ones (N, H, W) where semantic segmentation, an output (N, classes, H, W), predicts `target`; all ones if nowhere."""
    if clean.shape[1] == 1:
        here = (clean[:, 0] > 0).to(clean.dtype)
    else:
        here = (clean.argmax(1) == target).to(clean.dtype)
    empty = here.sum((1, 2), keepdim=True) == 0
    return torch.where(empty, torch.ones_like(here), here).detach()
