"""Grids of filters: a layer's filters side by side, those marked that are noise, empty or nearly another's."""

from __future__ import annotations

import torch

from striate.figures import (
    BLUE,
    DIVERGING,
    GRID,
    INK,
    ORANGE,
    VERMILLION,
    new_figure,
    render,
    style,
)
from striate.findings import Figure
from striate.kernels import BEYOND, Filters

SHOWN = 48
MARKS = {"empty": VERMILLION, "noise": ORANGE, "as": BLUE}


def draw_filters(name: str, filters: Filters) -> Figure:
    """The first filters of a layer, each to its own scale, framed and named where something is wrong with it."""
    kernels = filters.kernels[:SHOWN]
    channels = kernels.shape[1]

    columns = min(12, max(4, len(kernels)))
    rows = -(-len(kernels) // columns)
    marked = 0
    with style():
        figure = new_figure(0.74 * columns, 0.9 * rows + 0.1)
        grid = figure.subplots(rows, columns, squeeze=False).ravel()
        for axes in grid:
            axes.set_xticks([])
            axes.set_yticks([])
        for axes in grid[len(kernels) :]:
            axes.axis("off")
        for i, kernel in enumerate(kernels):
            axes = grid[i]
            if channels == 3:
                peak = float(kernel.abs().max()) or 1.0
                axes.imshow(
                    (0.5 + 0.5 * kernel / peak).permute(1, 2, 0).numpy(), interpolation="nearest"
                )
            else:
                plane = kernel[int(kernel.flatten(1).norm(dim=1).argmax())]
                peak = float(plane.abs().max()) or 1.0
                axes.imshow(
                    plane.numpy(), cmap=DIVERGING, vmin=-peak, vmax=peak, interpolation="nearest"
                )
            word = mark(filters, i)
            marked += bool(word)
            colour = MARKS.get(word.split(" ")[0], GRID)
            for spine in axes.spines.values():
                spine.set(visible=True, color=colour, linewidth=2.5 if word else 0.6)
            axes.set_title(
                f"{i} {word}".strip(),
                fontsize=7,
                fontweight="bold" if word else "normal",
                loc="center",
                pad=2,
                color=INK,
            )
        tone = "grey is 0" if channels == 3 else "white is 0, the two colours are the two signs"
        what = "" if channels in (1, 3) else f" Of each its strongest of {channels} channels."
        more = (
            f" The first {SHOWN} of {len(filters.kernels):,}."
            if len(filters.kernels) > SHOWN
            else ""
        )
        return render(
            figure,
            caption=f"Filters of {name}, each to its own scale ({tone}).{what}{more} Framed: noise is like its own weights "
            "shuffled, empty is 0 next to the strongest, as N is nearly filter N or its negative.",
            alt=f"{marked} of {len(kernels)} filters are marked as noise, empty or duplicates.",
            png=True,
            dpi=110,
        )  # fmt: skip


def mark(filters: Filters, i: int) -> str:
    """What is wrong with a filter, in a word."""
    if bool(filters.empty[i]):
        return "empty"
    if bool(filters.duplicates[i]):
        return f"as {int(filters.twin[i])}"
    random = filters.structure is not None and filters.structure < BEYOND
    alone = filters.noise is None or bool(torch.isnan(filters.noise[i]))
    return "noise" if bool(filters.noisy[i]) or (random and alone) else ""
