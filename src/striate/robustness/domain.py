"""Out of distribution: other images against the network's own test images."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from striate.errors import DataError
from striate.figures import BLUE, VERMILLION, new_figure, render, style
from striate.findings import Figure, Finding, Table
from striate.robustness.chart import as_percent
from striate.robustness.context import Context
from striate.robustness.lines import KINDS, lines
from striate.robustness.separation import (
    auroc,
    energy,
    features_of,
    frechet,
    maximum_softmax,
    nearest,
)  # fmt: skip
from striate.statistics.intervals import wilson
from striate.wording import percent

MOST = 1000
SEPARATES = 0.8  # AUROC from which on a limit on a score is worth setting


@dataclass(frozen=True, eq=False)
class Domain:
    """Images of another domain (N, C, H, W), float in [0, 1] or uint8, with labels (N,), or None where they have none."""

    images: Tensor
    labels: Tensor | None = None


def domain(context: Context, others: Mapping[str, Domain] | None = None) -> Finding:
    """Accuracy on other images if they have labels, mean confidence, distance in feature space, and how well scores
    separate them.

    others: name -> Domain; out-of-distribution images made from the seed if not given: noise, shuffled patches, inverted
    images, lines.
    """
    started = time.perf_counter()
    made = others is None
    others = out_of_distribution(context) if others is None else others
    own = context.take(MOST)
    features = features_of(context.model, own.images)
    own_softmax, own_energy = maximum_softmax(own.clean / context.temperature), energy(own.clean)
    own_near = nearest(features, features, leave_out=True)
    own_confidence = float(own_softmax.exp().mean())
    rows: list[Any] = []
    best_of, labelled, missing, spreads = [], [], [], {}
    for name, other in others.items():
        images = other.images.float() / 255 if other.images.dtype == torch.uint8 else other.images
        if not len(images):
            raise DataError(f"{name} has no images; give others with --against")
        logits = context.logits(images)
        theirs = features_of(context.model, images)
        softmax = maximum_softmax(logits / context.temperature)
        spreads[name] = softmax.exp().numpy()
        scores = (
            auroc(own_softmax, softmax), auroc(own_energy, energy(logits)), auroc(own_near, nearest(features, theirs)),
        )  # fmt: skip
        accuracy = None
        if other.labels is not None:
            is_correct = (logits.argmax(1) == other.labels).float()
            accuracy = float(is_correct.mean())
            labelled.append(
                (name, accuracy, wilson(is_correct.sum(), len(is_correct)), len(is_correct))
            )
            absent = set(range(len(context.classes))) - set(other.labels.tolist())
            if absent:
                missing.append((name, [context.classes[c] for c in sorted(absent)]))
        rows.append(
            (
                name,
                len(images),
                accuracy,
                float(softmax.exp().mean()),
                frechet(features, theirs),
                *scores,
            )
        )
        best_of.append(max(scores))
    names = ("maximum softmax", "energy", "nearest neighbours")
    table = np.array([r[5:] for r in rows], float)
    best = int(table.mean(0).argmax())
    hard = min(rows, key=lambda r: float(r[5 + best]))
    confident = max(rows, key=lambda r: r[3])
    if labelled:
        name, accuracy, (low, high), n = min(labelled, key=lambda x: x[1])
        verdict = (
            f"Right on {percent(accuracy)} of {n:,} images of {name} (95 % interval {percent(low)} to {percent(high)}), "
            f"against {percent(context.accuracy)} of its own test images; the best score to notice them is {names[best]} "
            f"(AUROC {hard[5 + best]:.2f})."
        )
        if missing:
            verdict = f"{verdict[:-1]}; {missing[0][0]} holds no {', '.join(missing[0][1][:5])}."
        weak = accuracy < context.accuracy - 0.1 and high < context.accuracy
    else:
        kind = "made up of noise, patches and lines" if made else "without labels"
        least = float(hard[5 + best])
        verdict = (
            f"On images {kind} its mean confidence is up to {percent(float(confident[3]))} ({confident[0]}; its own images: "
            f"{percent(own_confidence)}); "
        )
        weak = least < SEPARATES
        verdict += (
            f"no score separates all of them from its own: the best, {names[best]}, has AUROC {least:.2f} on {hard[0]} "
            "(0.50 is chance)."
            if weak
            else f"{names[best]} separates them from its own best, with AUROC {least:.2f} or more ({hard[0]})."
        )
    advice = (
        "Collect labelled images of that kind and train with them; until then reject what this score calls strange."
        if weak
        else f"To reject out-of-distribution images, set a limit on {names[best]}."
    )
    if made:
        advice += " Try images of yours with `striate probe RUN domain --against FOLDER`."
    return Finding(
        name="probe-domain",
        title="Images of another domain",
        verdict=verdict,
        status="warning" if weak else "note",
        advice=advice,
        tables=(
            Table(
                columns=("images", "how many", "accuracy", "confidence", "feature distance", *[f"AUROC {n}" for n in names]),
                rows=(("its own", len(own), context.accuracy, own_confidence, 0.0, None, None, None), *rows),
                formats=("", ",", ".1%", ".1%", ".2f", ".2f", ".2f", ".2f"),
                caption="Feature distance: Frechet, in its own images' variance. AUROC: the chance that an image of its "
                "own scores above one of the others; 0.5 is chance.",
            ),
        ),
        figures=(_confidences(own_softmax.exp().numpy(), spreads),),
        data={
            "own": {"accuracy": context.accuracy, "confidence": own_confidence, "images": len(own)},
            "others": {
                str(r[0]): dict(
                    zip(("images", "accuracy", "confidence", "distance", "softmax", "energy", "nearest"), r[1:], strict=True)
                )
                for r in rows
            },
            "missing": dict(missing),
            "made": made,
        },
        seed=context.seed,
        seconds=time.perf_counter() - started,
    )  # fmt: skip


def out_of_distribution(context: Context, count: int = 256) -> dict[str, Domain]:
    """Images that hold none of the classes, of the context's size, from its seed: noise, patches, inverted, lines."""
    some = context.take(count).images
    n, c, h, w = some.shape
    g = context.generator(900)
    drawn, _ = lines("plain", n, size=max(8, h, w), seed=context.seed)
    parts = 4 if min(h, w) >= 16 else 2
    ph, pw = h // parts, w // parts
    cut = some[..., : ph * parts, : pw * parts]
    tiles = cut.unfold(2, ph, ph).unfold(3, pw, pw).flatten(2, 3)  # (N, C, parts^2, ph, pw)
    mixed = torch.stack([t[:, torch.randperm(parts**2, generator=g)] for t in tiles])
    mixed = (
        mixed.unflatten(2, (parts, parts))
        .permute(0, 1, 2, 4, 3, 5)
        .reshape(n, c, ph * parts, pw * parts)
    )
    patches = some.clone()
    patches[..., : ph * parts, : pw * parts] = mixed
    return {
        "noise": Domain(torch.rand(some.shape, generator=g)),
        "shuffled patches": Domain(patches),
        "inverted": Domain(1 - some),
        "lines": Domain(torch.from_numpy(drawn)[:, None, :h, :w].expand(n, c, h, w).contiguous()),
    }


