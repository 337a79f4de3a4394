"""The figure of a dossier: one unit at a glance, with the panels that were measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from torch import Tensor

from striate.figures import (
    BLUE,
    DIVERGING,
    INK,
    ORANGE,
    SEQUENTIAL,
    VERMILLION,
    new_figure,
    render,
    style,
)
from striate.findings import Figure
from striate.units.contact_sheets import mosaic, picture, shown, signed
from striate.units.dossier import Dossier
from striate.units.maximise import Synthesis
from striate.units.overview import class_name
from striate.units.reverse_correlation import ReceptiveField
from striate.units.tuning import UnitTuning

MOST_CHANNELS = 16
PAINTED = 4
WORST = 10  # classes shown of what silencing changes


def draw_dossier(dossier: Dossier, classes: Sequence[str]) -> Figure:
    """One figure: kernel, map and field; crops with projections and syntheses; tuning; silencing, as far as measured."""
    d = dossier
    with style():
        heights = [2.1, 2.4, 2.0] + ([2.0] if d.silenced is not None else [])
        figure = new_figure(8.6, sum(heights))
        bands = np.ravel(np.array(figure.subfigures(len(heights), 1, height_ratios=heights)))
        _looks(bands[0], d)
        _crops(bands[1], d)
        _gratings(bands[2], d)
        if d.silenced is not None:
            _rest(bands[3], d, classes)
        framed = "what is framed was painted to drive the unit"
        caption = f"Unit {d.unit} of {d.layer.name}. " + (
            f"Crops are real; {framed}, and projections were computed from its crops."
            if d.crops
            else f"{framed.capitalize()}; give images (--data) to see its strongest crops."
            if d.index is None
            else f"{framed.capitalize()}; no image drives it."
        )
        return render(figure, caption=caption, alt=caption, png=True, dpi=105)


def _looks(band, d: Dossier) -> None:  # type: ignore[no-untyped-def]
    panels: list[Callable[[Any], None]] = []
    if d.kernel is not None:
        panels.append(partial(_kernel, kernel=d.kernel))
    if d.image is not None:
        panels.append(partial(picture, image=shown(d.image), title="an image"))
    if d.map is not None and d.map.numel() > 1:
        title = f"its map, up to {float(d.map.max()):.2g}"
        panels.append(partial(picture, image=d.map.numpy(), title=title, cmap=SEQUENTIAL))
    panels.append(partial(_field, noise=d.noise))
    for axes, panel in zip(band.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        panel(axes)


def _kernel(axes: Any, kernel: Tensor) -> None:
    if kernel.shape[-1] * kernel.shape[-2] == 1:
        flat = kernel.flatten().sort(descending=True).values
        axes.plot(flat.numpy(), color=BLUE)
        axes.axhline(0, color=INK, linewidth=0.6)
        axes.set_title("weights, sorted", fontsize=8, fontweight="normal", loc="center")
        axes.tick_params(labelsize=7)
    elif kernel.shape[0] in (1, 3):
        picture(axes, signed(kernel), "kernel (grey is 0)")
    else:
        order = kernel.flatten(1).norm(dim=1).argsort(descending=True)[:MOST_CHANNELS]
        scale = kernel.abs().max().clamp(min=1e-12)
        tiles = [(0.5 + 0.5 * kernel[c] / scale).numpy() for c in order]
        picture(axes, mosaic(tiles, 4), f"kernel: {len(tiles)} strongest channels")


def _field(axes: Any, noise: ReceptiveField) -> None:
    average = noise.average.mean(0)
    top = np.abs(average).max() or 1.0
    picture(axes, average, "field from white noise", cmap=DIVERGING, vmin=-top, vmax=top)
    (rt, _), (rl, _) = noise.region
    (ft, fb), (fl, fr) = noise.field
    x, y = [fl, fr, fr, fl, fl], [ft, ft, fb, fb, ft]
    axes.plot(
        [v - rl - 0.5 for v in x], [v - rt - 0.5 for v in y], color=INK, linewidth=1, linestyle=":"
    )
    axes.set_xlabel("dotted: what it can see", fontsize=7)


def _crops(band, d: Dossier) -> None:  # type: ignore[no-untyped-def]
    if not d.crops:
        _painted(band, d.synthesis, 1)
        return
    left, right = band.subfigures(1, 2, width_ratios=[2.4, 1.0])
    rows = 2 if d.projections else 1
    grid = left.subplots(rows, len(d.crops), squeeze=False)
    for i, crop in enumerate(d.crops):
        picture(grid[0][i], shown(crop), f"{d.peaks[i].response:.2g}")
        if d.projections:
            picture(grid[1][i], shown(d.projections[i]))
    what = "strongest real crops with the response"
    left.suptitle(what + (", below each its deconvnet projection" if rows == 2 else ""), fontsize=9)
    _painted(right, d.synthesis, 2)


def _painted(band: Any, synthesis: Synthesis, rows: int) -> None:
    images = list(synthesis.images[:PAINTED])
    rows = min(rows, -(-len(images) // 2))
    grid = band.subplots(rows, -(-len(images) // rows), squeeze=False).flatten()
    for a in grid[len(images) :]:
        a.axis("off")
    for a, image, value in zip(grid, images, synthesis.end.tolist(), strict=False):
        picture(a, shown(image), f"{value:.3g}")
        for side in a.spines.values():
            side.set_visible(True)
            side.set_color(VERMILLION)
            side.set_linewidth(1.5)
    band.suptitle("synthetic, with the drive", fontsize=9, color=VERMILLION)


def _gratings(band, d: Dossier) -> None:  # type: ignore[no-untyped-def]
    alone = d.silenced is None  # then bars have their place here
    axes = band.subplots(1, 5 if alone else 4)
    if alone:
        _bars(axes[4], d.tuning)
    titles = {
        "orientation": "orientation (°)",
        "frequency": "cycles / pixel",
        "phase": "phase (°)",
        "size": "diameter (pixels)",
    }
    for a, (key, title) in zip(axes[:4], titles.items(), strict=True):
        curve = d.tuning.curves[key]
        a.plot(curve.at, curve.response, color=BLUE, marker="." if len(curve.at) < 20 else "")
        a.set_xlabel(title, fontsize=8)
        a.set_ylim(0, 1.08 * max(float(curve.response.max()), 1e-6))
        a.tick_params(labelsize=7)
        if key == "frequency":
            a.set_xscale("log")
            ticks = [
                v
                for v in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
                if curve.at[0] <= v <= curve.at[-1] * 1.01
            ]
            a.set_xticks(ticks, [f"{v:g}" for v in ticks])
            a.minorticks_off()
        if key == "orientation":
            a.set_xticks([0, 45, 90, 135, 180])
            if d.tuning.driven:
                a.axvline(d.tuning.orientation, color=ORANGE, linewidth=1)
    t = d.tuning
    text = (
        f"gratings: {t.kind} cell, F1/F0 {t.modulation:.2f}, circular variance {t.circular_variance:.2f}"
        if t.driven
        else "gratings: none drives it"
    )
    band.suptitle(text, fontsize=9)


def _bars(axes: Any, t: UnitTuning) -> None:
    extent = (t.bar_offsets[0], t.bar_offsets[-1], 180.0, 0.0)
    axes.imshow(t.bar_map, aspect="auto", cmap=SEQUENTIAL, extent=extent, interpolation="nearest")
    axes.set_xlabel("offset (pixels)", fontsize=8)
    axes.set_ylabel("orientation (°)", fontsize=8)
    axes.set_yticks([0, 45, 90, 135])
    axes.tick_params(labelsize=7)
    colour = "bright" if t.bar_bright else "dark"
    axes.set_title(f"{colour} bars, {t.bar_width:.1f} px", fontsize=9, fontweight="normal")


def _rest(band, d: Dossier, classes: Sequence[str]) -> None:  # type: ignore[no-untyped-def]
    left, right = band.subplots(1, 2, width_ratios=[1, 1.6])
    _bars(left, d.tuning)
    assert d.silenced is not None
    s = d.silenced
    change = (s.without_per_class - s.per_class) * 100
    order = [
        c for c in np.argsort(-np.abs(np.nan_to_num(change)), kind="stable") if s.counts[c] > 0
    ][:WORST]
    order = sorted(order)
    places = np.arange(len(order))
    right.bar(places, change[order], color=VERMILLION, width=0.6, label="this unit silenced")
    if len(s.random):
        low, high = np.quantile(s.random_per_class[:, order] * 100, [0.025, 0.975], axis=0)
        middle = (low + high) / 2
        right.errorbar(
            places,
            middle,
            yerr=(high - low) / 2,
            fmt="none",
            color=INK,
            capsize=3,
            linewidth=1,
            label="a random unit (95 %)",
        )
    right.axhline(0, color=INK, linewidth=0.6)
    names = [class_name(classes, int(c))[:12] for c in order]
    right.set_xticks(
        places,
        names,
        rotation=35 if max(map(len, names)) > 3 else 0,
        ha="right" if max(map(len, names)) > 3 else "center",
        fontsize=7,
    )
    right.tick_params(axis="y", labelsize=7)
    right.set_ylabel("change of recall (points)", fontsize=8)
    right.set_xlabel("class", fontsize=8)
    right.legend(fontsize=7)
    right.set_title(
        f"silenced, by class ({s.change * 100:+.1f} points over all images)",
        fontsize=9,
        fontweight="normal",
    )
