"""Overview: the layers of a network with their most selective, dead and duplicate units, as Findings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from striate.findings import Cell, Finding, Table
from striate.units.contact_sheets import draw_kernels, draw_units
from striate.units.filters import Filters, duplicates, examine, groups_of, kernels_of
from striate.units.layers import UnitLayer
from striate.units.network import Network
from striate.units.top_images import LayerIndex, UnitIndex

SHOWN = 8  # units of a layer in the report (issue: the eight most selective units of three layers)
LAYERS = 3
FEW = 30  # images of a class below which selectivity is partly luck


REACHING = "*: and the whole image, through attention or statistics over all positions."


def sides(layer: UnitLayer) -> str:
    """The receptive field in pixels, as text, with a star where the rest of the image is seen as well (`REACHING`)."""
    if not layer.grid:
        return "all"
    own = "×".join("all" if a is None else str(a.size) for a in layer.field)
    return f"{own} *" if layer.reaching else own


def sees(layer: UnitLayer) -> str:
    """The same in words."""
    own = f"{sides(layer).removesuffix(' *')} pixels"
    rest = "and through attention or statistics over all positions the whole image"
    return f"{own}, {rest}" if layer.reaching and layer.grid else own


def starred(cells: Iterable[str]) -> str:
    """What the star stands for, to follow a caption; empty where no cell has one."""
    return f" {REACHING}" if any(cell.endswith("*") for cell in cells) else ""


def filters_of(network: Network, layer: UnitLayer) -> Filters | None:
    """The layer's kernels examined, None where it has none."""
    kernels = kernels_of(network, layer)
    return None if kernels is None else examine(kernels, groups=groups_of(network, layer))


def class_name(classes: Sequence[str], number: int) -> str:
    """A class's name, its number where there are no names."""
    return classes[number] if 0 <= number < len(classes) else str(number)


def find_filters(network: Network, name: str = "filters") -> Finding:
    """The first layer's kernels: how many have structure, are nearly alike or empty."""
    layer = next((x for x in network.layers if kernels_of(network, x) is not None), None)
    if layer is None:
        return Finding(name=name, title="First filters", verdict="No layer has kernels of its own.")
    return filter_finding(network, layer, name=name)


def filter_finding(network: Network, layer: UnitLayer, *, name: str) -> Finding:
    """The grid of a layer's kernels, with counts of noisy, empty and near-duplicate ones. The layer must have kernels."""
    filters = filters_of(network, layer)
    assert filters is not None
    units = layer.units
    empty, noisy, twins = (
        int(v.sum()) for v in (filters.empty, filters.noisy & ~filters.empty, filters.duplicates)
    )
    parts = []
    if filters.noise is not None:
        parts.append(f"{noisy} of {units} look like noise")
    parts.append(f"{twins} have a near-duplicate")
    if empty:
        parts.append(f"{empty} are empty")
    poor = (noisy + empty) / units
    return Finding(
        name=name,
        title=f"Filters of {layer.name}",
        verdict=f"Of the kernels of {layer.name}, {', '.join(parts)}.",
        status="warning" if poor > 0.5 or twins > units / 2 else "note",
        advice="Train longer or with more weight decay, or use fewer units." if poor > 0.5 else "",
        figures=(draw_kernels(filters.kernels, layer.name),),
        data={
            "layer": layer.name,
            "units": units,
            "noise": noisy if filters.noise is not None else None,
            "duplicates": twins,
            "empty": empty,
        },
    )


