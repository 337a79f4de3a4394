"""Batches: preprocessed images and labels, on the device, in an order that depends on the seed and the step alone."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch.utils.data import DataLoader, Dataset

from striate.data.augment import Augmentation, Some
from striate.data.preprocessing import Preprocessing
from striate.training.batch import Batch
from striate.training.own import OwnAugmentation
from striate.training.world import here


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
        """Batches from `step` on: images (N, C, H, W) float32 normalised; labels (N,), or (N, classes) shares with mixup.

        Where several processes train together each gets its share of every batch, as it would be in the whole.
        """
        asked: deque[Asked] = deque()  # what was asked of the images and has not come yet

        def orders() -> Iterator[torch.Tensor]:
            # Endless, so that workers that decode images live as long as the training.
            epoch, first = divmod(step, self.steps_per_epoch)
            at = step
            while True:
                for index in self.order(epoch)[first:]:
                    wanted = self.asked(index, at)
                    asked.append(wanted)
                    yield wanted.index
                    at += 1
                epoch, first = epoch + 1, 0

        for raw in self.images.stream(orders()):
            yield self.made(raw, asked.popleft())

    def asked(self, index: torch.Tensor, step: int) -> Asked:
        """Which images of a batch are needed here. index: (N,) the numbers of all its images."""
        size = self.preprocessing.size
        mine = here().positions(len(index), size, self.device)
        if mine is None or isinstance(self.augmentation, OwnAugmentation):
            return Asked(step, index, Some(len(index), torch.arange(len(index))), mine)
        if not self.augmentation.mixup:
            return Asked(step, index[mine], Some(len(index), mine), None)
        others = self.augmentation.partners(len(index), size, self.generator(step))
        at = torch.cat([mine, others[mine]]).unique()
        return Asked(step, index[at], Some(len(index), at), mine)

    def generator(self, step: int) -> torch.Generator:
        """The random numbers of a step."""
        return torch.Generator().manual_seed((self.seed + 1) * 7_919 + step)

    def made(self, raw: torch.Tensor, asked: Asked) -> Batch:
        """The batch of images (n, C, H, W) uint8 that were asked for."""
        generator, some, mine = self.generator(asked.step), asked.some, asked.mine
        raw = raw.to(self.device, non_blocking=True)
        if isinstance(self.augmentation, OwnAugmentation):
            x = self.augmentation(
                raw, generator
            )  # of the whole batch: what it does to one may hang on the others
        elif len(some.at):
            x = self.augmentation(raw, generator, some)
        else:
            x = raw
        x = self.preprocessing.normalise(x)
        labels = self.images.labels[asked.index].to(self.device)
        if isinstance(self.augmentation, Augmentation) and self.augmentation.mixup:
            x, labels = self.augmentation.mix(x, labels, self.classes, generator, some, mine)
        elif mine is not None:
            x, labels = x[mine], labels[mine]
        samples = asked.index if mine is None else asked.index[torch.searchsorted(some.at, mine)]
        return Batch(x, labels, asked.step, samples, some.whole)


@dataclass(frozen=True, eq=False)
class Asked:
    """Images that a step needs here: their numbers `index` (n,), which of the batch they are, and the places in the batch of
    those that stay, (m,); None for all of them.
    """

    step: int
    index: torch.Tensor
    some: Some
    mine: torch.Tensor | None


@dataclass(frozen=True, kw_only=True)
class OrderedBatches:
    """Every image once, in order, unaugmented; iterates over normalised x (N, C, H, W). only: some of them, None for all."""

    images: Images
    preprocessing: Preprocessing
    batch: int
    device: torch.device
    only: range | None = None

    def __len__(self) -> int:
        return len(self.images) if self.only is None else len(self.only)

    @property
    def labels(self) -> torch.Tensor:
        """Labels (N,) int64, in order."""
        return self.images.labels

    def __iter__(self) -> Iterator[torch.Tensor]:
        only = range(len(self.images)) if self.only is None else self.only
        order = list(torch.arange(only.start, only.stop).split(self.batch))
        for raw in self.images.stream(order):
            yield self.preprocessing.normalise(raw.to(self.device, non_blocking=True))
