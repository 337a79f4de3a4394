"""Pictures of an explanation: the image as the network saw it, its predictions, and each method's map beside it."""

from __future__ import annotations

import io
import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image
from torch import Tensor

from striate.attribution.explanation import Explanation, signed
from striate.attribution.methods import Map, row
from striate.figures import BLUE, GRID, INK, SEQUENTIAL, VERMILLION, new_figure, render, style
from striate.findings import Figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure as MplFigure

WIDTH, MARGIN, DPI = 720, 16, 100  # pixels; a phone shows 720 of them in 360 points
PANEL = (WIDTH - 3 * MARGIN) // 2
BRIGHTEST = 0.995  # the share of pixels below the top of the scale, so that one pixel does not darken the rest
SMALL = 64  # pixels; up to here an image is drawn with its pixels visible
LETTERS = 29  # that fit under a panel
TEXT, SMALLTEXT, HEADING = 17.0, 14.5, 20.0  # points; half of 24, 20 and 28 pixels on a phone
LINE = 27  # pixels


class Page:
    """A figure that is placed in pixels from its top left corner."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self.figure: MplFigure = new_figure(width / DPI, height / DPI)
        self.figure.set_layout_engine("none")

    def axes(self, left: float, top: float, width: float, height: float) -> Any:
        """Axes without marks."""
        box = (
            left / self.width, 1 - (top + height) / self.height, width / self.width, height / self.height
        )  # fmt: skip
        axes = self.figure.add_axes(box)
        axes.set_axis_off()
        return axes

    def text(self, left: float, top: float, text: str, size: float = TEXT, **more: Any) -> None:
        """Text with its upper left corner there."""
        more = {"va": "top", "ha": "left", "color": INK, **more}
        self.figure.text(left / self.width, 1 - top / self.height, text, size=size, **more)


def picture(explanation: Explanation, *, title: str = "") -> Figure:
    """All maps of an explanation on one page of 720 pixels, two a row, as PNG.

    One colour map (cividis, even in lightness and the same to colour-blind eyes) and one scale: from nothing to the
    strongest evidence of each map.
    """
    e = explanation
    high = min(max(e.image.shape[1] / e.image.shape[2], 0.5), 1.6) * PANEL
    maps = list(e.maps.values())
    rows = -(-len(maps) // 2)
    below = LINE * max(len(_lines(e, one)) for one in maps) + 24
    verdict = textwrap.wrap(e.verdict, 56)
    title_lines = textwrap.wrap(f"Why “{e.target}”?", 42)[:2]
    start = 14 + 38 * len(title_lines) + 4
    top = start + 10 + LINE * len(verdict)
    block = 40 + high + below
    height = int(top + high + 60 + rows * block + 134)
    with style():
        page = Page(WIDTH, height)
        for i, line in enumerate(title_lines):
            page.text(MARGIN, 14 + 38 * i, line, HEADING, weight="bold")
        for i, line in enumerate(verdict):
            page.text(MARGIN, start + LINE * i, line, SMALLTEXT)
        draw_image(page, e, MARGIN, top + 32, PANEL, high)
        page.text(MARGIN, top, "As the network saw it", SMALLTEXT, weight="bold")
        draw_top(page, e, 2 * MARGIN + PANEL, top, PANEL, high + 28)
        for i, one in enumerate(maps):
            left = MARGIN + (i % 2) * (PANEL + MARGIN)
            at = top + high + 62 + (i // 2) * block
            draw_map(page, one, left, at + 34, PANEL, high)
            best = one.method == e.best and e.convincing
            page.text(left, at, one.title, TEXT, weight="bold", color=BLUE if best else INK)
            draw_trust(page, e, one, left, at + high + 40)
        draw_scale(page, e, height - 128)
        caption = f"{title or e.target}: {e.verdict}"
        return render(page.figure, caption=caption, alt=_alt(e), png=True, dpi=DPI)


def one_map(explanation: Explanation, method: str) -> Figure:
    """One method's map beside the image, 720 pixels wide, as PNG."""
    e = explanation
    high = min(max(e.image.shape[1] / e.image.shape[2], 0.5), 1.6) * PANEL
    height = int(high + 52 + 4 * LINE + 150)
    one = e.maps[method]
    with style():
        page = Page(WIDTH, height)
        page.text(MARGIN, 14, textwrap.shorten(e.target, 26), TEXT, weight="bold")
        draw_image(page, e, MARGIN, 46, PANEL, high)
        page.text(2 * MARGIN + PANEL, 14, one.title, TEXT, weight="bold")
        draw_map(page, one, 2 * MARGIN + PANEL, 46, PANEL, high)
        draw_trust(page, e, one, 2 * MARGIN + PANEL, 52 + high)
        draw_scale(page, e, height - 128)
        return render(page.figure, caption=caption_of(e, one), alt=_alt(e), png=True, dpi=DPI)


