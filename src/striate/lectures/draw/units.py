"""Units and their connections: which input reaches which output, and by which weight."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from scipy import sparse

from striate.figures import CYCLE, GRID, INK, ORANGE
from striate.lectures.draw.picture import Picture, paint

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as MplFigure


def units(
    panels: Mapping[str, Sequence[sparse.csr_array]],
    *,
    follow: Iterable[int] = (),
    width: float = 9.0,
    height: float = 2.6,
) -> Picture:
    """Draw networks of one-dimensional layers, input at the bottom: title -> a matrix a layer.

    Entries are numbers of weights; up to six weights get a colour each, more are grey. follow: outputs of the
    last layer whose connections are followed down to the input and marked.
    """

    def painter(figure: MplFigure) -> None:
        row = figure.subplots(1, len(panels), squeeze=False)[0]
        for axes, (title, layers) in zip(row, panels.items(), strict=True):
            _network(axes, list(layers), set(follow))
            axes.set_title(title, fontsize=10)

    return paint(width, height, painter)


def _network(axes: Axes, layers: list[sparse.csr_array], marked: set[int]) -> None:
    widest = max(max(matrix.shape) for matrix in layers)
    counts = [layers[0].shape[1], *[matrix.shape[0] for matrix in layers]]

    def place(layer: int, unit: int) -> tuple[float, float]:
        return (unit + 0.5) * widest / counts[layer], float(layer)

    seen = {len(layers): marked}
    for layer in range(len(layers) - 1, -1, -1):
        entries = sparse.coo_array(layers[layer])
        rows, columns = entries.coords
        seen[layer] = {int(c) for r, c in zip(rows, columns, strict=True) if r in seen[layer + 1]}
        most = int(entries.data.max())
        for r, c, number in zip(rows, columns, entries.data, strict=True):
            x, y = zip(place(layer, int(c)), place(layer + 1, int(r)), strict=True)
            if marked:
                on = r in seen[layer + 1]
                colour, thick = (ORANGE, 1.8) if on else (GRID, 0.6)
            elif most <= len(CYCLE):
                colour, thick = CYCLE[int(number) - 1], 1.6
            else:
                colour, thick = GRID, 0.8  # more weights than colours that can be told apart
            axes.plot(x, y, color=colour, linewidth=thick, zorder=1)
    for layer, count in enumerate(counts):
        for unit in range(count):
            on = bool(marked) and unit in seen[layer]
            axes.scatter(
                *place(layer, unit),
                s=70,
                zorder=2,
                linewidths=1.0,
                color=ORANGE if on else "white",
                edgecolors=INK,
            )
    axes.set_axis_off()
    axes.margins(0.06, 0.12)
