"""The figures of a dissection: how many units of each layer find what, and where the named ones respond."""

from __future__ import annotations

from collections import Counter

import numpy as np
import torch
from torch import Tensor

from striate.figures import CYCLE, INK, VERMILLION, YELLOW, new_figure, render, style
from striate.findings import Figure
from striate.units.contact_sheets import in_colour, picture, shown
from striate.units.dissection import Dissection, LayerDissection
from striate.units.network import Network, evaluating
from striate.units.upsampling import Upsampling

ROWS = 12  # units shown
DIM = 0.35  # of a pixel where a unit is off
KINDS = 7  # told apart by colour
OTHER = "#8c959f"
DPI = 110


def draw_counts(d: Dissection) -> Figure:
    """A bar a layer: units by the kind of what they find, with those without a name."""
    kinds = [k for k, _ in Counter(d.concepts.kinds).most_common()]
    one_kind = len(kinds) == 1
    # Of a single kind the concepts themselves are told apart, those of most units first.
    found = Counter(d.concepts.names[int(b)] for x in d.layers for b in x.best[x.named])
    groups = [c for c, _ in found.most_common(KINDS - 1)] if one_kind else kinds[:KINDS]

    def group(number: int) -> str:
        own = d.concepts.names[number] if one_kind else d.concepts.kinds[number]
        return own if own in groups else "other"

    layers = d.layers[::-1]
    with style():
        figure = new_figure(7.4, 1.1 + 0.27 * len(layers))
        axes = figure.subplots()
        start = np.zeros(len(layers))
        for number, name in enumerate([*groups, "other"]):
            count = np.array(
                [sum(group(int(b)) == name for b in x.best[x.named]) for x in layers], dtype=float
            )
            if not count.any():
                continue
            colour = (*CYCLE, YELLOW)[number] if name in groups else OTHER
            axes.barh(range(len(layers)), count, left=start, color=colour, label=name, height=0.7)
            start += count
        for row, x in enumerate(layers):
            text = f" {int(x.named.sum())} of {x.layer.units}"
            axes.text(start[row], row, text, va="center", fontsize=8, color=INK)
        axes.set_yticks(range(len(layers)), [x.layer.name for x in layers], fontsize=8)
        axes.set_ylim(-0.6, len(layers) - 0.4)
        axes.set_xlim(0, max(1.0, float(start.max()) * 1.18))
        axes.set_xlabel("named units")
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=8)
        caption = "Units with a name, a bar a layer, by what they find."
        return render(figure, caption=caption, alt=caption)


def shown_units(d: Dissection) -> list[tuple[LayerDissection, int]]:
    """The best named unit of each concept, the highest IoU first; then the next best."""
    named = [(x, u) for x in d.layers for u in np.flatnonzero(x.named).tolist()]
    named.sort(key=lambda one: -float(one[0].score[one[1]]))
    first: list[tuple[LayerDissection, int]] = []
    rest: list[tuple[LayerDissection, int]] = []
    seen: set[int] = set()
    for x, u in named:
        (rest if int(x.best[u]) in seen else first).append((x, u))
        seen.add(int(x.best[u]))
    return [*first, *rest][:ROWS]


def on_masks(network: Network, one: LayerDissection, unit: int, images: Tensor) -> np.ndarray:
    """Where a unit is above its threshold in images (n, C, H, W): (n, H, W) bool."""
    with evaluating(network.module), torch.inference_mode():
        index = one.layer.response
        values = network.forward(network.images(images), [index])[index]
        maps = network.maps(index, values, len(images)).cpu().float()[:, unit : unit + 1]
    which, pixel = Upsampling(one.layer, network.size).above(maps, one.thresholds[unit : unit + 1])
    on = np.zeros((len(images), network.size[0] * network.size[1]), dtype=bool)
    on[which.numpy(), pixel.numpy()] = True
    return on.reshape(len(images), *network.size)


def draw_named(network: Network, d: Dissection) -> Figure:
    """A row a unit: where it is on in the images that drive it most, with the outline of the concept. There must be one."""
    units = shown_units(d)
    with style():
        columns = max(int((x.images[u] >= 0).sum()) for x, u in units)
        beside = min(2, len(units))
        half = -(-len(units) // beside)
        figure = new_figure(0.2 + 1.05 * beside * columns, 0.2 + 1.35 * half)
        grid = figure.subplots(half, beside * columns, squeeze=False)
        for axes in grid.ravel():
            axes.axis("off")
        for number, (x, u) in enumerate(units):
            numbers = [i for i in x.images[u].tolist() if i >= 0]
            images = torch.from_numpy(np.stack([d.concepts.image(i) for i in numbers]))
            on = on_masks(network, x, u, images)
            line = grid[number % half][number // half * columns :][:columns]
            for axes, i, pixels, lit in zip(line, numbers, images, on, strict=False):
                regions = d.concepts.regions(i)
                inside = regions.members[:, int(x.best[u])][regions.number]
                page = in_colour(shown(pixels.float() / 255)) * np.where(lit, 1, DIM)[..., None]
                axes.axis("on")
                picture(axes, page)
                if inside.any() and not inside.all():
                    # Half a pixel wider than the concept: beyond the border too.
                    edge = np.pad(inside.astype(float), 1)
                    down, across = (np.arange(-1, n - 1) for n in edge.shape)
                    axes.contour(across, down, edge, [0.5], colors=VERMILLION, linewidths=1)
                    axes.set_xlim(-0.6, inside.shape[1] - 0.4)
                    axes.set_ylim(inside.shape[0] - 0.4, -0.6)
            name = d.concepts.names[int(x.best[u])]
            title = f"{name}, IoU {x.score[u]:.2f}   ({x.layer.name}, unit {u})"
            line[0].set_title(
                " ", fontsize=8, pad=3
            )  # its height; the text may reach over the next
            text = line[0].text(0, 1.04, title, fontsize=7.5, transform=line[0].transAxes)
            text.set_in_layout(False)
        caption = (
            "The best unit of each concept on the images that drive it most: bright where it is on, outlined where the "
            "concept is."
        )
        return render(figure, caption=caption, alt=caption, png=True, dpi=DPI)
