"""The pages of the perceptual experiment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from striate.figures import CYCLE, GRID, new_figure, style
from striate.findings import Finding, Table
from striate.lectures.experiments.drawing import chart, per_cent, pictures
from striate.lectures.experiments.perceptual.triplets import KINDS, Triplet
from striate.similarity.distortions import deform, displacement
from striate.similarity.stability import Stability
from striate.wording import percent

RESAMPLES = 2000
MARKS = ("o", "s", "^", "D", "v")


def by_crop(values: np.ndarray, crops: np.ndarray, seed: int) -> tuple[float, float, float]:
    """Mean of (N,) and 95 % interval, from crops drawn anew: the triplets of one crop are no independent witnesses."""
    means = np.array([values[crops == c].mean() for c in np.unique(crops)])
    drawn = np.random.default_rng(seed).integers(0, len(means), (RESAMPLES, len(means)))
    low, high = np.quantile(means[drawn].mean(1), (0.025, 0.975))
    return float(values.mean()), float(low), float(high)


def agreement_page(
    agreed: Mapping[str, np.ndarray], chosen: Sequence[Triplet], seed: int
) -> Finding:
    """How often each measure finds the smaller of two distortions, by the triplets (N,) of each."""
    kinds = np.array([t.kind for t in chosen])
    crops = np.array([t.crop for t in chosen])
    rows = {}
    for name, values in agreed.items():
        parts = {k: by_crop(values[kinds == k], crops[kinds == k], seed) for k in KINDS}
        rows[name] = {**parts, "all": by_crop(values, crops, seed)}
    best = max(rows, key=lambda n: rows[n]["all"][0])
    deep, blank, pixels = (
        rows["deep features"]["all"],
        rows["random weights"]["all"],
        rows["PSNR"]["all"],
    )
    verdict = (
        f"Of {len(chosen):,} pairs of distortions whose smaller one is known, features with ImageNet weights find it in "
        f"{percent(deep[0])} (95 % interval {percent(deep[1])} to {percent(deep[2])}), random weights in "
        f"{percent(blank[0])}, PSNR in {percent(pixels[0])}; best is {best} with {percent(rows[best]['all'][0])}."
    )
    with style():
        figure = new_figure(7.4, 4.2)
        axes = figure.subplots()
        labels = [*KINDS, "all"]
        at = np.arange(len(labels))[::-1].astype(float)
        for i, (name, parts) in enumerate(rows.items()):
            y = at + 0.3 - 0.15 * i
            value, low, high = np.array([parts[k] for k in labels]).T
            axes.hlines(y, low, high, color=CYCLE[i])
            axes.plot(value, y, MARKS[i], color=CYCLE[i], markersize=5, label=name)
        axes.axvline(0.5, color=GRID, linestyle=(0, (4, 3)), linewidth=1)
        axes.annotate("guessing", (0.5, 1.0), xycoords=("data", "axes fraction"), xytext=(4, -4),
                      textcoords="offset points", va="top", fontsize=8, color=GRID)  # fmt: skip
        axes.set_yticks(at, labels)
        axes.tick_params(axis="y", length=0)
        axes.set(title="How often the smaller distortion is found", ylim=(-0.6, len(labels) - 0.4))
        per_cent(axes.xaxis)
        axes.grid(axis="x")
        axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
        drawn = chart(
            figure, caption="With 95 % intervals from crops drawn anew.",
            alt="For each kind of distortion the share of pairs that five measures order rightly.",
        )  # fmt: skip
    shown = [
        [
            ("image", _picture(t.image)),
            ("nearer", _picture(t.nearer)),
            ("farther", _picture(t.farther)),
        ]
        for t in (next(t for t in chosen if t.kind == k) for k in KINDS)
    ]
    return Finding(
        name="agreement",
        title="Which of two distortions is the smaller?",
        verdict=verdict,
        status="note",
        tables=(
            Table(
                columns=("measure", *KINDS, "all", "from", "to"),
                rows=tuple((n, *(p[k][0] for k in KINDS), *p["all"]) for n, p in rows.items()),
                formats=("", *[".1%"] * (len(KINDS) + 3)),
                caption=f"{len(chosen) // len(KINDS)} pairs a kind, from {len(np.unique(crops))} pieces of two photographs. "
                "The truth is known by construction, not asked of people: it says which measure orders one distortion's "
                "strengths, not which looks at images as people do.",
            ),
        ),
        figures=(drawn, pictures(shown, names=list(KINDS), caption="One triplet of each kind.",
                                 alt="An image with its nearer and its farther distortion, a row a kind.")),
        data={
            name: {k: list(v) for k, v in parts.items()} for name, parts in rows.items()
        },
    )  # fmt: skip


def stability_page(stable: Mapping[str, Stability], images: Tensor, seed: int) -> Finding:
    """How far features move when an image of (N, 3, H, W) is bent, against noise that changes its pixels as much."""
    deep = stable["deep features"]
    layers = [n for n in deep.deformed if n != "pixels"]
    ratios = {
        name: {
            layer: (found.deformed[layer] / found.noisy[layer].clamp(min=1e-12))
            .log()
            .mean(0)
            .exp()
            .tolist()
            for layer in found.deformed
        }
        for name, found in stable.items()
    }
    two = deep.pixels.index(2.0)
    last = layers[-1]
    ratio = ratios["deep features"][last][two]
    blank = ratios["random weights"][list(stable["random weights"].deformed)[-1]][two]
    lowest = min(layers, key=lambda n: ratios["deep features"][n][two])
    verdict = (
        f"Bent by 2 pixels, an image moves {ratio:.2f} times as far in the last features ({last}) as by noise that "
        f"changes its pixels as much; the most forgiving layer is {lowest} with {ratios['deep features'][lowest][two]:.2f}, "
        f"and the last features of random weights have {blank:.2f}."
    )
    with style():
        figure = new_figure(8.6, 3.8)
        left, right = figure.subplots(1, 2)
        for kind, found, mark in (
            ("bent", deep.deformed, "o-"),
            ("equal noise", deep.noisy, "s--"),
        ):
            for i, layer in enumerate((layers[0], last)):
                left.plot(deep.pixels, found[layer].mean(0), mark, color=CYCLE[i], markersize=4,
                          label=f"{'first' if i == 0 else 'last'} features, {kind}")  # fmt: skip
        left.set(
            xscale="log",
            xlabel="displacement (pixels, root mean square)",
            title="How far features move",
        )
        per_cent(left.yaxis)
        for i, layer in enumerate(("pixels", *layers)):
            right.plot(deep.pixels, ratios["deep features"][layer], "o-", color=CYCLE[i % len(CYCLE)], markersize=4,
                       label=layer)  # fmt: skip
        right.axhline(1, color=GRID, linewidth=1)
        right.set(
            xscale="log",
            xlabel="displacement (pixels, root mean square)",
            title="Bent over equal noise",
        )
        for axes in (left, right):
            axes.set_xticks(list(deep.pixels), [f"{p:g}" for p in deep.pixels])
            axes.minorticks_off()
            axes.grid(axis="y")
            axes.legend(fontsize=7)
        drawn = chart(
            figure, caption="Left: the change of the features in their own length. Right: bent over equal noise, by layer; "
            "below 1 a layer forgives bending more than noise.",
            alt="Two charts against the size of a deformation.",
        )  # fmt: skip
    field = displacement(
        (images.shape[-2], images.shape[-1]), 1.0, torch.Generator().manual_seed(seed)
    )
    bent = [("image", _picture(images[0]))] + [
        (f"{p:g} px", _picture(deform(images[:1], field * p)[0])) for p in deep.pixels[2:]
    ]
    return Finding(
        name="stability",
        title="Stable to deformations",
        verdict=verdict,
        tables=(
            Table(
                columns=("layer", *(f"{p:g} px" for p in deep.pixels)),
                rows=tuple((n, *ratios["deep features"][n]) for n in deep.deformed),
                formats=("", *[".2f"] * len(deep.pixels)),
                caption="Features with ImageNet weights: the distance by bending over that by noise of equal pixel change, "
                f"geometric mean over {len(images)} images.",
            ),
        ),
        figures=(drawn, pictures([bent], caption="What the sizes look like.", alt="An image bent more and more.")),
        data={"pixels": list(deep.pixels), "ratio": ratios},
    )  # fmt: skip


def _picture(image: Tensor) -> np.ndarray:
    return image.clamp(0, 1).permute(1, 2, 0).numpy()
