"""Signals as curves or stems, and numbers as bars."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from striate.figures import BLUE, CYCLE, INK
from striate.lectures.draw.picture import Picture, paint

if TYPE_CHECKING:
    from matplotlib.figure import Figure as MplFigure

Signal = Any  # values, or (positions, values)


def curves(
    panels: Mapping[str, Mapping[str, Signal]],
    *,
    stems: bool = False,
    x_label: str = "",
    y_label: str = "",
    columns: int = 1,
    width: float = 9.0,
    height: float = 2.0,
    share_y: bool = False,
) -> Picture:
    """Draw panels of curves: title -> (label -> values, or (positions, values)).

    stems: a dot and a line down for every value. height: inches a panel.
    """
    across = min(columns, len(panels))
    down = -(-len(panels) // across)

    def painter(figure: MplFigure) -> None:
        grid = figure.subplots(down, across, squeeze=False, sharey=share_y)
        for axes in grid.flat[len(panels) :]:
            axes.set_axis_off()
        for axes, (title, signals) in zip(grid.flat, panels.items(), strict=False):
            for colour, (label, signal) in zip(CYCLE, signals.items(), strict=False):
                x, y = _signal(signal)
                if stems:
                    axes.vlines(x, 0, y, color=colour, linewidth=2)
                    axes.plot(x, y, "o", color=colour, label=label)
                else:
                    axes.plot(x, y, color=colour, label=label)
            if stems:
                axes.axhline(0, color=INK, linewidth=0.8)
            if all(len(_signal(signal)[0]) < 40 for signal in signals.values()):
                axes.xaxis.get_major_locator().set_params(integer=True)
            axes.set_title(title)
            axes.set_xlabel(x_label)
            axes.set_ylabel(y_label)
            if len(signals) > 1 or any(signals):
                axes.legend(loc="best")

    return paint(width, height * down, painter)


def bars(
    values: Mapping[str, float], *, title: str = "", x_label: str = "", form: str = "{:,.0f}"
) -> Picture:
    """Draw one horizontal bar a value, with its number at its end."""

    def painter(figure: MplFigure) -> None:
        axes = figure.add_subplot()
        names, numbers = list(values), [float(v) for v in values.values()]
        axes.barh(names, numbers, color=BLUE, height=0.6)
        for row, number in enumerate(numbers):
            axes.text(number, row, "  " + form.format(number), va="center", fontsize=10)
        axes.invert_yaxis()
        axes.margins(x=0.18)
        axes.set_title(title)
        axes.set_xlabel(x_label)
        axes.spines["left"].set_visible(False)
        axes.tick_params(left=False)

    return paint(9.0, 0.9 + 0.42 * len(values), painter)


def _signal(signal: Signal) -> tuple[np.ndarray, np.ndarray]:
    if isinstance(signal, tuple):
        return _values(signal[0]), _values(signal[1])
    y = _values(signal)
    return np.arange(len(y)), y


def _values(values: Any) -> np.ndarray:
    return np.asarray(values.detach() if isinstance(values, torch.Tensor) else values, dtype=float)
