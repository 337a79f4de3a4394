"""A finished picture, and where pictures go."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from striate.figures import new_figure, render, style
from striate.findings import Figure
from striate.writing import write_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure as MplFigure

DPI = 110
# Entries of the palette, for greys and for colours: looks the same, at a third of the size.
GREYS, COLOURS = 128, 256

_FOLDER: ContextVar[tuple[Path, list[Path]] | None] = ContextVar("folder", default=None)


@contextmanager
def saving_to(folder: Path) -> Iterator[list[Path]]:
    """Within the `with`, pictures are saved in `folder`; gives the list of those saved so far."""
    saved: list[Path] = []
    token = _FOLDER.set((folder, saved))
    try:
        yield saved
    finally:
        _FOLDER.reset(token)


@dataclass(frozen=True)
class Picture:
    """A PNG on white."""

    content: bytes

    def save(self, name: str) -> Path:
        """Write it as `name`, in the current folder or where `saving_to` says; returns the path."""
        folder, saved = _FOLDER.get() or (Path(), [])
        path = folder / name
        write_atomically(path, self.content, durable=False)
        saved.append(path)
        return path

    def _repr_png_(self) -> bytes:
        """A notebook shows it."""
        return self.content


def paint(width: float, height: float, painter: Callable[[MplFigure], None]) -> Picture:
    """Let `painter` fill an empty figure of `width` x `height` inches."""
    with style():
        figure = new_figure(width, height)
        painter(figure)
        png = render(figure, caption="", png=True, dpi=DPI).content
    return Picture(lighter(png))


def finding(figure: Figure) -> Picture:
    """The picture of a finding, a PNG, with fewer colours than it has."""
    return Picture(lighter(figure.content))


def lighter(png: bytes) -> bytes:
    """The same picture with a palette, where that is smaller."""
    small = io.BytesIO()
    with Image.open(io.BytesIO(png)) as image:
        rgb = image.convert("RGB")
        many = rgb.getcolors(1000) is None  # a colour photograph
        palette = rgb.quantize(COLOURS if many else GREYS, dither=Image.Dither.NONE)
        palette.save(small, "PNG", optimize=True)
    return min(png, small.getvalue(), key=len)
