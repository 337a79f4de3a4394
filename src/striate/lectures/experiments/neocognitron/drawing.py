"""Mosaics of planes: what each has learned, and what each responds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from striate.figures import SEQUENTIAL, new_figure, render, style
from striate.findings import Figure
from striate.lectures.experiments.drawing import DPI
from striate.models import Neocognitron

STRONGEST = 12  # images whose patches are averaged
PAGE = 9.0  # inches
COLUMNS = {"1": 12, "2": 15, "3": 24}  # tiles a row, by module
RENDERED = {"s1": (5, 1, -2), "s2": (17, 2, -8), "s3": (25, 4, -8)}  # patch, stride, first pixel


def mosaic(tiles: Sequence[np.ndarray], columns: int) -> np.ndarray:
    """Tiles (H, W) in rows of `columns`, nan between them."""
    height, width = tiles[0].shape
    rows = math.ceil(len(tiles) / columns)
    sheet = np.full((rows * (height + 1) + 1, columns * (width + 1) + 1), np.nan)
    for i, tile in enumerate(tiles):
        top, left = i // columns * (height + 1) + 1, i % columns * (width + 1) + 1
        sheet[top : top + height, left : left + width] = tile
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
    panels: Mapping[str, tuple[Sequence[np.ndarray], int]], *, across: int, caption: str, alt: str, top: float = 0.0
) -> Figure:  # fmt: skip
    """Titled mosaics, title -> (tiles (H, W), tiles a row), `across` of them side by side, on one scale from 0 to 1.

    top: inches of the first row, by its shape if not given.
    """
    made = {title: mosaic(tiles, columns) for title, (tiles, columns) in panels.items()}
    shapes = [sheet.shape for sheet in made.values()][::across]
    heights = [PAGE / across * rows / columns + 0.3 for rows, columns in shapes]
    heights[0] = top or heights[0]
    with style():
        figure = new_figure(PAGE, sum(heights) + 0.5)
        grid = figure.subplots(
            len(heights), across, squeeze=False, gridspec_kw={"height_ratios": heights}
        )
        drawn: Any = None
        for axes, (title, sheet) in zip(grid.flat, made.items(), strict=True):
            axes.axis("off")
            drawn = axes.imshow(sheet, cmap=SEQUENTIAL, vmin=0, vmax=1, interpolation="nearest")
            axes.set_title(title, fontsize=10)
        bar = figure.colorbar(
            drawn, ax=grid, orientation="horizontal", fraction=0.02, aspect=50, pad=0.01
        )
        bar.set_ticks([0, 1], labels=["0", "largest"])
        bar.outline.set_visible(False)  # type: ignore[operator]
        return render(figure, caption=caption, alt=alt, png=True, dpi=DPI)


def idle(model: Neocognitron, layer: str) -> Tensor:
    """Which planes (K,) of an S layer, or of the C layer behind it, have learned nothing."""
    return model.modules_of_cells[int(layer[1]) - 1][0].inhibition.weight == 0


def learned_sheet(model: Neocognitron, images: Tensor, used: Mapping[str, int]) -> Figure:
    """Every S plane: the synapses of S1, and the patches of images (N, 1, H, W) that drive S2 and S3."""
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
        tiles = [t / t.max() if t.max() > 0 else np.full_like(t, np.nan) for t in tiles]
        unlearned = idle(model, layer).tolist()
        tiles = [np.full_like(t, np.nan) if u else t for t, u in zip(tiles, unlearned, strict=True)]
        title = f"{layer.upper()}: {used[layer]} of {len(tiles)} planes have learned; {what}"
        panels[title] = (tiles, columns)
    return sheets(
        panels, across=1,
        caption=f"Every S plane. S2 and S3: mean over the {STRONGEST} images that drive it most, at the cell that "
        "responds most, weighted by the response; each "
        "tile is scaled to its largest value, and white where the plane has learned nothing.",
        alt="Three mosaics: pieces of strokes, parts of digits, digits.",
    )  # fmt: skip


def response_sheet(model: Neocognitron, image: Tensor, shifted: Tensor, pixels: int) -> Figure:
    """Responses of every plane of every layer to one image (1, 1, H, W), and to it moved."""
    moved = f"{pixels} px to the right"
    panels: dict[str, tuple[Sequence[np.ndarray], int]] = {
        "input, in place": ([image[0, 0].numpy()], 1),
        f"input, {moved}": ([shifted[0, 0].numpy()], 1),
    }
    for name, maps in model.maps(torch.cat([image, shifted])).items():
        # One scale for both places, so that a plane can be compared with itself.
        scaled = maps / maps.amax((0, 2, 3)).clamp(min=1e-9)[:, None, None]
        scaled[:, idle(model, name)] = torch.nan
        for where, planes in zip(("in place", moved), scaled.numpy(), strict=True):
            panels[f"{name.upper()}, {where}"] = (list(planes), COLUMNS[name[1]])
    return sheets(
        panels, across=2, top=1.5,
        caption="Every plane of every layer, as in figure 7 of the paper: one digit, and the same digit moved. S1 moves "
        "along; C3, one cell a plane, changes least. Scaled to each plane's largest response at "
        "both places; white: the plane has learned nothing.",
        alt="Mosaics of all planes for one digit at two places.",
    )  # fmt: skip
