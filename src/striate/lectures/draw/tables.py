"""Grids of numbers beside each other, as on a blackboard: input * kernel = output."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import torch

from striate.figures import BLUE, GRID, INK, ORANGE
from striate.lectures.draw.picture import Picture, paint

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as MplFigure

Cells = Iterable[Sequence[int]]
# (title, rows of numbers or words) and, if wanted, the cells to mark
Part = str | tuple[str, Any] | tuple[str, Any, Cells]
GAP = 0.6  # cells between two parts
TITLE = 10  # points
TITLE_INCHES = 0.082  # that a letter of a title takes


def tables(*parts: Part, digits: int = 2, scale: float = 0.5, columns: int = 99) -> Picture:
    """Draw grids of numbers and the signs between them.

    A part is a sign, such as "*" or "=", or (title, grid) or (title, grid, marked cells); a grid is
    a tensor or rows of numbers or words, with "" or None for an empty cell. digits: decimals at
    most. scale: inches a cell. columns: parts in a line.
    """
    lines = [parts[i : i + columns] for i in range(0, len(parts), columns)]
    sizes = [_size(line, scale) for line in lines]
    width = max(w for w, _ in sizes)
    height = sum(h + 1.2 for _, h in sizes)

    def painter(figure: MplFigure) -> None:
        axes = figure.add_subplot()
        axes.set_axis_off()
        axes.set_aspect("equal")
        top = 0.0
        for line, (_, rows) in zip(lines, sizes, strict=True):
            _line(axes, line, top, rows, digits, scale)
            top += rows + 1.2
        axes.set_xlim(-0.2, width + 0.2)
        axes.set_ylim(height - 0.1, -0.2)

    return paint(max(width * scale + 0.4, 3.2), height * scale + 0.2, painter)


def _size(parts: Sequence[Part], scale: float) -> tuple[float, float]:
    grids = [_rows(part[1]) for part in parts if not isinstance(part, str)]
    width = sum(0.7 if isinstance(part, str) else _wide(part, scale) for part in parts)
    return width + GAP * (len(parts) - 1), max(len(rows) for rows in grids)


def _wide(part: Part, scale: float) -> float:
    """Cells that a grid takes, at least as many as its title needs."""
    return max(max(len(row) for row in _rows(part[1])), TITLE_INCHES / scale * len(part[0]))


def _line(
    axes: Axes, parts: Sequence[Part], top: float, rows: float, digits: int, scale: float
) -> None:
    left = 0.0
    font = max(20 * scale, 8.5)
    for part in parts:
        middle = top + 1 + rows / 2
        if isinstance(part, str):
            axes.text(left + 0.35, middle, part, ha="center", va="center", fontsize=1.5 * font)
            left += 0.7 + GAP
            continue
        grid = _rows(part[1])
        marked = {tuple(cell) for cell in part[2]} if len(part) > 2 else set()  # type: ignore[misc]
        up = middle - len(grid) / 2
        axes.text(left, up - 0.25, part[0], va="bottom", fontsize=TITLE, weight="bold")
        for i, row in enumerate(grid):
            for j, value in enumerate(row):
                on = (i, j) in marked
                _cell(axes, left + j, up + i, _word(value, digits), on, font)
        left += _wide(part, scale) + GAP


def _cell(axes: Axes, x: float, y: float, word: str, marked: bool, font: float) -> None:
    from matplotlib.patches import Rectangle

    face = ORANGE if marked else BLUE
    box = Rectangle((x, y), 1, 1, facecolor=face, alpha=0.45 if marked else 0.08, edgecolor="none")
    axes.add_patch(box)
    axes.add_patch(Rectangle((x, y), 1, 1, facecolor="none", edgecolor=GRID, linewidth=0.8))
    size = font * min(1.0, 4.6 / max(len(word), 1))
    axes.text(x + 0.5, y + 0.52, word, ha="center", va="center", fontsize=size, color=INK)


def _rows(grid: Any) -> list[list[Any]]:
    rows = grid.tolist() if isinstance(grid, torch.Tensor) else grid
    if not isinstance(rows, list | tuple):
        return [[rows]]
    return (
        [list(row) if isinstance(row, list | tuple) else row for row in rows]
        if (rows and isinstance(rows[0], list | tuple))
        else [list(rows)]
    )


def _word(value: Any, digits: int) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    text = f"{value:.{digits}f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
    return "0" if text == "-0" else text.replace("-", "\N{MINUS SIGN}")
