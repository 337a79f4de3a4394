"""The pages of the line experiment on waves, and on what explains them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from striate.findings import Finding, Table
from striate.lectures.experiments.drawing import pictures
from striate.lectures.experiments.lines.figures import (
    draw_spectra,
    draw_waves,
)
from striate.lectures.experiments.lines.images import WAVES, waved, wide_lines
from striate.lectures.experiments.lines.network import NAMES, LineNetwork
from striate.lectures.experiments.lines.spectra import Reader, energies
from striate.wording import percent

if TYPE_CHECKING:
    from striate.lectures.experiments.lines.run import Cell, Sizes

SHOWN = (2.0, 3.0, 4.0, 6.0, 8.0, 16.0)  # periods in the table; the figure has all
TURNED = 0.05  # share right, up to which a wave has turned the answers round
SHORT = 8  # pixels: of longer waves a line of 16 pixels has no two cycles


def find_cell(cells: Sequence[Cell], width: int, wave: str, period: float) -> Cell:
    """The cell of a condition."""
    return next(c for c in cells if (c.width, c.wave, c.period) == (width, wave, period))


def worst_of(cells: Sequence[Cell], width: int, wave: str) -> Cell:
    """The period that leaves least right."""
    return min((c for c in cells if (c.width, c.wave) == (width, wave)), key=lambda c: c.right)


def wave_page(cells: Sequence[Cell], sizes: Sizes) -> Finding:
    """Accuracy against the wave's period and the lines' width, for the wave that can be seen and the pure one."""
    thin, wide = sizes.widths[0], sizes.widths[-1]
    a, b, pure = (
        worst_of(cells, thin, "raised"),
        worst_of(cells, wide, "raised"),
        worst_of(cells, thin, "pure"),
    )
    unwaved = find_cell(cells, wide, "none", 0.0)
    short = [c for c in cells if c.wave == "pure" and c.period <= SHORT]
    turned = sum(c.right <= TURNED for c in short)
    few = [p for p in sizes.periods if p in SHOWN] or list(sizes.periods)
    at_worst = "at every period" if a.right == 1 else f"at its worst period ({a.period:g} pixels)"
    first = f"A wave that keeps half of the light leaves lines of {thin} pixel {percent(a.right)} right {at_worst}"
    second = (
        f"lines of {wide} pixels {percent(b.right)} ({percent(b.vertical)} of vertical, "
        f"{percent(b.horizontal)} of horizontal ones, at "
        f"{b.period:g} pixels; {percent(unwaved.right)} without a wave)"
    )
    third = (
        f"A pure sinusoid, from -1 to 1, leaves at most {percent(TURNED)} right in {turned} of {len(short)} "
        f"cases of up to {SHORT} pixels' period "
        f"({percent(pure.right)} for lines of {thin} pixel at {pure.period:g})"
    )
    x, y = wide_lines(wide, 2, size=sizes.side, seed=7)
    thin_x, thin_y = wide_lines(thin, 2, size=sizes.side, seed=7)
    show = [
        [
            (f"{wide} px, plain", x[0]),
            (f"raised, {b.period:g} px", waved(x, y, period=b.period, wave="raised")[0, 0].numpy()),
            (f"pure, {b.period:g} px", waved(x, y, period=b.period, wave="pure")[0, 0].numpy()),
            (f"{thin} px, plain", thin_x[0]),
            (
                f"raised, {a.period:g} px",
                waved(thin_x, thin_y, period=a.period, wave="raised")[0, 0].numpy(),
            ),
            (
                f"pure, {pure.period:g} px",
                waved(thin_x, thin_y, period=pure.period, wave="pure")[0, 0].numpy(),
            ),
        ]
    ]
    return Finding(
        name="lines-waves",
        title="The vulnerability: a wave along the line",
        verdict=f"{first}, {second}. {third}.",
        status="warning",
        advice="Train with waved lines too, or give the network kernels that see several widths: it knows "
        "lines by their fine "
        "detail across, and a wave puts fine detail along them.",
        tables=(
            Table(
                columns=("wave", "lines", "none", *(f"{p:g} px" for p in few)),
                rows=tuple(
                    (
                        wave,
                        f"{w} px",
                        find_cell(cells, w, "none", 0.0).right,
                        *(find_cell(cells, w, wave, p).right for p in few),
                    )
                    for wave in WAVES
                    for w in sizes.widths
                ),
                formats=("", "", *[".0%"] * (1 + len(few))),
                caption=f"Share right, by the wave's period, of {sizes.waved} images each. Raised: "
                f"{WAVES['raised']}. Pure: {WAVES['pure']}.",
            ),
        ),
        figures=(
            pictures(
                show,
                limits=(-1.0, 1.0),
                side=1.45,
                caption="Vertical lines with waves; grey is 0, white 1, black -1.",
                alt="Six images of vertical lines.",
            ),
            draw_waves(cells, sizes.widths, sizes.periods),
        ),
        data={
            "cells": [vars(c) for c in cells],
            "worst_thin_raised": vars(a),
            "worst_wide_raised": vars(b),
            "worst_thin_pure": vars(pure),
            "turned_by_pure": [turned, len(short)],
        },
    )


def spectrum_page(
    network: LineNetwork, reader: Reader, cells: Sequence[Cell], sizes: Sizes
) -> Finding:
    """What of plain and waved lines the kernels' spectra let through, and how often that alone gives the answer."""
    wide, thin = sizes.widths[-1], sizes.widths[0]
    # The finest wave moves a line to the very border of the spectrum, where it cannot be seen: take one inside.
    inside = [c for c in cells if c.period >= min(3.0, max(sizes.periods))]
    period = worst_of(inside, wide, "raised").period
    rows = []
    ratios = {}
    for width in (thin, wide):
        images, labels = wide_lines(width, sizes.waved, size=sizes.side, seed=7)
        for wave in ("none", *WAVES):
            x = (
                torch.from_numpy(images)[:, None]
                if wave == "none"
                else waved(images, labels, period=period, wave=wave)
            )
            vertical = torch.from_numpy(labels) == 0
            through = energies(network.kernels, x[vertical]).mean(0)
            own, other = float(through[reader.vertical]), float(through[1 - reader.vertical])
            ratios[width, wave] = float(reader.ratio(x[vertical]).mean()) - reader.border
            name = "plain" if wave == "none" else f"{wave} wave, {period:g} px"
            rows.append(
                (
                    f"{width} px, {name}",
                    own,
                    other,
                    own / max(other, 1e-9),
                    NAMES[int(ratios[width, wave] <= 0)],
                )
            )
    agree = sum(c.explained for c in cells) / len(cells)
    conditions = sum(c.explained >= 0.9 for c in cells)
    a, b = rows[3], rows[4]
    verdict = (
        f"The kernel for vertical lets {a[3]:.2g} times the other's energy of {wide}-pixel vertical lines "
        f"through, and {b[3]:.2g} times once "
        f"a wave of {period:g} pixels lies on them. Read off the spectra alone, without ReLU and W, the answer "
        f"is the network's for {percent(agree)} "
        f"of the images ({conditions} of {len(cells)} conditions agree on nine of ten)."
    )
    return Finding(
        name="lines-spectra",
        title="Why: the kernels' spectra",
        verdict=verdict,
        status="good" if agree >= 0.8 else "note",
        tables=(
            Table(
                columns=(
                    "vertical lines",
                    "kernel for vertical",
                    "kernel for horizontal",
                    "ratio",
                    "spectra say",
                ),
                rows=tuple(rows),
                formats=("", ",.0f", ",.0f", ".3g", ""),
                caption="Mean energy that each kernel lets through of vertical lines (sum over frequencies of "
                "both squared spectra). The "
                f"spectra say vertical above a ratio of {float(torch.tensor(reader.border).exp()):.2f}, midway "
                "between the plain lines of both classes.",
            ),
        ),
        figures=(draw_spectra(network.kernels, reader.vertical, wide, period, sizes.side),),
        data={
            "agree": agree,
            "border": reader.border,
            "period": period,
            "rows": [list(r) for r in rows],
            "conditions_explained": [conditions, len(cells)],
        },
    )
