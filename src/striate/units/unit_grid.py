"""The grid of units: one layer's units, sorted by what they prefer, with their kernels and their maps of an image."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from striate.findings import Cell, Figure, Finding, Table
from striate.units.contact_sheets import draw_kernels, draw_maps, draw_units
from striate.units.layers import UnitLayer
from striate.units.network import Network, evaluating
from striate.units.overview import by_selectivity, class_name, filters_of, sees
from striate.units.top_images import LayerIndex
from striate.units.tuning import LayerTuning

CROPS = 12


def maps_of(network: Network, layer: UnitLayer, image: Tensor) -> Tensor:
    """Responses (U, h, w) of a layer to one image (1, C, H, W); (U, 1, 1) where it has no positions."""
    with evaluating(network.module), torch.inference_mode():
        value = network.forward(network.images(image), [layer.response])[layer.response]
        maps = network.maps(layer.response, value, 1)[0]
    return (
        maps.reshape(layer.units, *(layer.grid if len(layer.grid) == 2 else (-1, 1))).cpu().float()
    )


def find_layer_units(
    network: Network,
    layer: UnitLayer,
    *,
    index: LayerIndex | None = None,
    images: Tensor | None = None,
    classes: Sequence[str] = (),
    tuning: LayerTuning | None = None,
    image: Tensor | None = None,
    names: Mapping[int, str] | None = None,
    name: str = "layer-units",
) -> Finding:
    """The grid of a layer's units: kernels, the map of maps for `image` (1, C, H, W), and a row a unit.

    index with the images of its pass adds crops, deaths and classes, tuning orientation and frequency; units are sorted
    by the class that they prefer, else by orientation, the dead ones last. names: what a dissection found that some find.
    """
    named = names or {}
    filters = filters_of(network, layer)
    figures: list[Figure] = []
    if filters is not None:
        figures.append(draw_kernels(filters.kernels, layer.name))
    if image is not None:
        shown = network.images(image)[0]
        figures.append(draw_maps(shown, maps_of(network, layer, image), layer.name))
    if index is not None and images is not None:
        units = by_selectivity(index)[:CROPS]
        labels = [
            f"unit {u}"
            + (
                ""
                if index.preferred is None
                else f"\n{class_name(classes, int(index.preferred[u]))}"
            )
            + (f"\nfinds {named[u].partition(' (')[0]}" if u in named else "")
            for u in units
        ]
        if units:
            figures.append(draw_units(index, units, labels, images))

    def number(value: Tensor | None, u: int) -> float | None:
        shown = math.nan if value is None else float(value[u])
        return None if math.isnan(shown) else shown

    orientation = None if tuning is None else tuning.preferred_orientation
    frequency = None if tuning is None else tuning.preferred_frequency
    variance = None if tuning is None else tuning.circular_variance
    ratio = None if tuning is None else tuning.modulation
    rows: list[tuple[Cell, ...]] = []
    for u in range(layer.units):
        dead = None if index is None else bool(index.dead[u])
        word = None
        if index is not None and index.preferred is not None and int(index.preferred[u]) >= 0:
            word = class_name(classes, int(index.preferred[u]))
        twin = None
        if filters is not None and bool(filters.duplicates[u]):
            twin = f"{int(filters.twin[u])} ({float(filters.likeness[u]):.2f})"
        state = (
            "dead" if dead else "noise" if filters is not None and bool(filters.noisy[u]) else None
        )
        rows.append(
            (
                u, word, number(None if index is None else index.selectivity, u),
                number(orientation, u), number(frequency, u), number(variance, u), number(ratio, u),
                number(None if index is None else index.mean, u),
                number(None if index is None else index.sparseness, u), twin, named.get(u), state,
            )
        )  # fmt: skip
    rows.sort(
        key=lambda r: (
            r[11] == "dead",
            r[1] is None,
            str(r[1] or ""),
            -float(r[2] or 0)
            if r[1] is not None
            else float(r[3] or 0)
            if r[3] is not None
            else 999.0,
            int(str(r[0])),
        )
    )
    facts = []
    if index is not None:
        facts.append(f"{int(index.dead.sum())} dead on {index.count:,} images")
    if filters is not None:
        facts.append(f"{int(filters.duplicates.sum())} with a near-duplicate kernel")
        if filters.noise is not None:
            facts.append(f"{int(filters.noisy.sum())} like noise")
    if tuning is not None:
        sharp = int((tuning.circular_variance < 0.5).sum())
        facts.append(f"{sharp} tuned to an orientation")
    if named:
        facts.append(f"{len(named)} named by dissection")
    return Finding(
        name=name,
        title=f"Units of {layer.name}",
        verdict=f"{layer.units} units that see {sees(layer)}: {', '.join(facts) or 'no kernels, no images'}.",
        tables=(
            Table(
                columns=(
                    "unit", "prefers", "selectivity", "orientation", "cycles/pixel", "circular variance", "F1/F0",
                    "mean", "sparseness", "like unit", "finds", "",
                ),
                rows=tuple(rows),
                formats=("", "", ".2f", ".0f", ".3f", ".2f", ".2f", ".3g", ".2f", "", "", ""),
                caption=(
                    "Orientation of stripes in degrees: 0 horizontal, 90 vertical. F1/F0 above 1: a simple cell, below: a "
                    "complex one."
                ),
            ),
        ),
        figures=tuple(figures),
        data={
            "layer": layer.name,
            "units": [
                {"unit": r[0], "prefers": r[1], "selectivity": r[2], "orientation": r[3], "frequency": r[4],
                 "circular_variance": r[5], "modulation": r[6], "mean": r[7], "sparseness": r[8], "like": r[9],
                 "finds": r[10], "state": r[11]} for r in rows
            ],
        },
    )  # fmt: skip
