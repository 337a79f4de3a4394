"""Four ways to treat patches, at about equal parameters: convolution, mixer, transformer, compact transformer."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from striate.models import build
from striate.nn import PatchEmbedding

DEPTH = 3  # blocks of each network
WIDTHS = range(8, 161, 4)
FAMILIES = ("convolution", "mixer", "transformer", "compact transformer")


@dataclass(frozen=True, order=True)
class Design:
    """One network: its family, the side of a patch in pixels, and where its tokens learn where they are.

    positions: "learned", "sinusoidal", "none", or "built in" for the families that need none. order: whether it is trained
    on images whose patches all stand in one other order.
    """

    family: str
    patch: int
    positions: str
    reordered: bool = False

    @property
    def name(self) -> str:
        """The family, with its positions where it could have others."""
        others = {
            "none": f"{self.family} without positions",
            "sinusoidal": f"{self.family}, sinusoids",
        }
        return others.get(self.positions, self.family)


class PatchConvolution(nn.Module):
    """Patches as in a transformer, then residual 3 x 3 convolutions over their grid, and the mean: (N, C, H, W) -> (N, K).

    A plain relative of Trockman and Kolter, "Patches are all you need?" (2023).
    """

    def __init__(self, patch: int, width: int, classes: int) -> None:
        super().__init__()
        self.embed = PatchEmbedding(1, width, patch)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.BatchNorm2d(width), nn.Conv2d(width, width, 3, padding=1), nn.GELU())
            for _ in range(DEPTH)
        )
        self.norm = nn.BatchNorm2d(width)
        self.head = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        x = self.embed(x)
        for block in self.blocks:
            x = x + block(x)
        return self.head(self.norm(x).mean((2, 3)))


def make(design: Design, width: int, side: int) -> nn.Module:
    """The network of a design, for grey images of `side` pixels and ten classes."""
    shared: dict[str, Any] = {
        "in_channels": 1,
        "num_classes": 10,
        "size": side,
        "depth": DEPTH,
        "width": width,
        "check": False,
    }
    if design.family == "convolution":
        return PatchConvolution(design.patch, width, 10)
    if design.family == "mixer":
        return build(
            "patch-mlp", patch_size=design.patch, token_mlp=32, mlp_width=2 * width, **shared
        )
    shared |= {"heads": 2, "mlp_width": 2 * width, "positions": design.positions}
    if design.family == "transformer":
        return build("vit", patch_size=design.patch, pool="mean", **shared)
    return build("cct", convolutions=int(math.log2(design.patch)), kernel=3, **shared)


def parameters(network: nn.Module) -> int:
    """How many numbers are learned."""
    return sum(p.numel() for p in network.parameters())


def matched_width(design: Design, side: int, target: int) -> int:
    """The width, a multiple of 4, at which a design has about `target` parameters."""

    def distance(width: int) -> int:
        with torch.device("meta"):
            return abs(parameters(make(design, width, side)) - target)

    return min(WIDTHS, key=distance)


def maker(design: Design, side: int, target: int) -> Callable[[], nn.Module]:
    """What makes the network of a design at about `target` parameters."""
    width = matched_width(design, side, target)
    return lambda: make(design, width, side)


def reorder(images: Tensor, patch: int, order: Tensor) -> Tensor:
    """Images (N, C, H, W) with their patches in another order: (T,) for all, or (N, T) for each image its own."""
    n, c, h, w = images.shape
    rows, columns = h // patch, w // patch
    cut = images.reshape(n, c, rows, patch, columns, patch).permute(0, 2, 4, 1, 3, 5)
    cut = cut.reshape(n, rows * columns, c, patch, patch)
    place = order.expand(n, -1) if order.dim() == 1 else order
    cut = cut[torch.arange(n)[:, None], place].reshape(n, rows, columns, c, patch, patch)
    return cut.permute(0, 3, 1, 4, 2, 5).reshape(n, c, h, w)


def orders(count: int, tokens: int, seed: int) -> Tensor:
    """Random orders (N, T) of T patches, N = count."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, tokens, generator=generator).argsort(1)
