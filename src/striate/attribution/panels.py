"""Panels: the parts of a picture of an explanation, each drawn at its place on a page."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from striate.attribution.explanation import Explanation, signed
from striate.attribution.hidden import Hidden
from striate.attribution.methods import Map
from striate.attribution.overlay import dimmed, over, over_scale
from striate.figures import BLUE, GRID, INK, SEQUENTIAL, VERMILLION, new_figure
from striate.wording import percent

if TYPE_CHECKING:
    from matplotlib.figure import Figure as MplFigure

WIDTH, MARGIN, DPI = 720, 16, 100  # pixels; a phone shows 720 of them in 360 points
PANEL = (WIDTH - 3 * MARGIN) // 2
BRIGHTEST = 0.995  # the share of pixels below the top of the scale, so that one pixel does not darken the rest
SMALL = 64  # pixels; up to here an image is drawn with its pixels visible
LETTERS = 29  # that fit under a panel
TEXT, SMALLTEXT, HEADING = 17.0, 14.5, 20.0  # points; half of 24, 20 and 28 pixels on a phone
LINE = 27  # pixels
BAR, SCALETEXT, SCALE = 12, 12.0, 44  # a scale bar's height, its text in points, and what both take


class Page:
    """A figure that is placed in pixels from its top left corner."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self.figure: MplFigure = new_figure(width / DPI, height / DPI, placed=True)

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
    draw_cone(axes, e)
    if e.region is not None:
        rows, columns = e.region
        corner = columns.start - 0.5, rows.start - 0.5
        sides = columns.stop - columns.start, rows.stop - rows.start
        for colour, thick in (("white", 4), (VERMILLION, 2)):
            axes.add_patch(Rectangle(corner, *sides, fill=False, edgecolor=colour, linewidth=thick))


def draw_map(
    page: Page, e: Explanation, one: Map, left: float, top: float, width: float, height: float, *, bare: bool = False
) -> None:  # fmt: skip
    """A map from nothing to its strongest evidence, as colour over the dimmed photograph; bare: from dark to bright.

    Of occlusion the probability that is left, where the explanation has it (lecture 004).
    """
    axes = page.axes(left, top, width, height)
    values, grey = strength(e, one), dimmed(e.image)
    drawn = values if bare or grey.shape != values.shape else over(grey, values)
    axes.imshow(drawn, cmap=SEQUENTIAL, vmin=0, vmax=1, interpolation=_interpolation(one.shown))
    axes.set_anchor("NW")
    draw_cone(axes, e)


def draw_cone(axes: Any, e: Explanation) -> None:
    """A dashed line around the pixels that have any influence at all, where these are known."""
    from matplotlib.patches import Rectangle

    if e.cone is None:
        return
    rows, columns = e.cone
    corner = columns.start - 0.5, rows.start - 0.5
    sides = columns.stop - columns.start, rows.stop - rows.start
    for colour, dashes in (("black", "solid"), ("white", (0, (3, 3)))):
        axes.add_patch(
            Rectangle(corner, *sides, fill=False, edgecolor=colour, linewidth=1.2, linestyle=dashes)
        )


def strength(e: Explanation, one: Map) -> np.ndarray:
    """How much colour each pixel gets, (H, W) in [0, 1]."""
    if (hidden := hidden_of(e, one)) is None:
        return scaled(one.shown)
    most, least = hidden.strength
    left = hidden.pixels((one.shown.shape[0], one.shown.shape[1])).numpy()
    return np.clip((most - left) / max(most - least, 1e-9), 0, 1)


def hidden_of(e: Explanation, one: Map) -> Hidden | None:
    """The probabilities that are drawn for a map instead of its own values."""
    return e.hidden if one.method == "occlusion" else None


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


def draw_lines(page: Page, lines: Sequence[tuple[str, str]], left: float, top: float) -> None:
    """Lines of text in their colours under a map."""
    for i, (line, colour) in enumerate(lines):
        page.text(left, top + LINE * i, line, SMALLTEXT, color=colour)


def lines_of(e: Explanation, one: Map) -> list[tuple[str, str]]:
    """What stands under a map, a line and its colour each: how faithful it is, whether it depends on the weights, and how it
    was made."""
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
    remark = one.remark
    if (hidden := hidden_of(e, one)) is not None:
        remark = "probability with a patch of {} × {} pixels at each place".format(*hidden.patch)
    return lines + remark_of(one, remark)


def remark_of(one: Map, remark: str = "") -> list[tuple[str, str]]:
    """How a map was made, as lines."""
    return [(line, INK) for line in textwrap.wrap(remark or one.remark, LETTERS)[:9]]


def ends(e: Explanation, one: Map) -> tuple[str, str]:
    """What no colour and full colour stand for."""
    if (hidden := hidden_of(e, one)) is None:
        return "nothing", "strongest"
    most, least = hidden.strength
    return f"{e.target} {percent(most)}", percent(least)


def draw_scale(
    page: Page,
    e: Explanation,
    one: Map,
    left: float,
    top: float,
    width: float,
    *,
    bare: bool = False,
    size: float = SCALETEXT,
) -> None:
    """A map's colours from left to right, over the photograph's black and its white, and what the ends stand for."""
    axes = page.axes(left, top, width, BAR)
    colours = np.linspace(0, 1, 256)[None] if bare else over_scale()
    axes.imshow(colours, cmap=SEQUENTIAL, aspect="auto", vmin=0, vmax=1)
    nothing, most = ends(e, one)
    letters = int((width - 14 * len(most) * size / SCALETEXT * 0.7) / (size * 0.85))
    page.text(
        left, top + BAR + 1, textwrap.shorten(nothing, max(letters, 8), placeholder="…"), size
    )
    page.text(left + width, top + BAR + 1, most, size, ha="right")


def words_below(e: Explanation) -> list[str]:
    """What the figures and lines of the maps mean, a line each."""
    lines: list[str] = []
    if e.curves:
        edges, chance = (e.curves[b].faithfulness for b in ("edges", "random"))
        what = "score" if e.probability is None else "probability"
        words = (
            f"faithful: mean {what} while the marked pixels are put in, less that while they are taken out. "
            f"An edge detector has {signed(edges)}, chance {signed(chance)}."
        )
        lines += textwrap.wrap(words, 62)[:3]
    if e.cone is not None:
        words = "dashed: what the network sees of it; pixels outside have no influence at all."
        lines += textwrap.wrap(words, 62)
    return lines


def draw_words(page: Page, e: Explanation) -> None:
    """`words_below` at the end of the page."""
    lines = words_below(e)
    for i, line in enumerate(lines):
        page.text(MARGIN, page.height - LINE * (len(lines) - i) - 10, line, SMALLTEXT)


def _interpolation(image: Tensor) -> str:
    return "nearest" if max(image.shape[-2:]) <= SMALL else "antialiased"
