"""Augmentation of whole batches on the device that holds them: one gather or one warp a batch, never an image at a time."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F


@dataclass(frozen=True, eq=False)
class Some:
    """Some images of a batch of `whole`, at places `at` (n,) int64: what is drawn at random is drawn for all of the batch.

    So an image is changed in the same way whoever holds it, and whatever else.
    """

    whole: int
    at: torch.Tensor

    def of(self, drawn: torch.Tensor, axis: int = 0) -> torch.Tensor:
        """Their rows of what was drawn for the whole batch, along an axis."""
        return drawn.index_select(axis, self.at)


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """What may happen to a training image.

    shift: greatest translation in pixels, each axis, with reflected borders.
    flip: mirror left and right with probability 1/2.
    scale: smallest share of the image's area that a random crop keeps (1: no crops); crops are resized back.
    rotate: greatest angle in degrees, either way.
    erase: side of a square filled with the image's mean colour, over the image's side (0: none); DeVries & Taylor 2017.
    mixup: alpha of the Beta distribution of mixing weights (0: none); Zhang et al. 2018.
    """

    shift: int = 0
    flip: bool = False
    scale: float = 1.0
    rotate: float = 0.0
    erase: float = 0.0
    mixup: float = 0.0

    def __call__(
        self, x: torch.Tensor, generator: torch.Generator, some: Some | None = None
    ) -> torch.Tensor:
        """Batch (N, C, H, W) uint8 in, a new batch of the same shape and type out. Mixing is `mix`.

        some: which of a larger batch they are.
        """
        some = some or every(x)
        if self.scale < 1 or self.rotate > 0:
            x = warp(x, self.scale, self.rotate, generator, some)
        if self.shift:
            x = shift(x, self.shift, generator, some)
        if self.flip:
            mirrored = some.of(torch.rand(some.whole, generator=generator) < 0.5)
            x = torch.where(mirrored.to(x.device)[:, None, None, None], x.flip(-1), x)
        if self.erase:
            x = erase(x, self.erase, generator, some)
        return x

    def mix(
        self, x: torch.Tensor, labels: torch.Tensor, classes: int, generator: torch.Generator, some: Some | None = None,
        mine: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:  # fmt: skip
        """Mix a normalised float batch with itself in another order; labels (N,) become (N, classes) shares.

        Targets that are numbers already, (N, K) float, are mixed as they are. some: which of a larger batch they are, in
        ascending order, the `partners` of those that stay among them; mine: (m,) the places in it of these.
        """
        target = labels if labels.is_floating_point() else F.one_hot(labels, classes).to(x.dtype)
        share, order = self.mixture(len(x) if some is None else some.whole, generator)
        if some is None or mine is None:
            order = order.to(x.device)
            return torch.lerp(x[order], x, share), torch.lerp(target[order], target, share)
        own, other = (torch.searchsorted(some.at, at).to(x.device) for at in (mine, order[mine]))
        return torch.lerp(x[other], x[own], share), torch.lerp(target[other], target[own], share)

    def mixture(self, count: int, generator: torch.Generator) -> tuple[float, torch.Tensor]:
        """How a batch of `count` images is mixed: each one's own share, and (count,) the places of the other ones."""
        a = torch._standard_gamma(torch.full((2,), self.mixup), generator)
        share = float(a[0] / a.sum())
        return share, torch.randperm(count, generator=generator)

    def partners(
        self, count: int, size: tuple[int, int], generator: torch.Generator
    ) -> torch.Tensor:
        """(count,) places of the images that each of a batch is mixed with, before any of them is there.

        size: (height, width). generator: as it is before the batch is augmented.
        """
        spare = torch.Generator()
        spare.set_state(generator.get_state())
        one = Some(count, torch.zeros(1, dtype=torch.int64))
        self(torch.zeros(1, 1, *size, dtype=torch.uint8), spare, one)
        return self.mixture(count, spare)[1]


def every(x: torch.Tensor) -> Some:
    """All images of x (N, ...)."""
    return Some(len(x), torch.arange(len(x)))


