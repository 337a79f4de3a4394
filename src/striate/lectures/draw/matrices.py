"""Layers as matrices: one colour a weight, white where there is no connection."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from striate.figures import CYCLE, GRID, SEQUENTIAL, YELLOW
from striate.lectures.draw.picture import Picture, paint

if TYPE_CHECKING:
    from matplotlib.figure import Figure as MplFigure

FEW = (*CYCLE, YELLOW, "#000000", "#999999")  # nine weights that the eye tells apart


def matrices(
    panels: Mapping[str, sparse.csr_array],
    *,
    width: float = 9.0,
    height: float = 3.2,
    names: bool = False,
) -> Picture:
    """Draw matrices whose entries are numbers of weights, 1 and up, each in its colour.

    Up to nine weights get nine colours; more run through one scale, in order. `names` writes each
    number into its cell.
    """

    def painter(figure: MplFigure) -> None:
        from matplotlib import colormaps
        from matplotlib.colors import to_rgb

        row = figure.subplots(1, len(panels), squeeze=False)[0]
        for axes, (title, matrix) in zip(row, panels.items(), strict=True):
            numbers = matrix.toarray()
            image = np.ones((*numbers.shape, 3))
            most = int(numbers.max())
            for number in np.unique(numbers[numbers > 0]):
                if most <= len(FEW):
                    colour = to_rgb(FEW[int(number) - 1])
                else:
                    colour = colormaps[SEQUENTIAL](float(number - 1) / (most - 1))[:3]
                image[numbers == number] = colour
            axes.imshow(image, interpolation="nearest", aspect="equal")
            axes.set_title(title, fontsize=10)
            axes.set_xticks(np.arange(-0.5, numbers.shape[1]), labels=[])
            axes.set_yticks(np.arange(-0.5, numbers.shape[0]), labels=[])
            axes.tick_params(length=0)
            if max(numbers.shape) <= 40:
                axes.grid(color=GRID, linewidth=0.4, alpha=0.6)
            axes.set_xlabel(f"{numbers.shape[1]} inputs")
            axes.set_ylabel(f"{numbers.shape[0]} outputs")
            if names:
                for (i, j), number in np.ndenumerate(numbers):
                    if number:
                        dark = sum(image[i, j]) < 1.5
                        axes.text(
                            j,
                            i,
                            f"{number:g}",
                            ha="center",
                            va="center",
                            fontsize=8,
                            color="white" if dark else "black",
                        )

    return paint(width, height, painter)
