"""Summaries: the network of a run or a spec as a finding, and figures of what its layers see, as files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from striate import data
from striate.errors import GeometryError, UsageError
from striate.findings import Figure, Finding
from striate.geometry import (
    Geometry,
    draw_receptive_fields,
    draw_utilisation,
    effective_receptive_field,
    summary,
    summary_rows,
    trace,
)
from striate.models import build
from striate.ranges import SIDE, check_ranges
from striate.runs.networks import Shape, network_of
from striate.runs.outputs import output_path
from striate.writing import write_atomically

FIGURES = (".png", ".svg")
CHANNELS = 65_536


def summarise(
    target: Any,
    *,
    input: str | Shape | None = None,
    classes: int | None = None,
    depth: int | None = None,
    layer: str | None = None,
    figure: str | Path | None = None,
    image: str | Path | None = None,
    utilisation: str | Path | None = None,
    effective: str | Path | None = None,
    force: bool = False,
    grown: bool = True,
) -> Finding:
    """See `striate.summary`. Files that were written stand in `data["files"]`, what was seen on the way in `advice`."""
    check_ranges(classes=classes, depth=depth)
    shape = None if input is None else input_shape(input)
    places = {
        "--figure": figure,
        "--utilisation": utilisation,
        "--effective": effective,
    }
    paths = {n: output_path(p, FIGURES[: 1 if n == "--effective" else 2], force=force, what=n)
             for n, p in places.items() if p is not None}  # fmt: skip
    if image is not None and figure is None:
        raise UsageError("--image belongs to a figure; add --figure FILE.png")
    if layer is not None and not paths:
        raise UsageError("--layer belongs to a figure; add --figure FILE.png")
    module, shape = network_of(target, shape, classes)
    try:
        geometry = trace(module, (1, *shape))
    except GeometryError:
        network_of(target, shape, classes, check=True)  # says which size fits, if it is that
        raise
    named = None if layer is None else geometry.record(layer).name
    drawn: list[tuple[Path, Callable[[], Figure]]] = []
    more: dict[str, Any] = {}
    for option, path in paths.items():
        png = path.suffix.lower() == ".png"
        if option == "--figure":
            pixels = photograph(image, shape)
            layers = None if named is None else [named]
            drawn.append((path, lambda p=pixels, n=layers, png=png: draw_receptive_fields(geometry, p, n, png=png)))  # type: ignore[misc]  # fmt: skip
        elif option == "--utilisation":
            drawn.append((path, lambda png=png: draw_utilisation(geometry, named, png=png)))  # type: ignore[misc]
        else:
            trained = not next((p.is_meta for p in module.parameters()), False)
            field = effective_field(target, module, shape, classes, named or last_map(geometry))
            more["effective"] = f"{field.verdict} ({'as trained' if trained else 'not trained'})"
            drawn.append((path, lambda f=field: f.figures[0]))  # type: ignore[misc]
    contents = [(path, draw().content) for path, draw in drawn]  # all, before any is written
    for path, content in contents:
        write_atomically(path, content)
    if not isinstance(target, str) or Path(target).is_dir():  # not made here, so it may be wrapped
        from striate.tasks.adopting import kind_of

        geometry = replace(geometry, kind=kind_of(module))
    found = summary(geometry, depth=depth, figure=grown)
    rows = summary_rows(geometry, depth=depth)
    return replace(
        found, data={**found.data, "layers": rows, **more, "files": [str(p) for p in paths.values()]}
    )  # fmt: skip


def input_shape(given: str | Shape) -> Shape:
    """(channels, height, width) from such as 3x224x224. Raises UsageError."""
    parts = given.lower().replace("×", "x").split("x") if isinstance(given, str) else list(given)
    try:
        channels, height, width = (
            int(p) if not isinstance(p, str) or p.isdecimal() else 0 for p in parts
        )
    except (ValueError, TypeError):
        channels = height = width = 0
    if not (0 < channels <= CHANNELS and height in SIDE and width in SIDE):
        shown = repr(given) if len(str(given)) <= 60 else f"{str(given)[:57]!r}..."
        raise UsageError(
            f"--input is channels x height x width such as 3x224x224, each from 1 to {CHANNELS:,}, got {shown}"
        )
    return channels, height, width


def last_map(geometry: Geometry) -> str:
    """The last layer with positions that see a part of the image each: the one whose field is worth drawing."""
    names = [
        r.name for r in geometry.records
        if r.live and (v := geometry.values[r.output]).spatial and None not in v.extents and r.macs
    ]  # fmt: skip
    if not names:
        raise UsageError("no layer of this network keeps positions; there is no field to draw")
    return names[-1]


def effective_field(
    target: Any, module: nn.Module, shape: Shape, classes: int | None, layer: str
) -> Finding:
    """The effective receptive field: of a run as trained, of a spec with the weights that it begins with."""
    if next((p.is_meta for p in module.parameters()), False):
        channels, height, width = shape
        module = build(
            str(target), in_channels=channels, num_classes=classes or 10, size=(height, width)
        ).eval()
    return effective_receptive_field(module, (1, *shape), layer)


def photograph(path: str | Path | None, shape: Shape) -> np.ndarray:
    """An image file, or a photograph that is at hand, cut to the network's size: (H, W, 3) or (H, W) uint8."""
    if path is None:
        from PIL import Image, ImageOps
        from sklearn.datasets import load_sample_image

        sample = Image.fromarray(load_sample_image("china.jpg"))
        sample = sample.convert("L" if shape[0] == 1 else "RGB")
        return np.asarray(ImageOps.fit(sample, (shape[2], shape[1])))
    channels = 1 if shape[0] == 1 else 3
    cut = data.Preprocessing(channels=channels, height=shape[1], width=shape[2], fit="crop")
    pixels = cut.read(Path(path)).transpose(1, 2, 0)
    return pixels[..., 0] if channels == 1 else pixels