def shift(
    x: torch.Tensor, pixels: int, generator: torch.Generator, some: Some | None = None
) -> torch.Tensor:
    """Translate each image of (N, C, H, W) by up to `pixels` along each axis; what enters is the reflected border."""
    some = some or every(x)
    n, _, h, w = x.shape
    p = min(pixels, h - 1, w - 1)
    if p == 0:
        return x
    padded = F.pad(x, (p, p, p, p), mode="reflect") if x.device.type == "cpu" else _reflect(x, p)
    windows = padded.unfold(2, h, 1).unfold(3, w, 1)  # (N, C, 2p+1, 2p+1, H, W), a view
    offsets = torch.randint(0, 2 * p + 1, (2, some.whole), generator=generator)
    offsets = some.of(offsets, 1).to(x.device)
    return windows[torch.arange(n, device=x.device), :, offsets[0], offsets[1]]


def _reflect(x: torch.Tensor, p: int) -> torch.Tensor:
    # CUDA has no reflection padding for bytes; an index does the same.
    h, w = x.shape[-2:]
    rows = torch.arange(-p, h + p, device=x.device).abs()
    cols = torch.arange(-p, w + p, device=x.device).abs()
    rows = torch.where(rows >= h, 2 * (h - 1) - rows, rows)
    cols = torch.where(cols >= w, 2 * (w - 1) - cols, cols)
    return x[:, :, rows[:, None], cols]


def warp(
    x: torch.Tensor, scale: float, degrees: float, generator: torch.Generator, some: Some | None = None
) -> torch.Tensor:  # fmt: skip
    """Crop each image to a random share of its area in [scale, 1], at a random place and aspect ratio (3/4 to 4/3 at
    most), turn it by up to `degrees`, and resize it back; bilinear, borders reflected.
    """
    some = some or every(x)
    n, (h, w) = some.whole, x.shape[-2:]
    area = torch.empty(n).uniform_(scale, 1.0, generator=generator)
    free = min(math.log(4 / 3), -math.log(scale)) if scale < 1 else 0.0
    ratio = torch.empty(n).uniform_(-free, free, generator=generator).exp()
    sx, sy = (area * ratio).sqrt().clamp(max=1), (area / ratio).sqrt().clamp(max=1)
    tx, ty = (
        (torch.rand(2, n, generator=generator) * 2 - 1) * (1 - torch.stack((sx, sy)))
    ).unbind()
    angle = torch.empty(n).uniform_(-degrees, degrees, generator=generator).deg2rad()
    cos, sin = angle.cos(), angle.sin()
    theta = torch.stack(
        (
            torch.stack((sx * cos, -sy * sin * h / w, tx), -1),
            torch.stack((sx * sin * w / h, sy * cos, ty), -1),
        ),
        1,
    )
    theta = some.of(theta).to(x.device)
    grid = F.affine_grid(theta, list(x.shape), align_corners=False)
    y = F.grid_sample(
        x.float(), grid, mode="bilinear", padding_mode="reflection", align_corners=False
    )
    return y.round_().clamp_(0, 255).to(x.dtype)


def erase(
    x: torch.Tensor, side: float, generator: torch.Generator, some: Some | None = None
) -> torch.Tensor:
    """Fill a square of `side` times the image's side, centred anywhere, with the image's mean colour."""
    some = some or every(x)
    h, w = x.shape[-2:]
    half = torch.tensor((side * h / 2, side * w / 2))
    centre = some.of(torch.rand(some.whole, 2, generator=generator) * torch.tensor((h, w)))
    low, high = (centre - half).to(x.device), (centre + half).to(x.device)
    rows = torch.arange(h, device=x.device) + 0.5
    cols = torch.arange(w, device=x.device) + 0.5
    inside = ((rows > low[:, :1]) & (rows < high[:, :1]))[:, :, None] & (
        (cols > low[:, 1:]) & (cols < high[:, 1:])
    )[:, None, :]
    mean = x.float().mean((-2, -1), keepdim=True).to(x.dtype)
    return torch.where(inside[:, None], mean, x)
