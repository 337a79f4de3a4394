"""What the data look like: counts, sizes and kinds, with a chart and a contact sheet of examples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from striate.data.contact_sheet import contact_sheet
from striate.data.depth import Levels
from striate.data.histogram import scale_figure, scale_table
from striate.data.scale import scale_of
from striate.data.source import SPLITS, Source
from striate.figures import BLUE, GREEN, ORANGE, new_figure, render, style
from striate.findings import Cell, Figure, Finding, Table

BARS = 40  # classes in the chart; of more, the largest and the smallest


def describe(source: Source, *, figures: bool = True, levels: Levels | None = None) -> Finding:
    """Classes, counts a split, sizes, aspect ratios, formats and damage of a source.

    figures: also draw the class counts and a contact sheet of example images, which decodes some. levels: what a run made
    black and white; what the data suggest, if not given.
    """
    table = source.counts()
    rows: list[tuple[Cell, ...]] = [
        (name, *counts, sum(counts))
        for name, counts in zip(source.classes, table.tolist(), strict=True)
    ]
    counted = Table(
        columns=("class", *SPLITS, "all"),
        rows=tuple(rows),
        formats=("", ",", ",", ",", ","),
        caption="Images a class and split",
    )
    return described(
        source,
        f"in {len(source.classes)} classes",
        tables=(counted,),
        figures=(
            lambda: bars(source, table),
            lambda: contact_sheet(source, scale_of(source.train, levels)),
        )
        if figures
        else (),
        data={"counts": {split: table[:, i].tolist() for i, split in enumerate(SPLITS)}},
        levels=levels,
    )


def described(
    source: Source,
    what: str,
    *,
    tables: Sequence[Table],
    figures: Sequence[Callable[[], Figure]],
    data: Mapping[str, Any],
    levels: Levels | None = None,
) -> Finding:
    """The description of a source: what every source has, sizes and formats, around what a task has to say of its targets.

    what: the end of "1,234 images", such as "in 3 classes". tables, figures (made when they are needed; without any, none is
    drawn), data: of the targets.
    """
    splits = [split for split in source.splits.values() if len(split)]
    sizes = np.concatenate([s.sizes for s in splits])
    formats = Counter(np.concatenate([s.formats for s in splits]).tolist())
    channels = Counter(np.concatenate([s.channels for s in splits]).tolist())
    deep = int(sum(s.deep.sum() for s in splits))
    parts = ", ".join(f"{len(source.splits[name]):,} {name}" for name in SPLITS)
    colour = "grey" if set(channels) == {1} else "colour" if set(channels) == {3} else "mixed"
    scale = scale_of(source.train, levels)
    pictures = [make() for make in figures]
    if figures and scale is not None:
        pictures.append(scale_figure(scale))
    return Finding(
        name="data",
        title="What the data look like",
        verdict=f"{len(source):,} {colour} images {what} ({parts}), {_size_words(sizes)}.",
        tables=(
            Table(
                columns=("", "value"),
                rows=_facts(source, sizes, formats, channels, deep),
                caption="The images",
            ),
            *tables,
            *(() if scale is None else (scale_table(scale),)),
        ),
        figures=tuple(pictures),
        data={
            "name": source.name,
            "where": source.where,
            "fingerprint": source.fingerprint,
            "classes": list(source.classes),
            **data,
            "sizes": _numbers(sizes),
            "formats": dict(formats),
            "channels": {str(k): v for k, v in channels.items()},
            "deeper_than_8_bits": deep,
            "scale": None if scale is None else scale.to_dict(),
            "photographs": source.photographs,
            "damaged": [{"path": d.path, "reason": d.reason} for d in source.damaged],
            "duplicates": len(source.duplicates),
            "outside": list(source.outside),
            "empty": list(source.empty),
            "left_out": [left.to_dict() for left in source.left_out],
        },
    )


def _numbers(sizes: np.ndarray) -> dict[str, dict[str, float]]:
    columns = {
        "height": sizes[:, 0],
        "width": sizes[:, 1],
        "aspect ratio": sizes[:, 1] / sizes[:, 0],
    }
    return {
        name: {
            "least": float(v.min()),
            "median": float(np.median(v)),
            "most": float(v.max()),
        }
        for name, v in columns.items()
    }


def _size_words(sizes: np.ndarray) -> str:
    if (sizes == sizes[0]).all():
        return f"all of {sizes[0, 1]} x {sizes[0, 0]} pixels"
    small, large = sizes[sizes.prod(axis=1).argmin()], sizes[sizes.prod(axis=1).argmax()]
    return f"from {small[1]} x {small[0]} to {large[1]} x {large[0]} pixels"


def _facts(
    source: Source,
    sizes: np.ndarray,
    formats: Counter[str],
    channels: Counter[int],
    deep: int,
) -> tuple[tuple[Cell, ...], ...]:
    kinds = {1: "grey", 3: "colour"}
    rows: list[tuple[Cell, ...]] = [("from", source.where)]
    for name, v in _numbers(sizes).items():
        spec = ".2f" if name == "aspect ratio" else ",.0f"
        if v["least"] == v["most"]:
            rows.append((name, format(v["least"], spec)))
        else:
            least, median, most = (format(v[k], spec) for k in ("least", "median", "most"))
            rows.append((name, f"{least} to {most}, median {median}"))
    rows.append(("format", ", ".join(f"{name} {n:,}" for name, n in formats.most_common())))
    rows.append(("colour", ", ".join(f"{kinds[c]} {n:,}" for c, n in channels.most_common())))
    if deep:
        rows.append(("deeper than 8 bits", f"{deep:,}"))
    rows.append(("files left out as damaged", f"{len(source.damaged):,}"))
    rows += [
        ("left out" if i == 0 else "", left.sentence) for i, left in enumerate(source.left_out)
    ]
    rows.append(("fingerprint", source.fingerprint[:16]))
    return tuple(rows)


def bars(source: Source, table: np.ndarray, one: str = "class", many: str = "classes") -> Figure:
    """Bars of counts (K, splits). one, many: what each of the source's names is called."""
    totals = table.sum(axis=1)
    order = np.arange(len(totals))
    caption = f"Images a {one}, by split."
    if len(order) > BARS:
        ranked = np.argsort(-totals, kind="stable")
        order = np.concatenate([ranked[: BARS // 2], ranked[-BARS // 2 :]])
        caption = f"Images in the {BARS // 2} largest and {BARS // 2} smallest {many}, by split."
    names = [source.classes[i] for i in order]
    with style():
        figure = new_figure(6.4, 0.9 + 0.24 * len(order))
        axes = figure.add_subplot()
        left = np.zeros(len(order))
        for column, (split, colour) in enumerate(zip(SPLITS, (BLUE, ORANGE, GREEN), strict=True)):
            axes.barh(range(len(order)), table[order, column], left=left, color=colour, label=split)
            left += table[order, column]
        axes.set_yticks(range(len(order)), [_short(name) for name in names])
        axes.invert_yaxis()
        axes.set_xlabel("images")
        axes.margins(y=0.01)
        figure.legend(loc="outside upper right", ncols=3)
        return render(
            figure,
            caption=caption,
            alt=f"Bars: from {totals.min():,} to {totals.max():,} images a {one}.",
        )


def _short(name: str, most: int = 28) -> str:
    return name if len(name) <= most else name[: most - 1] + "…"
