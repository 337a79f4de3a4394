"""Photographs, maps and kernels beside each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from striate.figures import DIVERGING
from striate.lectures.draw.picture import Picture, paint

if TYPE_CHECKING:
    from matplotlib.figure import Figure as MplFigure


def images(
    panels: Mapping[str, Any] | Sequence[tuple[str, Any]],
    *,
    columns: int = 4,
    signed: bool = False,
    shared: bool = False,
    framed: bool = False,
    width: float = 9.0,
    heading: str = "",
) -> Picture:
    """Draw images under their titles, several in a row.

    panels: title -> (H, W) values or (H, W, 3) colours; as pairs, where titles repeat. Grey from
    each panel's smallest value to its largest; `signed` draws negative and positive values in two
    colours, white at 0; `shared` gives all panels one scale; `framed` draws a line around each, for those that are
    white at a border. width: inches in all.
    """
    pairs = panels.items() if isinstance(panels, Mapping) else panels
    titles = [title for title, _ in pairs]
    arrays = [_array(panel) for _, panel in pairs]
    across = min(columns, len(arrays))
    down = -(-len(arrays) // across)
    tall = max(a.shape[0] / a.shape[1] for a in arrays)
    titled = 0.24 * (1 + max(title.count("\n") for title in titles)) if any(titles) else 0.05
    height = down * (width / across * tall + titled) + (0.4 if heading else 0.1)

    def painter(figure: MplFigure) -> None:
        if heading:
            figure.suptitle(heading, weight="bold", x=0.01, ha="left")
        for place, (title, values) in enumerate(zip(titles, arrays, strict=True)):
            axes = figure.add_subplot(down, across, place + 1)
            pool = arrays if shared else [values]
            low = min(float(p.min()) for p in pool)
            high = max(float(p.max()) for p in pool)
            if signed:
                high = max(abs(low), abs(high), 1e-12)
                low = -high
            axes.imshow(
                values,
                cmap=DIVERGING if signed else "gray",
                vmin=low,
                vmax=high,
                interpolation="nearest",
            )
            axes.set_title(title, fontsize=10)
            axes.set_xticks([])
            axes.set_yticks([])
            for spine in axes.spines.values():
                spine.set_visible(framed)

    return paint(width, height, painter)


def _array(panel: Any) -> np.ndarray:
    values = panel.detach().numpy() if isinstance(panel, torch.Tensor) else np.asarray(panel)
    return values.astype(np.float64) if values.ndim == 2 else values
