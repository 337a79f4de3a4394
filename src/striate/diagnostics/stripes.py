"""Stripes: images by units, the picture by which lecture 003 tells good training from bad."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from striate.figures import SEQUENTIAL, new_figure, render, style
from striate.findings import Figure

PANELS = 4
ROWS, COLUMNS = 100, 128


def chosen(badness: Sequence[float]) -> list[int]:
    """Layers to show: evenly from the first to the last, and the worst in place of its neighbour where it is bad."""
    n = len(badness)
    if n <= PANELS:
        return list(range(n))
    places = [round(i * (n - 1) / (PANELS - 1)) for i in range(PANELS)]
    worst = max(range(n), key=lambda i: badness[i])
    if badness[worst] > 0 and worst not in places:
        places[min(range(PANELS), key=lambda i: abs(places[i] - worst))] = worst
    return sorted(places)


def draw_responses(layers: Sequence[tuple[str, Tensor, int, float]], *, by_class: bool) -> Figure:
    """One panel a layer of (name, mean responses (N, units), units that ignore the input, how bad it is)."""
    shown = [layers[i] for i in chosen([bad for *_, bad in layers])]
    deep = -(-len(shown) // 2)
    with style():
        figure = new_figure(6.8, 2.9 * deep)
        grid = figure.subplots(deep, min(2, len(shown)), squeeze=False).ravel()
        for axes in grid[len(shown) :]:
            axes.axis("off")
        for axes, (name, means, ignoring, _) in zip(grid, shown, strict=False):
            rows = torch.linspace(0, len(means) - 1, min(ROWS, len(means))).long()
            values = means[rows, :COLUMNS]
            low = min(0.0, float(values.min()))
            high = max(float(values.flatten().quantile(0.99)), low + 1e-9)
            axes.imshow(
                values.numpy(),
                aspect="auto",
                cmap=SEQUENTIAL,
                vmin=low,
                vmax=high,
                interpolation="nearest",
            )
            units = means.shape[1]
            words = f"{COLUMNS} of {units} units" if units > COLUMNS else f"{units} units"
            axes.set_title(name, fontsize=9)
            axes.set_xlabel(f"{words}, {ignoring} ignore the input", fontsize=8)
            axes.set_ylabel("images by class" if by_class else "images", fontsize=8)
            axes.set_xticks([])
            axes.set_yticks([])
        return render(
            figure,
            caption="Each row an image, each column a unit, bright where it responds. Good training is sparse along rows "
            "and columns; in bad training columns are of one colour (the unit ignores the image) or alike (lecture 003).",
            alt=f"Mean responses of the units of {len(shown)} layers for {min(ROWS, len(shown[0][1]))} images.",
            png=True,
            dpi=110,
        )
