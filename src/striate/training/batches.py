"""Batches: preprocessed images and labels, on the device, in an order that depends on the seed and the step alone."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch.utils.data import DataLoader, Dataset

from striate.data.augment import Augmentation
from striate.data.preprocessing import Preprocessing
from striate.training.batch import Batch
from striate.training.own import OwnAugmentation


class Images(Protocol):
    """Prepared images by number: (C, H, W) uint8 each, with their targets."""

    labels: torch.Tensor  # (N,) int64, or (N, ...) of other tasks

    def __len__(self) -> int: ...

    def stream(self, order: Iterable[torch.Tensor]) -> Iterator[torch.Tensor]:
        """For each index tensor of `order`, which may be endless, the uint8 batch (n, C, H, W)."""
        ...


class MemoryImages:
    """Images that all fit in memory, as one uint8 tensor (N, C, H, W) on the device that trains."""

    def __init__(self, images: torch.Tensor, labels: torch.Tensor) -> None:
        assert images.dtype == torch.uint8 and len(images) == len(labels), (
            "uint8 images, a label each"
        )
        self.images, self.labels = images, labels

    def __len__(self) -> int:
        return len(self.images)

    def stream(self, order: Iterable[torch.Tensor]) -> Iterator[torch.Tensor]:
        """See Images."""
        for index in order:
            yield self.images[index.to(self.images.device)]


class DiskImages:
    """Images decoded by worker processes when they are needed; `dataset[i]` gives (C, H, W) uint8 and a label."""

    def __init__(self, dataset: Dataset[Any], labels: torch.Tensor, workers: int) -> None:
        self.dataset, self.labels, self.workers = dataset, labels, workers

    def __len__(self) -> int:
        return len(self.labels)

    def stream(self, order: Iterable[torch.Tensor]) -> Iterator[torch.Tensor]:
        """See Images."""
        loader = DataLoader(
            self.dataset,
            batch_sampler=_Lists(order),
            num_workers=self.workers,
            collate_fn=stack_images,
            prefetch_factor=4 if self.workers else None,
        )
        yield from loader


class _Lists:
    """Index tensors as the lists that a DataLoader takes; each is made when a worker is free for it."""

    def __init__(self, order: Iterable[torch.Tensor]) -> None:
        self.order = order

    def __iter__(self) -> Iterator[list[int]]:
        return (index.tolist() for index in self.order)


def stack_images(items: list[tuple[Any, int]]) -> torch.Tensor:
    """The images of a list of (image, label) as one tensor."""
    return torch.stack([torch.as_tensor(image) for image, _ in items])


@dataclass(frozen=True, kw_only=True)
class TrainingBatches:
    """Endless shuffled batches; step s is the same whether the loop began at 0 or at s.

    `batch` images a step; the last, smaller batch of an epoch is left out (its images come in other epochs). A set
    smaller than one batch is one batch.
    """

    images: Images
    preprocessing: Preprocessing
    augmentation: Augmentation | OwnAugmentation
    classes: int
    batch: int
    seed: int
    device: torch.device

    @property
    def steps_per_epoch(self) -> int:
        """Batches in one pass over the images."""
        return max(1, len(self.images) // self.batch)

    def order(self, epoch: int) -> list[torch.Tensor]:
        """The index tensors of one epoch."""
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + epoch)
        order = torch.randperm(len(self.images), generator=generator)
        size = min(self.batch, len(order))
        return list(order[: self.steps_per_epoch * size].split(size))

    def from_step(self, step: int) -> Iterator[Batch]:
        """Batches from `step` on: images (N, C, H, W) float32 normalised; labels (N,), or (N, classes) shares with mixup."""
        asked: deque[torch.Tensor] = deque()  # what was asked of the images and has not come yet

        def orders() -> Iterator[torch.Tensor]:
            # Endless, so that workers that decode images live as long as the training.
            epoch, first = divmod(step, self.steps_per_epoch)
            while True:
                for index in self.order(epoch)[first:]:
                    asked.append(index)
                    yield index
                epoch, first = epoch + 1, 0

        for raw in self.images.stream(orders()):
            index = asked.popleft()
            generator = torch.Generator().manual_seed((self.seed + 1) * 7_919 + step)
            x = self.augmentation(raw.to(self.device, non_blocking=True), generator)
            x = self.preprocessing.normalise(x)
            labels = self.images.labels[index].to(self.device)
            if isinstance(self.augmentation, Augmentation) and self.augmentation.mixup:
                x, labels = self.augmentation.mix(x, labels, self.classes, generator)
            yield Batch(x, labels, step)
            step += 1


@dataclass(frozen=True, kw_only=True)
class OrderedBatches:
    """Every image once, in order, unaugmented; iterates over normalised x (N, C, H, W)."""

    images: Images
    preprocessing: Preprocessing
    batch: int
    device: torch.device

    @property
    def labels(self) -> torch.Tensor:
        """Labels (N,) int64, in order."""
        return self.images.labels

    def __iter__(self) -> Iterator[torch.Tensor]:
        order = list(torch.arange(len(self.images)).split(self.batch))
        for raw in self.images.stream(order):
            yield self.preprocessing.normalise(raw.to(self.device, non_blocking=True))
