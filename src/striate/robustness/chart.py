"""Charts that several probes draw: accuracy against strength, and bars of named shares."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from striate.figures import CYCLE, GRID, INK, new_figure, render, style
from striate.findings import Figure

MARKS = ("o", "s", "^", "D", "v", "P")


def as_percent(axis: Any) -> None:
    """Write an axis of shares in per cent."""
    axis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")


def curves(
    x: Sequence[float],
    series: Mapping[str, Sequence[float]],
    *,
    xlabel: str,
    title: str,
    caption: str,
    alt: str,
    bands: Mapping[str, Sequence[tuple[float, float]]] | None = None,
    chance: float | None = None,
    xlog: bool = False,
    ylabel: str = "",
    ticks: Sequence[str] | None = None,
    share: bool = True,
) -> Figure:
    """Lines of shares over x, with bands of 95 % where given. share: in per cent; a score in [0, 1] if not."""
    with style():
        figure = new_figure(6.4, 3.6)
        axes = figure.subplots()
        for i, (name, y) in enumerate(series.items()):
            colour = CYCLE[i % len(CYCLE)]
            axes.plot(x, y, color=colour, marker=MARKS[i % len(MARKS)], markersize=4, label=name)
            if bands and name in bands:
                low, high = np.array(bands[name]).T
                axes.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)
        if chance is not None:
            axes.axhline(chance, color=GRID, linewidth=1, linestyle=(0, (4, 3)))
            axes.annotate(
                "guessing", (1, chance), xycoords=("axes fraction", "data"), ha="right", va="bottom", fontsize=8, color=GRID,
            )  # fmt: skip
        if xlog:
            axes.set_xscale("log")
        if ticks is not None:
            axes.set_xticks(list(x), list(ticks))
            axes.minorticks_off()
        axes.set(xlabel=xlabel, ylabel=ylabel, ylim=(-0.02, 1.02), title=title)
        if share:
            as_percent(axes.yaxis)
        axes.grid(axis="y")
        if len(series) > 1:
            axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
        return render(figure, caption=caption, alt=alt)


def bars(
    names: Sequence[str],
    values: Sequence[float],
    *,
    title: str,
    caption: str,
    alt: str,
    reference: float | None = None,
    reference_name: str = "clean",
    intervals: Sequence[tuple[float, float]] | None = None,
    chance: float | None = None,
    share: bool = True,
) -> Figure:
    """Horizontal bars of shares, first on top, each with its number. share: as in `curves`."""
    with style():
        figure = new_figure(6.4, 0.9 + 0.3 * len(names))
        axes = figure.subplots()
        y = np.arange(len(names))[::-1]
        axes.barh(y, values, color=CYCLE[0], height=0.68)
        tops = list(values)
        if intervals is not None:
            low, high = np.array(intervals).T
            axes.hlines(y, low, high, color=INK, linewidth=1.2)
            tops = [max(v, h) for v, h in zip(values, high, strict=True)]
        for place, value, top in zip(y, values, tops, strict=True):
            axes.annotate(
                f"{100 * value:.0f} %" if share else f"{value:.2f}", (top, place),
                xytext=(4, 0), textcoords="offset points", va="center", fontsize=8,
            )  # fmt: skip
        for at, name in ((reference, reference_name), (chance, "guessing")):
            if at is not None:
                axes.axvline(at, color=GRID, linewidth=1, linestyle=(0, (4, 3)))
                axes.annotate(
                    name, (at, 1), xycoords=("data", "axes fraction"), ha="center", va="bottom", fontsize=8,
                )  # fmt: skip
        axes.set_yticks(y, list(names))
        axes.tick_params(axis="y", length=0)
        axes.set(xlim=(0, 1.12))
        axes.set_title(title, pad=16)
        axes.set_xticks([0, 0.25, 0.5, 0.75, 1])
        if share:
            as_percent(axes.xaxis)
        return render(figure, caption=caption, alt=alt)


def gallery(
    pictures: Sequence[tuple[str, np.ndarray]], *, caption: str, alt: str, columns: int = 6
) -> Figure:
    """Small images (H, W) or (H, W, 3) in [0, 1] with a name above each, as a PNG."""
    rows = -(-len(pictures) // columns)
    with style():
        figure = new_figure(1.25 * columns, 1.5 * rows)
        grid = np.atleast_1d(figure.subplots(rows, columns, squeeze=False)).ravel()
        for axes in grid:
            axes.axis("off")
        for axes, (name, image) in zip(grid, pictures, strict=False):
            axes.imshow(image.squeeze(), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
            axes.set_title(textwrap.fill(name, 14), fontsize=8, fontweight="normal", loc="center")
        return render(figure, caption=caption, alt=alt, png=True, dpi=110)
