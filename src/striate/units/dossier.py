"""Dossier: everything that is known of one unit, measured and drawn on one sheet."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from striate.attribution import project
from striate.errors import StriateError
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
from striate.findings import Cell, Figure, Finding, Table
from striate.units.filters import kernels_of
from striate.units.index import LayerIndex, Peak
from striate.units.layers import UnitLayer, find_unit
from striate.units.maximise import Synthesis, maximise
from striate.units.network import Network
from striate.units.overview import class_name, sides
from striate.units.probe import Probe
from striate.units.reverse_correlation import SAMPLES, ReceptiveField, reverse_correlate
from striate.units.sheets import crop_of, mosaic, picture, shown, signed
from striate.units.silencing import Silenced, silence
from striate.units.tuning import UnitTuning, tune_unit
from striate.units.wall import maps_of

Progress = Callable[[str], None]
WORK = 5e11  # multiply-adds that reverse correlation may take
MOST_CHANNELS = 16
WORST = 10  # classes shown of what silencing changes


@dataclass(frozen=True, eq=False)
class Dossier:
    """One unit: parts that need images are None without them. crops (C, h, w) and projections beside each other."""

    layer: UnitLayer
    unit: int
    kernel: Tensor | None
    image: Tensor | None
    map: Tensor | None
    index: LayerIndex | None
    peaks: list[Peak]
    crops: list[Tensor]
    projections: list[Tensor]
    unprojected: str
    tuning: UnitTuning
    noise: ReceptiveField
    synthesis: Synthesis
    silenced: Silenced | None


def project_peaks(
    network: Network, layer: UnitLayer, unit: int, peaks: Sequence[Peak], images: Tensor
) -> tuple[list[Tensor], str]:
    """The deconvnet's projection of each peak, cropped to what it sees (C, h, w); or none, and why."""
    found = []
    producer = network.value(layer.response).producer
    assert producer is not None
    name = network.geometry.records[producer].name
    try:
        for peak in peaks:
            pixels = network.from_pixels(network.images(images[peak.image : peak.image + 1]))
            place = (peak.position[0], peak.position[1]) if len(peak.position) == 2 else None
            (one,) = project(
                network.module, pixels, name, unit, position=place, geometry=network.geometry
            )
            largest = one.pixels.abs().max().clamp(min=1e-12)
            grey = (0.5 + 0.5 * one.pixels / largest).detach().cpu().float()
            found.append(crop_of(layer, peak, grey))
    except StriateError as error:
        return [], str(error)
    return found, ""


def investigate(
    network: Network,
    layer: UnitLayer,
    unit: int,
    *,
    index: LayerIndex | None = None,
    images: Tensor | None = None,
    labels: Tensor | None = None,
    classes: int = 0,
    image: Tensor | None = None,
    colours: Tensor | None = None,
    seed: int = 0,
    progress: Progress = lambda part: None,
) -> Dossier:
    """Measure everything about one unit.

    index: of its layer, with the images (N, C, H, W) of that pass; labels (N,) of them allow silencing. image
    (1, C, H, W): whose map is shown, the unit's strongest if not given. Raises UsageError for a unit that does not exist.
    """
    find_unit(layer, unit)
    kernels = kernels_of(network, layer)
    peaks = index.top(unit) if index is not None and images is not None else []
    crops: list[Tensor] = []
    projections: list[Tensor] = []
    why = ""
    if images is not None and peaks:
        progress("projecting its strongest crops")
        crops = [crop_of(layer, p, images[p.image]) for p in peaks]
        projections, why = project_peaks(network, layer, unit, peaks, images)
        if image is None:
            image = images[peaks[0].image : peaks[0].image + 1]
    probe = Probe(network, layer)
    progress("gratings and bars")
    tuning = tune_unit(probe, unit)
    progress("white noise")
    area = probe.shape[0] * probe.shape[1] / (network.size[0] * network.size[1])
    cost = max(network.geometry.known_macs * area, 1.0)
    samples = int(min(SAMPLES, max(256, WORK / cost)))
    noise = reverse_correlate(probe, unit, samples=samples, seed=seed)
    progress("synthesis")
    is_class = layer.response == network.head.response
    small = area < 0.3 or network.geometry.known_macs < 5e7
    synthesis = maximise(
        network, layer, unit, what="class" if is_class else "unit", steps=128 if small else 64,
        seeds=4 if small else 2, colours=colours, seed=seed,
    )  # fmt: skip
    silenced = None
    if (
        images is not None
        and labels is not None
        and classes > 1
        and layer.response != network.output
        and not is_class
    ):
        progress("silencing")
        silenced = silence(network, layer, unit, images, labels, classes, seed=seed)
    return Dossier(
        layer=layer, unit=unit, kernel=None if kernels is None else kernels[unit],
        image=None if image is None else network.images(image)[0],
        map=None if image is None else maps_of(network, layer, image)[unit],
        index=index, peaks=peaks, crops=crops, projections=projections, unprojected=why, tuning=tuning, noise=noise,
        synthesis=synthesis, silenced=silenced,
    )  # fmt: skip


