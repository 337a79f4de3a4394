"""Learning curves drawn: what was measured with its intervals, the fitted law, and the forecast as a widening band."""

from __future__ import annotations

from typing import Any

import numpy as np

from striate.statistics.learning_curve import TWICE, LearningCurve

SPAN = 50  # the largest over the smallest number of images up to which ticks between powers of ten have labels


def draw_curve(
    axes: Any, curve: LearningCurve, *, colour: str, marker: str, label: str, band: bool = True
) -> None:
    """One curve on matplotlib axes whose x is logarithmic. band: draw the forecast with its interval where there is one."""
    n = np.array([p.images for p in curve.points], float)
    shares = np.array([p.accuracy for p in curve.points])
    axes.vlines(
        n, [p.low for p in curve.points], [p.high for p in curve.points], color=colour, linewidth=1, alpha=0.5,
    )  # fmt: skip
    axes.plot(n, shares, marker, color=colour, markersize=4.5, label=label)
    if curve.undetermined:
        axes.plot(n, shares, color=colour, linewidth=0.8, linestyle=(0, (1, 2)))
        return
    below = n[n <= curve.first]
    axes.plot(below, shares[: len(below)], color=colour, linewidth=0.8, linestyle=(0, (1, 2)))
    inside = np.geomspace(curve.first, curve.largest, 80)
    axes.plot(inside, curve.accuracy(inside), color=colour, linewidth=1.5)
    beyond = np.geomspace(curve.largest, TWICE * curve.largest, 24)
    axes.plot(beyond, curve.accuracy(beyond), color=colour, linewidth=1.5, linestyle=(0, (4, 2)))
    if band:
        _, low, high = np.array([curve.predict(float(v)) for v in beyond[:-1]]).T
        axes.fill_between(beyond[:-1], low, high, color=colour, alpha=0.15, linewidth=0)


def frame(axes: Any, most: int, *, chance: float | None = None) -> None:
    """Axes of shares against numbers of images up to twice `most`."""
    from striate.figures import GRID

    axes.set_xscale("log")
    axes.axvline(most, color=GRID, linewidth=0.8, linestyle=(0, (4, 3)))
    axes.annotate(
        "measured to here ", (most, 0.02), xycoords=("data", "axes fraction"), ha="right", va="bottom", fontsize=8,
        color=GRID,
    )  # fmt: skip
    if chance is not None:
        axes.axhline(chance, color=GRID, linewidth=1, linestyle=(0, (4, 3)))
        axes.annotate(
            "guessing ", (1, chance), xycoords=("axes fraction", "data"), ha="right", va="bottom", fontsize=8, color=GRID,
        )  # fmt: skip
    axes.xaxis.set_major_formatter(lambda v, _: f"{v:,.0f}")
    axes.xaxis.set_minor_formatter(lambda v, _: between(v, *axes.get_xlim()))
    axes.yaxis.set_major_formatter(lambda v, _: f"{100 * v:.0f} %")
    axes.set(xlabel="training images", ylabel="right on test images", ylim=(-0.02, 1.02))
    axes.grid(axis="y")


def between(value: float, low: float, high: float) -> str:
    """What stands at a tick between powers of ten: 2 and 5 times them, where the axis has few powers; else nothing."""
    first = round(value / 10 ** np.floor(np.log10(value) + 1e-9))
    return f"{value:,.0f}" if first in (2, 5) and high < SPAN * low else ""
