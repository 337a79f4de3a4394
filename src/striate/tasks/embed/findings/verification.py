"""Whether two images are of one identity: similarities of both kinds of pair, the ROC, and what the threshold costs."""

from __future__ import annotations

import numpy as np

from striate.figures import BLUE, GRID, INK, VERMILLION, new_figure, render, style
from striate.findings import Cell, Figure, Finding, Status, Table
from striate.statistics.clusters import Share
from striate.tasks.embed.evaluation.curve import Curve
from striate.tasks.embed.evaluation.verification import Rates, rates_at
from striate.tasks.embed.findings.held import Held, written
from striate.wording import percent

BINS = 80
UNSURE = 3.0  # times the rate that was asked for: where the interval reaches further, nothing is known of the promise


def verification(held: Held) -> Finding:
    """Both error rates at the threshold, with the interval over identities and, beside it, Wilson's over pairs."""
    curve = held.curve
    threshold, origin = held.in_use
    rates = rates_at(held.embedded, threshold)
    stated = held.threshold
    asked = f", chosen for {percent(stated.rate)} false accepts" if stated is not None else ""
    off = stated is not None and not rates.far.low <= stated.rate <= rates.far.high
    # A wide interval holds the rate that was asked for whatever the truth is: that is no praise.
    unsure = stated is not None and not off and rates.far.high > UNSURE * stated.rate
    status: Status = "warning" if off or unsure else "note" if stated is None else "good"
    if off:
        advice = (
            "These identities are taken for others more or less often than the threshold promises: choose it on images of "
            "your own, `striate gallery enrol --far`."
        )
    elif unsure:
        advice = (
            "These identities are too few to tell whether the threshold keeps its promise: test on more identities, or "
            "choose it on images of your own, `striate gallery enrol --far`."
        )
    else:
        advice = ""
    return Finding(
        name="verification",
        title="Whether two images are of one identity",
        verdict=(
            f"From a similarity of {written(threshold)} on{asked}, it accepts {percent(rates.tar.value)} of pairs of one "
            f"identity (95 % interval over identities {percent(rates.tar.low)} to {percent(rates.tar.high)}) and "
            f"{percent(rates.far.value, 2)} of pairs of different ones ({percent(rates.far.low, 2)} to "
            f"{percent(rates.far.high, 2)})."
        ),
        status=status,
        advice=advice,
        tables=(
            Table(
                columns=("pairs", "number", "accepted", "rate", "95 % over identities", "95 % by pairs", "independent"),
                rows=(line("of different identities", rates.far), line("of one identity", rates.tar)),
                formats=("", ",", ",", ".2%", "", "", ",.0f"),
                caption=f"At {written(threshold)}, {origin}. Intervals of 95 %: over identities, which is the one that "
                "holds, and by pairs (Wilson 1927), as if they were independent, which pairs of the same few identities "
                "are not; the last column says how many independent ones would tell as much.",
            ),
        ),
        figures=(histogram(held, threshold), roc(curve, rates)),
        data={
            "threshold": threshold, "origin": origin, "pairs": list(curve.pairs), "auc": curve.auc,
            "far": [rates.far.value, rates.far.low, rates.far.high], "tar": [rates.tar.value, rates.tar.low, rates.tar.high],
            "far_by_pairs": list(rates.far.wilson), "effective_pairs": [rates.far.effective, rates.tar.effective],
        },
        seed=held.seed,
    )  # fmt: skip


def line(name: str, share: Share) -> tuple[Cell, ...]:
    """A row of the table."""
    spans = (
        f"{percent(low, 2).removesuffix(' %')}–{percent(high, 2)}"
        for low, high in (share[1:3], share.wilson)
    )
    return (name, share.of, share.hits, share.value, *spans, share.effective)


