"""Blocks of a network and the arrows between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from striate.figures import BLUE, GREEN, INK, ORANGE
from striate.lectures.draw.picture import Picture, paint

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as MplFigure

Blocks = Mapping[str, tuple[float, float, str]]  # key -> column, row, label
JOINS = ("+", "concat")
LETTER = 0.075  # inches


def flow(
    panels: Mapping[str, tuple[Blocks, Sequence[tuple[str, str]]]],
    *,
    width: float = 9.0,
    height: float = 3.6,
    box: float = 1.5,
) -> Picture:
    """Draw diagrams: title -> (blocks, arrows).

    blocks: key -> (column, row, label), rows counted downwards; arrows: (from key, to key). Labels
    "+" and "concat" are drawn as joins. box: width of a block, in columns.
    """

    def painter(figure: MplFigure) -> None:
        row = figure.subplots(1, len(panels), squeeze=False)[0]
        for axes, (title, (blocks, arrows)) in zip(row, panels.items(), strict=True):
            columns = [x for x, _, _ in blocks.values()]
            rows = [y for _, y, _ in blocks.values()]
            axes.set_xlim(min(columns) - box / 2, max(columns) + box / 2)
            over = 0.9 if len(set(rows)) == 1 else 0.0  # room for the bows
            axes.set_ylim(max(rows) + 0.5, min(rows) - 0.5 - over)
            axes.set_axis_off()
            axes.set_title(title, fontsize=10)
            letter = LETTER * (max(columns) - min(columns) + box) / (width / len(panels))
            for start, end in arrows:
                _arrow(axes, blocks, start, end, letter)
            for x, y, label in blocks.values():
                join = label in JOINS
                colour = ORANGE if join else GREEN if "pool" in label else BLUE
                axes.text(
                    x,
                    y,
                    label,
                    ha="center",
                    va="center",
                    fontsize=9,
                    bbox={
                        "boxstyle": "round,pad=0.35",
                        "facecolor": "white"
                        if label in ("x", "y") or "(x)" in label
                        else colour + "33",
                        "edgecolor": INK,
                        "linewidth": 0.8,
                    },
                )

    return paint(width, height, painter)


def _arrow(axes: Axes, blocks: Blocks, start: str, end: str, letter: float) -> None:
    """From the side of one block that faces the other; in one row over the blocks between."""
    (x0, y0, word0), (x1, y1, word1) = blocks[start], blocks[end]
    bend = "arc3"
    if y0 != y1:
        down = 1 if y1 > y0 else -1
        ends = (x1, y1 - 0.3 * down), (x0, y0 + 0.3 * down)
    elif any(y == y0 and x0 < x < x1 for x, y, _ in blocks.values()):
        ends, bend = ((x1, y1 - 0.3), (x0, y0 - 0.3)), "arc3,rad=-0.2"
    else:
        ends = (x1 - _half(word1, letter), y1), (x0 + _half(word0, letter), y0)
    arrow = {"arrowstyle": "-|>", "color": INK, "connectionstyle": bend}
    axes.annotate("", *ends, arrowprops=arrow)


def _half(word: str, letter: float) -> float:
    return (len(word) / 2 + 1.6) * letter
