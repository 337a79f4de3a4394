"""The volumes of a network, from the image to the scores: boxes of height, width and depth."""

from __future__ import annotations

from collections.abc import Sequence
from math import log2, sqrt
from typing import TYPE_CHECKING

from striate.figures import BLUE, INK
from striate.lectures.draw.picture import Picture, paint

if TYPE_CHECKING:
    from matplotlib.figure import Figure as MplFigure

SLANT = 0.35  # how far the third axis runs to the right and up, per unit


def volumes(steps: Sequence[tuple[str, tuple[int, ...]]], *, width: float = 9.0) -> Picture:
    """Draw (label, shape) in order; shapes are (C, H, W), or (C,) for a vector.

    Heights grow as the root of H and depths as the logarithm of C, so that 224 x 224 x 3 and
    1 x 1 x 1000 fit on one page.
    """
    sides = [shape[1] if len(shape) > 1 else 1 for _, shape in steps]
    unit = 3.0 / sqrt(max(sides))

    def painter(figure: MplFigure) -> None:
        from matplotlib.patches import Polygon

        axes = figure.add_subplot()
        axes.set_axis_off()
        axes.set_aspect("equal")
        left = 0.0
        for (label, shape), side in zip(steps, sides, strict=True):
            high = unit * sqrt(side)
            wide = 0.12 + 0.16 * log2(shape[0] + 1)
            lean = SLANT * high
            front = [(0, 0), (wide, 0), (wide, high), (0, high)]
            top = [(0, high), (lean, high + lean), (wide + lean, high + lean), (wide, high)]
            edge = [(wide, 0), (wide + lean, lean), (wide + lean, high + lean), (wide, high)]
            room = max(wide + lean, 0.105 * max(len(line) for line in label.split("\n")))
            start = left + (room - wide - lean) / 2
            for face, alpha in ((front, 0.30), (top, 0.15), (edge, 0.5)):
                points = [(start + x, y - high / 2) for x, y in face]
                axes.add_patch(Polygon(points, facecolor=BLUE, alpha=alpha, edgecolor="none"))
                axes.add_patch(Polygon(points, facecolor="none", edgecolor=INK, linewidth=0.7))
            size = "\N{MULTIPLICATION SIGN}".join(map(str, shape))
            middle = left + room / 2
            axes.text(middle, -1.75, size, ha="center", va="top", fontsize=9, weight="bold")
            axes.text(middle, -2.12, label, ha="center", va="top", fontsize=9)
            left += room + 0.45
        lines = max(label.count("\n") for label, _ in steps) + 1
        axes.set_xlim(-0.2, left)
        axes.set_ylim(-2.2 - 0.4 * lines, 2.8)

    total = sum(
        max(
            0.12 + 0.16 * log2(shape[0] + 1) + SLANT * unit * sqrt(side),
            0.105 * max(len(line) for line in label.split("\n")),
        )
        + 0.45
        for (label, shape), side in zip(steps, sides, strict=True)
    )
    return paint(width, width * 5.4 / max(total + 0.2, 15.0), painter)
