"""Crops with boxes, in an order that depends on the seed and the step alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from striate.data.augment import Some, every
from striate.data.preprocessing import Preprocessing
from striate.tasks.decoded import Decoded, crops_of, order_of_crops, stacked, steps_of
from striate.tasks.detect.cutting import Crop, cropped
from striate.tasks.detect.data.source import BoxSplit
from striate.tasks.detect.objects import Objects
from striate.training.batch import Batch, mapped
from striate.training.own import OwnAugmentation
from striate.training.world import here


@dataclass(frozen=True, kw_only=True)
class BoxAugmentation:
    """What may happen to a crop and its boxes alike.

    flip: mirror left and right with probability 1/2. zoom: largest zoom in or out. jitter: greatest change of contrast and
    of brightness, as a share of the full scale (image alone). own: a person's own, of images alone, in place of all that:
    it must leave every pixel where it is.
    """

    flip: bool = False
    zoom: float = 1.0
    jitter: float = 0.0
    own: OwnAugmentation | None = None


@dataclass(frozen=True, kw_only=True)
class BoxBatches:
    """Endless shuffled batches of crops; step s is the same whether the loop began at 0 or at s.

    An epoch takes as many crops from an image as fit beside one another, at least one. `aimed`: share of crops that are
    laid over an object, each class as often as the others; the rest lie anywhere. crop: (height, width) in pixels; what lies
    outside the image has the mean colour.
    """

    images: Decoded[Tensor]
    split: BoxSplit
    preprocessing: Preprocessing
    augmentation: BoxAugmentation
    crop: tuple[int, int]
    batch: int
    aimed: float
    seed: int
    device: torch.device

    @cached_property
    def crops(self) -> np.ndarray:
        """Crops that an epoch takes from each image, (N,) int64."""
        return crops_of(self.split.sizes, self.crop)

    @property
    def steps_per_epoch(self) -> int:
        """Batches in one pass over the images."""
        return steps_of(self.crops, self.batch)

    def from_step(self, step: int) -> Iterator[Batch]:
        """Batches from `step` on: images (N, C, h, w) float32 normalised, and N targets (n, 6), see `target_of`."""
        epoch, first = divmod(step, self.steps_per_epoch)
        while True:
            order = order_of_crops(
                self.crops, self.batch, seed=self.seed, epoch=epoch, in_memory=self.images.in_memory
            )
            for index in order[first:]:
                rng = np.random.default_rng((self.seed, 1, step))
                generator = torch.Generator().manual_seed((self.seed + 1) * 7_919 + step)
                crops = [self.crop_of(int(i), rng) for i in index]
                mine = here().positions(len(index), self.crop, self.device)
                whole = mine is None or self.augmentation.own is not None
                at = torch.arange(len(index)) if mine is None or whole else mine
                pairs = [self.cut(int(index[i]), crops[i]) for i in at.tolist()]
                blank = torch.zeros(self.preprocessing.channels, *self.crop, dtype=torch.uint8)
                x = stacked([image for image, _ in pairs], blank).to(self.device, non_blocking=True)
                if len(x):
                    x = self.colours(x, generator, Some(len(index), at))
                targets = mapped([target for _, target in pairs], lambda t: t.to(self.device))
                if whole and mine is not None:
                    x, targets, at = x[mine], [targets[i] for i in mine.tolist()], mine
                yield Batch(
                    self.preprocessing.normalise(x), targets, None, index[at.numpy()], len(index)
                )
                step += 1
            epoch, first = epoch + 1, 0

    def crop_of(self, index: int, rng: np.random.Generator) -> Crop:
        """Where a crop of image `index` lies, zoomed and mirrored at random; drawn without looking at the image."""
        objects = self.split.objects[index]
        change, (h, w) = self.augmentation, self.crop
        zoom = change.zoom ** rng.uniform(-1, 1) if change.zoom > 1 else 1.0
        window = h / zoom, w / zoom  # pixels of the image that the crop shows
        top, left = self.corner(objects, self.split.sizes[index].tolist(), window, rng)
        mirror = change.flip and bool(rng.random() < 0.5)
        return Crop(top=top, left=left, zoom=zoom, height=h, width=w, mirror=mirror)

    def cut(self, index: int, crop: Crop) -> tuple[Tensor, Any]:
        """A crop of image `index`: (C, h, w) uint8 and its target."""
        window = crop.height / crop.zoom, crop.width / crop.zoom
        seen = self.seen(self.images[index], crop.top, crop.left, window)
        target = self.target(self.split.objects[index], crop)
        return seen.flip(-1) if crop.mirror else seen, target

    def target(self, objects: Objects, crop: Crop) -> Any:
        """What a crop of an image with these objects teaches."""
        return target_of(cropped(objects, crop))

    def corner(
        self, objects: Objects, size: Sequence[int], window: tuple[float, float], rng: np.random.Generator
    ) -> tuple[float, float]:  # fmt: skip
        """Top and left of the crop; whole pixels where nothing is zoomed."""
        at = []
        aims = np.flatnonzero(~objects.crowd)
        aim = None
        if len(aims) and rng.random() < self.aimed:
            chosen = rng.choice(np.unique(objects.labels[aims]))
            aim = objects.boxes[rng.choice(aims[objects.labels[aims] == chosen])]
        for axis in (0, 1):
            room = size[axis] - window[axis]
            low, high = min(0.0, room), max(0.0, room)
            if aim is not None and room > 0:
                near, far = aim[1 - axis], aim[3 - axis]
                # Anywhere from where the object just enters to where it just leaves, as far as it fits.
                spare = window[axis] - (far - near)
                start = near - max(spare, 0.0) if spare > 0 else near
                stop = near if spare > 0 else far - window[axis]
                low, high = max(low, min(start, stop)), min(high, max(start, stop))
                low = min(low, high)
            start = rng.uniform(low, high)
            at.append(float(np.floor(start)) if self.augmentation.zoom <= 1 else start)
        return at[0], at[1]

    def seen(self, image: Tensor, top: float, left: float, window: tuple[float, float]) -> Tensor:
        """The part of an image (C, H, W) uint8 that a crop shows, (C, h, w) uint8, bilinear where it is zoomed."""
        h, w = self.crop
        ground = torch.tensor([round(255 * m) for m in self.preprocessing.mean], dtype=torch.uint8)
        if window == (h, w) and top == int(top) and left == int(left):
            page = ground[:, None, None].expand(-1, h, w).clone()
            t, le = int(top), int(left)
            part = image[:, max(t, 0) : t + h, max(le, 0) : le + w]
            page[:, max(-t, 0) : max(-t, 0) + part.shape[1], max(-le, 0) : max(-le, 0) + part.shape[2]] = part  # fmt: skip
            return page
        # Only what the crop needs is turned into numbers: an image may be large.
        t, le = max(int(top) - 1, 0), max(int(left) - 1, 0)
        part = image[:, t : int(top + window[0]) + 3, le : int(left + window[1]) + 3]
        rows, columns = part.shape[-2:]
        y = (torch.arange(h) + 0.5) * (window[0] / h) + top - t
        x = (torch.arange(w) + 0.5) * (window[1] / w) + left - le
        grid = torch.stack(torch.meshgrid(2 * y / rows - 1, 2 * x / columns - 1, indexing="ij")[::-1], -1)  # fmt: skip
        base = ground[:, None, None].float()
        values = F.grid_sample(
            (part.float() - base)[None], grid[None].float(), mode="bilinear", align_corners=False
        )[0]
        return (values + base).round_().clamp_(0, 255).byte()

    def colours(self, x: Tensor, generator: torch.Generator, some: Some | None = None) -> Tensor:
        """Contrast and brightness changed at random, or what a person's own augmentation does: (N, C, h, w) uint8.

        some: which of a larger batch they are; a person's own augmentation gets all of it.
        """
        some = some or every(x)
        change = self.augmentation
        if change.own is not None:
            return change.own(x, generator)
        if not change.jitter:
            return x
        draw = (torch.rand(2, some.whole, 1, 1, 1, generator=generator) * 2 - 1) * change.jitter
        contrast, light = some.of(draw, 1).to(x.device)
        values = x.float()
        mean = values.mean((1, 2, 3), keepdim=True)
        values = (values - mean) * (1 + contrast) + mean + 255 * light
        return values.round_().clamp_(0, 255).to(x.dtype)


def target_of(objects: Objects) -> Tensor:
    """(n, 6) float32: left, top, right, bottom in pixels, class, and 1 for a crowd."""
    rows = np.concatenate([objects.boxes, objects.labels[:, None], objects.crowd[:, None]], 1)
    return torch.from_numpy(rows.astype(np.float32))
