"""The page of the 96 units."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from striate.figures import INK, new_figure, render, style
from striate.findings import Figure, Finding, Table
from striate.kernels import examine
from striate.lectures.experiments.alexnet.images import PHOTOGRAPHS
from striate.lectures.experiments.drawing import DPI
from striate.lectures.first_units import laid_out
from striate.statistics.intervals import wilson
from striate.wording import percent

COLOURED = 0.25  # share of a kernel's energy that is no grey, from which it counts as coloured
ORIENTED = 0.6  # of the orientation index from which a kernel counts as oriented


def units_page(kernels: Tensor, before: Tensor, right: Tensor, classes: int) -> Finding:
    """What the 96 kernels (96, 3, 11, 11) have become; right: which new views were named."""
    learned = examine(kernels)
    structured = ~learned.noisy & ~learned.empty
    colour, oriented = colour_of(kernels), orientation_of(kernels)
    rows, counts = [], {}
    half = len(kernels) // 2
    for name, part in (("first group", slice(0, half)), ("second group", slice(half, None))):
        s = structured[part]
        coloured, lined = (colour[part] > COLOURED) & s, (oriented[part] > ORIENTED) & s
        counts[name] = (int(s.sum()), int(lined.sum()), int(coloured.sum()))
        rows.append((name, half, *counts[name], float(colour[part].mean())))
    total = [sum(c[i] for c in counts.values()) for i in range(3)]
    low, high = wilson(right.sum().item(), len(right))
    share = float(right.double().mean())
    verdict = (
        f"Of the {len(kernels)} kernels of 11 x 11 pixels {total[0]} have a structure that chance does not give, {total[1]} "
        f"are oriented and {total[2]} coloured, learned from {classes} places of two photographs; new views of them are "
        f"named right in {percent(share)} ({100 * low:.1f}-{100 * high:.1f}; guessing {percent(1 / classes)})."
    )
    apart = abs(rows[0][-1] - rows[1][-1])
    verdict += (
        " One group is more coloured than the other, as in the paper."
        if apart > 0.2
        else " The two groups do not specialise into grey and colour as those of 2012 did, which saw 1.2 million images."
    )
    noise = examine(before)
    return Finding(
        name="alexnet-units",
        title="Get to know your units: 96 kernels of the first layer",
        verdict=verdict,
        tables=(
            Table(
                columns=("group", "units", "with structure", "oriented", "coloured", "energy that is colour"),
                rows=tuple(rows),
                formats=("", "d", "d", "d", "d", ".0%"),
                caption="Structure: fewer than 2 % of kernels with the same weights in random places have as much (before "
                f"learning: {int((~noise.noisy).sum())} of {len(before)}). Oriented: the spectrum's energy is on one axis "
                f"by {ORIENTED:g} or more (a grating: 1, a round blob: 0). Coloured: over {COLOURED:.0%} of it is no grey.",
            ),
        ),
        figures=(sheet(kernels),),
        data={
            "accuracy": {"value": share, "low": low, "high": high, "views": len(right)},
            "structured": structured.tolist(),
            "colour": [round(v, 3) for v in colour.tolist()],
            "orientation": [round(v, 3) for v in oriented.tolist()],
            "photographs": list(PHOTOGRAPHS),
        },
    )  # fmt: skip


def colour_of(kernels: Tensor) -> Tensor:
    """The share of each kernel's energy (U, 3, h, w) that is left when its mean over the colours is taken away: (U,)."""
    grey = kernels.mean(1, keepdim=True)
    return ((kernels - grey) ** 2).sum((1, 2, 3)) / (kernels**2).sum((1, 2, 3)).clamp(min=1e-20)


def orientation_of(kernels: Tensor) -> Tensor:
    """(N,) in [0, 1]: how much of the energy of each kernel (N, 3, KH, KW) lies along one axis of its spectrum, 1 for a
    grating, 0 for a round blob.

    The resultant of the angles of all frequencies but 0, doubled because an axis has no direction, weighted by energy.
    """
    n = kernels.shape[-1]
    energy = (torch.fft.fft2(kernels.double()).abs() ** 2).sum(1)
    fy, fx = torch.fft.fftfreq(n).double()[:, None], torch.fft.fftfreq(n).double()[None]
    energy = energy * ((fy**2 + fx**2) > 0)
    angle = 2 * torch.atan2(fy.expand(n, n), fx.expand(n, n))
    along = torch.complex((energy * angle.cos()).sum((1, 2)), (energy * angle.sin()).sum((1, 2)))
    return along.abs() / energy.sum((1, 2)).clamp(min=1e-20)


def sheet(kernels: Tensor) -> Figure:
    """All kernels (N, 3, KH, KW), the two groups one above the other as in the paper's figure 3; grey is 0, contrast
    each one's own.
    """
    half = len(kernels) // 2
    with style():
        figure = new_figure(7.4, 3.5)
        for axes, part, name in zip(
            figure.subplots(2, 1),
            (kernels[:half], kernels[half:]),
            ("first", "second"),
            strict=True,
        ):
            axes.imshow(laid_out(part).numpy(), interpolation="nearest")
            axes.axis("off")
            axes.set_title(f"{name} group", fontsize=9, fontweight="normal", color=INK)
        return render(
            figure,
            caption="The 96 kernels of the first layer, 11 x 11 pixels in three colours, 48 a group as in figure 3 of "
            "Krizhevsky et al. 2012; each is scaled to its largest weight, and grey is 0.",
            alt="96 small tiles: edges at many angles, and blobs of colour",
            png=True,
            dpi=DPI,
        )


def shown(crop: Tensor) -> np.ndarray:
    """A standardised crop (3, h, w) as pixels: its own range from black to white."""
    low, high = crop.min(), crop.max()
    return ((crop - low) / (high - low).clamp(min=1e-9)).permute(1, 2, 0).numpy()
