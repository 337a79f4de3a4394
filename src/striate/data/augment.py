"""Augmentation of whole batches on the device that holds them: one gather or one warp a batch, never an image at a time."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F


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

    def __call__(self, x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Batch (N, C, H, W) uint8 in, a new batch of the same shape and type out. Mixing is `mix`."""
        if self.scale < 1 or self.rotate > 0:
            x = warp(x, self.scale, self.rotate, generator)
        if self.shift:
            x = shift(x, self.shift, generator)
        if self.flip:
            mirrored = torch.rand(len(x), generator=generator) < 0.5
            x = torch.where(mirrored.to(x.device)[:, None, None, None], x.flip(-1), x)
        if self.erase:
            x = erase(x, self.erase, generator)
        return x

    def mix(
        self, x: torch.Tensor, labels: torch.Tensor, classes: int, generator: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Mix a normalised float batch with itself in another order; labels (N,) become (N, classes) shares.

        Targets that are numbers already, (N, K) float, are mixed as they are.
        """
        target = labels if labels.is_floating_point() else F.one_hot(labels, classes).to(x.dtype)
        a = torch._standard_gamma(torch.full((2,), self.mixup), generator)
        share = float(a[0] / a.sum())
        order = torch.randperm(len(x), generator=generator).to(x.device)
        return torch.lerp(x[order], x, share), torch.lerp(target[order], target, share)


def shift(x: torch.Tensor, pixels: int, generator: torch.Generator) -> torch.Tensor:
    """Translate each image of (N, C, H, W) by up to `pixels` along each axis; what enters is the reflected border."""
    n, _, h, w = x.shape
    p = min(pixels, h - 1, w - 1)
    if p == 0:
        return x
    padded = F.pad(x, (p, p, p, p), mode="reflect") if x.device.type == "cpu" else _reflect(x, p)
    windows = padded.unfold(2, h, 1).unfold(3, w, 1)  # (N, C, 2p+1, 2p+1, H, W), a view
    offsets = torch.randint(0, 2 * p + 1, (2, n), generator=generator).to(x.device)
    return windows[torch.arange(n, device=x.device), :, offsets[0], offsets[1]]


def _reflect(x: torch.Tensor, p: int) -> torch.Tensor:
    # CUDA has no reflection padding for bytes; an index does the same.
    h, w = x.shape[-2:]
    rows = torch.arange(-p, h + p, device=x.device).abs()
    cols = torch.arange(-p, w + p, device=x.device).abs()
    rows = torch.where(rows >= h, 2 * (h - 1) - rows, rows)
    cols = torch.where(cols >= w, 2 * (w - 1) - cols, cols)
    return x[:, :, rows[:, None], cols]


def warp(x: torch.Tensor, scale: float, degrees: float, generator: torch.Generator) -> torch.Tensor:
    """Crop each image to a random share of its area in [scale, 1], at a random place and aspect ratio (3/4 to 4/3 at
    most), turn it by up to `degrees`, and resize it back; bilinear, borders reflected.
    """
    n, _, h, w = x.shape
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
    ).to(x.device)
    grid = F.affine_grid(theta, list(x.shape), align_corners=False)
    y = F.grid_sample(
        x.float(), grid, mode="bilinear", padding_mode="reflection", align_corners=False
    )
    return y.round_().clamp_(0, 255).to(x.dtype)


def erase(x: torch.Tensor, side: float, generator: torch.Generator) -> torch.Tensor:
    """Fill a square of `side` times the image's side, centred anywhere, with the image's mean colour."""
    n, _, h, w = x.shape
    half = torch.tensor((side * h / 2, side * w / 2))
    centre = torch.rand(n, 2, generator=generator) * torch.tensor((h, w))
    low, high = (centre - half).to(x.device), (centre + half).to(x.device)
    rows = torch.arange(h, device=x.device) + 0.5
    cols = torch.arange(w, device=x.device) + 0.5
    inside = ((rows > low[:, :1]) & (rows < high[:, :1]))[:, :, None] & (
        (cols > low[:, 1:]) & (cols < high[:, 1:])
    )[:, None, :]
    mean = x.float().mean((-2, -1), keepdim=True).to(x.dtype)
    return torch.where(inside[:, None], mean, x)
