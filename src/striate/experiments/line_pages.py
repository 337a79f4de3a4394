"""The pages of the line experiment: sentences, tables and figures from its numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from striate.errors import StriateError
from striate.experiments.drawing import pictures
from striate.experiments.line_figures import (
    draw_kernels,
    draw_spectra,
    draw_starts,
    draw_tuning,
    draw_waves,
)
from striate.experiments.line_images import WAVES, waved, wide_lines
from striate.experiments.line_network import LineNetwork
from striate.experiments.line_spectra import Reader, energies
from striate.findings import Finding, Table
from striate.robustness.intervals import percent, wilson
from striate.units import Network, Probe, tune_unit
from striate.units.tuning import UnitTuning

if TYPE_CHECKING:
    from striate.experiments.lines import Cell, Sizes, Trained

LECTURE_ERRORS, LECTURE_TESTS = 3, 10_000
LECTURE_W = ((2.83, -2.36), (-0.60, 1.14))
NAMES = ("vertical", "horizontal")
SHOWN = (2.0, 3.0, 4.0, 6.0, 8.0, 16.0)  # periods in the table; the figure has all
TURNED = 0.05  # share right, up to which a wave has turned the answers round
SHORT = 8  # pixels: of longer waves a line of 16 pixels has no two cycles


def training_page(trained: Trained, sizes: Sizes) -> Finding:
    """How many of the test lines are missed, and what other starts would have missed."""
    n = len(trained.labels)
    wrong = (trained.said != trained.labels).nonzero()[:, 0].tolist()
    low, high = wilson(n - len(wrong), n)
    chosen = [*range(6)]
    rows = [[(NAMES[int(trained.said[i])], trained.images[i, 0].numpy()) for i in chosen]]
    names = ["test lines\nand answers"]
    if wrong:
        rows.append(
            [(f"“{NAMES[int(trained.said[i])]}”", trained.images[i, 0].numpy()) for i in wrong[:6]]
        )
        names.append("missed")
    others = sorted(e for s, e in enumerate(trained.errors) if s != trained.kept)
    verdict = (
        f"Misses {len(wrong):,} of {n:,} unseen images (the lecture's network: {LECTURE_ERRORS} of {LECTURE_TESTS:,}), "
        f"after {sizes.epochs} passes over {sizes.train:,} images; it is the one of {sizes.starts} starts with the lowest "
        "loss on the images it learned from"
    )
    verdict += f", the others miss {others[0]:,} to {others[-1]:,}." if others else "."
    table = Table(
        columns=("class", "images", "missed"),
        rows=tuple(
            (
                name,
                int((trained.labels == k).sum()),
                sum(int(trained.labels[i]) == k for i in wrong),
            )
            for k, name in enumerate(NAMES)
        ),
        formats=("", ",", ","),
        caption="Test images, two to six lines each, a quarter to all of the side long.",
    )
    return Finding(
        name="lines-training",
        title="Training and evaluation",
        verdict=verdict,
        status="good" if len(wrong) <= 0.002 * n else "warning",
        tables=(table,),
        figures=(
            pictures(
                rows,
                names=names,
                caption="Unseen lines with the network's answers"
                + ("; below, what it misses." if wrong else "."),
                alt=f"Six test images{' and the missed ones' if wrong else ''}.",
            ),
            draw_starts(trained.losses, trained.errors, trained.kept),
        ),
        data={
            "key_figure": {
                "value": 1 - len(wrong) / n,
                "low": low,
                "high": high,
                "label": "of unseen lines right",
                "baseline": 0.5,
                "baseline_label": "guessing",
            },
            "errors": len(wrong),
            "images": n,
            "losses": trained.losses,
            "errors_of_starts": trained.errors,
            "kept": trained.kept,
            "lecture": LECTURE_ERRORS,
        },
    )


def tuning_of(network: LineNetwork, side: int) -> list[UnitTuning] | None:
    """Each kernel's tuning to gratings; None where its weights cannot be measured so."""
    try:
        seen = Network(network, (1, 1, side, side))
        probe = Probe(seen, seen.layers[0])
        return [tune_unit(probe, k) for k in range(len(network.kernels))]
    except StriateError:
        return None


