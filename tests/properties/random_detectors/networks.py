"""Random detectors: backbones of every kind of layer, and heads whose scores lie where objects are told apart."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.models import Grid, Levels, Regions
from striate.models.centernet_masks import BESIDE

KINDS = ("centers", "levels", "grid", "voting", "regions", "region-masks")


class Padded(nn.Module):
    """A convolution with all padding on the right and below, so that even kernels keep a cell every `stride` pixels."""

    def __init__(self, inside: int, outside: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.margin = kernel - 1
        self.conv = nn.Conv2d(inside, outside, kernel, stride)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.pad(x, (0, self.margin, 0, self.margin)))


class Skip(nn.Module):
    """Layers beside the identity, added to it or laid beside it."""

    def __init__(self, inner: nn.Module, channels: int, *, beside: bool) -> None:
        super().__init__()
        self.inner = inner
        self.join = nn.Conv2d(2 * channels, channels, 1) if beside else None

    def forward(self, x: Tensor) -> Tensor:
        y = self.inner(x)
        return x + y if self.join is None else self.join(torch.cat([x, y], 1))


class Hourglass(nn.Module):
    """Down to half the size and up again, cut to fit."""

    def __init__(self, channels: int, mode: str) -> None:
        super().__init__()
        self.down = nn.Conv2d(channels, channels, 3, 2, 1)
        self.mode = mode

    def forward(self, x: Tensor) -> Tensor:
        y = F.interpolate(self.down(x).relu(), scale_factor=2.0, mode=self.mode)
        return x + y[..., : x.shape[-2], : x.shape[-1]]


def _normed(rng: np.random.Generator, channels: int) -> list[nn.Module]:
    layers: list[nn.Module] = []
    if rng.random() < 0.6:
        norm = nn.BatchNorm2d(channels)
        assert norm.running_mean is not None and norm.running_var is not None
        norm.running_mean.uniform_(-0.3, 0.3)
        norm.running_var.uniform_(0.5, 2)
        layers.append(norm)
    kinds = (nn.ReLU, nn.LeakyReLU, nn.SiLU, nn.GELU, nn.Identity)
    layers.append(kinds[rng.integers(len(kinds))]())
    return layers


def _block(rng: np.random.Generator, inside: int, outside: int, stride: int) -> nn.Module:
    """(N, inside, H, W) -> (N, outside, ceil(H / stride), ceil(W / stride)); stride 1 or 2."""
    kind = int(rng.integers(4))
    if kind == 0:
        kernel, dilation = int(rng.choice([1, 3, 5])), int(rng.choice([1, 1, 2, 3]))
        mode = "replicate" if rng.random() < 0.15 else "zeros"
        layers: list[nn.Module] = [
            nn.Conv2d(inside, outside, kernel, stride, dilation * (kernel // 2), dilation, padding_mode=mode)
        ]  # fmt: skip
    elif kind == 1:
        layers = [Padded(inside, outside, int(rng.choice([2, 4])), stride)]
    elif kind == 2:
        layers = [
            nn.Conv2d(inside, inside, 3, stride, 1, groups=inside),
            nn.Conv2d(inside, outside, 1),
        ]
    else:
        counted = bool(rng.integers(2))
        pools: list[nn.Module] = [
            nn.MaxPool2d(3, stride, 1),
            nn.AvgPool2d(3, stride, 1, count_include_pad=counted),
        ]
        if stride == 2:
            pools += [nn.MaxPool2d(2, ceil_mode=True), nn.AvgPool2d(2, ceil_mode=True)]
        layers = [nn.Conv2d(inside, outside, 3, padding=1), pools[rng.integers(len(pools))]]
    return nn.Sequential(*layers, *_normed(rng, outside))


def _stage(rng: np.random.Generator, inside: int, outside: int, stride: int) -> nn.Module:
    layers = [_block(rng, inside, outside, stride)]
    for _ in range(int(rng.integers(3))):
        which = int(rng.integers(3))
        if which == 2:
            layers.append(Hourglass(outside, str(rng.choice(["nearest", "bilinear"]))))
        else:
            layers.append(Skip(_block(rng, outside, outside, 1), outside, beside=which == 1))
    return nn.Sequential(*layers)


class Detector(nn.Module):
    """A random network of one kind, whose numbers are spread as its head says.

    (N, 3, H, W) -> what the kind gives. It computes in float64 once its weights are of that kind.
    """

    def __init__(self, kind: str, seed: int, *, classes: int) -> None:
        super().__init__()
        rng = np.random.default_rng((seed, 7))
        self.kind, self.classes = kind, classes
        channels = int(rng.integers(4, 9))
        self.channels = channels
        wanted = {
            "centers": 2, "voting": 2, "levels": int(rng.integers(2, 6)), "grid": int(rng.integers(3, 6)), "regions": 6,
            "region-masks": 6,
        }[kind]  # fmt: skip
        self.stages = nn.ModuleList(
            _stage(rng, 3 if i == 0 else channels, channels, 2) for i in range(wanted)
        )
        first = {"levels": int(rng.integers(2, wanted + 1))}.get(kind, 2)
        one = kind in ("centers", "voting", "grid")
        self.used = [wanted - 1] if one else list(range(first - 1, wanted))
        if kind == "levels" and len(self.used) > 2 and rng.random() < 0.3:
            del self.used[1]  # levels need not double
        self.strides = tuple(2 ** (i + 1) for i in self.used)
        self.boxes = int(rng.integers(1, 4))
        many = {
            "centers": classes + 4, "voting": classes + BESIDE, "levels": classes + 5, "grid": 5 * self.boxes + classes,
            "regions": 15, "region-masks": 15,
        }[kind]  # fmt: skip
        self.heads = nn.ModuleList(
            nn.Conv2d(channels, many, int(rng.choice([1, 3])), padding="same") for _ in self.used
        )
        # What the heads' numbers are multiplied by and moved by, a map and a channel; see `_settle`.
        for i in range(len(self.used)):
            self.register_buffer(f"scale{i}", torch.ones(many))
            self.register_buffer(f"shift{i}", torch.zeros(many))
        if kind.startswith("region"):
            self.fully = nn.Linear(49 * channels, 5 * (1 + classes))
            self.masks = nn.ConvTranspose2d(channels, 1 + classes, 2, 2)
        self.eval().requires_grad_(False)
        self._settle(rng)

    def _settle(self, rng: np.random.Generator) -> None:
        """Spread each map's numbers over a picture of noise as wanted: few scores high, boxes of all sizes."""
        tall = float(rng.uniform(1.0, 2.5))  # of the logits' spread
        low = float(rng.uniform(-5.0, -2.5))  # their middle: a share of the cells is an object
        size = float(rng.uniform(0.5, 3.0))  # logarithm of the boxes' sizes in cells
        picture = torch.from_numpy(rng.normal(0, 1.2, (1, 3, 192, 192))).to(self.dtype)
        with torch.no_grad():
            maps = self.maps(self.features(picture))
        k = self.classes
        for i, m in enumerate(maps):
            mean, spread = m.mean((0, 2, 3)), m.std((0, 2, 3), correction=0) + 1e-3
            scale, move = torch.ones_like(mean), torch.zeros_like(mean)
            if self.kind in ("centers", "voting", "levels"):
                scale[:k], move[:k] = tall, low + (0.5 if self.kind == "levels" else 1.0)
                scale[k : k + 4], move[k : k + 4] = 0.6, size
                scale[k + 4 :] = 1.0
                if self.kind == "voting":
                    scale[k + 4 : k + 20], move[k + 4 : k + 20] = 3.0, 0.5
                    scale[k + 20 :] = 8.0
            elif self.kind == "grid":
                scale[:], move[:] = 0.3, 0.25
            else:
                scale[:3], move[:3] = 2.0, -1.0
                scale[3:] = 0.3
            getattr(self, f"scale{i}").copy_(scale / spread)
            getattr(self, f"shift{i}").copy_(move - mean * scale / spread)
        if self.kind.startswith("region"):
            self.fully.weight.mul_(4.0)
            self.masks.weight.mul_(4.0)

    @property
    def dtype(self) -> torch.dtype:
        return self.heads[0].weight.dtype

    def features(self, x: Tensor) -> list[Tensor]:
        x = x.to(self.dtype)
        made = []
        for stage in self.stages:
            x = stage(x)
            made.append(x)
        return made

    def maps(self, features: list[Tensor]) -> list[Tensor]:
        made = []
        for i, (at, head) in enumerate(zip(self.used, self.heads, strict=True)):
            scale, shift = getattr(self, f"scale{i}"), getattr(self, f"shift{i}")
            made.append(head(features[at]) * scale[:, None, None] + shift[:, None, None])
        return made

    def box(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """See `Regions`."""
        y = self.fully(x.flatten(1).to(self.dtype)).unflatten(1, (1 + self.classes, 5))
        return y[:, :, 0], y[:, :, 1:] * 0.5

    def mask(self, x: Tensor) -> Tensor:
        """See `Regions`."""
        return self.masks(x.to(self.dtype))

    def forward(self, x: Tensor) -> Tensor | Levels | Grid | Regions:
        features = self.features(x)
        maps = self.maps(features)
        k = self.classes
        if self.kind in ("centers", "voting", "levels"):
            maps = [
                torch.cat([m[:, :k], s * m[:, k : k + 4].exp().clamp(max=10**4), m[:, k + 4 :]], 1)
                for m, s in zip(maps, self.strides, strict=True)
            ]
        if self.kind == "levels":
            return Levels(tuple(maps), self.strides)
        if self.kind == "grid":
            return Grid(maps[0], self.strides[0], self.boxes)
        if self.kind.startswith("region"):
            looked = tuple(features[at] for at in self.used[:-1])
            mask = self.mask if "masks" in self.kind else None
            return Regions(looked, tuple(maps), self.strides, self.box, mask)
        return maps[0]
