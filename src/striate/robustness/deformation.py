"""Deformation: images bent smoothly by a few pixels: the score, and in which layer the network becomes stable to it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from striate.errors import GeometryError, UsageError
from striate.findings import Finding, Table
from striate.robustness.chart import curves
from striate.robustness.context import Context
from striate.robustness.sweep import Level, Row, swept
from striate.similarity import Comparer
from striate.similarity.distortions import deform, displacement
from striate.similarity.stability import Stability, stability
from striate.statistics.intervals import wilson

SHARES = (0.01, 0.02, 0.04, 0.08)  # root mean square displacement over the shorter side
TABLED = 1  # of SHARES, for the table of layers
COMMON = 0.02  # up to here objects look as others of their kind do
FIELDS = 16  # deformations drawn; every sixteenth image shares one
IMAGES = 32  # whose layers are compared


def sizes_of(side: int) -> list[float]:
    """Displacements in pixels, root mean square, for images of a shorter side of `side` pixels."""
    return [round(share * side, 2) for share in SHARES]


def deformation(context: Context) -> Finding:
    """Score against the size of a smooth random deformation, and each layer's change against that by equal noise.

    Stability to small deformations is what convolution and pooling are said to give (Mallat 2012; lecture 003).
    """
    levels = []
    height, width = context.images.shape[-2:]
    for share, size in zip(SHARES, sizes_of(context.side), strict=True):
        bent = torch.empty_like(context.images)
        for i in range(FIELDS):
            field = displacement((height, width), size, context.generator(1000 + i))
            bent[i::FIELDS] = deform(context.images[i::FIELDS], field).clamp(0, 1)
        logits = context.logits(bent, note=f"deformation {size:g} px")
        evidence = context.metric.evidence(logits, context.targets)
        same = float((logits.argmax(1) == context.predictions).float().mean())
        levels.append(
            Level(f"{size:g} px", f"at {size:g} px of deformation", share <= COMMON, (evidence,), same)
        )  # fmt: skip
    return _with_layers(context, levels)


def _with_layers(context: Context, levels: list[Level]) -> Finding:
    sizes = sizes_of(context.side)
    try:
        comparer = Comparer(context.model, (1, *context.images.shape[1:]))
    except (GeometryError, UsageError):  # no maps, or none that can be traced
        table: tuple[Table, ...] = ()
        data = {}
    else:
        found = stability(comparer, context.images[:IMAGES], sizes, seed=context.seed)
        table = (layer_table(found),)
        data = {"layers": layer_numbers(found)}

    def figures(rows: list[Row]) -> tuple:  # type: ignore[type-arg]
        bands = [wilson(row.score * len(context), len(context)) for row in rows]
        return (
            curves(
                sizes, {context.metric.name: [row.score for row in rows]}, bands={context.metric.name: bands},
                xlabel="displacement (pixels, root mean square)", title="Accuracy on bent images",
                caption="With 95 % intervals.", alt="Accuracy against the size of a smooth deformation.",
                chance=1 / len(context.classes), xlog=True, ticks=[f"{s:g}" for s in sizes],
            ),
        )  # fmt: skip

    made = swept(
        context, "deformation", "Bent images", levels, figures=figures,  # type: ignore[arg-type]
        advice=lambda worst: "Train with rotations and crops, the large part of a small deformation "
        "(`--set rotate=10 --set scale=0.8`), or bend the training images by an augmentation of your own (docs/extend.md).",
        data=data,
    )  # fmt: skip
    return replace(made, tables=(*made.tables, *table))


def layer_numbers(found: Stability) -> dict[str, dict[str, list[float]]]:
    """{layer: {"deformed": mean over images for each size, "noisy": the same}}."""
    return {
        name: {
            "deformed": found.deformed[name].mean(0).tolist(),
            "noisy": found.noisy[name].mean(0).tolist(),
        }
        for name in found.deformed
    }


def layer_table(found: Stability) -> Table:
    """How far each layer moves by a common deformation, and by noise that changes the pixels as much."""
    rows = []
    for name in found.deformed:
        bent, noisy = found.deformed[name][:, TABLED], found.noisy[name][:, TABLED]
        ratio = float(
            np.exp(np.mean(np.log((bent / noisy.clamp(min=1e-12)).clamp(min=1e-12).numpy())))
        )
        rows.append((name.removeprefix("model."), float(bent.mean()), float(noisy.mean()), ratio))
    return Table(
        columns=("layer", "moved by bending", "by equal noise", "ratio"),
        rows=tuple(rows),
        formats=("", ".1%", ".1%", ".2f"),
        caption=f"How far features move, in their length, when images are bent by {found.pixels[TABLED]:g} pixels, and by "
        "white noise that changes the pixels as much. A ratio below 1: the layer forgives bending more than noise.",
    )
