"""What the data of numbers look like, and what in them would spoil a result."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from striate.data.checks import checked
from striate.data.contact_sheet import Member, contact_sheet
from striate.data.depth import Levels
from striate.data.description import described
from striate.data.numbers import unit_of
from striate.data.problems import FEW_TESTED, Remark, count, find_in_files, names
from striate.data.scale import scale_of
from striate.data.source import SPLITS, Source, refuse_empty, splits_of
from striate.figures import BLUE, GREEN, ORANGE, any_script, new_figure, render, style
from striate.findings import Cell, Figure, Finding, Table
from striate.wording import quoted

FEW = 100  # training images; below, numbers are hard to learn
FAR = 6.0  # distances between the quartiles from the median, from which on a number is an outlier
BINS = 30
RANGES = 5  # rows of the contact sheet
SAME = 0.9  # share of images with one number that is named


def describe_numbers(source: Source, *, levels: Levels | None = None) -> Finding:
    """Range, mean and median of each number, with a histogram, sizes and formats."""
    splits = splits_of(source)
    rows: list[tuple[Cell, ...]] = []
    for k, heading in enumerate(source.classes):
        name, unit = unit_of(heading)
        for label, split in (*zip(SPLITS, splits, strict=True), ("all", None)):
            v = (
                np.concatenate([s.targets[:, k] for s in splits])
                if split is None
                else split.targets[:, k]
            )
            if len(v):
                numbers = (v.min(), np.median(v), v.mean(), v.max(), v.std())
                rows.append((name, label, len(v), *map(float, numbers), unit))
    k = len(source.classes)
    first = unit_of(source.classes[0])[0]
    listed = ", ".join(source.classes[:4]) + (f" and {k - 4} more" if k > 4 else "")
    return described(
        source,
        f"with {'a number each' if k == 1 else f'{k} numbers each'}, {listed}",
        tables=(
            Table(
                columns=("number", "split", "images", "least", "median", "mean", "most", "standard deviation", "unit"),
                rows=tuple(rows), formats=("", "", ",", ".4g", ".4g", ".4g", ".4g", ".4g", ""),
                caption="The numbers, by split",
            ),
        ),
        figures=(
            *((lambda i=i: histogram(source, i)) for i in range(k)),
            lambda: contact_sheet(
                source, scale_of(source.train, levels), groups=members(source), one=f"range of {first}", many="ranges"
            ),
        ),
        data={
            "targets": {
                name: {
                    split: [float(x) for x in np.quantile(s.targets[:, i], (0, 0.25, 0.5, 0.75, 1))] if len(s) else None
                    for split, s in zip(SPLITS, splits, strict=True)
                }
                for i, name in enumerate(source.classes)
            },
        },
        levels=levels,
    )  # fmt: skip


def members(source: Source) -> dict[str, list[Member]]:
    """Images by range of the first number, from the least to the most."""
    splits = splits_of(source)
    values = np.concatenate([s.targets[:, 0] for s in splits])
    edges = np.unique(np.quantile(values, np.linspace(0, 1, RANGES + 1)))
    unit = unit_of(source.classes[0])[1]
    end = f" {unit}" if unit else ""
    groups: dict[str, list[Member]] = {}
    for low, high in pairwise(edges.tolist()):
        last = high == edges[-1]
        group: list[Member] = [
            (s, int(i))
            for s in splits
            for i in np.flatnonzero((s.targets[:, 0] >= low) & ((s.targets[:, 0] < high) | last))
        ]
        if group:
            groups[f"{low:.4g} to {high:.4g}{end}"] = group
    return groups


def histogram(source: Source, k: int) -> Figure:
    """How often each range of a number occurs, by split."""
    name, unit = unit_of(source.classes[k])
    splits = splits_of(source)
    values = [s.targets[:, k] for s in splits]
    edges = np.histogram_bin_edges(np.concatenate(values), bins=BINS)
    with style(), any_script():
        figure = new_figure(6.4, 2.6)
        ax = figure.subplots()
        ax.hist(
            values,
            bins=list(edges),
            stacked=True,
            color=[BLUE, ORANGE, GREEN],
            label=list(SPLITS),
            rwidth=0.92,
        )
        ax.set_xlabel(f"{name} [{unit}]" if unit else name, parse_math=False)
        ax.set_ylabel("images")
        figure.legend(loc="outside upper right", ncols=3)
        everything = np.concatenate(values)
        return render(
            figure,
            caption=f"How often each {name} occurs, by split.",
            alt=f"Histogram of {name}: from {everything.min():.4g} to {everything.max():.4g}, median "
            f"{np.median(everything):.4g}.",
        )


def check_numbers(source: Source) -> Finding:
    """Look for what would spoil the training. Raises DataError where there are no training images."""
    refuse_empty(source)
    k = len(source.classes)
    total = f"{len(source):,} images with {'a number' if k == 1 else f'{k} numbers'} each"
    return checked(source, [*find_in_files(source), *_numbers(source)], total)


def _numbers(source: Source) -> Iterator[Remark]:
    train, _, test = splits_of(source)
    keys = train.keys
    for k, heading in enumerate(source.classes):
        name = quoted(unit_of(heading)[0])
        v = train.targets[:, k].astype(np.float64)
        low, median, high = np.quantile(v, (0.25, 0.5, 0.75))
        far = (
            np.flatnonzero(np.abs(v - median) > FAR * (high - low))
            if high > low
            else np.array([], int)
        )
        if 0 < len(far) <= max(1, 0.05 * len(v)):
            order = far[np.argsort(-np.abs(v[far] - median))]
            yield Remark(
                kind="outliers",
                status="warning",
                sentence=f"{count(len(far), 'training image has', 'training images have')} a {name} far from all others "
                f"({names([f'{keys[i]} with {v[i]:.4g}' for i in order.tolist()])}; half of all lie from {low:.4g} to "
                f"{high:.4g}).",
                advice="See whether they are slips, such as another unit or 999 for a missing number.",
                where=tuple(keys[i] for i in order.tolist()),
                count=len(far),
            )
        values, counts = np.unique(v, return_counts=True)
        if len(values) > 1 and counts.max() > SAME * len(v):
            yield Remark(
                kind="nearly constant",
                status="warning",
                sentence=f"{counts.max() / len(v):.0%} of the training images have the same {name}, "
                f"{values[counts.argmax()]:.4g}.",
                advice="There is little to learn from; look at the table, or learn two classes instead.",
                count=int(counts.max()),
            )
        beyond = (
            (test.targets[:, k] < v.min()) | (test.targets[:, k] > v.max())
            if len(test)
            else np.array([False])
        )
        if beyond.mean() > 0.05:
            yield Remark(
                kind="beyond",
                status="warning",
                sentence=f"{count(int(beyond.sum()), 'test image has', 'test images have')} a {name} outside the range of "
                f"the training images ({v.min():.4g} to {v.max():.4g}), where a network can only guess.",
                advice="Draw the splits at random, or train on the whole range.",
                count=int(beyond.sum()),
            )
    if len(train) < FEW:
        yield Remark(
            kind="few images",
            status="warning",
            sentence=f"There are {count(len(train), 'training image')}; numbers are seldom learned from fewer than {FEW}.",
            advice="Collect more, or start from pretrained weights.",
            count=len(train),
        )
    if 0 < len(test) < FEW_TESTED:
        yield Remark(
            kind="few test images",
            status="note",
            sentence=f"{count(len(test), 'test image')} make{'s' * (len(test) == 1)} every number uncertain.",
            advice="Read the intervals, not the numbers alone.",
            count=len(test),
        )
