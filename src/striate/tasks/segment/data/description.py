"""What images and masks look like: counts, sizes, shares of the classes, and a contact sheet of examples."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from striate.data.depth import Levels
from striate.data.histogram import scale_figure, scale_table
from striate.data.preprocessing import Preprocessing
from striate.data.scale import Scale, scale_of
from striate.data.source import SPLITS
from striate.figures import new_figure, render, style
from striate.findings import Figure, Finding, Table
from striate.tasks.segment.data.coding import IGNORE, shown
from striate.tasks.segment.data.palette import overlay, palette
from striate.tasks.segment.data.source import FileMaskSplit, MaskSource, MaskSplit

SHOWN = 8
TILE = 160


def describe_masks(source: MaskSource, levels: Levels | None = None) -> Finding:
    """Images a split, sizes, the share of each class, and examples with their masks.

    levels: what a run made black and white; what the data suggest, if not given.
    """
    scale = scale_of(source.train, levels)
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
    values = values_of(source)
    rows = tuple(
        (
            name,
            *([values[c]] if values else []),
            float(shares[c].sum() / total),
            *present[c].tolist(),
        )
        for c, name in enumerate(source.classes)
    )
    void = int(sizes.prod(1).sum()) - int(shares.sum())
    held = ["value in the masks"] if values else []
    return Finding(
        name="data",
        title="What the data look like",
        verdict=f"{len(source):,} images with a class for every pixel, {len(source.classes)} classes ({parts}), {extent}.",
        tables=(
            Table(
                columns=("class", *held, "share of pixels", *(f"{s} images" for s in SPLITS)),
                rows=rows,
                formats=("", *([""] if values else []), ".2%", ",", ",", ","),
                caption="The classes: their share of all pixels, and in how many images of each split they occur",
            ),
            Table(
                columns=("", "value"),
                rows=(
                    ("from", source.where),
                    ("masks are read as", source.how or "generated"),
                    ("pixels without a label", f"{void / max(void + int(shares.sum()), 1):.2%}"),
                    ("fingerprint", source.fingerprint[:16]),
                ),
                caption="The images",
            ),
            *(() if scale is None else (scale_table(scale),)),
        ),
        figures=(
            contact_sheet(source, scale),
            legend(source.classes, void=void > 0),
            *(() if scale is None else (scale_figure(scale),)),
        ),
        data={
            "name": source.name,
            "where": source.where,
            "fingerprint": source.fingerprint,
            "classes": list(source.classes),
            "masks": source.how,
            "values": values,
            "pixels": {split: shares[:, i].tolist() for i, split in enumerate(SPLITS)},
            "images": {name: len(split) for name, split in source.splits.items()},
            "damaged": [{"path": d.path, "reason": d.reason} for d in source.damaged],
            "scale": None if scale is None else scale.to_dict(),
            "alone": list(source.alone),
            "left_out": [left.to_dict() for left in source.left_out],
        },
    )


def values_of(source: MaskSource) -> list[str]:
    """The values that mean each class in the mask files; empty for generated masks."""
    split = source.train
    if not isinstance(split, FileMaskSplit):
        return []
    held: list[list[str]] = [[] for _ in source.classes]
    for value, c in split.coding.table.items():
        if c < len(held):
            held[c].append(shown(value, split.coding.colour))
    if split.coding.other < len(held):
        held[split.coding.other].append("any other")
    nearest = " or near it" if split.coding.nearest else ""
    return [", ".join(texts) + nearest for texts in held]


def contact_sheet(source: MaskSource, scale: Scale | None = None) -> Figure:
    """Some images, their masks laid over them underneath, as WebP: those that show most classes, drawn evenly."""
    split, name = (source.train, "Training") if len(source.train) else (source.test, "Test")
    parts = np.array_split(np.arange(len(split)), min(len(split), SHOWN))
    several = (split.pixels > 0).sum(1)
    at = [int(part[several[part].argmax()]) for part in parts]
    tiles = [_tile(source, split, int(i), scale) for i in at]
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
        caption=f"{name} images, and under each the same with its mask; white has no label.",
        alt=f"{len(tiles)} {name.lower()} images with their masks",
    )


def _tile(
    source: MaskSource, split: MaskSplit, index: int, scale: Scale | None
) -> tuple[Image.Image, Image.Image]:
    plain = Preprocessing(channels=3, height=1, width=1, **(scale or Scale()).levels)
    image = plain.colours(split.image(index)).transpose(1, 2, 0)
    mask = split.mask(index)
    over = overlay(image, mask, source.classes)
    void = mask == IGNORE
    over[void] = (0.25 * over[void] + 0.75 * 255).astype(np.uint8)
    height, width = mask.shape
    zoom = TILE / max(height, width)
    size = max(1, round(width * zoom)), max(1, round(height * zoom))
    method = Image.Resampling.NEAREST if zoom >= 1 else Image.Resampling.LANCZOS
    tiles = []
    for pixels in (image, over):
        tile = Image.new("RGB", (TILE, TILE), "white")
        small = Image.fromarray(np.ascontiguousarray(pixels)).resize(size, method)
        tile.paste(small, ((TILE - size[0]) // 2, (TILE - size[1]) // 2))
        tiles.append(tile)
    return tiles[0], tiles[1]


def legend(classes: tuple[str, ...], *, void: bool = False) -> Figure:
    """The colour of each class, and of pixels without a label."""
    table = palette(classes)
    names = classes[:40] + (("no label",) if void else ())
    columns = min(6, len(names))
    rows = -(-len(names) // columns)
    with style():
        figure = new_figure(6.4, 0.1 + 0.26 * rows)
        axes = figure.add_subplot()
        axes.set(xlim=(0, columns), ylim=(rows, 0))
        axes.axis("off")
        for i, name in enumerate(names):
            row, column = divmod(i, columns)
            colour = "#{:02x}{:02x}{:02x}".format(*table[i if i < len(classes[:40]) else IGNORE])
            axes.add_patch(_patch(column + 0.02, row + 0.2, 0.14, 0.6, colour))
            text = name if len(name) <= 14 else name[:13] + "…"
            axes.text(column + 0.2, row + 0.5, text, va="center", fontsize=9)
        return render(figure, caption="The colours of the classes.", alt="One colour a class")


def _patch(x: float, y: float, width: float, height: float, colour: str):  # type: ignore[no-untyped-def]
    from matplotlib.patches import Rectangle

    return Rectangle((x, y), width, height, facecolor=colour, edgecolor="#888888", linewidth=0.5)
