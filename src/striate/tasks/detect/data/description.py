"""What images and boxes look like: counts, sizes of objects, objects an image, and a contact sheet of examples."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from striate.data.depth import Levels
from striate.data.histogram import scale_figure, scale_table
from striate.data.preprocessing import Preprocessing
from striate.data.scale import Scale, scale_of
from striate.data.source import SPLITS
from striate.figures import BLUE, GRID, new_figure, render, style
from striate.findings import Figure, Finding, Table
from striate.tasks.detect.data.source import BoxSource
from striate.tasks.detect.drawing import drawn
from striate.tasks.detect.objects import Objects
from striate.wording import counted

SHOWN, COLUMNS, TILE, GAP = 8, 4, 224, 6
BINS = 24
# COCO's own limits (Lin et al. 2014): sides of 32 and 96 pixels.
SMALL, MEDIUM = 32**2, 96**2


def describe_boxes(source: BoxSource, preprocessing: Levels | None = None) -> Finding:
    """Images and objects a split and class, sizes of objects, and examples with their boxes.

    preprocessing: what a run made black and white; what the data suggest, if not given.
    """
    scale = scale_of(source.train, preprocessing)
    k = len(source.classes)
    table = np.stack([s.counts(k) for s in source.splits.values()], axis=1)
    shows = np.stack([_images_of(source, name) for name in source.splits], axis=1)
    sizes = np.concatenate([s.sizes for s in source.splits.values() if len(s)])
    held = np.array([len(o) for s in source.splits.values() for o in s.objects], dtype=np.int64)
    areas = _areas(source)
    crowds = sum(int(o.crowd.sum()) for s in source.splits.values() for o in s.objects)
    outlines = sum(len(o.regions or ()) for s in source.splits.values() for o in s.objects)
    small, large = sizes[sizes.prod(1).argmin()], sizes[sizes.prod(1).argmax()]
    extent = (
        f"all of {small[1]} x {small[0]} pixels"
        if (small == large).all()
        else f"from {small[1]} x {small[0]} to {large[1]} x {large[0]} pixels"
    )
    parts = ", ".join(f"{len(split):,} {name}" for name, split in source.splits.items())
    rows = tuple(
        (
            name,
            *table[c].tolist(),
            int(shows[c].sum()),
            float(np.median(areas[c]) ** 0.5) if len(areas[c]) else None,
        )
        for c, name in enumerate(source.classes)
    )
    every = np.concatenate(areas) if areas else np.zeros(0)
    ranges = [
        int((every < SMALL).sum()),
        int(((every >= SMALL) & (every < MEDIUM)).sum()),
        int((every >= MEDIUM).sum()),
    ]
    return Finding(
        name="data",
        title="What the data look like",
        verdict=f"{counted(int(table.sum()), 'object')} of {counted(k, 'class', 'classes')} in "
        f"{counted(len(source), 'image')} "
        f"({parts}), {extent}.",
        tables=(
            Table(
                columns=(
                    "class",
                    *(f"{s} objects" for s in SPLITS),
                    "images",
                    "median side (pixels)",
                ),
                rows=rows,
                formats=("", ",", ",", ",", ",", ".0f"),
                caption="The classes: their objects in each split, crowds left out, the images that show them, and the side "
                "of a square as large as the middle one",
            ),
            Table(
                columns=("", "value"),
                rows=(
                    ("from", source.where),
                    ("annotations", source.format or "given in Python"),
                    ("objects with an outline", f"{outlines:,}"),
                    ("crowds", f"{crowds:,}"),
                    ("images without objects", f"{int((held == 0).sum()):,} of {len(held):,}"),
                    ("objects an image", _spread(held)),
                    ("small, below 32 x 32 pixels", f"{ranges[0]:,}"),
                    ("medium", f"{ranges[1]:,}"),
                    ("large, from 96 x 96 pixels on", f"{ranges[2]:,}"),
                    ("fingerprint", source.fingerprint[:16]),
                ),
                caption="The images and their objects",
            ),
            *(() if scale is None else (scale_table(scale),)),
        ),
        figures=(
            contact_sheet(source, scale),
            *((_histograms(every, held),) if len(every) else ()),
            *(() if scale is None else (scale_figure(scale),)),
        ),
        data={
            "name": source.name,
            "where": source.where,
            "fingerprint": source.fingerprint,
            "classes": list(source.classes),
            "format": source.format,
            "objects": {split: table[:, i].tolist() for i, split in enumerate(SPLITS)},
            "images": {name: len(split) for name, split in source.splits.items()},
            "background": int((held == 0).sum()),
            "crowds": crowds,
            "outlines": outlines,
            "sizes": dict(zip(("small", "medium", "large"), ranges, strict=True)),
            "most_objects": int(held.max(initial=0)),
            "damaged": [{"path": d.path, "reason": d.reason} for d in source.damaged],
            "scale": None if scale is None else scale.to_dict(),
            "left_out": [left.to_dict() for left in source.left_out],
        },
    )


def _images_of(source: BoxSource, split: str) -> np.ndarray:
    """(classes,) images of a split that show each class."""
    shown = np.zeros(len(source.classes), dtype=np.int64)
    for objects in source.splits[split].objects:
        shown[np.unique(objects.labels[~objects.crowd])] += 1
    return shown


def _areas(source: BoxSource) -> list[np.ndarray]:
    """Areas in pixels of the objects of each class, over all splits."""
    objects = [o for s in source.splits.values() for o in s.objects]
    labels = np.concatenate([o.labels[~o.crowd] for o in objects] or [np.zeros(0, np.int64)])
    areas = np.concatenate([o.areas[~o.crowd] for o in objects] or [np.zeros(0)])
    return [areas[labels == c] for c in range(len(source.classes))]


def _spread(held: np.ndarray) -> str:
    if not len(held):
        return "none"
    return f"{held.min():,} to {held.max():,}, the middle {np.median(held):g}"


def _histograms(areas: np.ndarray, held: np.ndarray) -> Figure:
    """How large objects are, and how many an image holds."""
    sides = np.sqrt(areas)
    with style():
        figure = new_figure(7.2, 2.8)
        left, right = figure.subplots(1, 2)
        low, high = max(sides.min(), 0.5), max(sides.max(), sides.min() * 1.01 + 0.5)
        left.hist(sides, bins=np.geomspace(low * 0.999, high * 1.001, BINS + 1), color=BLUE)
        left.set_xscale("log")
        ticks = [t for t in (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 4096) if low <= t <= high]
        if len(ticks) > 1:
            left.set_xticks(ticks, [str(t) for t in ticks])
            left.minorticks_off()
        left.set_xlabel("side of a square as large, in pixels")
        left.set_ylabel("objects")
        top = int(held.max(initial=1))
        step = max(1, -(-(top + 1) // BINS))
        right.hist(held, bins=np.arange(-0.5, top + step + 0.5, step), color=BLUE)
        right.set_xlabel("objects an image")
        right.set_ylabel("images")
        for axes in (left, right):
            axes.grid(axis="y", color=GRID, alpha=0.3)
        return render(
            figure,
            caption="How large the objects are, and how many of them an image holds; crowds are left out on the left.",
            alt=f"Histograms: sides from {sides.min():.0f} to {sides.max():.0f} pixels, {held.min()} to {top} objects an "
            "image",
        )


def contact_sheet(source: BoxSource, scale: Scale | None = None) -> Figure:
    """Some images with their boxes, drawn evenly over the split: of each part the one that shows most classes."""
    split = source.train if len(source.train) else source.test
    parts = np.array_split(np.arange(len(split)), min(len(split), SHOWN))
    several = np.array([len(set(o.labels.tolist())) for o in split.objects])
    at = [int(part[several[part].argmax()]) for part in parts]
    plain = Preprocessing(channels=3, height=1, width=1, **(scale or Scale()).levels)
    tiles = [
        _tile(plain.colours(split.image(i)).transpose(1, 2, 0), split.objects[i], source.classes)
        for i in at
    ]
    across = min(len(tiles), COLUMNS)
    rows = -(-len(tiles) // across)
    page = Image.new("RGB", (across * (TILE + GAP) - GAP, rows * (TILE + GAP) - GAP), "white")
    for i, tile in enumerate(tiles):
        page.paste(tile, (i % across * (TILE + GAP), i // across * (TILE + GAP)))
    buffer = io.BytesIO()
    page.save(buffer, "WEBP", quality=88)
    return Figure(
        content=buffer.getvalue(),
        media="image/webp",
        caption="Training images with their objects; crowds are dashed.",
        alt=f"{len(tiles)} training images with the boxes of their objects",
    )


def _tile(image: np.ndarray, objects: Objects, classes: tuple[str, ...]) -> Image.Image:
    """The image with its objects, in the middle of a white square of TILE pixels."""
    picture = Image.fromarray(drawn(image, objects, classes, scale=TILE / max(image.shape[:2])))
    tile = Image.new("RGB", (TILE, TILE), "white")
    tile.paste(picture, ((TILE - picture.width) // 2, (TILE - picture.height) // 2))
    return tile