def find_dossier(
    dossier: Dossier, classes: Sequence[str] = (), *, name: str = "dossier"
) -> Finding:
    """The dossier as a Finding with one sheet."""
    d, t = dossier, dossier.tuning
    rows: list[tuple[Cell, Cell]] = [("sees", f"{sides(d.layer)} pixels")]
    if d.index is not None:
        rows.append(("active", f"{float(d.index.active[d.unit]):.1%} of images and positions"))
        rows.append(("sparseness over images", f"{float(d.index.sparseness[d.unit]):.2f}"))
        if (
            d.index.preferred is not None
            and d.index.selectivity is not None
            and int(d.index.preferred[d.unit]) >= 0
        ):
            word = class_name(classes, int(d.index.preferred[d.unit]))
            rows.append(
                ("prefers", f"{word}, selectivity {float(d.index.selectivity[d.unit]):.2f}")
            )
    if t.driven:
        width = (
            "never falls to half"
            if t.bandwidth is None
            else f"{t.bandwidth:.0f}° half-width at half-height"
        )
        rows += [
            ("orientation", f"{t.orientation:.0f}° (0° horizontal, 90° vertical), {width}"),
            ("circular variance", f"{t.circular_variance:.2f}"),
            ("spatial frequency", f"{t.frequency:.3f} cycles/pixel"),
            ("F1/F0", f"{t.modulation:.2f}: {t.kind}"),
            (
                "bars",
                "none drives it"
                if math.isnan(t.bar_orientation)
                else f"{'bright' if t.bar_bright else 'dark'}, {t.bar_orientation:.0f}°",
            ),
        ]
    else:
        rows.append(("gratings", "none drives it above its response to grey"))
    rows.append(
        (
            "white noise",
            f"{d.noise.significance:.0f} standard errors at its strongest pixel, {d.noise.samples:,} samples",
        )
    )
    rows.append(
        (
            "synthesis",
            f"drive {float(d.synthesis.start.max()):.2f} → {float(d.synthesis.end.max()):.2f}",
        )
    )
    if d.silenced is not None:
        s = d.silenced
        points = [100 * v for v in (s.change, *s.interval, *s.random_interval)]
        rows.append(
            (
                "silenced",
                f"accuracy {s.accuracy:.1%} → {s.without:.1%} ({points[0]:+.1f} points, 95 % {points[1]:+.1f} to "
                f"{points[2]:+.1f}); a random unit {points[3]:+.1f} to {points[4]:+.1f}",
            )
        )
    dead = d.index is not None and bool(d.index.dead[d.unit])
    return Finding(
        name=name,
        title=f"Unit {d.unit} of {d.layer.name}",
        verdict=_verdict(d, classes, dead),
        status="warning" if dead else "note",
        advice=f"no projections: {d.unprojected}" if d.unprojected else "",
        tables=(Table(columns=("what", "measured"), rows=tuple(rows)),),
        figures=(draw_dossier(dossier, classes),),
        data=_data(d, classes),
    )


