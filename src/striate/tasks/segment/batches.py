"""Crops: pieces of images with their masks, in an order that depends on the seed and the step alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
import torch.nn.functional as F

from striate.data.augment import Some, every
from striate.data.preprocessing import Preprocessing
from striate.tasks.decoded import Decoded, crops_of, order_of_crops, stacked, steps_of
from striate.tasks.segment.data.coding import IGNORE
from striate.tasks.segment.data.source import MaskSplit
from striate.training.batch import Batch
from striate.training.own import OwnAugmentation
from striate.training.world import here


class Pairs(Decoded[tuple[torch.Tensor, torch.Tensor]]):
    """Images (C, H, W) uint8 at their own size, and masks (H, W) uint8, by number; in memory, or decoded when needed."""

    def __init__(self, split: MaskSplit, preprocessing: Preprocessing, *, in_memory: bool) -> None:
        def decode(index: int) -> tuple[torch.Tensor, torch.Tensor]:
            image = preprocessing.colours(split.image(index))
            return torch.from_numpy(image), torch.from_numpy(split.mask(index))

        super().__init__(decode, len(split), in_memory=in_memory)
        self.split = split


def decoded_pairs(split: MaskSplit, channels: int) -> int:
    """Memory in bytes that a split's images and masks take as uint8."""
    return int(split.sizes.prod(1).sum()) * (channels + 1)


