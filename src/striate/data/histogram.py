"""The histogram of images deeper than 8 bits, with the scale that turns their values into grey levels."""

from __future__ import annotations

import numpy as np

from striate.data.scale import Scale, share
from striate.figures import BLUE, GRID, INK, ORANGE, new_figure, render, style
from striate.findings import Figure, Table

BINS, ROWS = 96, 12
BAR = 24  # characters
AROUND = 0.6  # of the scale's width that is shown on either side, as far as there are values


def scale_figure(scale: Scale) -> Figure:
    """How often each value occurs, and which values become black and white."""
    values = scale.values
    width = scale.white - scale.black
    left = max(float(values.min()), scale.black - AROUND * width)
    right = min(float(values.max()), scale.white + AROUND * width)
    left, right = min(left, scale.black), max(right, scale.white)
    bins = BINS
    if (values == np.rint(values)).all():  # whole numbers share bins evenly
        step = max(1, int(np.ceil((right - left) / BINS)))
        bins = max(1, int(np.ceil((right - left + 1) / step)))
        left, right = left - 0.5, left - 0.5 + bins * step
    counts, edges = np.histogram(values, bins=bins, range=(left, right))
    middle = (edges[:-1] + edges[1:]) / 2
    inside = (edges[1:] > scale.black) & (edges[:-1] < scale.white)
    part = counts / max(len(values), 1)
    beyond = float(((values < left) | (values > right)).mean())
    with style():
        figure = new_figure(6.4, 2.6)
        axes = figure.add_subplot()
        for chosen, colour in ((inside, BLUE), (~inside, ORANGE)):
            axes.bar(middle[chosen], part[chosen], width=np.diff(edges)[chosen], color=colour)
        axes.set_yscale("log")
        axes.set_ylim(bottom=max(part[part > 0].min() / 2, 1e-8), top=part.max() * 4)
        for value, name, side in ((scale.black, "black", "left"), (scale.white, "white", "right")):
            axes.axvline(value, color=INK, linewidth=1.2)
            axes.annotate(
                f"{name} {value:g}",
                (value, 1),
                xycoords=("data", "axes fraction"),
                xytext=(4 if side == "left" else -4, -4),
                textcoords="offset points",
                ha=side,
                va="top",
                fontsize=9,
            )
        axes.set_xlabel("value in the files")
        axes.set_ylabel("share of the pixels")
        axes.grid(axis="y", color=GRID, alpha=0.3)
        lost = (
            f" Orange values, {share(scale.outside)} of the pixels, are cut off to black or white."
            if scale.outside
            else ""
        )
        further = f" {share(beyond)} lie beyond the figure." if beyond else ""
        none = ", ".join(f"{value:g}" for value in scale.nodata)
        without = f" Without {none}, taken as no data." if none else ""
        return render(
            figure,
            caption=f"How often each value occurs in the training images, and the scale: {scale.black:g} becomes black and "
            f"{scale.white:g} white.{lost}{further}{without}",
            alt=f"Histogram of the values, from {values.min():g} to {values.max():g}.",
        )


def scale_table(scale: Scale) -> Table:
    """The same as a few rows of text: ranges of values, their share of the pixels, and the greys that they become."""
    values = scale.values
    edges = np.unique(np.linspace(scale.black, scale.white, ROWS + 1))
    counts = np.histogram(values, edges)[0]
    parts = [
        (f"below {scale.black:g}", (values < scale.black).sum(), "0, black"),
        *(
            (
                f"{left:g} to {right:g}",
                n,
                f"{_grey(left, scale):.0f} to {_grey(right, scale):.0f}",
            )
            for left, right, n in zip(edges[:-1], edges[1:], counts, strict=True)
        ),
        (f"above {scale.white:g}", (values > scale.white).sum(), "255, white"),
    ]
    most = max(int(n) for _, n, _ in parts) or 1
    total = max(len(values), 1)
    rows = tuple(
        (what, float(n / total), "█" * int(np.ceil(BAR * n / most)), grey)
        for what, n, grey in parts
        if n or "to" in what
    )
    none = ", ".join(f"{value:g}" for value in scale.nodata)
    return Table(
        columns=("values", "share of pixels", "", "grey levels"),
        rows=rows,
        formats=("", ".2%", "", ""),
        caption=f"The scale of images deeper than 8 bits: {scale.black:g} becomes black, {scale.white:g} white"
        + (f"; {none} is taken as no data" if none else ""),
    )


def _grey(value: float, scale: Scale) -> float:
    return float((value - scale.black) / (scale.white - scale.black) * 255)