def chosen_layers(network: Network) -> list[UnitLayer]:
    """An early, a middle and a late layer with an activation, the head left out."""
    pool = [x for x in network.layers if x.activation and x.units > 1] or list(network.layers)
    pool = [x for x in pool if x.response != network.head.response] or pool
    picks = sorted({0, (len(pool) - 1) // 2, len(pool) - 1})
    return [pool[i] for i in picks[-LAYERS:]]


def by_selectivity(index: LayerIndex) -> list[int]:
    """Units that are alive, the most selective first; without labels the sparsest."""
    score = index.sparseness if index.selectivity is None else index.selectivity
    score = torch.where(index.dead | score.isnan(), -1.0, score)
    order = torch.sort(score, descending=True, stable=True).indices
    return [u for u in order.tolist() if float(score[u]) >= 0]


def find_selective(
    index: UnitIndex,
    layers: Sequence[UnitLayer],
    images: Tensor,
    classes: Sequence[str],
    *,
    name: str = "selective-units",
) -> Finding:
    """The most selective units of some layers with the crops that drive them most."""
    rows: list[tuple[Cell, ...]] = []
    figures = []
    for layer in layers:
        layer_index = index[layer.name]
        units = by_selectivity(layer_index)[:SHOWN]
        labels = []
        for u in units:
            preferred = None if layer_index.preferred is None else int(layer_index.preferred[u])
            word = "" if preferred is None else class_name(classes, preferred)
            score = None if layer_index.selectivity is None else float(layer_index.selectivity[u])
            rows.append(
                (layer.name, u, word or None, score, float(layer_index.sparseness[u]), sides(layer))
            )
            labels.append(f"unit {u}" + (f"\n{word} {score:.2f}" if score is not None else ""))
        if units:
            figures.append(draw_units(layer_index, units, labels, images))
    best = max(
        (r for r in rows if isinstance(r[3], float)), key=lambda r: float(r[3] or 0), default=None
    )
    few = bool(classes) and index.count < FEW * len(classes)
    verdict = (
        f"The most selective unit, {best[1]} of {best[0]}, prefers {best[2]} (selectivity {best[3]:.2f} of 1)."
        if best
        else "No unit could be compared between classes."
    )
    return Finding(
        name=name,
        title="What units prefer",
        verdict=verdict,
        advice=f"Look at more images: with fewer than {FEW} a class part of the selectivity is luck."
        if few
        else "",
        tables=(
            Table(
                columns=("layer", "unit", "prefers", "selectivity", "sparseness", "sees (pixels)"),
                rows=tuple(rows),
                formats=("", "", "", ".2f", ".2f", ""),
                caption=(
                    f"Over {index.count:,} images. Selectivity: (best class − the others) / their sum, of mean peak "
                    "responses (Morcos et al. 2018). Sparseness: 0 responds to all images alike, 1 to a single one."
                    + starred(str(r[5]) for r in rows)
                ),
            ),
        ),
        figures=tuple(figures),
        data={"images": index.count, "memory_bytes": index.state_bytes},
    )


def find_dead(index: UnitIndex, *, name: str = "dead-units") -> Finding:
    """Units that no image drives, and positions at which units never are active, layer by layer."""
    rows: list[tuple[Cell, ...]] = []
    dead: dict[str, list[int]] = {}
    for layer_name, layer_index in index.layers.items():
        gone = layer_index.dead.nonzero().flatten().tolist()
        dead[layer_name] = gone
        alive = ~layer_index.dead
        silent = float(layer_index.dead_positions[alive].mean()) if bool(alive.any()) else 1.0
        rectified = layer_index.layer.rectified
        rows.append(
            (
                layer_name, layer_index.layer.units, len(gone), len(gone) / layer_index.layer.units,
                float(layer_index.active.mean()) if rectified else None, silent if rectified else None,
            )
        )  # fmt: skip
    total, count = sum(x.layer.units for x in index.layers.values()), sum(map(len, dead.values()))
    worst = max(rows, key=lambda r: float(r[3] or 0))
    verdict = (
        f"{count:,} of {total:,} units are dead on {index.count:,} images; {worst[0]} has the largest share, {worst[3]:.0%}."
        if count
        else f"None of {total:,} units is dead on {index.count:,} images."
    )
    return Finding(
        name=name,
        title="Dead units",
        verdict=verdict,
        status="warning" if count > 0.1 * total else "note" if count else "good",
        advice="Train with a lower learning rate or a warm-up: they keep units alive."
        if count > 0.1 * total
        else "",
        tables=(
            Table(
                columns=("layer", "units", "dead", "share", "active", "silent positions"),
                rows=tuple(rows),
                formats=("", ",", ",", ".0%", ".0%", ".0%"),
                caption=(
                    "Dead: never above 0, or the same for every image. Active: share of images and positions with a "
                    "response above 0. Silent positions: of the living units' maps, where no image reached 0."
                ),
            ),
        ),
        data={"dead": dead, "images": index.count},
    )


def find_overview(
    network: Network, index: UnitIndex | None, classes: Sequence[str], *, name: str = "units"
) -> Finding:
    """A row a layer: how many units, what they see, dead and duplicate ones, the most selective one."""
    rows: list[tuple[Cell, ...]] = []
    for layer in network.layers:
        layer_index = None if index is None else index.layers.get(layer.name)
        kernels = kernels_of(network, layer)
        twins = None if kernels is None else int(duplicates(kernels, groups=groups_of(network, layer)).sum())  # fmt: skip
        best = by_selectivity(layer_index)[:1] if layer_index is not None else []
        prefers = ""
        if (
            layer_index is not None
            and best
            and layer_index.preferred is not None
            and layer_index.selectivity is not None
        ):
            word = class_name(classes, int(layer_index.preferred[best[0]]))
            prefers = f"{best[0]}: {word} ({float(layer_index.selectivity[best[0]]):.2f})"
        rows.append(
            (
                layer.name, layer.units, "×".join(map(str, layer.grid)) or "1", sides(layer),
                None if layer_index is None else int(layer_index.dead.sum()), twins, prefers or None,
            )
        )  # fmt: skip
    dead = None if index is None else sum(int(x.dead.sum()) for x in index.layers.values())
    alike = sum(int(str(r[5] or 0)) for r in rows)
    total = sum(x.units for x in network.layers)
    text = f"{total:,} units in {len(rows)} layers; {alike:,} have a near-duplicate kernel"
    text += (
        f", {dead:,} are dead on {index.count:,} images."
        if index is not None
        else "; no images were given."
    )
    return Finding(
        name=name,
        title="Units",
        verdict=text,
        tables=(
            Table(
                columns=(
                    "layer",
                    "units",
                    "map",
                    "sees (pixels)",
                    "dead",
                    "near-duplicate kernels",
                    "most selective",
                ),
                rows=tuple(rows),
                formats=("", ",", "", "", ",", ",", ""),
                caption="`--layer NAME` shows a layer's units, `--layer NAME --unit U` one unit's dossier. Near-duplicate "
                "kernels: units whose weights correlate by 0.95 or more with another's (`diagnose` compares responses)."
                + starred(str(r[3]) for r in rows),
            ),
        ),
        data={
            "layers": [
                {
                    "layer": r[0],
                    "units": r[1],
                    "dead": r[4],
                    "duplicates": r[5],
                    "most_selective": r[6],
                }
                for r in rows
            ]
        },
    )