def _verdict(d: Dossier, classes: Sequence[str], dead: bool) -> str:
    if dead:
        return f"Unit {d.unit} of {d.layer.name} is dead: it answers no image, or all alike."
    t = d.tuning
    parts = []
    if t.driven and d.layer.grid:
        if t.circular_variance < 0.8:
            parts.append(
                f"a {t.kind} cell that prefers {t.orientation:.0f}° at {t.frequency:.2f} cycles a pixel"
            )
        else:
            parts.append(f"a {t.kind} cell without a preferred orientation")
    if (
        d.index is not None
        and d.index.preferred is not None
        and int(d.index.preferred[d.unit]) >= 0
    ):
        parts.append(f"most active on {class_name(classes, int(d.index.preferred[d.unit]))}")
    if d.silenced is not None:
        parts.append(f"without it accuracy changes by {d.silenced.change * 100:+.1f} points")
    return f"Unit {d.unit} of {d.layer.name}: {', '.join(parts) or 'no grating drives it'}."


def _json(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)


def _data(d: Dossier, classes: Sequence[str]) -> dict[str, object]:
    t, s = d.tuning, d.silenced
    return {
        "layer": d.layer.name,
        "unit": d.unit,
        "field": sides(d.layer),
        "orientation": _json(t.orientation),
        "bandwidth": _json(t.bandwidth),
        "frequency": _json(t.frequency),
        "octaves": _json(t.octaves),
        "circular_variance": _json(t.circular_variance),
        "modulation": _json(t.modulation),
        "kind": t.kind,
        "bar_orientation": _json(t.bar_orientation),
        "noise_significance": _json(d.noise.significance),
        "synthesis": {"start": d.synthesis.start.tolist(), "end": d.synthesis.end.tolist()},
        "top": [
            {"image": p.image, "position": list(p.position), "response": p.response, "box": [list(b) for b in p.box]}
            for p in d.peaks
        ],
        "silenced": None if s is None else {
            "accuracy": s.accuracy, "without": s.without, "interval": list(s.interval),
            "random": list(s.random_interval),
            "per_class": {class_name(classes, c): [_json(a), _json(b)]
                          for c, (a, b) in enumerate(zip(s.per_class.tolist(), s.without_per_class.tolist(), strict=True))},
        },
    }  # fmt: skip


def draw_dossier(dossier: Dossier, classes: Sequence[str]) -> Figure:
    """One sheet: kernel, map and field; crops with projections and syntheses; tuning; silencing."""
    d = dossier
    with style():
        figure = new_figure(8.6, 8.4)
        bands = np.ravel(np.array(figure.subfigures(4, 1, height_ratios=[1.0, 1.15, 1.0, 1.0])))
        _looks(bands[0], d)
        _crops(bands[1], d)
        _gratings(bands[2], d)
        _rest(bands[3], d, classes)
        caption = (
            f"Unit {d.unit} of {d.layer.name}. Crops are real; what is framed was painted to drive the "
            "unit, and projections were computed from its crops."
        )
        return render(figure, caption=caption, alt=caption, png=True, dpi=105)


def _looks(band, d: Dossier) -> None:  # type: ignore[no-untyped-def]
    axes = band.subplots(1, 4)
    for a in axes:
        a.axis("off")
    if d.kernel is not None and d.kernel.shape[-1] * d.kernel.shape[-2] > 1:
        axes[0].axis("on")
        if d.kernel.shape[0] in (1, 3):
            picture(axes[0], signed(d.kernel), "kernel (grey is 0)")
        else:
            order = d.kernel.flatten(1).norm(dim=1).argsort(descending=True)[:MOST_CHANNELS]
            scale = d.kernel.abs().max().clamp(min=1e-12)
            tiles = [(0.5 + 0.5 * d.kernel[c] / scale).numpy() for c in order]
            picture(axes[0], mosaic(tiles, 4), f"kernel: {len(tiles)} strongest channels")
    elif d.kernel is not None:
        axes[0].axis("on")
        flat = d.kernel.flatten().sort(descending=True).values
        axes[0].plot(flat.numpy(), color=BLUE)
        axes[0].axhline(0, color=INK, linewidth=0.6)
        axes[0].set_title("weights, sorted", fontsize=8, fontweight="normal", loc="center")
        axes[0].tick_params(labelsize=7)
    if d.image is not None:
        axes[1].axis("on")
        picture(axes[1], shown(d.image), "an image")
    if d.map is not None and d.map.numel() > 1:
        axes[2].axis("on")
        picture(axes[2], d.map.numpy(), f"its map, up to {float(d.map.max()):.2g}", cmap=SEQUENTIAL)
    axes[3].axis("on")
    average = d.noise.average.mean(0)
    top = np.abs(average).max() or 1.0
    picture(axes[3], average, "field from white noise", cmap=DIVERGING, vmin=-top, vmax=top)
    (rt, _), (rl, _) = d.noise.region
    (ft, fb), (fl, fr) = d.noise.field
    x, y = [fl, fr, fr, fl, fl], [ft, ft, fb, fb, ft]
    axes[3].plot(
        [v - rl - 0.5 for v in x], [v - rt - 0.5 for v in y], color=INK, linewidth=1, linestyle=":"
    )
    axes[3].set_xlabel("dotted: what it can see", fontsize=7)