@dataclass(frozen=True, kw_only=True)
class MaskAugmentation:
    """What may happen to a crop and its mask alike.

    flip: mirror left and right with probability 1/2. scale: largest zoom in or out. rotate: greatest angle in degrees,
    either way. jitter: greatest change of contrast and of brightness, as a share of the full scale (image alone).
    """

    flip: bool = False
    scale: float = 1.0
    rotate: float = 0.0
    jitter: float = 0.0

    def __call__(
        self, x: torch.Tensor, mask: torch.Tensor, generator: torch.Generator, some: Some | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:  # fmt: skip
        """Images (N, C, H, W) uint8 and masks (N, H, W) uint8 in, new ones of the same shapes and types out.

        some: which of a larger batch they are.
        """
        some = some or every(x)
        if self.scale > 1 or self.rotate > 0:
            x, mask = self.warp(x, mask, generator, some)
        if self.flip:
            mirrored = some.of(torch.rand(some.whole, generator=generator) < 0.5).to(x.device)
            x = torch.where(mirrored[:, None, None, None], x.flip(-1), x)
            mask = torch.where(mirrored[:, None, None], mask.flip(-1), mask)
        if self.jitter:
            draw = (torch.rand(2, some.whole, 1, 1, 1, generator=generator) * 2 - 1) * self.jitter
            contrast, light = some.of(draw, 1).to(x.device)
            values = x.float()
            mean = values.mean((1, 2, 3), keepdim=True)
            values = (values - mean) * (1 + contrast) + mean + 255 * light
            x = values.round_().clamp_(0, 255).to(x.dtype)
        return x, mask

    def warp(
        self, x: torch.Tensor, mask: torch.Tensor, generator: torch.Generator, some: Some
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Zoom and turn: images bilinear, masks by their nearest pixel, borders reflected."""
        n, (h, w) = some.whole, x.shape[-2:]
        zoom = self.scale ** (torch.rand(n, generator=generator) * 2 - 1)
        angle = ((torch.rand(n, generator=generator) * 2 - 1) * self.rotate).deg2rad()
        cos, sin = angle.cos() / zoom, angle.sin() / zoom
        none = torch.zeros(n)
        theta = torch.stack(
            (
                torch.stack((cos, -sin * h / w, none), -1),
                torch.stack((sin * w / h, cos, none), -1),
            ),
            1,
        )
        theta = some.of(theta).to(x.device)
        grid = F.affine_grid(theta, [len(x), 1, h, w], align_corners=False)
        turned = F.grid_sample(
            x.float(), grid, mode="bilinear", padding_mode="reflection", align_corners=False
        )
        labels = F.grid_sample(
            mask[:, None].float(),
            grid,
            mode="nearest",
            padding_mode="reflection",
            align_corners=False,
        )
        return turned.round_().clamp_(0, 255).to(x.dtype), labels[:, 0].to(mask.dtype)


@dataclass(frozen=True)
class OwnMaskAugmentation:
    """An augmentation of a person's own, of images (N, C, H, W) alone: it must leave every pixel where it is."""

    own: OwnAugmentation

    def __call__(
        self, x: torch.Tensor, mask: torch.Tensor, generator: torch.Generator, some: Some | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:  # fmt: skip
        """See MaskAugmentation; of the whole batch."""
        return self.own(x, generator), mask


@dataclass(frozen=True, kw_only=True)
class CropBatches:
    """Endless shuffled batches of crops; step s is the same whether the loop began at 0 or at s.

    An epoch takes as many crops from an image as fit beside one another, at least one. `foreground`: share of crops that
    are laid over a pixel of one of the image's rarer classes, each class as often as the others; the rest lie anywhere.
    crop: (height, width) in pixels; smaller images are filled up with the mean colour, ignored.
    """

    pairs: Pairs
    preprocessing: Preprocessing
    augmentation: MaskAugmentation | OwnMaskAugmentation
    crop: tuple[int, int]
    batch: int
    foreground: float
    seed: int
    device: torch.device

    @cached_property
    def crops(self) -> np.ndarray:
        """Crops that an epoch takes from each image, (N,) int64."""
        return crops_of(self.pairs.split.sizes, self.crop)

    @property
    def steps_per_epoch(self) -> int:
        """Batches in one pass over the images."""
        return steps_of(self.crops, self.batch)

    def order(self, epoch: int) -> list[np.ndarray]:
        """The image numbers of one epoch's batches."""
        return order_of_crops(
            self.crops, self.batch, seed=self.seed, epoch=epoch, in_memory=self.pairs.in_memory
        )

    def from_step(self, step: int) -> Iterator[Batch]:
        """Batches from `step` on: images (N, C, h, w) float32 normalised; masks (N, h, w) int64, or IGNORE."""
        epoch, first = divmod(step, self.steps_per_epoch)
        while True:
            for index in self.order(epoch)[first:]:
                rng = np.random.default_rng((self.seed, 1, step))
                generator = torch.Generator().manual_seed((self.seed + 1) * 7_919 + step)
                corners = [self.corner(int(i), rng) for i in index]
                mine = here().positions(len(index), self.crop, self.device)
                whole = mine is None or isinstance(self.augmentation, OwnMaskAugmentation)
                at = torch.arange(len(index)) if mine is None or whole else mine
                cut = [self.cut(int(index[i]), corners[i]) for i in at.tolist()]
                x = stacked([image for image, _ in cut], self.blank()).to(
                    self.device, non_blocking=True
                )
                mask = stacked([m for _, m in cut], self.blank()[0]).to(
                    self.device, non_blocking=True
                )
                if len(x):
                    x, mask = self.augmentation(x, mask, generator, Some(len(index), at))
                if whole and mine is not None:
                    x, mask, at = x[mine], mask[mine], mine
                yield Batch(
                    self.preprocessing.normalise(x),
                    mask.long(),
                    None,
                    index[at.numpy()],
                    len(index),
                )
                step += 1
            epoch, first = epoch + 1, 0

    def blank(self) -> torch.Tensor:
        """A crop (C, h, w) uint8 of nothing."""
        return torch.zeros(self.preprocessing.channels, *self.crop, dtype=torch.uint8)

    def corner(self, index: int, rng: np.random.Generator) -> list[int]:
        """Top and left of a crop of image `index`, drawn without looking at the image."""
        sides = self.pairs.split.sizes[index].tolist()
        spots = {c: xy for c, xy in self.pairs.split.anchors[index].items() if len(xy)}
        if len(spots) > 1 and rng.random() < self.foreground:
            commonest = int(self.pairs.split.pixels[index].argmax())
            chosen = [c for c in sorted(spots) if c != commonest]
            spot = spots[chosen[rng.integers(len(chosen))]]
            around = spot[rng.integers(len(spot))]
            return [
                int(np.clip(p - rng.integers(0, c), 0, max(s - c, 0)))
                for p, c, s in zip(around, self.crop, sides, strict=True)
            ]
        return [
            int(rng.integers(0, max(s - c, 0) + 1)) for c, s in zip(self.crop, sides, strict=True)
        ]

    def cut(self, index: int, corner: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor]:
        """The crop of image `index` that begins at a corner."""
        image, mask = self.pairs[index]
        (top, left), (h, w) = corner, self.crop
        image, mask = image[:, top : top + h, left : left + w], mask[top : top + h, left : left + w]
        if mask.shape == (h, w):
            return image, mask
        colour = torch.tensor([round(255 * m) for m in self.preprocessing.mean], dtype=torch.uint8)
        page = colour[:, None, None].expand(-1, h, w).clone()
        labels = torch.full((h, w), IGNORE, dtype=torch.uint8)
        rows, cols = mask.shape
        page[:, :rows, :cols], labels[:rows, :cols] = image, mask
        return page, labels
