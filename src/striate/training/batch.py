"""Batch and Loss: what the loop takes from a task, and what it makes small."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import torch
from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """Images with their targets.

    images: (N, C, H, W) float, as the network takes them. targets: a tensor whose first axis is N, or a list of N (boxes
    of one image each), or a tuple or dict of such. step: of the training, from 0, by which a loss may change as it goes on;
    None outside a training. samples: (N,) the images' numbers in their split, where they are known. images_of_all: how many
    images the batch has together with those that other processes of the training hold; None for the N. first: place of the
    first image among those.
    """

    images: Tensor
    targets: Any
    step: int | None = None
    samples: Any = None
    images_of_all: int | None = None
    first: int = 0

    def __len__(self) -> int:
        return len(self.images)

    @property
    def whole(self) -> int:
        """Images of the batch in all processes together."""
        return len(self) if self.images_of_all is None else self.images_of_all

    def placed(self, first: int, whole: int) -> Batch:
        """The same as a part, from `first` on, of a batch of `whole` images."""
        return replace(self, first=first, images_of_all=whole)

    def to(self, device: torch.device | str) -> Batch:
        """The batch on a device."""
        return replace(
            self,
            images=self.images.to(device, non_blocking=True),
            targets=mapped(self.targets, lambda t: t.to(device, non_blocking=True)),
        )

    def split(self, size: int) -> list[Batch]:
        """Micro-batches of at most `size` images, in order; their targets are views."""
        starts = range(0, len(self), size)
        return [self.take(slice(i, i + size)) for i in starts]

    def take(self, at: slice | Sequence[int]) -> Batch:
        """Some of the images with their targets."""
        samples = None if self.samples is None else self.samples[at]
        return Batch(self.images[at], _cut(self.targets, at), self.step, samples)


def mapped(targets: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """Targets with every tensor changed."""
    if isinstance(targets, Tensor):
        return change(targets)
    if isinstance(targets, Mapping):
        return {name: mapped(part, change) for name, part in targets.items()}
    if isinstance(targets, list | tuple):
        return type(targets)(mapped(part, change) for part in targets)
    return targets


def _cut(targets: Any, at: slice | Sequence[int]) -> Any:
    # A list holds one entry an image; a tuple and a dict hold several targets of all images.
    if isinstance(targets, list):
        return targets[at] if isinstance(at, slice) else [targets[i] for i in at]
    if isinstance(targets, Tensor):
        return targets[at]
    if isinstance(targets, Mapping):
        return {name: _cut(part, at) for name, part in targets.items()}
    if isinstance(targets, tuple):
        return tuple(_cut(part, at) for part in targets)
    return targets


@dataclass(frozen=True)
class Loss:
    """A loss that adds up exactly over micro-batches and devices: the mean is `sum / weight`.

    sum: () with a gradient. weight: () or a number, what the sum is divided by: images, or pixels that count; it does not
    depend on the network. parts: other sums that are shown, each divided by the number of images, such as how many were
    right; without a gradient.
    """

    sum: Tensor
    weight: Tensor | float
    parts: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def mean(self) -> Tensor:
        """The loss itself, (); 0 where nothing counts."""
        return self.sum / _at_least(self.weight)

    def detach(self) -> Loss:
        """The same numbers without a graph."""
        weight = self.weight.detach() if isinstance(self.weight, Tensor) else self.weight
        return Loss(self.sum.detach(), weight, {k: v.detach() for k, v in self.parts.items()})

    def __add__(self, other: Loss) -> Loss:
        names = self.parts.keys() & other.parts.keys()
        return Loss(
            self.sum + other.sum,
            self.weight + other.weight,
            {name: self.parts[name] + other.parts[name] for name in self.parts if name in names},
        )


def _at_least(weight: Tensor | float) -> Tensor | float:
    tiny = 1e-9  # a batch without a pixel that counts has the loss 0, not nan
    return weight.clamp(min=tiny) if isinstance(weight, Tensor) else max(weight, tiny)


class LossFunction(Protocol):
    """(what the network gives for a batch, the batch) -> Loss.

    One that compares images of a batch with each other, as a triplet loss does, adds up over no micro-batches: it says so
    with an attribute `related` that is true, and gets the outputs of a whole batch at once; see `gradient`.
    """

    def __call__(self, output: Any, batch: Batch, /) -> Loss: ...