def line_domains(count: int, *, size: int, channels: int = 1, seed: int = 0) -> dict[str, Domain]:
    """The lines of lecture 003 that no network trained on plain ones has seen, labelled; all kinds but the plain one."""
    domains = {}
    for kind in KINDS[1:]:
        images, labels = lines(kind, count, size=size, seed=seed)
        batch = torch.from_numpy(images)[:, None].expand(-1, channels, -1, -1).contiguous()
        domains[f"{kind} lines"] = Domain(batch, torch.from_numpy(labels))
    return domains


def _confidences(own: np.ndarray, others: Mapping[str, np.ndarray]) -> Figure:
    """Confidence of each domain as a box from quartile to quartile with its median."""
    with style():
        figure = new_figure(6.4, 1.2 + 0.36 * (1 + len(others)))
        axes = figure.subplots()
        groups = {"its own": own, **others}
        for i, (_, values) in enumerate(groups.items()):
            y = len(groups) - 1 - i
            low, q1, middle, q3, high = np.quantile(values, (0.05, 0.25, 0.5, 0.75, 0.95))
            colour = BLUE if i == 0 else VERMILLION
            axes.hlines(y, low, high, color=colour, linewidth=1.2)
            axes.hlines(y, q1, q3, color=colour, linewidth=9, alpha=0.45)
            axes.plot([middle], [y], "o", color=colour, markersize=6, clip_on=False)
        axes.set_yticks(range(len(groups))[::-1], list(groups))
        axes.tick_params(axis="y", length=0)
        axes.set(xlim=(0, 1.01), xlabel="confidence (maximum softmax)", title="Confidence")
        as_percent(axes.xaxis)
        axes.grid(axis="x")
        return render(
            figure,
            caption="Median, middle half and middle 90 % of its confidence on each kind of image. Other images should lie "
            "to the left of its own.",
            alt=f"Confidence on its own images and {len(others)} others.",
        )