def histogram(held: Held, threshold: float) -> Figure:
    """How similar pairs of both kinds are, each as a share of its own kind, with the threshold."""
    curve = held.curve
    low, high = float(curve.thresholds[-1]), float(curve.thresholds[0])
    edges = np.linspace(low, high + 1e-6, BINS + 1)
    with style():
        figure = new_figure(6.4, 3.4)
        axes = figure.subplots()
        top = 0.0
        for counts, total, colour, hatch, name in (
            (curve.impostors, curve.pairs[0], VERMILLION, "////", "different identities"),
            (curve.genuine, curve.pairs[1], BLUE, "", "one identity"),
        ):
            # Pairs at or above each edge; the difference is what lies between two.
            at = np.searchsorted(-curve.thresholds, -edges, side="right") - 1
            above = np.where(at >= 0, counts[np.maximum(at, 0)], 0)
            share = -np.diff(above) / total
            top = max(top, float(share.max()))
            axes.stairs(share, edges, fill=True, color=colour, alpha=0.3)
            if hatch:
                axes.stairs(
                    share, edges, fill=True, facecolor="none", edgecolor=colour, hatch=hatch, linewidth=0, alpha=0.5
                )  # fmt: skip
            axes.stairs(share, edges, color=colour, linewidth=1.5, label=name)
        axes.axvline(threshold, color=INK, linewidth=1, linestyle=(0, (4, 3)))
        right = threshold > (low + high) / 2
        axes.annotate(
            f"threshold {written(threshold)} ", (threshold, 1.12 * top), ha="right" if right else "left", va="top",
            fontsize=9,
        )  # fmt: skip
        axes.set(
            xlabel="similarity (cosine)",
            ylabel="share of the pairs",
            ylim=(0, 1.15 * top),
            title="Similarities",
        )
        axes.yaxis.set_major_formatter(lambda v, _: f"{100 * v:g} %")
        figure.legend(loc="outside upper right", ncols=2)
        return render(
            figure,
            caption="How similar pairs of images are, each kind as a share of its own. What overlaps cannot be told apart "
            "by any threshold.",
            alt=f"Histograms of {curve.pairs[1]:,} genuine and {curve.pairs[0]:,} impostor similarities.",
        )  # fmt: skip


def roc(curve: Curve, rates: Rates) -> Figure:
    """True against false accepts, the latter by their logarithm, with the threshold's point and its intervals."""
    _, far, tar = curve.thinned()
    known = far >= curve.finest
    with style():
        figure = new_figure(5.2, 3.6)
        axes = figure.subplots()
        axes.plot(far[known], tar[known], color=BLUE, linewidth=2)
        chance = np.geomspace(max(curve.finest, 1e-12), 1, 100)
        axes.plot(chance, chance, color=GRID, linewidth=1, linestyle=(0, (4, 3)), label="by chance")
        x, y = max(rates.far.value, curve.finest), rates.tar.value
        across = np.maximum([[x - max(rates.far.low, curve.finest / 3)], [rates.far.high - x]], 0)
        upward = np.maximum([[y - rates.tar.low], [rates.tar.high - y]], 0)
        axes.errorbar(
            [x], [y], xerr=across, yerr=upward,
            color=VERMILLION, marker="o", markersize=6, capsize=3, linestyle="none", label="the threshold",
        )  # fmt: skip
        axes.set_xscale("log")
        axes.set(xlabel="false accepts", ylabel="true accepts", ylim=(-0.02, 1.03), title="ROC")
        axes.set_xlim(max(curve.finest / 3, 1e-12), 1.3)
        axes.xaxis.set_major_formatter(lambda v, _: f"{100 * v:g} %")
        axes.yaxis.set_major_formatter(lambda v, _: f"{100 * v:.0f} %")
        axes.grid()
        figure.legend(loc="outside upper right", ncols=2)
        return render(
            figure,
            caption=f"True against false accepts as the threshold falls, from the {percent(curve.finest, 3)} of false "
            "accepts that the pairs resolve; the point is the threshold, with 95 % intervals over identities.",
            alt=f"ROC with an area of {curve.auc:.3f}.",
        )  # fmt: skip