def _crops(band, d: Dossier) -> None:  # type: ignore[no-untyped-def]
    left, right = band.subfigures(1, 2, width_ratios=[2.4, 1.0])
    if d.crops:
        columns = len(d.crops)
        rows = 2 if d.projections else 1
        grid = left.subplots(rows, columns, squeeze=False)
        for i, crop in enumerate(d.crops):
            picture(grid[0][i], shown(crop), f"{d.peaks[i].response:.2g}")
            if d.projections:
                picture(grid[1][i], shown(d.projections[i]))
        what = "strongest real crops with the response" + (
            ", below each its deconvnet projection" if rows == 2 else ""
        )
        left.suptitle(what, fontsize=9)
    else:
        left.suptitle(
            "no image drives it" if d.index is not None else "no images were given", fontsize=9
        )
    images = list(d.synthesis.images[:4])
    grid = right.subplots(1 if len(images) < 3 else 2, 2, squeeze=False).flatten()
    for a in grid:
        a.axis("off")
    for a, image, value in zip(grid, images, d.synthesis.end.tolist(), strict=False):
        a.axis("on")
        picture(a, shown(image), f"{value:.3g}")
        for side in a.spines.values():
            side.set_visible(True)
            side.set_color(VERMILLION)
            side.set_linewidth(1.5)
    right.suptitle("synthetic, with the drive", fontsize=9, color=VERMILLION)


def _gratings(band, d: Dossier) -> None:  # type: ignore[no-untyped-def]
    axes = band.subplots(1, 4)
    titles = {
        "orientation": "orientation (°)",
        "frequency": "cycles / pixel",
        "phase": "phase (°)",
        "size": "diameter (pixels)",
    }
    for a, (key, title) in zip(axes, titles.items(), strict=True):
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


def _rest(band, d: Dossier, classes: Sequence[str]) -> None:  # type: ignore[no-untyped-def]
    left, right = band.subplots(1, 2, width_ratios=[1, 1.6])
    t = d.tuning
    extent = (t.bar_offsets[0], t.bar_offsets[-1], 180.0, 0.0)
    left.imshow(t.bar_map, aspect="auto", cmap=SEQUENTIAL, extent=extent, interpolation="nearest")
    left.set_xlabel("offset (pixels)", fontsize=8)
    left.set_ylabel("orientation (°)", fontsize=8)
    left.set_yticks([0, 45, 90, 135])
    left.tick_params(labelsize=7)
    left.set_title(
        f"{'bright' if t.bar_bright else 'dark'} bars, {t.bar_width:.1f} pixels wide",
        fontsize=9,
        fontweight="normal",
    )
    if d.silenced is None:
        right.axis("off")
        right.text(
            0.5,
            0.5,
            "silencing needs images with labels\nand a layer before the head",
            ha="center",
            va="center",
            fontsize=8,
        )
        return
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
    right.set_ylabel("accuracy (points)", fontsize=8)
    right.legend(fontsize=7)
    right.set_title(
        f"silenced: accuracy {s.change * 100:+.1f} points", fontsize=9, fontweight="normal"
    )


__all__ = ["Dossier", "Figure", "draw_dossier", "find_dossier", "investigate", "project_peaks"]
