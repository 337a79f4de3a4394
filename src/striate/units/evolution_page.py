"""The evolution of features as a finding: a row a unit, a column an epoch."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from torch import Tensor

from striate.figures import INK, new_figure, render, style
from striate.findings import Cell, Figure, Finding, Table
from striate.units.contact_sheets import picture, signed
from striate.units.evolution import Evolution, Feature

SIDE = 0.78  # inches of a tile
DPI = 110
LEAST = 0.9  # of the likeness from which a layer counts as settled


def evolution_finding(
    evolved: Evolution, *, shown: Callable[[Tensor], np.ndarray], name: str = "evolution"
) -> Finding:
    """When each layer's features settle, with the picture.

    shown: makes a crop (C, h, w) of the images, in the network's own numbers, into pixels (h, w) or (h, w, 3) in [0, 1].
    """
    e = evolved
    settled = {layer: e.settled(layer, LEAST) for layer in e.peaks}
    when = "; ".join(
        f"{layer} from epoch {epoch}" if epoch is not None else f"{layer} has no unit that any image drives"
        for layer, epoch in settled.items()
    )  # fmt: skip
    rows: list[tuple[Cell, ...]] = []
    likeness = {layer: e.likeness(layer) for layer in e.peaks}
    for i, epoch in enumerate(e.epochs):
        rows.append((epoch, *(values[i] for values in likeness.values())))
    return Finding(
        name=name,
        title="Features through the training",
        verdict=f"By which images drive them, units are nearly as in the end (r of {LEAST:g} or more): {when}.",
        tables=(
            Table(
                columns=("epoch", *likeness),
                rows=tuple(rows),
                formats=("d", *(".2f" for _ in likeness)),
                caption="Median over a layer's units: correlation, over the images, of each unit's largest activation after "
                "this epoch with that after the last.",
            ),
        ),
        figures=(draw(e, shown),),
        data={
            "epochs": list(e.epochs),
            "likeness": {layer: list(values) for layer, values in likeness.items()},
            "settled": settled,
            "strongest_images": {
                layer: {str(unit): [None if f is None else f.image for f in several] for unit, several in units.items()}
                for layer, units in e.features.items()
            },
        },
    )  # fmt: skip


def draw(evolved: Evolution, shown: Callable[[Tensor], np.ndarray]) -> Figure:
    """Projections through the epochs, and the crop that drives the unit in the end; white: nothing drives it yet."""
    rows = [
        (f"{layer}\nunit {unit}", several)
        for layer, units in evolved.features.items()
        for unit, several in units.items()
    ]
    columns = len(evolved.epochs) + 1
    with style():
        figure = new_figure(SIDE * columns + 1.1, SIDE * len(rows) + 0.5)
        grid = figure.subplots(len(rows), columns, squeeze=False)
        for r, (label, several) in enumerate(rows):
            for c, (epoch, feature) in enumerate(zip(evolved.epochs, several, strict=True)):
                _tile(grid[r][c], feature, f"epoch {epoch}" if r == 0 else "")
            axes, last = grid[r][-1], several[-1]
            picture(
                axes,
                np.ones((1, 1)) if last is None else shown(last.crop),
                "in the image" if r == 0 else "",
            )
            grid[r][0].set_ylabel(
                label, fontsize=7.5, rotation=0, ha="right", va="center", labelpad=6, color=INK
            )
        caption = (
            "The strongest activation of each unit over the images, projected down to the pixels that it sees by a "
            "deconvnet; grey is 0, contrast is a tile's own. Right: what lies there in the image that drives it most in "
            "the end."
        )
        alt = "Rows of tiles, noise at the first epochs and edges, colours and patterns later"
        return render(figure, caption=caption, alt=alt, png=True, dpi=DPI)


def _tile(axes, feature: Feature | None, title: str) -> None:  # type: ignore[no-untyped-def]
    picture(axes, np.ones((1, 1)) if feature is None else signed(feature.pixels), title)