def network_page(network: LineNetwork, images: Tensor, labels: Tensor) -> Finding:
    """The learned kernels, their tuning, their maps of one line of each class, and W."""
    votes = network.votes.tolist()
    side = images.shape[-1]
    with torch.inference_mode():
        maps = network.relu(network.conv(images))
    means = torch.stack([maps.mean((2, 3))[labels == k].mean(0) for k in (0, 1)])  # (class, kernel)
    prefer = [int(means[:, k].argmax()) for k in range(2)]
    tuned = tuning_of(network, side)
    said = [
        f"kernel {k + 1} answers {means[prefer[k], k] / means[1 - prefer[k], k].clamp(min=1e-9):.1f} times as much to "
        f"{NAMES[prefer[k]]} lines and votes for {NAMES[0 if votes[k] > 0 else 1]}"
        for k in range(2)
    ]
    split = votes[0] * votes[1] < 0
    verdict = "; ".join(said).capitalize()
    verdict += (
        ": one kernel for each class, as W in the lecture has it."
        if split
        else ": both vote the same way, unlike in the lecture, where W gives each class a kernel."
    )
    W = network.linear.weight.detach()
    rows = [
        (
            f"kernel {k + 1}",
            float(means[0, k]),
            float(means[1, k]),
            float(W[0, k]),
            float(W[1, k]),
            tuned[k].orientation if tuned and tuned[k].driven else None,
        )
        for k in range(2)
    ]
    both = [int((labels == k).nonzero()[0]) for k in (0, 1)]
    top = float(maps[both].max())
    pair = [
        [
            (NAMES[k], images[i, 0].numpy()),
            *((f"map of kernel {j + 1}", (maps[i, j] / top).numpy()) for j in range(2)),
        ]
        for k, i in enumerate(both)
    ]
    figures = [
        draw_kernels(network.kernels.numpy(), W.numpy(), votes),
        pictures(
            pair,
            side=1.7,
            caption="A test image of each class and what is left of it behind each kernel and the ReLU; the mean "
            "of a map is all that the answer sees.",
            alt="Two images with two maps each.",
        ),
    ]
    if tuned is not None:
        figures.append(draw_tuning(tuned))
    return Finding(
        name="lines-network",
        title="Inside: two kernels and W",
        verdict=verdict,
        status="good" if split else "note",
        tables=(
            Table(
                columns=(
                    "",
                    "mean on vertical",
                    "mean on horizontal",
                    "W, vertical",
                    "W, horizontal",
                    "best grating",
                ),
                rows=tuple(rows),
                formats=("", ".4f", ".4f", "+.2f", "+.2f", ".0f"),
                caption="Mean of the map over the test images of each class; W, whose smaller row wins, since "
                "the lecture's softmax "
                f"is exp(-tau z) (its W: {LECTURE_W[0][0]:g}, {LECTURE_W[0][1]:g} and {LECTURE_W[1][0]:g}, "
                f"{LECTURE_W[1][1]:g}); "
                "stripes of the best grating in degrees, 0 horizontal, 90 vertical.",
            ),
        ),
        figures=tuple(figures),
        data={
            "kernels": network.kernels.tolist(),
            "W": W.tolist(),
            "votes": votes,
            "means": means.tolist(),
            "split": split,
        },
    )


