"""What images and masks look like: counts, sizes, shares of the classes, and a sheet of examples."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from striate.data.choosing import levels
from striate.data.masks.palette import overlay, palette
from striate.data.masks.source import MaskSource, MaskSplit
from striate.data.preparation import Preparation
from striate.data.source import SPLITS
from striate.figures import new_figure, render, style
from striate.findings import Figure, Finding, Table

SHOWN = 8
TILE = 160


def describe_masks(source: MaskSource) -> Finding:
    """Images a split, sizes, the share of each class, and examples with their masks."""
    shares = source.shares()
    total = max(int(shares.sum()), 1)
    sizes = np.concatenate([s.sizes for s in source.splits.values() if len(s)])
    present = np.stack([(s.pixels > 0).sum(0) for s in source.splits.values()], 1)
    parts = ", ".join(f"{len(split):,} {name}" for name, split in source.splits.items())
    small, large = sizes[sizes.prod(1).argmin()], sizes[sizes.prod(1).argmax()]
    extent = (
        f"all of {small[1]} x {small[0]} pixels"
        if (small == large).all()
        else f"from {small[1]} x {small[0]} to {large[1]} x {large[0]} pixels"
    )
    rows = tuple(
        (name, float(shares[c].sum() / total), *present[c].tolist())
        for c, name in enumerate(source.classes)
    )
    return Finding(
        name="data",
        title="What the data look like",
        verdict=f"{len(source):,} images with a class for every pixel, {len(source.classes)} classes ({parts}), {extent}.",
        tables=(
            Table(
                columns=("class", "share of pixels", *(f"{s} images" for s in SPLITS)),
                rows=rows,
                formats=("", ".2%", ",", ",", ","),
                caption="The classes: their share of all pixels, and in how many images of each split they occur",
            ),
            Table(
                columns=("", "value"),
                rows=(("from", source.where), ("fingerprint", source.fingerprint[:16])),
                caption="The images",
            ),
        ),
        figures=(sheet(source), legend(source.classes)),
        data={
            "name": source.name,
            "where": source.where,
            "fingerprint": source.fingerprint,
            "classes": list(source.classes),
            "pixels": {split: shares[:, i].tolist() for i, split in enumerate(SPLITS)},
            "images": {name: len(split) for name, split in source.splits.items()},
            "damaged": [{"path": d.path, "reason": d.reason} for d in source.damaged],
            "alone": list(source.alone),
        },
    )


def sheet(source: MaskSource) -> Figure:
    """Some images, their masks laid over them underneath, as WebP."""
    split = source.train
    at = np.linspace(0, len(split) - 1, min(len(split), SHOWN)).astype(int)
    tiles = [_tile(source, split, int(i)) for i in at]
    gap = 6
    page = Image.new("RGB", (len(tiles) * (TILE + gap) - gap, 2 * TILE + gap), "white")
    for column, (image, over) in enumerate(tiles):
        page.paste(image, (column * (TILE + gap), 0))
        page.paste(over, (column * (TILE + gap), TILE + gap))
    buffer = io.BytesIO()
    page.save(buffer, "WEBP", quality=85)
    return Figure(
        content=buffer.getvalue(),
        media="image/webp",
        caption="Training images, and under each the same with its mask.",
        alt=f"{len(tiles)} training images with their masks",
    )


def _tile(source: MaskSource, split: MaskSplit, index: int) -> tuple[Image.Image, Image.Image]:
    black, white = levels(split)  # type: ignore[arg-type]
    shown = Preparation(channels=3, height=1, width=1, black=black, white=white)
    image = shown.colours(split.image(index)).transpose(1, 2, 0)
    over = overlay(image, split.mask(index), source.classes)
    side = min(image.shape[:2])
    corner = tuple((n - side) // 2 for n in image.shape[:2])
    cut = (slice(corner[0], corner[0] + side), slice(corner[1], corner[1] + side))
    method = Image.Resampling.NEAREST if side <= TILE else Image.Resampling.LANCZOS
    first, second = (
        Image.fromarray(np.ascontiguousarray(a[cut])).resize((TILE, TILE), method)
        for a in (image, over)
    )
    return first, second


def legend(classes: tuple[str, ...]) -> Figure:
    """The colour of each class."""
    table = palette(classes)
    names = classes[:40]
    columns = min(6, len(names))
    rows = -(-len(names) // columns)
    with style():
        figure = new_figure(6.4, 0.1 + 0.26 * rows)
        axes = figure.add_subplot()
        axes.set(xlim=(0, columns), ylim=(rows, 0))
        axes.axis("off")
        for i, name in enumerate(names):
            row, column = divmod(i, columns)
            colour = "#{:02x}{:02x}{:02x}".format(*table[i])
            axes.add_patch(_patch(column + 0.02, row + 0.2, 0.14, 0.6, colour))
            text = name if len(name) <= 14 else name[:13] + "…"
            axes.text(column + 0.2, row + 0.5, text.replace("$", r"\$"), va="center", fontsize=9)
        return render(figure, caption="The colours of the classes.", alt="One colour a class")


def _patch(x: float, y: float, width: float, height: float, colour: str):  # type: ignore[no-untyped-def]
    from matplotlib.patches import Rectangle

    return Rectangle((x, y), width, height, facecolor=colour, edgecolor="none")
