"""Transformers and mixers over patches (lecture 003, "convicts in disguise": cut into patches, process each alike).

`vit`: Dosovitskiy et al., "An image is worth 16x16 words: transformers for image recognition at scale" (2021); its
parameters have torchvision's names. `cct`: Hassani et al., "Escaping the big data paradigm with compact transformers"
(2021), a convolutional tokeniser and sequence pooling, so that it learns from small data. `patch-mlp`: Tolstikhin et
al., "MLP-Mixer: an all-MLP architecture for vision" (2021), the same patches without attention; its names are timm's.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from striate.errors import UsageError
from striate.models.stem import is_small
from striate.nn import (
    MixerBlock,
    PatchEmbedding,
    TransformerBlock,
    grid_of,
    resized_positions,
    sinusoids,
)
from striate.nn.attention import EPS
from striate.wording import short

Positions = Literal["learned", "sinusoidal", "none"]
Pool = Literal["class", "mean"]
TINY = 16  # pixels; up to here networks are narrower and shallower
WIDEST, DEEPEST = (
    65_536,
    1_000,
)  # of any width, and of blocks: each is made before the whole can be reckoned
STD = 0.02  # of learned positions and of the head, as in both papers' code


def patch_for(size: tuple[int, int]) -> int:
    """The side of a patch that leaves 7 to 14 patches a side: 16 pixels above 96, then 8, and 4 or 2 for small images."""
    side = min(size)
    return 2 if side <= TINY else 4 if side <= 48 else 8 if side <= 96 else 16


def _narrow(size: tuple[int, int]) -> int:
    """The width for small images: few patches need few channels."""
    return 64 if min(size) <= TINY else 128


def _shallow(size: tuple[int, int]) -> int:
    """The depth for small images."""
    return 4 if min(size) <= TINY else 6


class Encoder(nn.Module):
    """Positions added to tokens (N, T, E), transformer blocks, a last norm.

    grid: rows and columns of the patches that it was built for. On an image of another size the positions, learned or
    not, are resized to its grid (section 3.2 of the paper), those of the class token stay.
    """

    pos_embedding: Tensor | None

    def __init__(
        self,
        grid: tuple[int, int],
        *,
        depth: int,
        heads: int,
        width: int,
        mlp_width: int,
        positions: Positions,
        first: int,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.grid, self.first = grid, first
        if positions == "learned":
            self.pos_embedding = nn.Parameter(torch.empty(1, first + math.prod(grid), width).normal_(std=STD))  # fmt: skip
        elif positions == "sinusoidal":
            fixed = torch.cat([torch.zeros(first, width), sinusoids(grid, width)])
            self.register_buffer("pos_embedding", fixed[None], persistent=False)
        else:
            self.pos_embedding = None
        self.dropout = nn.Dropout(dropout)
        self.layers = nn.Sequential(
            OrderedDict(
                (f"encoder_layer_{i}", TransformerBlock(width, heads, mlp_width, dropout))
                for i in range(depth)
            )
        )
        self.ln = nn.LayerNorm(width, eps=EPS)

    def forward(self, x: Tensor, grid: tuple[int, int]) -> Tensor:
        """Tokens (N, first + rows * columns, E) -> the same shape."""
        if self.pos_embedding is not None:
            x = x + self._positions(self.pos_embedding, grid)
        return self.ln(self.layers(self.dropout(x)))

    def _positions(self, positions: Tensor, grid: tuple[int, int]) -> Tensor:
        if grid == self.grid:
            return positions
        own, rest = positions[:, : self.first], positions[:, self.first :]
        return torch.cat([own, resized_positions(rest, self.grid, grid)], 1)


class VisionTransformer(nn.Module):
    """Patches (N, C, H, W) as tokens, a class token before them, transformer blocks, a linear layer on the class token.

    pool: "class" reads the class token, "mean" has none and reads the mean of all tokens.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        num_classes: int,
        grid: tuple[int, int],
        patch_size: int,
        depth: int,
        heads: int,
        width: int,
        mlp_width: int,
        positions: Positions,
        pool: Pool,
        dropout: float,
    ) -> None:
        super().__init__()
        self.pool = pool
        self.conv_proj = PatchEmbedding(in_channels, width, patch_size)
        if pool == "class":
            self.class_token = nn.Parameter(torch.zeros(1, 1, width))
        self.encoder = Encoder(
            grid, depth=depth, heads=heads, width=width, mlp_width=mlp_width, positions=positions,
            first=int(pool == "class"), dropout=dropout,
        )  # fmt: skip
        head = nn.Linear(width, num_classes)
        self.heads = nn.Sequential(OrderedDict(head=head))
        start(self.encoder)
        start_head(head)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, num_classes)."""
        maps = self.conv_proj(x)
        tokens = maps.flatten(2).transpose(1, 2)
        if self.pool == "class":
            tokens = torch.cat([self.class_token.expand(x.shape[0], -1, -1), tokens], 1)
        tokens = self.encoder(tokens, (maps.shape[2], maps.shape[3]))
        return self.heads(tokens[:, 0] if self.pool == "class" else tokens.mean(1))


class CompactTransformer(nn.Module):
    """Convolutions with ReLU and pooling make the tokens, transformer blocks, and a mean whose weights are learned.

    The last is sequence pooling: softmax(x w) over the tokens says how much each counts (section 3.2 of the paper).
    """

    def __init__(
        self,
        *,
        in_channels: int,
        num_classes: int,
        size: tuple[int, int],
        convolutions: int,
        kernel: int,
        stride: int,
        depth: int,
        heads: int,
        width: int,
        mlp_width: int,
        positions: Positions,
        dropout: float,
    ) -> None:
        super().__init__()
        self.tokenizer = nn.Sequential()
        channels, grid = in_channels, size
        for i in range(convolutions):
            last = i == convolutions - 1
            out = width if last else width // 2
            conv = nn.Conv2d(channels, out, kernel, stride, padding=kernel // 2, bias=False)
            if not conv.weight.is_meta:
                nn.init.kaiming_normal_(conv.weight)
            self.tokenizer.extend([conv, nn.ReLU(), nn.MaxPool2d(3, 2, padding=1)])
            for step in (stride, 2):
                grid = (-(-grid[0] // step), -(-grid[1] // step))
            channels = out
        self.encoder = Encoder(
            grid, depth=depth, heads=heads, width=width, mlp_width=mlp_width, positions=positions,
            first=0, dropout=dropout,
        )  # fmt: skip
        self.attention_pool = nn.Linear(width, 1)
        self.head = nn.Linear(width, num_classes)
        start(self.encoder)
        start_head(self.attention_pool)
        start_head(self.head)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, num_classes)."""
        maps = self.tokenizer(x)
        tokens = self.encoder(maps.flatten(2).transpose(1, 2), (maps.shape[2], maps.shape[3]))
        share = self.attention_pool(tokens).softmax(1)
        return self.head((share.transpose(1, 2) @ tokens)[:, 0])


