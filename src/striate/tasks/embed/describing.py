"""What images of identities look like."""

from __future__ import annotations

import numpy as np
from matplotlib.ticker import MaxNLocator

from striate.data import Source
from striate.data.contact_sheet import contact_sheet
from striate.data.depth import Levels
from striate.data.description import bars, described
from striate.data.scale import scale_of
from striate.data.source import SPLITS
from striate.figures import BLUE, GREEN, ORANGE, new_figure, render, style
from striate.findings import Cell, Figure, Finding, Table

BARS = 40  # identities that are drawn one by one; of more, how many have how many images
LISTED = 200  # rows of the table of identities


def describe_identities(source: Source, *, levels: Levels | None = None) -> Finding:
    """Identities a split, images an identity, sizes and formats, with a contact sheet, a row an identity."""
    counts = source.counts()
    named = [(name, *row, sum(row)) for name, row in zip(source.classes, counts.tolist(), strict=True)]  # fmt: skip
    largest = sorted(named, key=lambda row: -row[-1])
    more = f" (the {LISTED} largest of {len(named):,})" if len(named) > LISTED else ""
    return described(
        source,
        f"of {len(source.classes):,} identities",
        tables=(
            Table(
                columns=("split", "identities", "images", "least", "median", "most", "with one image"),
                rows=tuple(_row(split, counts[:, i]) for i, split in enumerate(SPLITS)),
                formats=("", ",", ",", ",", ",.4g", ",", ","),
                caption="Identities and images an identity, by split; no identity is in two",
            ),
            Table(
                columns=("identity", *SPLITS, "all"),
                rows=tuple(largest[:LISTED]),
                formats=("", ",", ",", ",", ","),
                caption=f"Images an identity{more}",
            ),
        ),
        figures=(
            lambda: bars(source, counts, *("identity", "identities")) if len(counts) <= BARS else images_each(counts),
            lambda: contact_sheet(source, scale_of(source.train, levels), one="identity", many="identities"),
        ),
        data={
            "identities": {split: int((counts[:, i] > 0).sum()) for i, split in enumerate(SPLITS)},
            "counts": {split: counts[:, i].tolist() for i, split in enumerate(SPLITS)},
        },
        levels=levels,
    )  # fmt: skip


def _row(split: str, counts: np.ndarray) -> tuple[Cell, ...]:
    held = counts[counts > 0]
    if not len(held):
        return (split, 0, 0, None, None, None, 0)
    middle = float(np.median(held))
    return (split, len(held), int(held.sum()), int(held.min()), middle, int(held.max()), int((held == 1).sum()))  # fmt: skip


def images_each(counts: np.ndarray) -> Figure:
    """How many identities have how many images, by split. counts: (K, 3) images of each identity and split."""
    totals = counts.sum(1)
    top = int(totals.max())
    edges = np.arange(0.5, top + 1.5) if top <= 40 else np.geomspace(0.5, top + 0.5, 32)
    side = counts.argmax(1)
    with style():
        figure = new_figure(6.4, 2.8)
        axes = figure.subplots()
        axes.hist(
            [totals[side == i] for i in range(len(SPLITS))],
            bins=list(edges),
            stacked=True,
            color=[BLUE, ORANGE, GREEN],
            label=list(SPLITS),
        )
        if top > 40:
            axes.set_xscale("log")
        else:
            axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.set(xlabel="images an identity", ylabel="identities")
        figure.legend(loc="outside upper right", ncols=3)
        least, middle = totals.min(), float(np.median(totals))
        return render(
            figure,
            caption="How many identities have how many images, by split.",
            alt=f"Histogram: {least:,} to {top:,} images an identity, median {middle:g}, of {len(totals):,} identities.",
        )