def strip(explanation: Explanation, *, heading: str) -> Figure:
    """Image and maps side by side, 480 pixels wide, small enough for a report; WebP."""
    e = explanation
    maps = list(e.maps.values())
    count = 1 + len(maps)
    gap, width = 10, 480
    side = (width - gap * (count + 1)) / count
    high = min(side * e.image.shape[1] / e.image.shape[2], 170)
    height = int(high + 96)
    small = 9.5
    with style():
        page = Page(width, height)
        page.text(gap, 6, textwrap.shorten(heading, 56), small, weight="bold")
        draw_image(page, e, gap, 30, side, high)
        page.text(gap, 34 + high, "as it was seen", small)
        for i, one in enumerate(maps, 1):
            left = gap + i * (side + gap)
            draw_map(page, one, left, 30, side, high)
            page.text(left, 34 + high, textwrap.shorten(one.title, 22), small)
            if one.method in e.curves:
                unchanged = e.ignores_weights(one.method) is not None
                words = f"faithful {signed(e.curves[one.method].faithfulness)}"
                page.text(left, 54 + high, words, small, color=VERMILLION if unchanged else INK)
                if unchanged:
                    page.text(left, 70 + high, "same when shuffled", small, color=VERMILLION)
        caption = f"{heading}. " + "; ".join(caption_of(e, one) for one in maps)
        png = render(page.figure, caption=caption, alt=_alt(e), png=True, dpi=DPI)
    with Image.open(io.BytesIO(png.content)) as drawn:
        buffer = io.BytesIO()
        drawn.convert("RGB").save(buffer, "WEBP", quality=88)
    return Figure(content=buffer.getvalue(), media="image/webp", caption=caption, alt=png.alt)


def draw_image(
    page: Page, e: Explanation, left: float, top: float, width: float, height: float
) -> None:
    """The image as the network saw it, with a frame around the place that is explained."""
    from matplotlib.patches import Rectangle

    pixels = e.image.permute(1, 2, 0).numpy()
    pixels = pixels[..., :3] if pixels.shape[-1] >= 3 else pixels[..., 0]
    axes = page.axes(left, top, width, height)
    axes.imshow(pixels, cmap="gray", vmin=0, vmax=1, interpolation=_interpolation(e.image))
    axes.set_anchor("NW")
    edge = Rectangle((-0.5, -0.5), pixels.shape[1], pixels.shape[0], fill=False, edgecolor=GRID)
    axes.add_patch(edge)  # without it a white image is not there
    if e.region is not None:
        rows, columns = e.region
        corner = columns.start - 0.5, rows.start - 0.5
        sides = columns.stop - columns.start, rows.stop - rows.start
        for colour, thick in (("white", 4), (VERMILLION, 2)):
            axes.add_patch(Rectangle(corner, *sides, fill=False, edgecolor=colour, linewidth=thick))


def draw_map(page: Page, one: Map, left: float, top: float, width: float, height: float) -> None:
    """A map from nothing (dark) to its strongest evidence (bright)."""
    axes = page.axes(left, top, width, height)
    interpolation = _interpolation(one.shown)
    axes.imshow(scaled(one.shown), cmap=SEQUENTIAL, vmin=0, vmax=1, interpolation=interpolation)
    axes.set_anchor("NW")