def domain_page(strange: Mapping[str, tuple[Tensor, Tensor, Tensor]]) -> Finding:
    """Lines that no training image showed."""
    rows, shown, shares = [], [], {}
    for kind, (images, labels, said) in strange.items():
        right = int((said == labels).sum())
        low, high = wilson(right, len(labels))
        shares[kind] = right / len(labels)
        rows.append((f"{kind} lines", len(labels), len(labels) - right, shares[kind], low, high))
        for k in (0, 1):
            i = int((labels == k).nonzero()[0])
            mark = "right" if int(said[i]) == k else f"“{NAMES[int(said[i])]}”"
            shown.append((k, (f"{kind}: {mark}", images[i, 0].numpy())))
    worst, best = min(shares, key=shares.__getitem__), max(shares.values())
    least = shares[worst]
    missed = sum(int(r[2]) for r in rows)
    verdict = (
        f"All {sum(int(r[1]) for r in rows):,} strange lines are right, as in the lecture."
        if not missed
        else f"Strange lines are {percent(least)} to {percent(best)} right, the {worst} ones least; the "
        "lecture finds all right."
    )
    return Finding(
        name="lines-domains",
        title="Lines out of domain",
        verdict=verdict,
        status="good" if least >= 0.98 else "note" if least >= 0.9 else "warning",
        tables=(
            Table(
                columns=("kind", "images", "missed", "right", "from", "to"),
                rows=tuple(rows),
                formats=("", ",", ",", ".1%", ".1%", ".1%"),
                caption="With 95 % intervals. Thicker: three to five pixels; thinner: half as bright, as half "
                "a pixel is; shorter: "
                "an eighth to a fifth of the side; noisy: normal noise of 0.15; curved: bent by up to an "
                "eighth of the side.",
            ),
        ),
        figures=(
            pictures(
                [[p for k, p in shown if k == row] for row in (0, 1)],
                names=NAMES,
                caption="One line image of each kind and class, with whether the network is right about it.",
                alt="Ten images of strange lines.",
            ),
        ),
        data={"right": shares, "missed": missed},
    )


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


def lecture_page(pages: Sequence[Finding]) -> Finding:
    """What the lecture found against what was found here."""
    by = {p.name: p.data for p in pages}
    errors, n = by["lines-training"]["errors"], by["lines-training"]["images"]
    right = by["lines-domains"]["right"]
    missed = by["lines-domains"]["missed"]
    waves = by["lines-waves"]
    thin, wide = waves["worst_thin_raised"], waves["worst_wide_raised"]
    turned, cases = waves["turned_by_pure"]
    agree = by["lines-spectra"]["agree"]

    def word(held: bool, partly: bool = False) -> str:
        return "yes" if held else "in part" if partly else "no"

    rows = (
        (
            "Training and evaluation",
            "3 of 10,000 misclassified",
            f"{errors:,} of {n:,}",
            word(errors / n <= 0.002),
        ),
        (
            "Visualise and understand",
            "each class has its kernel, by W",
            "so here" if by["lines-network"]["split"] else "both kernels vote alike",
            word(by["lines-network"]["split"]),
        ),
        (
            "Out of domain",
            "classified correctly",
            f"{percent(min(right.values()))} to {percent(max(right.values()))} right, {missed:,} missed",
            word(not missed, min(right.values()) >= 0.95),
        ),
        (
            "Vulnerability: a pure sinusoid",
            "all lines misclassified",
            f"at most {percent(TURNED)} right in {turned} of {cases} cases of widths and periods up to {SHORT} px",
            word(turned == cases, turned > cases / 2),
        ),
        (
            "Vulnerability: half the light stays",
            "not told apart from a pure one",
            f"{thin['width']} px lines {percent(thin['right'])} right at worst, {wide['width']} px lines "
            f"{percent(wide['right'])}",
            "–",
        ),
        (
            "Why",
            "a wave moves spectral content",
            f"spectra alone give {percent(agree)} of the answers",
            word(agree >= 0.9, agree >= 0.75),
        ),
    )
    held = sum(r[3] == "yes" for r in rows)
    judged = sum(r[3] != "–" for r in rows)
    departs = [r[0] for r in rows if r[3] in ("no", "in part")]
    verdict = f"{held} of {judged} of the lecture's statements hold here as they stand"
    verdict += f"; not quite: {', '.join(departs).lower()}. " if departs else ". "
    if thin["right"] >= 0.9:
        verdict += (
            "“All lines with sinusoidal texture are misclassified” does not hold for thin lines under a wave "
            "that can be seen as an image: half of their light stays where it was."
        )
    return Finding(
        name="lines-lecture",
        title="Against the lecture",
        verdict=verdict.strip(),
        status="good" if held == judged else "note",
        tables=(
            Table(
                columns=("step", "lecture", "here", "holds"),
                rows=rows,
                caption="Seed 003, “Analysis to run when training a large system”.",
            ),
        ),
        data={"rows": [list(r) for r in rows], "held": held},
    )
