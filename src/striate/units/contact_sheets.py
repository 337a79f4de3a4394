"""Contact sheets: a layer's kernels, its maps of an image, and the crops that drive its units most, side by side."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from striate.figures import (
    SEQUENTIAL,
    new_figure,
    render,
    style,
)
from striate.findings import Figure
from striate.units.fields import framed, full_box
from striate.units.layers import UnitLayer
from striate.units.top_images import LayerIndex, Peak

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_KERNELS = 128
MOST_MAPS = 100
DPI = 100
BEYOND = np.array([0.80, 0.88, 0.95])  # what lies beyond the image


def shown(image: Tensor) -> np.ndarray:
    """Pixels (C, h, w) in [0, 1] as matplotlib shows them: (h, w) of one channel, else (h, w, 3); nan in pale blue."""
    pixels = image.detach().float().clamp(0, 1).numpy()
    if np.isnan(pixels).any():
        outside = np.isnan(pixels[0])
        colour = np.repeat(pixels, 3, 0) if len(pixels) == 1 else pixels[:3]
        return np.where(outside[..., None], BEYOND, colour.transpose(1, 2, 0))
    return pixels[0] if len(pixels) == 1 else pixels[:3].transpose(1, 2, 0)


def picture(axes: Axes, image: np.ndarray, title: str = "", **how: Any) -> None:
    """An image without ticks."""
    if image.ndim == 2 and "cmap" not in how:
        how |= {"cmap": "gray", "vmin": 0, "vmax": 1}
    axes.imshow(image, interpolation="nearest", **how)
    axes.set_xticks([])
    axes.set_yticks([])
    for side in axes.spines.values():
        side.set_visible(False)
    if title:
        axes.set_title(title, fontsize=8, fontweight="normal", loc="center", pad=3)


def in_colour(tile: np.ndarray) -> np.ndarray:
    """(h, w) or (h, w, 3) as (h, w, 3)."""
    return np.repeat(tile[..., None], 3, 2) if tile.ndim == 2 else tile


def signed(kernel: Tensor) -> np.ndarray:
    """A kernel (C, h, w) as pixels: grey is 0, white (or a colour) excites, black (or its opposite) inhibits."""
    largest = kernel.abs().max().clamp(min=1e-12)
    return shown(0.5 + 0.5 * kernel / largest)


def mosaic(
    tiles: Sequence[np.ndarray], columns: int, gap: int = 1, ground: float = 1.0
) -> np.ndarray:
    """Tiles of one shape side by side, on white or with gaps of `ground`."""
    height, width = tiles[0].shape[:2]
    rows = math.ceil(len(tiles) / columns)
    page = np.full(
        (rows * (height + gap) + gap, columns * (width + gap) + gap, *tiles[0].shape[2:]), ground
    )
    for i, tile in enumerate(tiles):
        top, left = (i // columns) * (height + gap) + gap, (i % columns) * (width + gap) + gap
        page[top : top + height, left : left + width] = tile
    return page


def numbered(axes: Axes, count: int, columns: int, tile: tuple[int, int], gap: int = 1) -> None:
    """Write the first number of each row of a mosaic beside it."""
    for row in range(math.ceil(count / columns)):
        y = row * (tile[0] + gap) + gap + tile[0] / 2 - 0.5
        axes.text(-0.6, y, str(row * columns), ha="right", va="center", fontsize=7)


def draw_kernels(kernels: Tensor, name: str) -> Figure:
    """All kernels (U, C, h, w) of a layer: in colour if they read an image, else by channel, strongest channels first."""
    units, channels, height, width = kernels.shape
    with style():
        if channels in (1, 3) and height > 1:
            some = kernels[:MOST_KERNELS]
            columns = min(len(some), 16)
            tiles = [signed(k) for k in some]
            if tiles[0].ndim == 2:
                tiles = [np.repeat(t[..., None], 3, 2) for t in tiles]
            page = mosaic(tiles, columns)
            order = "grey is 0; white or a colour excites, black or the opposite colour inhibits"
        else:
            some = kernels[:32]
            columns = min(channels, 24)
            strength = some.flatten(2).norm(dim=2)
            best = strength.argsort(1, descending=True)[:, :columns]
            tiles = []
            for kernel, which in zip(some, best, strict=True):
                scale = kernel.abs().max().clamp(min=1e-12)
                tiles += [(0.5 + 0.5 * kernel[c] / scale).numpy() for c in which]
            page = mosaic(tiles, columns)
            page = np.repeat(page[..., None], 3, 2)
            order = "a row a unit, its strongest input channels first; grey is 0"
        rows = math.ceil(len(tiles) / columns)
        inches = min(7.0, max(2.2, 0.45 * columns))
        figure = new_figure(inches + 0.4, min(9.0, 0.35 + inches * page.shape[0] / page.shape[1]))
        axes = figure.subplots()
        picture(axes, page)
        if rows > 1 and channels in (1, 3) and height > 1:
            numbered(axes, len(some), columns, (height, width))
        elif rows > 1:
            for row in range(rows):
                y = row * (height + 1) + 1 + height / 2 - 0.5
                axes.text(-0.6, y, str(row), ha="right", va="center", fontsize=7)
        cut = f" The first {len(some)} of {units}." if len(some) < units else ""
        caption = (
            f"{units} kernels of {name}, {height}×{width} on {channels} channels: {order}.{cut}"
        )
        return render(figure, caption=caption, alt=caption, png=True, dpi=DPI)


def draw_maps(image: Tensor, maps: Tensor, name: str) -> Figure:
    """The map of maps: an image (C, H, W), and beside it the responses (U, h, w) of a layer to it, each on its own scale."""
    some = maps[:MOST_MAPS].float()
    low = some.amin((1, 2), keepdim=True)
    span = (some.amax((1, 2), keepdim=True) - low).clamp(min=1e-12)
    tiles = list(((some - low) / span).numpy())
    columns = max(1, math.ceil(math.sqrt(len(tiles) * 1.6)))
    with style():
        gap = max(1, some.shape[-1] // 16)
        page = mosaic(tiles, columns, gap, np.nan)
        figure = new_figure(8.2, max(2.0, 6.2 * page.shape[0] / page.shape[1]))
        left, right = figure.subplots(1, 2, width_ratios=[1, 3.2])
        picture(left, shown(image), "the image")
        picture(right, page, name, cmap=SEQUENTIAL, vmin=0, vmax=1)
        numbered(right, len(tiles), columns, (some.shape[1], some.shape[2]), gap)
        cut = f" The first {len(some)} of {len(maps)}." if len(some) < len(maps) else ""
        caption = f"Responses of {name} to one image, a map a unit, each from its least (dark) to its most (bright).{cut}"
        return render(figure, caption=caption, alt=caption, png=True, dpi=DPI)


def crop_of(layer: UnitLayer, peak: Peak, image: Tensor) -> Tensor:
    """The pixels in [0, 1] that a peak saw, (C, h, w), nan where its field reaches over the border.

    Along an axis on which the field is larger than the image, the image's whole extent.
    """
    pixels = image.float() / 255 if image.dtype == torch.uint8 else image
    size = (int(image.shape[-2]), int(image.shape[-1]))
    field = full_box(layer, peak.position, size)
    box = [(a, b) if b - a <= n else (0, n) for (a, b), n in zip(field, size, strict=True)]
    return framed(pixels, box, peak.box)


def draw_units(
    index: LayerIndex, units: Sequence[int], labels: Sequence[str], images: Tensor
) -> Figure:
    """A row a unit: its strongest crops in the images of the pass, with a label."""
    crops = [[crop_of(index.layer, p, images[p.image]) for p in index.top(u)] for u in units]
    columns = max((len(row) for row in crops), default=1) or 1
    height, width = next((c.shape[-2:] for row in crops for c in row), (1, 1))
    blank = np.ones((height, width, 3))
    tiles = [
        in_colour(shown(row[i])) if i < len(row) else blank for row in crops for i in range(columns)
    ]
    gap = max(1, round(height / 12))
    with style():
        page = mosaic(tiles, columns, gap)
        inches = min(5.2, 0.58 * columns * max(1.0, width / height))
        figure = new_figure(inches + 2.0, inches * page.shape[0] / page.shape[1] + 0.1)
        axes = figure.subplots()
        picture(axes, page)
        for row, label in enumerate(labels):
            y = row * (height + gap) + gap + height / 2 - 0.5
            axes.text(-gap, y, label, ha="right", va="center", fontsize=8)
        caption = (
            f"{index.layer.name}: the crops that its units see where they respond most, strongest first; "
            "pale blue lies beyond the image."
        )
        return render(figure, caption=caption, alt=caption, png=True, dpi=DPI)


def draw_rows(rows: Sequence[tuple[str, Sequence[Tensor], Sequence[str]]], caption: str) -> Figure:
    """Rows of images (C, h, w), each with a heading and a title an image."""
    columns = max(len(images) for _, images, _ in rows)
    with style():
        figure = new_figure(1.0 + 1.05 * columns, 1.3 * len(rows) + 0.1)
        grid = figure.subplots(len(rows), columns, squeeze=False)
        for line, (heading, images, titles) in zip(grid, rows, strict=True):
            for axes in line:
                axes.axis("off")
            for axes, image, title in zip(line, images, titles, strict=False):
                axes.axis("on")
                picture(axes, shown(image), title)
            line[0].text(
                -0.1, 0.5, heading, ha="right", va="center", fontsize=8, transform=line[0].transAxes
            )
        return render(figure, caption=caption, alt=caption, png=True, dpi=DPI)