class PatchMlp(nn.Module):
    """Patches as tokens, then perceptrons across the tokens and across the channels in turn, and the mean of the tokens."""

    def __init__(
        self,
        *,
        in_channels: int,
        num_classes: int,
        grid: tuple[int, int],
        patch_size: int,
        depth: int,
        width: int,
        token_mlp: int,
        mlp_width: int,
    ) -> None:
        super().__init__()
        self.grid = grid
        self.patch_size = patch_size
        self.stem = nn.Sequential(OrderedDict(proj=PatchEmbedding(in_channels, width, patch_size)))
        self.blocks = nn.Sequential(
            *(MixerBlock(math.prod(grid), width, token_mlp, mlp_width) for _ in range(depth))
        )
        self.norm = nn.LayerNorm(width, eps=EPS)
        self.head = nn.Linear(width, num_classes)
        start(self.blocks)
        start_head(self.head)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, num_classes). Raises UsageError for images of another size than it was built for."""
        maps = self.stem(x)
        got = (maps.shape[2], maps.shape[3])
        if got != self.grid:
            patch = self.patch_size
            raise UsageError(
                f"a mixer's weights belong to places: this one has {self.grid[0]} x {self.grid[1]} patches, and an image of "
                f"{x.shape[2]} x {x.shape[3]} pixels has {got[0]} x {got[1]}; resize it to {self.grid[0] * patch} x "
                f"{self.grid[1] * patch} pixels"
            )
        return self.head(self.norm(self.blocks(maps.flatten(2).transpose(1, 2))).mean(1))


def start(module: nn.Module) -> None:
    """Draw the linear layers' weights by Glorot's rule, with biases of 0, as the papers' code does."""
    for layer in module.modules():
        if isinstance(layer, nn.Linear) and not layer.weight.is_meta:
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)


def start_head(layer: nn.Linear) -> None:
    """Draw a head's weights small."""
    if not layer.weight.is_meta:
        nn.init.trunc_normal_(layer.weight, std=STD)
        nn.init.zeros_(layer.bias)


def _check(
    numbers: dict[str, int], positions: str = "none", pool: str = "mean", dropout: float = 0.0
) -> None:
    """Raises UsageError for options that make no network."""
    for name, number in numbers.items():
        most = DEEPEST if name == "depth" else WIDEST
        if isinstance(number, bool) or not isinstance(number, int) or not 1 <= number <= most:
            raise UsageError(
                f"{name} must be a whole number from 1 to {most:,}, got {short(repr(number), 40)}"
            )
    width, heads = numbers["width"], numbers.get("heads", 1)
    if width % heads:
        fit = ", ".join(str(n) for n in range(1, min(width, 32) + 1) if width % n == 0)
        raise UsageError(f"heads must divide the width of {width}, got {heads}; use one of {fit}")
    for name, got, known in (
        ("positions", positions, get_args(Positions)),
        ("pool", pool, get_args(Pool)),
    ):
        if got not in known:
            raise UsageError(f"{name} must be one of {', '.join(known)}, got {got!r}")
    if positions == "sinusoidal" and width % 4:
        raise UsageError(
            f"sinusoidal positions need a width that 4 divides, got {width}; use {width + -width % 4}"
        )
    if not 0 <= dropout < 1:
        raise UsageError(f"dropout must be at least 0 and below 1, got {dropout!r}")


