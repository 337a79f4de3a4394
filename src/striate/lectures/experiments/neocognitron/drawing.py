"""Mosaics of planes: what each has learned, and what each responds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from striate.figures import SEQUENTIAL, new_figure, style
from striate.findings import Figure
from striate.lectures.experiments.drawing import DPI
from striate.models import Neocognitron

STRONGEST = 12  # images whose patches are averaged
RENDERED = {"s1": (5, 1, -2), "s2": (17, 2, -8), "s3": (25, 4, -8)}  # patch, stride, first pixel


def mosaic(tiles: Sequence[np.ndarray], columns: int) -> np.ndarray:
    """Tiles (H, W), each scaled to its own largest value, in rows of `columns`; nan between them and where a tile is 0."""
    height, width = tiles[0].shape
    rows = math.ceil(len(tiles) / columns)
    sheet = np.full((rows * (height + 1) + 1, columns * (width + 1) + 1), np.nan)
    for i, tile in enumerate(tiles):
        top, left = i // columns * (height + 1) + 1, i % columns * (width + 1) + 1
        most = float(tile.max())
        if most > 0:
            sheet[top : top + height, left : left + width] = tile / most
    return sheet


def patches(images: Tensor, maps: Tensor, layer: str) -> list[np.ndarray]:
    """For each plane the mean of the patches that its strongest cells see, weighted by response; zeros if it is silent.

    images (N, 1, H, W), maps (N, K, h, w). In S3, whose cells see more than the image, the middle 25 pixels.
    """
    side, stride, first = RENDERED[layer]
    padded = F.pad(images[:, 0], (side, side, side, side))
    found = []
    for plane in maps.unbind(1):
        most, at = plane.flatten(1).max(1)
        mean = torch.zeros(side, side)
        for value, n in zip(*most.topk(min(STRONGEST, len(most))), strict=True):
            row, column = divmod(int(at[n]), plane.shape[-1])
            top, left = side + first + stride * row, side + first + stride * column
            mean += value * padded[n, top : top + side, left : left + side]
        found.append(mean.numpy())
    return found


def sheets(
    panels: Mapping[str, tuple[Sequence[np.ndarray], int]], *, width: float, caption: str, alt: str, across: int = 1
) -> Figure:  # fmt: skip
    """Titled mosaics, title -> (tiles, tiles a row), under or beside each other, with one scale from 0 to the largest."""
    made = {title: mosaic(tiles, columns) for title, (tiles, columns) in panels.items()}
    with style():
        down = math.ceil(len(made) / across)
        shapes = list(made.values())
        each = width / across
        heights = [
            max(each * s.shape[0] / s.shape[1] for s in shapes[i * across : (i + 1) * across]) + 0.3
            for i in range(down)
        ]
        figure = new_figure(width, sum(heights) + 0.5)
        grid = figure.subplots(down, across, squeeze=False, gridspec_kw={"height_ratios": heights})
        drawn = None
        for axes in grid.flat:
            axes.axis("off")
        for axes, (title, sheet) in zip(grid.flat, made.items(), strict=False):
            drawn = axes.imshow(sheet, cmap=SEQUENTIAL, vmin=0, vmax=1, interpolation="nearest")
            axes.set_title(title, fontsize=10)
        bar = figure.colorbar(
            drawn, ax=grid, orientation="horizontal", fraction=0.02, aspect=50, pad=0.01
        )
        bar.set_ticks([0, 1], labels=["0", "largest"])
        bar.outline.set_visible(False)  # type: ignore[operator]
        return rendered(figure, caption, alt)


def rendered(figure: object, caption: str, alt: str) -> Figure:
    """A PNG on white."""
    from striate.figures import render

    return render(figure, caption=caption, alt=alt, png=True, dpi=DPI)  # type: ignore[arg-type]


def learned_sheet(model: Neocognitron, images: Tensor, used: Mapping[str, int]) -> Figure:
    """Every S plane: the synapses of S1, and the patches that drive S2 and S3."""
    with torch.no_grad():
        maps = [model.maps(part) for part in images.split(256)]
    first = model.modules_of_cells[0][0].excitation.weight[:, 0].numpy()
    panels: dict[str, tuple[Sequence[np.ndarray], int]] = {}
    for layer, what, columns in (
        ("s1", "excitatory synapses, 5 x 5", 24),
        ("s2", "the 17 x 17 pixels that drive it", 24),
        ("s3", "the middle 25 x 25 of the 41 x 41 pixels that drive it", 24),
    ):
        together = torch.cat([m[layer] for m in maps])
        tiles = list(first) if layer == "s1" else patches(images, together, layer)
        title = f"{layer.upper()}: {used[layer]} of {len(tiles)} planes have learned; {what}"
        panels[title] = (tiles, columns)
    return sheets(
        panels, width=9.0,
        caption=f"Every S plane. S2 and S3: mean over the {STRONGEST} images that drive it most, at the cell that "
        "responds most, weighted by the response; each tile is scaled to its largest value, and white where nothing drives the plane.",
        alt="Three mosaics: pieces of strokes, parts of digits, digits.",
    )  # fmt: skip


def response_sheet(model: Neocognitron, image: Tensor, shifted: Tensor, pixels: int) -> Figure:
    """Responses of every plane of every layer to one image (1, 1, H, W), and to it moved."""
    panels: dict[str, tuple[Sequence[np.ndarray], int]] = {}
    both = model.maps(torch.cat([image, shifted]))
    for name, maps in both.items():
        columns = {"1": 12, "2": 15, "3": 24}[name[1]]
        for n, where in enumerate(("in place", f"{pixels} px to the right")):
            # One scale for both places, so that a plane's tile can be compared with itself.
            most = maps.amax((0, 2, 3)).clamp(min=1e-9)[:, None, None]
            panels[f"{name.upper()}, {where}"] = (list((maps[n] / most).numpy()), columns)
    return sheets_in_pairs(panels, image, shifted, pixels)


def sheets_in_pairs(
    panels: Mapping[str, tuple[Sequence[np.ndarray], int]], image: Tensor, shifted: Tensor, pixels: int
) -> Figure:  # fmt: skip
    """Two columns: in place, and moved; a layer a row, under the input."""
    inputs = {
        "input, in place": ([image[0, 0].numpy()], 1),
        f"input, {pixels} px to the right": ([shifted[0, 0].numpy()], 1),
    }
    made = {t: _plain(tiles, columns) for t, (tiles, columns) in {**inputs, **panels}.items()}
    width = 9.0
    with style():
        shapes = list(made.values())
        heights = [width / 2 * s.shape[0] / s.shape[1] + 0.3 for s in shapes[::2]]
        heights[0] = 1.5
        figure = new_figure(width, sum(heights) + 0.5)
        grid = figure.subplots(len(heights), 2, gridspec_kw={"height_ratios": heights})
        drawn = None
        for axes, (title, sheet) in zip(grid.flat, made.items(), strict=True):
            axes.axis("off")
            drawn = axes.imshow(sheet, cmap=SEQUENTIAL, vmin=0, vmax=1, interpolation="nearest")
            axes.set_title(title, fontsize=9)
        bar = figure.colorbar(drawn, ax=grid, orientation="horizontal", fraction=0.02, aspect=50, pad=0.01)  # fmt: skip
        bar.set_ticks([0, 1], labels=["0", "largest"])
        bar.outline.set_visible(False)  # type: ignore[operator]
        return rendered(
            figure,
            "Every plane of every layer, as in figure 7 of the paper: one digit, and the same digit moved. S1 moves "
            "along; C3, one cell a plane, changes least. Scaled to each plane's largest response at both places.",
            "Mosaics of all planes for one digit at two places.",
        )


def _plain(tiles: Sequence[np.ndarray], columns: int) -> np.ndarray:
    height, width = tiles[0].shape
    rows = math.ceil(len(tiles) / columns)
    sheet = np.full((rows * (height + 1) + 1, columns * (width + 1) + 1), np.nan)
    for i, tile in enumerate(tiles):
        top, left = i // columns * (height + 1) + 1, i % columns * (width + 1) + 1
        sheet[top : top + height, left : left + width] = tile
    return sheet
