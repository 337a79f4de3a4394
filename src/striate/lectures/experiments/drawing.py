"""Charts that are kept twice, as SVG for the page and as PNG for a slide; rows of pictures with names."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from striate.figures import INK, new_figure, render, style
from striate.findings import Figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure as MplFigure

DPI = 150


@dataclass(frozen=True, kw_only=True)
class Chart(Figure):
    """A Figure in SVG with the same as PNG bytes."""

    png: bytes = b""


def chart(figure: MplFigure, *, caption: str, alt: str) -> Chart:
    """A matplotlib figure as a Chart. Call inside `style()`."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, facecolor="white")
    drawn = render(figure, caption=caption, alt=alt)
    return Chart(
        content=drawn.content, media=drawn.media, caption=caption, alt=alt, png=buffer.getvalue()
    )


def per_cent(axis: Any) -> None:
    """Write an axis of shares in per cent."""
    axis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")


def pictures(
    rows: Sequence[Sequence[tuple[str, np.ndarray]]],
    *,
    caption: str,
    alt: str,
    side: float = 1.3,
    limits: tuple[float, float] = (0.0, 1.0),
    names: Sequence[str] = (),
) -> Figure:
    """Rows of images (H, W) or (H, W, 3), each with a name above it, and a name before each row, as a PNG."""
    columns = max(map(len, rows))
    with style():
        figure = new_figure(side * columns + (0.9 if names else 0.1), (side + 0.26) * len(rows))
        grid = figure.subplots(len(rows), columns, squeeze=False)
        for r, row in enumerate(rows):
            for c in range(columns):
                axes = grid[r][c]
                axes.set_xticks([])
                axes.set_yticks([])
                if c >= len(row):
                    axes.axis("off")
                    continue
                name, image = row[c]
                axes.imshow(image, cmap="gray", vmin=limits[0], vmax=limits[1], interpolation="nearest")  # fmt: skip
                axes.set_title(name, fontsize=8, fontweight="normal", loc="center", pad=3)
                for spine in axes.spines.values():
                    spine.set_visible(False)
            if names:
                grid[r][0].set_ylabel(
                    names[r], fontsize=9, rotation=0, ha="right", va="center", labelpad=8, color=INK,
                )  # fmt: skip
        return render(figure, caption=caption, alt=alt, png=True, dpi=DPI)
