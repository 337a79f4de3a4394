"""Slides: images of any size that the command named, in tiles of several levels, and what a network gives for one tile."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from striate.answer import answer_of
from striate.errors import UsageError
from striate.geometry import Geometry, trace
from striate.inference.region import region_of
from striate.inference.tiled import open_file
from striate.inference.tiled.read.files import to_unit
from striate.studio.desk import Part
from striate.studio.numbers import whole_in
from striate.studio.scores import has_bars, of_drawing
from striate.studio.shelf import Network
from striate.tasks.tiling import pixels_of, refuse_foreign

TILE = 256  # pixels of a tile's side on the screen
ROWS = 512  # of the file that are read at once for the levels that are far away
NEEDED = 1 << 24  # pixels of the file that a tile's prediction may take


class Slide:
    """One image. path: as the command named it. Raises DataError, GeometryError or UsageError where it cannot be opened."""

    def __init__(self, path: str) -> None:
        self.path = Path(path)
        self.image = open_file(self.path)
        self.channels, self.height, self.width = self.image.shape
        self.levels = max(0, math.ceil(math.log2(max(self.height, self.width, 1) / TILE)))
        self._geometries: dict[str, Geometry] = {}
        self._overview: np.ndarray | None = None
        self._missing: list[int] = []

    @property
    def header(self) -> dict[str, Any]:
        """As the page is told of it."""
        size = {"width": self.width, "height": self.height, "levels": self.levels, "tile": TILE}
        return {"name": self.path.name, **size}

    @cached_property
    def stored(self) -> dict[int, Any]:
        """The images to read from, by how many halvings of the sides they lie away: overviews that the file holds."""
        found: dict[int, Any] = {0: self.image}
        for one in getattr(self.image, "levels", tuple)():
            ratio = self.height / one.shape[1]
            level = round(math.log2(ratio))
            if level > 0 and abs(ratio / 2**level - 1) < 0.02:
                found.setdefault(level, one)
        return found

    def pixels(self, rows: tuple[int, int], columns: tuple[int, int], step: int) -> np.ndarray:
        """(h, w, 1 or 3) uint8: means of step x step pixels, from the nearest overview that the file holds.

        What is left at the far ends is a mean of fewer.
        """
        level = max(k for k in self.stored if 1 << k <= step)
        image, step = self.stored[level], step >> level
        sides = [
            (min(a >> level, n - 1), min(-(-b >> level), n))
            for (a, b), n in zip((rows, columns), image.shape[1:], strict=True)
        ]
        part = to_unit(image.read(0, tuple(sides)))[0]
        part = part[:3] if len(part) >= 3 else part[:1]
        if step > 1:
            part = torch.nn.functional.avg_pool2d(part[None], step, ceil_mode=True)[0]
        levels: np.ndarray = (part * 255).round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).numpy()  # fmt: skip
        return np.ascontiguousarray(levels)

    def _strips(self) -> Iterator[None]:
        """Read the whole image at the level of `far`, some rows at a time, the middle first; once for all tiles."""
        step = 1 << self.far
        high = max(step, ROWS // step * step)
        if self._overview is None:
            deep, wide = (-(-n // step) for n in (self.height, self.width))
            self._overview = np.zeros((deep, wide, 3 if self.channels >= 3 else 1), np.uint8)
            strips = range(0, self.height, high)
            self._missing = sorted(strips, key=lambda r: abs(r + high / 2 - self.height / 2))
        while self._missing:
            row = self._missing[0]
            part = self.pixels((row, min(row + high, self.height)), (0, self.width), step)
            into = self._overview[row // step : row // step + len(part), : part.shape[1]]
            into[:] = part[: len(into)]
            self._missing = [r for r in self._missing if r != row]
            yield

    def _known(self, first: int, last: int) -> tuple[int, int]:
        """Rows of the overview between two that have been read: one piece, since the middle comes first."""
        step = 1 << self.far
        high = max(step, ROWS // step * step) // step
        known = [r for r in range(first, last) if r // high * high * step not in self._missing]
        return (known[0], known[-1] + 1) if known else (first, first)

    @property
    def far(self) -> int:
        """From this level on tiles are cut from the overview: nearer ones are read from the file one by one."""
        return min(self.levels, max(3, self.levels - 3))

    def tile(self, question: Mapping[str, Any]) -> Iterator[Part]:
        """One tile of one level: level 0 is the file's own pixels, each further one half as many along each side.

        Of levels that are far away a part comes as soon as it is read: `from` of the header is its first row in the tile,
        and the last part is `whole`.
        """
        level = whole_in(question, "level", 0, self.levels)
        step = 1 << level
        down, across = (math.ceil(n / (TILE * step)) for n in (self.height, self.width))
        row = whole_in(question, "row", 0, down - 1)
        column = whole_in(question, "column", 0, across - 1)
        header = {"level": level, "row": row, "column": column}
        if level >= self.far and self.levels:
            nearer = 1 << (level - self.far)
            side = TILE * nearer
            strips, sent = self._strips(), (0, 0)
            while True:
                next(strips, None)
                assert self._overview is not None
                wanted = (row * side, min((row + 1) * side, len(self._overview)))
                found = self._known(*wanted)
                whole = found == wanted
                if found[1] > found[0] and found != sent:
                    sent = found
                    top = -(-found[0] // nearer) * nearer
                    bottom = found[1] if whole else found[1] // nearer * nearer
                    part = self._overview[top:bottom, column * side : (column + 1) * side]
                    told = {**header, "from": (top - row * side) // nearer, "whole": whole}
                    yield told, {"pixels": smaller(part, nearer)}
                if whole:
                    return
        side = TILE * step
        rows = (row * side, min((row + 1) * side, self.height))
        columns = (column * side, min((column + 1) * side, self.width))
        yield {**header, "whole": True}, {"pixels": self.pixels(rows, columns, step)}

    def predicted(self, one: Network, question: Mapping[str, Any]) -> Part:
        """What a network that gives masks says of one tile of the file's own pixels, with the whole image's numbers.

        Array `mask` (h, w). Raises UsageError for a network of another kind, or one that sees too much of the image.
        """
        trained = one.trained
        if has_bars(one) or trained.task.objects or trained.task.axes != 4:
            raise UsageError(
                f"{one.target} gives {trained.task.about}; on a slide, networks that give a mask are shown"
            )
        down, across = (math.ceil(n / TILE) for n in (self.height, self.width))
        row = whole_in(question, "row", 0, down - 1)
        column = whole_in(question, "column", 0, across - 1)
        if one.target not in self._geometries:
            refuse_foreign(trained.preprocessing, self.image, self.path)
            shape = (1, trained.preprocessing.channels, self.height, self.width)
            self._geometries[one.target] = trace(trained.model, torch.empty(shape, device="meta"))
        geometry = self._geometries[one.target]
        first = next(i for i in geometry.outputs if i is not None)
        if geometry.values[first].extents != (self.height, self.width):
            raise UsageError(f"{one.target} gives no number for every pixel; use `striate tile`")
        preprocess = pixels_of(trained.preprocessing, getattr(self.image, "colours", 0))

        def read(box: Any) -> Tensor:
            return preprocess(self.image.read(0, box))

        box = (
            (row * TILE, min((row + 1) * TILE, self.height)),
            (column * TILE, min((column + 1) * TILE, self.width)),
        )
        output = region_of(geometry, trained.model, read, box, limit=NEEDED)
        (prediction,) = trained.task.decode(answer_of(output), trained)
        drawing = prediction.drawing(trained.classes)
        header, arrays = ({}, {}) if drawing is None else of_drawing(drawing)
        return {"row": row, "column": column, **header}, arrays


def smaller(part: np.ndarray, step: int) -> np.ndarray:
    """(H, W, C) uint8 as means of step x step pixels."""
    if step > 1 and part.size:
        tensor = torch.from_numpy(part.copy()).permute(2, 0, 1)[None].float()
        pooled = torch.nn.functional.avg_pool2d(tensor, step, ceil_mode=True)[0]
        part = pooled.round().to(torch.uint8).permute(1, 2, 0).numpy()
    return np.ascontiguousarray(part)