def scaled(shown: Tensor) -> np.ndarray:
    """A map (H, W) between 0 and 1, the brightest half per cent of its pixels being 1."""
    values = shown.double().numpy()
    top = float(np.quantile(values, BRIGHTEST)) or float(values.max())
    return np.clip(values / top, 0, 1) if top > 0 else np.zeros_like(values)


def draw_top(page: Page, e: Explanation, left: float, top: float, width: float, height: float) -> None:  # fmt: skip
    """The best classes with bars, as in AlexNet's figure (Krizhevsky et al. 2012; lecture 002)."""
    if not e.top:
        return
    step = min(height / len(e.top), 72)
    for i, (name, share) in enumerate(e.top):
        y = top + i * step
        chosen = name == e.target
        page.text(left, y, textwrap.shorten(name, 20, placeholder="…"), SMALLTEXT,
                  weight="bold" if chosen else "normal")  # fmt: skip
        page.text(left + width, y, f"{share:.1%}", SMALLTEXT, ha="right")
        axes = page.axes(left, y + 30, width, 16)
        axes.set_xlim(0, 1)
        axes.barh([0], [1], color=GRID, alpha=0.2)
        axes.barh([0], [share], color=BLUE if chosen else GRID)
        axes.margins(0)


def draw_trust(page: Page, e: Explanation, one: Map, left: float, top: float) -> None:
    """How faithful a map is, whether it depends on the weights, and how it was made."""
    for i, (line, colour) in enumerate(_lines(e, one)):
        page.text(left, top + LINE * i, line, SMALLTEXT, color=colour)


def _lines(e: Explanation, one: Map) -> list[tuple[str, str]]:
    """What stands under a map, a line and its colour each."""
    lines: list[tuple[str, str]] = []
    if one.method in e.curves:
        c = e.curves[one.method]
        if one.empty:
            lines.append(("marks nothing", VERMILLION))
        else:
            best = one.method == e.best and e.convincing
            mark = "most faithful" if best else "faithful"
            lines.append((f"{mark} {signed(c.faithfulness)}", BLUE if best else INK))
        unchanged = e.ignores_weights(one.method)
        if unchanged is not None:
            lines.append((f"same for shuffled weights: {unchanged:.2f}", VERMILLION))
    lines += [(line, INK) for line in textwrap.wrap(one.remark, LETTERS)[:2]]
    return lines


def draw_scale(page: Page, e: Explanation, top: float) -> None:
    """The colours, and what the figures under the maps mean."""
    axes = page.axes(MARGIN + 100, top, WIDTH - 2 * MARGIN - 230, 16)
    axes.imshow(np.linspace(0, 1, 256)[None], cmap=SEQUENTIAL, aspect="auto", vmin=0, vmax=1)
    page.text(MARGIN, top - 2, "nothing", SMALLTEXT)
    page.text(WIDTH - MARGIN, top - 2, "strongest", SMALLTEXT, ha="right")
    if e.curves:
        edges, chance = (e.curves[b].faithfulness for b in ("edges", "random"))
        words = (
            f"faithful: mean probability while the marked pixels are put in, less that while they are taken out. "
            f"An edge detector has {signed(edges)}, chance {signed(chance)}."
        )
        for i, line in enumerate(textwrap.wrap(words, 62)[:3]):
            page.text(MARGIN, top + 26 + LINE * i, line, SMALLTEXT)


def caption_of(e: Explanation, one: Map) -> str:
    """A map in words: method, how it was made, how far to trust it."""
    text = f"{one.title} ({row(one.method).source}; {one.remark})"
    if one.method in e.curves:
        text += f", faithfulness {signed(e.curves[one.method].faithfulness)}"
    unchanged = e.ignores_weights(one.method)
    if unchanged is not None:
        text += f"; it stays much the same when the weights are shuffled (rank correlation {unchanged:.2f})"
    return text + ("; it marks nothing" if one.empty else "")


def _interpolation(image: Tensor) -> str:
    return "nearest" if max(image.shape[-2:]) <= SMALL else "antialiased"


def _alt(e: Explanation) -> str:
    titles = ", ".join(m.title for m in e.maps.values())
    return f"An image predicted as {e.target}, and beside it the pixels that decided by {titles}"