def vit(
    *,
    in_channels: int = 3,
    num_classes: int = 1000,
    size: tuple[int, int] = (224, 224),
    patch_size: int | None = None,
    depth: int | None = None,
    heads: int | None = None,
    width: int | None = None,
    mlp_width: int | None = None,
    positions: Positions = "learned",
    pool: Pool = "class",
    dropout: float = 0.0,
) -> VisionTransformer:
    """The vision transformer; ViT-B/16, torchvision's `vit_b_16`, for images above 64 pixels.

    patch_size: the side of a patch in pixels; None: 16 above 96 pixels, less for smaller images. One that does not
    divide the image pads it with zeros, evenly on both sides. depth, heads, width, mlp_width: L, k, D and the MLP size
    of the paper's table 1; up to 64 pixels 6, 4, 128 and twice the width, up to 16 pixels depth 4 and width 64.
    positions: "learned", "sinusoidal" or "none". pool: "class" (a class token) or "mean" (of all tokens).
    Raises UsageError.
    """
    small = is_small(size)
    patch_size = patch_for(size) if patch_size is None else patch_size
    width = (_narrow(size) if small else 768) if width is None else width
    depth = (_shallow(size) if small else 12) if depth is None else depth
    heads = (4 if small else 12) if heads is None else heads
    mlp_width = width * (2 if small else 4) if mlp_width is None else mlp_width
    numbers = {"patch_size": patch_size, "depth": depth, "heads": heads, "width": width, "mlp_width": mlp_width}  # fmt: skip
    _check(numbers, positions, pool, dropout)
    return VisionTransformer(
        in_channels=in_channels, num_classes=num_classes, grid=grid_of(size, patch_size),
        positions=positions, pool=pool, dropout=dropout, **numbers,
    )  # fmt: skip


def cct(
    *,
    in_channels: int = 3,
    num_classes: int = 1000,
    size: tuple[int, int] = (224, 224),
    convolutions: int | None = None,
    kernel: int | None = None,
    depth: int | None = None,
    heads: int | None = None,
    width: int | None = None,
    mlp_width: int | None = None,
    positions: Positions = "learned",
    dropout: float = 0.0,
) -> CompactTransformer:
    """The compact convolutional transformer; CCT-14/7x2 above 64 pixels, CCT-4/3x2 up to them, narrower and /3x1 up to 16.

    convolutions: of the tokeniser, each followed by a max pooling of stride 2. kernel: their side in pixels, odd; one of
    7 also has stride 2. The rest is as in `vit`. Raises UsageError.
    """
    small = is_small(size)
    convolutions = (1 if min(size) <= TINY else 2) if convolutions is None else convolutions
    kernel = (3 if small else 7) if kernel is None else kernel
    width = (_narrow(size) if small else 384) if width is None else width
    depth = (4 if small else 14) if depth is None else depth
    heads = (4 if small else 6) if heads is None else heads
    mlp_width = width * (2 if small else 3) if mlp_width is None else mlp_width
    numbers = {"convolutions": convolutions, "kernel": kernel, "depth": depth, "heads": heads, "width": width,
               "mlp_width": mlp_width}  # fmt: skip
    _check(numbers, positions, dropout=dropout)
    if kernel % 2 == 0:
        raise UsageError(f"the kernel of a tokeniser is odd, got {kernel}; use {kernel + 1}")
    return CompactTransformer(
        in_channels=in_channels, num_classes=num_classes, size=size, stride=2 if kernel >= 7 else 1,
        positions=positions, dropout=dropout, **numbers,
    )  # fmt: skip


def patch_mlp(
    *,
    in_channels: int = 3,
    num_classes: int = 1000,
    size: tuple[int, int] = (224, 224),
    patch_size: int | None = None,
    depth: int | None = None,
    width: int | None = None,
    token_mlp: int | None = None,
    mlp_width: int | None = None,
) -> PatchMlp:
    """MLP-Mixer; Mixer-S/16 above 64 pixels, up to them depth and width of `vit`.

    patch_size as in `vit`. token_mlp, mlp_width: D_S and D_C of the paper's table 1, the widths of the perceptrons across
    tokens and across channels. Raises UsageError.
    """
    small = is_small(size)
    patch_size = patch_for(size) if patch_size is None else patch_size
    width = (_narrow(size) if small else 512) if width is None else width
    depth = (_shallow(size) if small else 8) if depth is None else depth
    token_mlp = max(1, width // 2) if token_mlp is None else token_mlp
    mlp_width = width * (2 if small else 4) if mlp_width is None else mlp_width
    numbers = {"patch_size": patch_size, "depth": depth, "width": width, "token_mlp": token_mlp,
               "mlp_width": mlp_width}  # fmt: skip
    _check(numbers)
    return PatchMlp(
        in_channels=in_channels, num_classes=num_classes, grid=grid_of(size, patch_size), **numbers
    )
